//! Stored form of child grants.

use super::{Row, RowError, digest, row, spiffe_id, task_id, wire};
use crate::domain::child::{ChildGrant, Spawned};
use crate::domain::grant::Authority;
use crate::domain::id::{Fence, LegNumber};
use crate::domain::time::Time;

impl Row for ChildGrant {
    type Wire = wire::ChildGrant;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            id,
            parent,
            txn,
            authority,
            subject,
            spender,
            call,
            asked,
            maker,
            leg,
            fence,
            made_at,
            spent_at,
            revoked_at,
        } = self;
        wire::ChildGrant {
            id: id.0.to_vec(),
            parent: parent.0.to_vec(),
            txn: txn.0.to_vec(),
            authority: authority_number(*authority),
            subject: subject.to_string(),
            spender: Some(spender.to_wire()),
            call: Some(call.to_wire()),
            asked: Some(asked.to_wire()),
            maker: maker.to_string(),
            leg: leg.0,
            fence: fence.0,
            made_at: made_at.0,
            spent_at: spent_at.map(|time| time.0),
            revoked_at: revoked_at.map(|time| time.0),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            id: task_id(&wire.id, "id")?,
            parent: task_id(&wire.parent, "parent")?,
            txn: task_id(&wire.txn, "txn")?,
            authority: authority(wire.authority)?,
            subject: spiffe_id(&wire.subject, "subject")?,
            spender: row(wire.spender, "spender")?,
            call: row(wire.call, "call")?,
            asked: row(wire.asked, "asked")?,
            maker: spiffe_id(&wire.maker, "maker")?,
            leg: LegNumber(wire.leg),
            fence: Fence(wire.fence),
            made_at: Time(wire.made_at),
            spent_at: wire.spent_at.map(Time),
            revoked_at: wire.revoked_at.map(Time),
        })
    }
}

impl Row for Spawned {
    type Wire = wire::Spawned;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            parent,
            request,
            asked,
            children,
        } = self;
        wire::Spawned {
            parent: parent.0.to_vec(),
            request: request.0.to_vec(),
            asked: asked.0.to_vec(),
            children: children.iter().map(|child| child.0.to_vec()).collect(),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        let children = wire.children.iter().map(|child| task_id(child, "children"));
        Ok(Self {
            parent: task_id(&wire.parent, "parent")?,
            request: digest(&wire.request, "request")?,
            asked: digest(&wire.asked, "asked")?,
            children: children.collect::<Result<_, RowError>>()?,
        })
    }
}

pub(super) fn authority_number(authority: Authority) -> i32 {
    match authority {
        Authority::Asked => 1,
        Authority::Own => 2,
    }
}

pub(super) fn authority(number: i32) -> Result<Authority, RowError> {
    match number {
        1 => Ok(Authority::Asked),
        2 => Ok(Authority::Own),
        _ => Err(RowError::Field("authority")),
    }
}
