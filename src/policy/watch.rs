//! Taking up a changed policy file.
//!
//! A poll, because it works on every file system and survives replacing by rename. A changed file
//! is read once it has looked the same for a whole interval: half a file can be a good set without
//! its last `forbid`. So a change takes effect within three intervals; [`CedarPolicy::reload`]
//! takes it at once.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicySource;
    use crate::service::ports::Policy;
    use std::fs;

    const QUERY: &str = "permit (principal, action == Action::\"query\", resource);";

    #[test]
    fn a_file_that_is_still_being_written_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy.cedar");
        fs::write(&path, QUERY).expect("write");
        let policy = CedarPolicy::load(PolicySource::file(&path)).expect("a good set");
        let looks = |times: u32| {
            (0..times).for_each(|_| policy.look());
            policy.generation().number
        };
        assert_eq!(looks(3), 1, "an unchanged file is no new set");

        // A good set at every look, but not whole before the last.
        let mut text = QUERY.to_owned();
        for _ in 0..5 {
            text.push_str(QUERY);
            fs::write(&path, &text).expect("write");
            assert_eq!(looks(1), 1, "a file that changed since the last look waits");
        }
        assert_eq!(looks(1), 2, "a file that rested is taken");
        assert_eq!(looks(3), 2);
        assert_eq!(policy.status().policies, 6);
    }

    #[test]
    fn a_failure_that_may_pass_is_tried_again_and_told_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy.cedar");
        fs::write(&path, QUERY).expect("write");
        let policy = CedarPolicy::load(PolicySource::file(&path)).expect("a good set");
        fs::remove_file(&path).expect("remove");
        (0..5).for_each(|_| policy.look());
        assert_eq!(policy.status().failures, 1);
        assert!(!policy.loading().settled, "a missing file may come back");

        fs::write(&path, "permit").expect("write");
        (0..5).for_each(|_| policy.look());
        assert_eq!(policy.status().failures, 2);
        assert!(policy.loading().settled, "a broken set stays broken");
    }
}
