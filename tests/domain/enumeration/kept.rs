//! Values that are many times the same.

use std::collections::HashMap;
use std::hash::Hash;

/// Values, each kept once. Equality decides; the mark only narrows the search.
#[derive(Clone, Debug)]
pub(super) struct Kept<T, M> {
    values: Vec<T>,
    by_mark: HashMap<M, Vec<u32>>,
}

impl<T: Eq, M: Eq + Hash> Kept<T, M> {
    pub(super) fn new() -> Self {
        Self {
            values: Vec::new(),
            by_mark: HashMap::new(),
        }
    }

    pub(super) fn keep(&mut self, value: T, mark: M) -> u32 {
        let alike = self.by_mark.entry(mark).or_default();
        for number in alike.iter() {
            if self.values[*number as usize] == value {
                return *number;
            }
        }
        let number = u32::try_from(self.values.len()).unwrap();
        self.values.push(value);
        alike.push(number);
        number
    }

    pub(super) fn value(&self, number: u32) -> &T {
        &self.values[number as usize]
    }
}
