//! Taking up a changed policy file.
//!
//! A poll, because it works on every file system and survives replacing by rename. A changed file is read once it
//! has looked the same for a whole interval: half a file can be a good set without its last `forbid`. So
//! a change takes effect within three intervals; [`CedarPolicy::reload`] takes it at once.

use super::source::Stamp;
use super::{CedarPolicy, Loading};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The shortest time between two looks, whatever is configured.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

impl CedarPolicy {
    /// Watches the file until shutdown. Returns at once where there is no file to watch.
    pub async fn watch(self: Arc<Self>, interval: Duration, shutdown: CancellationToken) {
        if self.path().is_none() {
            return;
        }
        let interval = interval.max(INTERVAL_MIN);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            let policy = Arc::clone(&self);
            // Reading and checking a large set takes long enough to hold up other tasks.
            let looked = tokio::task::spawn_blocking(move || policy.look()).await;
            if let Err(error) = looked {
                tracing::error!(%error, "the policy watch failed to look at its file");
            }
        }
    }

    /// One look at the file.
    fn look(&self) {
        let Some(path) = self.path() else { return };
        let mut loading = self.loading();
        if !loading.is_due(path) {
            return;
        }
        // A failure is told by `reload_locked`; one that may pass by itself is tried again.
        let passed = self
            .reload_locked(&mut loading)
            .map_err(|error| error.may_pass());
        loading.settled = passed != Err(true);
    }
}

impl Loading {
    /// Whether the file looks as it did an interval ago, and was not read since.
    fn is_due(&mut self, path: &Path) -> bool {
        let stamp = Stamp::of(path);
        if stamp != self.stamp {
            self.stamp = stamp;
            self.settled = false;
            return false;
        }
        !self.settled
    }
}
