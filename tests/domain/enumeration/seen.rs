//! Which states were met. A state is remembered as 128 bits of it, so that millions of them find room.

use super::alphabet::On;
use super::history::History;
use super::oracle::Oracle;
use super::rows::World;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The states that a search has met.
///
/// Two states that differ and whose bits do not would be taken for one, and what comes after one of them would
/// stay untried. Of n states that happens with a probability of about n² / 2^129: for ten million of them less
/// than 10^-24. Where futures are compared the whole states are kept, and equal bits must mean equal states.
#[derive(Debug, Default)]
pub(super) struct Seen {
    prints: HashSet<u128>,
    parts: HashSet<u128>,
    whole: Option<HashMap<u128, (World, Oracle, History)>>,
}

impl Seen {
    /// Also keeps the states, and the first history that led to each.
    pub(super) fn keep_whole(&mut self) {
        self.whole = Some(HashMap::new());
    }

    /// Whether it was never met until now.
    pub(super) fn is_new(&mut self, world: &World, oracle: &Oracle, history: &History) -> bool {
        let print = print((world, oracle));
        let new = self.prints.insert(print);
        if let Some(whole) = &mut self.whole {
            let state = || (world.clone(), oracle.clone(), history.clone());
            let (first_world, first_oracle, _) = whole.entry(print).or_insert_with(state);
            assert!((&*first_world, &*first_oracle) == (world, oracle));
        }
        new
    }

    /// Whether what commands on this task read was never the same until now.
    pub(super) fn is_new_part(&mut self, on: On, (world, oracle): (&World, &Oracle)) -> bool {
        self.parts.insert(print((on, world, oracle)))
    }

    /// The first history that led to such a state, where they are kept.
    pub(super) fn first(&self, world: &World, oracle: &Oracle) -> Option<&History> {
        let whole = self.whole.as_ref()?.get(&print((world, oracle)));
        whole.map(|(_, _, history)| history)
    }
}

fn print(of: impl Hash) -> u128 {
    let half = |which: u64| {
        let mut hasher = DefaultHasher::new();
        (which, &of).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
