//! The last command, put to what it reads.
//!
//! A command on a task reads the rows of that task, of its parent the task's own row, and what all share: the time,
//! the epoch, revocations, child grants, and the account of what was asked of people. The oracle reads what the
//! history says of the same. So of many states at the end of long sequences, which differ elsewhere, one stands for
//! all. That a command is answered, and writes, the same whatever else there is, is tried on every state that is
//! expanded whole, which is all but those before the last command.

use super::alphabet::{Command, On};
use super::levels::Leaf;
use super::search::{Difference, Node, Search};

impl Search<'_> {
    /// The tasks that the commands are about.
    fn tasks(&self) -> Vec<On> {
        let about = |on: &On| self.alphabet.iter().any(|it| it.on() == Some(*on));
        On::ALL.into_iter().filter(about).collect()
    }

    /// What of the states after these was never the same before.
    pub(super) fn parts_after(&mut self, level: &[Leaf]) -> Result<Vec<Leaf>, Difference> {
        let tasks = self.tasks();
        let mut next = Vec::new();
        for (path, _) in level {
            let node = self.at(path);
            self.reads_its_part(&node)?;
            for after in self.expand(&node, self.alphabet, true)? {
                for on in &tasks {
                    let part = self.part(&after, *on);
                    if self.seen.is_new_part(*on, (&part.world, &part.oracle)) {
                        next.push((after.path.clone(), Some(*on)));
                    }
                }
            }
        }
        self.covered.parts += next.len();
        Ok(next)
    }

    /// A state as a command on this task reads it.
    pub(super) fn part(&self, node: &Node, on: On) -> Node {
        let Some(world) = self.store.part(&node.world, &self.first.world, on) else {
            return node.clone();
        };
        let (whole, first) = (&node.oracle, &self.first.oracle);
        let mut oracle = whole.clone();
        for task in On::ALL {
            let index = task.index();
            if on.parent() == Some(task) {
                oracle.tasks[index].tokens.clear();
                oracle.tasks[index].requests.clear();
            } else if task != on {
                oracle.tasks[index].clone_from(&first.tasks[index]);
            }
        }
        if on == On::Other {
            oracle.fan.clone_from(&first.fan);
        }
        Node {
            world,
            oracle,
            history: node.history.clone(),
            path: node.path.clone(),
        }
    }

    /// The commands that are put to such a part: those on the task, and those on none.
    pub(super) fn put_to(&self, part: Option<On>) -> Vec<Command> {
        let all = self.alphabet.iter().copied();
        all.filter(|it| part.is_none() || it.on().is_none() || it.on() == part)
            .collect()
    }

    /// That it makes no difference to a command what there is besides.
    pub(super) fn reads_its_part(&self, node: &Node) -> Result<(), Difference> {
        for on in self.tasks() {
            let own: Vec<_> = self.put_to(Some(on));
            let whole = self.decide(node, &own);
            let part = self.decide(&self.part(node, on), &own);
            let differs = whole.iter().zip(&part).find(|(one, other)| one != other);
            if whole.len() != part.len() || differs.is_some() {
                return Err(Difference {
                    path: node.path.clone(),
                    what: format!("read more than {on:?}: {differs:?}"),
                });
            }
        }
        Ok(())
    }
}
