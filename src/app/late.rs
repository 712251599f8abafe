//! A process directory that comes later: until SPIRE has given the agent an identity it cannot be asked.

use crate::domain::id::SpiffeId;
use crate::service::ports::{BoxFuture, DirectoryError, ProcessDirectory};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Answers "unavailable" until [`LateDirectory::set`].
#[derive(Debug)]
pub(super) struct LateDirectory {
    deadline: Duration,
    directory: OnceLock<Arc<dyn ProcessDirectory>>,
}

impl LateDirectory {
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            directory: OnceLock::new(),
        }
    }

    /// From now on `directory` answers. Only the first call counts.
    pub(super) fn set(&self, directory: Arc<dyn ProcessDirectory>) {
        self.directory.get_or_init(|| directory);
    }
}

impl ProcessDirectory for LateDirectory {
    fn spiffe_ids(&self, pid: i32) -> BoxFuture<'_, Result<Vec<SpiffeId>, DirectoryError>> {
        match self.directory.get() {
            Some(directory) => directory.spiffe_ids(pid),
            None => Box::pin(std::future::ready(Err(DirectoryError::Unavailable(
                "the agent waits for its own identity".to_owned(),
            )))),
        }
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }
}
