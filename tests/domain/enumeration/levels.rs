//! Level by level: how a search comes from each state to the next ones, and what it keeps of them.

use super::alphabet::{Command, On};
use super::diagram::Changes;
use super::history::History;
use super::oracle::Oracle;
use super::search::{Covered, Difference, Node, Path, Search, continued};
use std::sync::Mutex;

/// A state, as a path to it, and the part of it that matters if it is not the whole.
pub(super) type Leaf = (Path, Option<On>);

impl Search<'_> {
    /// What changed of this task in every sequence of up to this many commands.
    pub(super) fn changes(mut self, of: On, length: u32) -> Result<Changes, Difference> {
        self.draws = Some(of);
        self.levels(length)?;
        Ok(self.changes)
    }

    /// Tries every sequence of up to this many commands.
    pub(super) fn run(mut self, length: u32) -> Result<Covered, Difference> {
        self.levels(length)?;
        let letters = u128::try_from(self.alphabet.len()).unwrap();
        self.covered.sequences = (1..=length).map(|length| letters.pow(length)).sum();
        Ok(self.covered)
    }

    /// A state waits for its turn as a path to it, which is gone once more then: rows and histories of a whole level
    /// would need gigabytes.
    fn levels(&mut self, length: u32) -> Result<(), Difference> {
        let first = self.first.clone();
        self.is_new(&first)?;
        let mut level = vec![(first.path, None)];
        for after in 1..length {
            level = if self.by_parts && after + 1 == length {
                self.parts_after(&level)?
            } else {
                self.level(&level)?
            };
            self.progress(after, level.len());
        }
        self.last(&level)
    }

    /// Where those states lead to that were not met before.
    fn level(&mut self, level: &[Leaf]) -> Result<Vec<Leaf>, Difference> {
        let mut next = Vec::new();
        for (path, _) in level {
            let node = self.at(path);
            if self.by_parts {
                self.reads_its_part(&node)?;
            }
            for after in self.expand(&node, self.alphabet, true)? {
                if self.is_new(&after)? {
                    next.push((after.path, None));
                }
            }
        }
        Ok(next)
    }

    /// The last commands: they are judged, and nobody needs the states that they lead to.
    fn last(&mut self, level: &[Leaf]) -> Result<(), Difference> {
        if self.workers < 2 {
            return self.leaves(level);
        }
        let share = level.len().div_ceil(self.workers * 64).max(1);
        let (all, began) = (level.chunks(share).len(), self.began);
        let shares = Mutex::new((1..).zip(level.chunks(share)));
        let mut workers = Vec::new();
        workers.resize_with(self.workers, || self.worker());
        let done: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = workers
                .into_iter()
                .map(|mut worker| {
                    let shares = &shares;
                    scope.spawn(move || {
                        while let Some((number, share)) = { shares.lock().unwrap().next() } {
                            worker.leaves(share)?;
                            if number % 16 == 0 {
                                let seconds = began.elapsed().as_secs();
                                println!("last commands: share {number} of {all}, {seconds} s");
                            }
                        }
                        Ok(worker.covered)
                    })
                })
                .collect();
            started.into_iter().map(|it| it.join().unwrap()).collect()
        });
        for covered in done {
            let covered: Covered = covered?;
            self.covered.states += covered.states;
            self.covered.judged += covered.judged;
            self.covered.changes += covered.changes;
        }
        Ok(())
    }

    fn leaves(&mut self, level: &[Leaf]) -> Result<(), Difference> {
        for (path, part) in level {
            let whole = self.at(path);
            let node = part.map_or_else(|| whole.clone(), |on| self.part(&whole, on));
            let commands = self.put_to(*part);
            self.expand(&node, &commands, false)?;
        }
        Ok(())
    }

    /// Another search over the same rows, which adds its own to them.
    fn worker(&self) -> Self {
        let mut worker = Self::new(self.setting, self.alphabet, self.flaw);
        worker.store = self.store.clone();
        worker
    }

    /// How far a long run is.
    fn progress(&self, after: u32, states: usize) {
        if self.workers > 1 {
            let seconds = self.began.elapsed().as_secs();
            println!("after {after} commands {states} new states, {seconds} s");
        }
    }

    /// The state that a path leads to.
    pub(super) fn at(&mut self, path: &[Command]) -> Node {
        self.replayed(path).unwrap()
    }

    /// Whether neither side was ever like this. If both were, their futures must be the same.
    fn is_new(&mut self, node: &Node) -> Result<bool, Difference> {
        if self.seen.is_new(&node.world, &node.oracle, &node.history) {
            return Ok(true);
        }
        if let Some(first) = self.seen.first(&node.world, &node.oracle) {
            self.covered.merged += 1;
            for command in self.alphabet {
                let next = |history| self.oracle_after(history, &node.oracle, *command);
                if next(first) != next(&node.history) {
                    return Err(Difference {
                        path: node.path.iter().copied().chain([*command]).collect(),
                        what: format!("another future than after {:?}", first.events),
                    });
                }
            }
        }
        Ok(false)
    }

    fn oracle_after(&self, history: &History, oracle: &Oracle, command: Command) -> Option<Oracle> {
        let (_, happened) = oracle.predict(command, self.flaw)?;
        Some(Oracle::of(
            &continued(history, command, happened),
            self.flaw,
        ))
    }
}
