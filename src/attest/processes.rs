//! Processes for legs: their end, and finding one again after a restart.

use crate::domain::evidence::ProcessKey;
use crate::kernel::{self, KernelError, Snapshot};
use crate::service::ports::{AttestError, BoxFuture, LocalPeer, Processes};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// The kernel's processes.
#[derive(Clone, Copy, Debug)]
pub struct KernelProcesses {
    /// `exit_poll_interval`: how often to look where exit notices cannot be had (out of
    /// descriptors).
    pub exit_poll_interval: Duration,
}

impl Default for KernelProcesses {
    fn default() -> Self {
        Self {
            exit_poll_interval: Duration::from_secs(1),
        }
    }
}

impl Processes for KernelProcesses {
    fn exited(&self, peer: Arc<LocalPeer>) -> BoxFuture<'static, ()> {
        let interval = self.exit_poll_interval;
        Box::pin(async move {
            while kernel::is_alive(peer.pidfd.as_fd()) {
                if let Err(error) = kernel::exited(peer.pidfd.as_fd()).await {
                    tracing::warn!(%error, "no exit notice, looking from time to time instead");
                    tokio::time::sleep(interval).await;
                }
            }
        })
    }

    fn reopen(&self, key: &ProcessKey) -> Result<Option<Arc<LocalPeer>>, AttestError> {
        let found = kernel::reopen(key).and_then(|pidfd| {
            let Some(pidfd) = pidfd else {
                return Ok(None);
            };
            let now = Snapshot::take(pidfd.as_fd(), key.pid)?;
            Ok(Some(Arc::new(LocalPeer {
                pidfd,
                key: *key,
                uid: now.uid,
                gid: now.gid,
                image: now.image,
            })))
        });
        match found {
            // It exited between the two looks.
            Err(KernelError::Gone) => Ok(None),
            found => found.map_err(|error| AttestError::Unavailable(error.to_string())),
        }
    }
}
