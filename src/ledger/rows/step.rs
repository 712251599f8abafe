//! Stored form of steps and token records.

use super::{Row, RowError, array, child, digest, row, row_if, spiffe_id, task_id, wire};
use crate::domain::id::{DelegationNumber, Epoch, Fence, Jti, LegNumber, StepNumber};
use crate::domain::step::{Purpose, Skipped, Step, StepState, TokenRecord};
use crate::domain::time::Time;

impl Row for Step {
    type Wire = wire::Step;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            number,
            call,
            authority,
            idempotency_key,
            fence,
            state,
            ever_used,
            leg,
            epoch,
            expires_at,
            act_by,
            request,
        } = self;
        wire::Step {
            number: number.0,
            call: Some(call.to_wire()),
            idempotency_key: idempotency_key.0.to_vec(),
            fence: fence.0,
            state: state_number(*state),
            ever_used: *ever_used,
            leg: leg.0,
            epoch: epoch.0,
            expires_at: expires_at.0,
            act_by: act_by.map(|time| time.0),
            request: request.0.to_vec(),
            authority: child::authority_number(*authority),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            number: StepNumber(wire.number),
            call: row(wire.call, "call")?,
            authority: child::authority(wire.authority)?,
            idempotency_key: digest(&wire.idempotency_key, "idempotency_key")?,
            fence: Fence(wire.fence),
            state: state(wire.state)?,
            ever_used: wire.ever_used,
            leg: LegNumber(wire.leg),
            epoch: Epoch(wire.epoch),
            expires_at: Time(wire.expires_at),
            act_by: wire.act_by.map(Time),
            request: digest(&wire.request, "request")?,
        })
    }
}

fn state_number(state: StepState) -> i32 {
    match state {
        StepState::Issued => 1,
        StepState::Used => 2,
        StepState::Done => 3,
        StepState::NotDone => 4,
        StepState::Unknown => 5,
        StepState::Void => 6,
    }
}

fn state(number: i32) -> Result<StepState, RowError> {
    Ok(match number {
        1 => StepState::Issued,
        2 => StepState::Used,
        3 => StepState::Done,
        4 => StepState::NotDone,
        5 => StepState::Unknown,
        6 => StepState::Void,
        _ => return Err(RowError::Field("state")),
    })
}

impl Row for Skipped {
    type Wire = wire::Skipped;

    fn to_wire(&self) -> Self::Wire {
        wire::Skipped {
            number: self.number.0,
            call: Some(self.call.to_wire()),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            number: StepNumber(wire.number),
            call: row(wire.call, "call")?,
        })
    }
}

impl Row for TokenRecord {
    type Wire = wire::TokenRecord;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            task,
            fence,
            jti,
            purpose,
            delegation,
            process,
            audience,
            certificate,
            expires_at,
            used_at,
        } = self;
        let (purpose, step, order) = match purpose {
            Purpose::Cancel => (1, 0, None),
            Purpose::Order(order) => (4, 0, Some(order.to_wire())),
            Purpose::Step(number) => (2, number.0, None),
            Purpose::Update => (3, 0, None),
        };
        wire::TokenRecord {
            task: task.0.to_vec(),
            fence: fence.0,
            jti: jti.0.to_vec(),
            purpose,
            step,
            audience: audience.to_string(),
            certificate: certificate.0.to_vec(),
            expires_at: expires_at.0,
            used_at: used_at.map(|time| time.0),
            order,
            delegation: delegation.map(|number| number.0),
            process: process.as_ref().map(Row::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            task: task_id(&wire.task, "task")?,
            fence: Fence(wire.fence),
            jti: Jti(array(&wire.jti, "jti")?),
            purpose: match wire.purpose {
                1 => Purpose::Cancel,
                2 => Purpose::Step(StepNumber(wire.step)),
                3 => Purpose::Update,
                4 => Purpose::Order(Box::new(row(wire.order, "order")?)),
                _ => return Err(RowError::Field("purpose")),
            },
            delegation: wire.delegation.map(DelegationNumber),
            process: row_if(wire.process)?,
            audience: spiffe_id(&wire.audience, "audience")?,
            certificate: digest(&wire.certificate, "certificate")?,
            expires_at: Time(wire.expires_at),
            used_at: wire.used_at.map(Time),
        })
    }
}
