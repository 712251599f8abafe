//! Stored form of a task and its leg.

use super::{
    Row, RowError, array, digest, digest_bytes, digest_if, row, row_if, rows, spiffe_id, task_id,
    wire, wires,
};
use crate::domain::barred::Takeovers;
use crate::domain::id::{ApprovalId, DelegationNumber, Epoch, Fence, LegNumber, StepNumber};
use crate::domain::input::Input;
use crate::domain::role::Owner;
use crate::domain::task::{Leg, Task, TaskState};
use crate::domain::time::Time;

impl Row for Leg {
    type Wire = wire::Leg;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            number,
            performer,
            delegation,
            holder,
            uid,
            certificate,
            certificate_ends,
            fence,
            epoch,
            started_at,
        } = self;
        wire::Leg {
            number: number.0,
            performer: performer.to_string(),
            delegation: delegation.map(|number| number.0),
            holder: Some(holder.to_wire()),
            uid: *uid,
            certificate: certificate.0.to_vec(),
            certificate_ends: certificate_ends.0,
            fence: fence.0,
            epoch: epoch.0,
            started_at: started_at.0,
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            number: LegNumber(wire.number),
            performer: spiffe_id(&wire.performer, "performer")?,
            delegation: wire.delegation.map(DelegationNumber),
            holder: row(wire.holder, "holder")?,
            uid: wire.uid,
            certificate: digest(&wire.certificate, "certificate")?,
            certificate_ends: Time(wire.certificate_ends),
            fence: Fence(wire.fence),
            epoch: Epoch(wire.epoch),
            started_at: Time(wire.started_at),
        })
    }
}

impl Row for Input {
    type Wire = wire::Input;

    fn to_wire(&self) -> Self::Wire {
        match self {
            Self::Approval { id, until } => wire::Input {
                server: None,
                approval: Some(id.bytes().to_vec()),
                until: until.0,
            },
            Self::Server(key) => wire::Input {
                server: Some(key.clone()),
                approval: None,
                until: 0,
            },
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        match (wire.server, wire.approval) {
            (None, Some(id)) => Ok(Self::Approval {
                id: ApprovalId::from_bytes(&array(&id, "approval")?),
                until: Time(wire.until),
            }),
            (Some(key), None) => Ok(Self::Server(key)),
            (None, None) | (Some(_), Some(_)) => Err(RowError::Field("inputs")),
        }
    }
}

impl Row for Task {
    type Wire = wire::Task;

    #[expect(clippy::too_many_lines, reason = "one line a field")]
    fn to_wire(&self) -> Self::Wire {
        let Self {
            id,
            txn,
            parent,
            spawned_by,
            subject,
            created_at,
            owner: Owner {
                workload,
                principal,
            },
            server,
            performers,
            delegations,
            takeovers: Takeovers(takeovers),
            call,
            asked,
            own,
            state,
            inputs,
            deadline,
            claim_by,
            claimed_at,
            owner_seen_at,
            ended_at,
            name,
            fence,
            legs,
            leg,
            last_step,
            pending,
            open_steps,
            skipped_steps,
            spawned,
            owner_tokens,
            owner_tokens_from,
        } = self;
        wire::Task {
            id: id.0.to_vec(),
            txn: txn.0.to_vec(),
            parent: parent.map(|parent| parent.0.to_vec()),
            subject: subject.as_ref().map(ToString::to_string),
            created_at: created_at.0,
            owner_workload: workload.as_ref().map(Row::to_wire),
            owner_principal: digest_bytes(*principal),
            server: Some(server.to_wire()),
            performers: wires(performers),
            delegations: wires(delegations),
            takeovers: wires(takeovers),
            spawned_by: spawned_by.as_ref().map(ToString::to_string),
            call: Some(call.to_wire()),
            asked: Some(asked.to_wire()),
            own: Some(own.to_wire()),
            state: state_number(*state),
            inputs: wires(inputs),
            deadline: deadline.0,
            claim_by: claim_by.0,
            claimed_at: claimed_at.map(|time| time.0),
            owner_seen_at: owner_seen_at.0,
            ended_at: ended_at.map(|time| time.0),
            name: name.0.to_vec(),
            fence: fence.0,
            legs: legs.0,
            leg: leg.as_ref().map(Row::to_wire),
            last_step: last_step.0,
            pending: pending.as_ref().map(Row::to_wire),
            open_steps: numbers(open_steps),
            skipped_steps: wires(skipped_steps),
            spawned: *spawned,
            owner_tokens: *owner_tokens,
            owner_tokens_from: owner_tokens_from.0,
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            id: task_id(&wire.id, "id")?,
            txn: task_id(&wire.txn, "txn")?,
            parent: wire
                .parent
                .map(|parent| task_id(&parent, "parent"))
                .transpose()?,
            subject: wire
                .subject
                .map(|subject| spiffe_id(&subject, "subject"))
                .transpose()?,
            created_at: Time(wire.created_at),
            owner: Owner {
                workload: row_if(wire.owner_workload)?,
                principal: digest_if(wire.owner_principal.as_deref(), "owner_principal")?,
            },
            server: row(wire.server, "server")?,
            performers: rows(wire.performers)?,
            delegations: rows(wire.delegations)?,
            takeovers: Takeovers(rows(wire.takeovers)?),
            spawned_by: wire
                .spawned_by
                .map(|id| spiffe_id(&id, "spawned_by"))
                .transpose()?,
            call: row(wire.call, "call")?,
            asked: row(wire.asked, "asked")?,
            own: row(wire.own, "own")?,
            state: state(wire.state)?,
            inputs: rows(wire.inputs)?,
            deadline: Time(wire.deadline),
            claim_by: Time(wire.claim_by),
            claimed_at: wire.claimed_at.map(Time),
            owner_seen_at: Time(wire.owner_seen_at),
            ended_at: wire.ended_at.map(Time),
            name: digest(&wire.name, "name")?,
            fence: Fence(wire.fence),
            legs: LegNumber(wire.legs),
            leg: row_if(wire.leg)?,
            last_step: StepNumber(wire.last_step),
            pending: row_if(wire.pending)?,
            open_steps: wire.open_steps.into_iter().map(StepNumber).collect(),
            skipped_steps: rows(wire.skipped_steps)?,
            spawned: wire.spawned,
            owner_tokens: wire.owner_tokens,
            owner_tokens_from: Time(wire.owner_tokens_from),
        })
    }
}

pub(super) fn state_number(state: TaskState) -> i32 {
    match state {
        TaskState::Cancelled => 1,
        TaskState::Completed => 2,
        TaskState::Expired => 3,
        TaskState::Failed => 4,
        TaskState::Working => 5,
        TaskState::InputRequired => 6,
    }
}

pub(super) fn state(number: i32) -> Result<TaskState, RowError> {
    Ok(match number {
        1 => TaskState::Cancelled,
        2 => TaskState::Completed,
        3 => TaskState::Expired,
        4 => TaskState::Failed,
        5 => TaskState::Working,
        6 => TaskState::InputRequired,
        _ => return Err(RowError::Field("state")),
    })
}

fn numbers(steps: &[StepNumber]) -> Vec<u32> {
    steps.iter().map(|number| number.0).collect()
}
