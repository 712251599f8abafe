//! SPIRE's recent answers, for calls that need not ask anew.

use crate::domain::evidence::ProcessKey;
use crate::domain::id::SpiffeId;
use crate::domain::time::Time;
use crate::kernel::Snapshot;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What SPIRE said about a process, and what the process was then.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Never empty, sorted.
    pub(super) spiffe_ids: Arc<[SpiffeId]>,
    /// Wall time before the question.
    pub(super) asked_at: Time,
    /// Monotonic time before the question.
    pub(super) asked: Duration,
    /// The process as it was before and after the question.
    pub(super) snapshot: Snapshot,
}

/// Answers by process, bounded.
#[derive(Debug)]
pub(super) struct Answers {
    entries_max: usize,
    age_max: Duration,
    known: Mutex<HashMap<ProcessKey, Answer>>,
}

impl Answers {
    pub(super) fn new(entries_max: usize, age_max: Duration) -> Self {
        Self {
            entries_max: entries_max.max(1),
            age_max,
            known: Mutex::default(),
        }
    }

    /// An answer that is young enough and was given about this very program and user.
    pub(super) fn recent(
        &self,
        key: &ProcessKey,
        snapshot: &Snapshot,
        now: Duration,
    ) -> Option<Answer> {
        let mut known = self.lock();
        let answer = known.get(key)?;
        if self.is_young(answer, now) && snapshot.is_same_as(&answer.snapshot) {
            return Some(answer.clone());
        }
        known.remove(key);
        None
    }

    pub(super) fn remember(&self, key: ProcessKey, answer: Answer) {
        if self.age_max.is_zero() {
            return;
        }
        let mut known = self.lock();
        if known.len() >= self.entries_max && !known.contains_key(&key) {
            let now = answer.asked;
            known.retain(|_, old| self.is_young(old, now));
            let oldest = known.iter().min_by_key(|(_, old)| old.asked);
            if known.len() >= self.entries_max
                && let Some(oldest) = oldest.map(|(key, _)| *key)
            {
                known.remove(&oldest);
            }
        }
        // A slow question must not replace the answer of one that was asked later.
        match known.get(&key) {
            Some(newer) if newer.asked > answer.asked => {}
            Some(_) | None => drop(known.insert(key, answer)),
        }
    }

    pub(super) fn forget(&self, key: &ProcessKey) {
        self.lock().remove(key);
    }

    pub(super) fn forget_all(&self) {
        self.lock().clear();
    }

    fn is_young(&self, answer: &Answer, now: Duration) -> bool {
        now.saturating_sub(answer.asked) <= self.age_max
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProcessKey, Answer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pid: i32) -> ProcessKey {
        ProcessKey {
            boot_id: [0; 16],
            pidfd_inode: 1,
            pid,
            start_ticks: 1,
        }
    }

    fn snapshot(uid: u32) -> Snapshot {
        Snapshot {
            uid,
            gid: 1,
            cgroup: None,
            start_ticks: 1,
            image: None,
            traced: false,
        }
    }

    fn answer(asked_s: u64) -> Answer {
        Answer {
            spiffe_ids: Arc::new([]),
            asked_at: Time(asked_s),
            asked: Duration::from_secs(asked_s),
            snapshot: snapshot(1),
        }
    }

    fn check(known: &Answers, pid: i32, now_s: u64) -> Option<u64> {
        let now = Duration::from_secs(now_s);
        let found = known.recent(&key(pid), &snapshot(1), now);
        found.map(|answer| answer.asked.as_secs())
    }

    #[test]
    fn an_answer_lives_for_its_interval_and_not_longer() {
        let known = Answers::new(8, Duration::from_secs(10));
        known.remember(key(1), answer(100));
        assert_eq!(check(&known, 1, 110), Some(100));
        assert_eq!(check(&known, 1, 111), None);
        assert_eq!(check(&known, 1, 110), None, "it was dropped");
        assert_eq!(check(&known, 2, 110), None);
    }

    #[test]
    fn an_answer_is_about_one_program_and_user() {
        let known = Answers::new(8, Duration::from_secs(10));
        known.remember(key(1), answer(100));
        let now = Duration::from_secs(100);
        assert!(known.recent(&key(1), &snapshot(2), now).is_none());
        assert_eq!(check(&known, 1, 100), None, "it was dropped");
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_goes_first() {
        let known = Answers::new(2, Duration::from_secs(10));
        known.remember(key(1), answer(101));
        known.remember(key(2), answer(100));
        known.remember(key(3), answer(102));
        assert_eq!(check(&known, 2, 102), None);
        assert_eq!(check(&known, 1, 102), Some(101));
        assert_eq!(check(&known, 3, 102), Some(102));
    }

    #[test]
    fn a_late_answer_does_not_replace_a_later_question() {
        let known = Answers::new(2, Duration::from_secs(10));
        known.remember(key(1), answer(101));
        known.remember(key(1), answer(100));
        assert_eq!(check(&known, 1, 102), Some(101));
    }

    #[test]
    fn without_an_interval_nothing_is_kept() {
        let known = Answers::new(2, Duration::ZERO);
        known.remember(key(1), answer(100));
        assert_eq!(check(&known, 1, 100), None);
    }
}
