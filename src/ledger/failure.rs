//! Fail-stop: after one failed write or sync nothing is written or read any more.
//!
//! What a failed commit left on the disk is unknown until the file is opened again, so there is no
//! way back within this run.

use crate::service::ports::LedgerError;
use std::sync::{Mutex, OnceLock, PoisonError};

/// What is done once when the ledger fails; the application ends the process there.
pub type OnFailure = Box<dyn FnOnce(String) + Send>;

/// Whether the ledger has failed, and whom to tell.
pub(super) struct Failure {
    why: OnceLock<String>,
    hook: Mutex<Option<OnFailure>>,
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Failure")
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}

impl Failure {
    pub(super) fn new(hook: OnFailure) -> Self {
        Self {
            why: OnceLock::new(),
            hook: Mutex::new(Some(hook)),
        }
    }

    /// Refuses everything once the ledger has failed.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        match self.why.get() {
            Some(why) => Err(LedgerError::Failed(why.clone())),
            None => Ok(()),
        }
    }

    /// Marks the ledger failed. The first reason stands.
    pub(super) fn mark(&self, why: String) -> LedgerError {
        LedgerError::Failed(self.why.get_or_init(|| why).clone())
    }

    /// Tells whoever has to know, once. Waiting callers were answered before.
    pub(super) fn tell(&self) {
        let hook = self
            .hook
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let (Some(hook), Some(why)) = (hook, self.why.get()) {
            hook(why.clone());
        }
    }
}
