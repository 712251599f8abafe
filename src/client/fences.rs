//! A tool's memory of fences: an effect that was overtaken is refused, however late it arrives at the resource.
//!
//! The one thing to know: ask at the resource, right before the effect, and not where the token was checked. Between
//! the two a process can be held up for any time, and a retry may have been there meanwhile.

use super::tool::Fresh;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The highest fence of each task that was seen lately.
#[derive(Debug)]
pub struct Fences {
    tasks_max: usize,
    keep: Duration,
    seen: Mutex<HashMap<String, Seen>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    fence: u64,
    at: Instant,
}

/// Why an effect must not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaleFence {
    /// A later token of the task was here.
    #[error("a later token of this task was here (fence {newest})")]
    Overtaken {
        /// The highest fence seen.
        newest: u64,
    },
    /// So many tasks were seen lately that no further one can be remembered.
    #[error("no further task can be remembered")]
    Full,
}

impl Fences {
    /// Remembers so many tasks, each for `keep` after its last effect: longer than any caller can be held up
    /// between `Check` and the resource.
    #[must_use]
    pub fn new(tasks_max: usize, keep: Duration) -> Self {
        Self {
            tasks_max,
            keep,
            seen: Mutex::default(),
        }
    }

    /// Lets an effect begin unless one with a higher fence has. The same fence may come again: one effect may take
    /// several writes.
    ///
    /// # Errors
    /// [`StaleFence`]: do nothing, and report `NotDone`.
    pub fn admit(&self, fresh: &Fresh) -> Result<(), StaleFence> {
        self.admit_fence(&fresh.task().task_id, fresh.fence())
    }

    fn admit_fence(&self, task_id: &str, fence: u64) -> Result<(), StaleFence> {
        let at = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = seen.get_mut(task_id) {
            if newest.fence > fence {
                return Err(StaleFence::Overtaken {
                    newest: newest.fence,
                });
            }
            *newest = Seen { fence, at };
            return Ok(());
        }
        if seen.len() >= self.tasks_max {
            seen.retain(|_, it| at.saturating_duration_since(it.at) < self.keep);
        }
        if seen.len() >= self.tasks_max {
            return Err(StaleFence::Full);
        }
        seen.insert(task_id.to_owned(), Seen { fence, at });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn an_overtaken_effect_is_refused_and_the_newest_is_not() {
        let fences = Fences::new(8, KEEP);
        assert_eq!(fences.admit_fence("a", 3), Ok(()));
        assert_eq!(
            fences.admit_fence("a", 3),
            Ok(()),
            "the same effect goes on"
        );
        assert_eq!(fences.admit_fence("a", 5), Ok(()));
        let overtaken = Err(StaleFence::Overtaken { newest: 5 });
        assert_eq!(fences.admit_fence("a", 4), overtaken);
        assert_eq!(fences.admit_fence("a", 5), Ok(()));
        // Fences of two tasks have nothing to do with each other.
        assert_eq!(fences.admit_fence("b", 1), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_forgotten_that_could_still_matter() {
        let fences = Fences::new(2, KEEP);
        assert_eq!(fences.admit_fence("a", 7), Ok(()));
        assert_eq!(fences.admit_fence("b", 7), Ok(()));
        assert_eq!(fences.admit_fence("c", 1), Err(StaleFence::Full));
        tokio::time::advance(KEEP / 2).await;
        assert_eq!(fences.admit_fence("a", 8), Ok(()));
        tokio::time::advance(KEEP / 2).await;
        // The one without an effect for long makes room, the other is remembered.
        assert_eq!(fences.admit_fence("c", 1), Ok(()));
        let overtaken = Err(StaleFence::Overtaken { newest: 8 });
        assert_eq!(fences.admit_fence("a", 7), overtaken);
    }
}
