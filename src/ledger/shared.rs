//! What the writer's thread and the callers share.

use super::chain::Waiting;
use super::failure::Failure;
use super::space::Space;
use crate::domain::revocation::Revocations;
use redb::Database;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// What the writer shares with the callers' side.
#[derive(Debug)]
pub(super) struct Shared {
    pub database: Database,
    pub waiting: Waiting,
    pub space: Arc<Space>,
    pub failure: Failure,
    /// Whether an [`Order::Wake`] is in the queue.
    pub woken: AtomicBool,
    /// What is revoked, as of the last commit. Locked for a move only.
    pub revocations: Mutex<Arc<Revocations>>,
}

impl Shared {
    pub(super) fn revocations(&self) -> Arc<Revocations> {
        let revocations = self.revocations.lock();
        Arc::clone(&revocations.unwrap_or_else(PoisonError::into_inner))
    }

    /// What is revoked from the commit on that has just become durable.
    pub(super) fn revoke(&self, revocations: Arc<Revocations>) {
        let before = self.revocations.lock();
        *before.unwrap_or_else(PoisonError::into_inner) = revocations;
    }
}
