//! Stored form of requests for approval, decisions and owners' accounts.

use super::{Row, RowError, array, child, digest, row, row_if, spiffe_id, wire};
use crate::domain::approval::{Account, Approval, Decision, Verdict};
use crate::domain::id::{ApprovalId, Fence};
use crate::domain::time::Time;

impl Row for Approval {
    type Wire = wire::Approval;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            id,
            performer,
            asked_by,
            call,
            authority,
            text,
            opened_at,
            decide_by,
            digest,
            decision,
            used_by,
        } = self;
        wire::Approval {
            id: id.bytes().to_vec(),
            performer: performer.to_string(),
            asked_by: Some(asked_by.to_wire()),
            call: Some(call.to_wire()),
            authority: child::authority_number(*authority),
            text: text.clone(),
            opened_at: opened_at.0,
            decide_by: decide_by.0,
            digest: digest.0.to_vec(),
            decision: decision.as_ref().map(Row::to_wire),
            used_by: used_by.map(|fence| fence.0),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            id: approval_id(&wire.id)?,
            performer: spiffe_id(&wire.performer, "performer")?,
            asked_by: row(wire.asked_by, "asked_by")?,
            call: row(wire.call, "call")?,
            authority: child::authority(wire.authority)?,
            text: wire.text,
            opened_at: Time(wire.opened_at),
            decide_by: Time(wire.decide_by),
            digest: digest(&wire.digest, "digest")?,
            decision: row_if(wire.decision)?,
            used_by: wire.used_by.map(Fence),
        })
    }
}

impl Row for Decision {
    type Wire = wire::Decision;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            verdict,
            at,
            approver,
            brought_by,
            issuer,
            person,
        } = self;
        wire::Decision {
            verdict: match verdict {
                Verdict::Approved => 1,
                Verdict::Refused => 2,
            },
            at: at.0,
            approver: approver.to_string(),
            brought_by: Some(brought_by.to_wire()),
            issuer: issuer.clone(),
            person: person.0.to_vec(),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            verdict: match wire.verdict {
                1 => Verdict::Approved,
                2 => Verdict::Refused,
                _ => return Err(RowError::Field("verdict")),
            },
            at: Time(wire.at),
            approver: spiffe_id(&wire.approver, "approver")?,
            brought_by: row(wire.brought_by, "brought_by")?,
            issuer: wire.issuer,
            person: digest(&wire.person, "person")?,
        })
    }
}

impl Row for Account {
    type Wire = wire::Account;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            open,
            setbacks,
            not_before,
        } = self;
        wire::Account {
            open: open.iter().map(|id| id.bytes().to_vec()).collect(),
            setbacks: *setbacks,
            not_before: not_before.0,
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            open: wire
                .open
                .iter()
                .map(|id| approval_id(id))
                .collect::<Result<_, _>>()?,
            setbacks: wire.setbacks,
            not_before: Time(wire.not_before),
        })
    }
}

fn approval_id(bytes: &[u8]) -> Result<ApprovalId, RowError> {
    array(bytes, "approval").map(|bytes| ApprovalId::from_bytes(&bytes))
}
