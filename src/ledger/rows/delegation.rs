//! Stored form of delegations and takeovers.

use super::{Row, RowError, digest, digest_bytes, digest_if, row, rows, wire, wires};
use crate::domain::barred::Barred;
use crate::domain::delegation::{Act, Delegation};
use crate::domain::id::{DelegationNumber, LegNumber};
use crate::domain::time::Time;

impl Row for Delegation {
    type Wire = wire::Delegation;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            number,
            to,
            principal,
            acts,
            permissions,
            not_after,
            from,
            made_at,
            ended_at,
            request,
            asked,
        } = self;
        wire::Delegation {
            number: number.0,
            to: Some(to.to_wire()),
            principal: digest_bytes(*principal),
            acts: acts.iter().copied().map(act_number).collect(),
            permissions: permissions.as_deref().map(|permissions| wire::Permissions {
                permissions: wires(permissions),
            }),
            not_after: not_after.0,
            from: from.map(|number| number.0),
            made_at: made_at.0,
            ended_at: ended_at.map(|time| time.0),
            request: request.0.to_vec(),
            asked: asked.0.to_vec(),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            number: DelegationNumber(wire.number),
            to: row(wire.to, "to")?,
            principal: digest_if(wire.principal.as_deref(), "principal")?,
            acts: wire.acts.into_iter().map(act).collect::<Result<_, _>>()?,
            permissions: wire
                .permissions
                .map(|permissions| rows(permissions.permissions))
                .transpose()?,
            not_after: Time(wire.not_after),
            from: wire.from.map(DelegationNumber),
            made_at: Time(wire.made_at),
            ended_at: wire.ended_at.map(Time),
            request: digest(&wire.request, "request")?,
            asked: digest(&wire.asked, "asked")?,
        })
    }
}

impl Row for Barred {
    type Wire = wire::Barred;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            process,
            leg,
            request,
            and_older,
        } = self;
        wire::Barred {
            process: Some(process.to_wire()),
            leg: leg.0,
            request: request.0.to_vec(),
            and_older: *and_older,
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            process: row(wire.process, "process")?,
            leg: LegNumber(wire.leg),
            request: digest(&wire.request, "request")?,
            and_older: wire.and_older,
        })
    }
}

fn act_number(act: Act) -> i32 {
    match act {
        Act::Cancel => 1,
        Act::Delegate => 2,
        Act::Perform => 3,
        Act::Query => 4,
        Act::Takeover => 5,
        Act::Update => 6,
    }
}

fn act(number: i32) -> Result<Act, RowError> {
    Act::ALL
        .into_iter()
        .find(|act| act_number(*act) == number)
        .ok_or(RowError::Field("acts"))
}
