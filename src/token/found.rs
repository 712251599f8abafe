//! What was found good before, by the digest of its bytes: verifying it again would give the same.
//!
//! Holds results of pure checks only. Times are no part of them: whoever asks compares those each time.

use crate::domain::id::Digest;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// A bounded memory of good results. Bad ones are not kept: nobody fills it with garbage.
pub(super) struct Found<V> {
    half_max: usize,
    halves: Mutex<Halves<V>>,
}

/// What is met again moves to the newer half; when that is full the older one is forgotten.
#[derive(Default)]
struct Halves<V> {
    newer: HashMap<Digest, V>,
    older: HashMap<Digest, V>,
}

impl<V: Clone> Found<V> {
    /// Remembers about `max` results, and never more.
    pub(super) fn new(max: usize) -> Self {
        Self {
            half_max: max.div_euclid(2),
            halves: Mutex::new(Halves {
                newer: HashMap::new(),
                older: HashMap::new(),
            }),
        }
    }

    /// The result for these bytes.
    pub(super) fn get(&self, of: &Digest) -> Option<V> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = halves.newer.get(of) {
            return Some(found.clone());
        }
        let found = halves.older.remove(of)?;
        self.keep(&mut halves, *of, found.clone());
        Some(found)
    }

    /// Remembers the result for these bytes.
    pub(super) fn put(&self, of: Digest, found: V) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        self.keep(&mut halves, of, found);
    }

    fn keep(&self, halves: &mut Halves<V>, of: Digest, found: V) {
        if self.half_max == 0 {
            return;
        }
        if halves.newer.len() >= self.half_max {
            halves.older = std::mem::take(&mut halves.newer);
        }
        halves.newer.insert(of, found);
    }
}

impl<V> fmt::Debug for Found<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("half_max", &self.half_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u8) -> Digest {
        Digest([number; 32])
    }

    #[test]
    fn what_is_met_again_stays_and_the_rest_is_forgotten() {
        let found = Found::new(4);
        found.put(of(0), 0);
        for number in 1..100 {
            assert_eq!(found.get(&of(0)), Some(0), "asked for each time");
            found.put(of(number), u32::from(number));
            let halves = found.halves.lock().unwrap();
            assert!(halves.newer.len() + halves.older.len() <= 4);
        }
        assert_eq!(found.get(&of(1)), None);
        assert_eq!(found.get(&of(99)), Some(99));
    }

    #[test]
    fn a_memory_of_nothing_keeps_nothing() {
        let found = Found::new(0);
        found.put(of(1), 1);
        assert_eq!(found.get(&of(1)), None);
    }
}
