//! Stored form of create terms.

use super::{Row, RowError, array, digest, row, row_if, rows, spiffe_id, task_id, wire, wires};
use crate::domain::id::{Epoch, Jti};
use crate::domain::lineage::CreateTerms;
use crate::domain::time::Time;
use std::time::Duration;

const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

impl Row for CreateTerms {
    type Wire = wire::CreateTerms;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            task,
            owner,
            spender,
            server,
            call,
            asked,
            performers,
            lifetime,
            jti,
            certificate,
            issued_at,
            expires_at,
            epoch,
            request,
            used_at,
        } = self;
        wire::CreateTerms {
            task: task.0.to_vec(),
            owner: Some(owner.to_wire()),
            spender: spender.as_ref().map(Row::to_wire),
            server: server.to_string(),
            call: Some(call.to_wire()),
            asked: Some(asked.to_wire()),
            performers: wires(performers),
            lifetime_seconds: lifetime.as_secs(),
            lifetime_nanoseconds: lifetime.subsec_nanos(),
            jti: jti.0.to_vec(),
            certificate: certificate.0.to_vec(),
            issued_at: issued_at.0,
            expires_at: expires_at.0,
            epoch: epoch.0,
            request: request.0.to_vec(),
            used_at: used_at.map(|time| time.0),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        // `Duration::new` panics where whole seconds carry over.
        if wire.lifetime_nanoseconds >= NANOSECONDS_PER_SECOND {
            return Err(RowError::Field("lifetime_nanoseconds"));
        }
        Ok(Self {
            task: task_id(&wire.task, "task")?,
            owner: row(wire.owner, "owner")?,
            spender: row_if(wire.spender)?,
            server: spiffe_id(&wire.server, "server")?,
            call: row(wire.call, "call")?,
            asked: row(wire.asked, "asked")?,
            performers: rows(wire.performers)?,
            lifetime: Duration::new(wire.lifetime_seconds, wire.lifetime_nanoseconds),
            jti: Jti(array(&wire.jti, "jti")?),
            certificate: digest(&wire.certificate, "certificate")?,
            issued_at: Time(wire.issued_at),
            expires_at: Time(wire.expires_at),
            epoch: Epoch(wire.epoch),
            request: digest(&wire.request, "request")?,
            used_at: wire.used_at.map(Time),
        })
    }
}
