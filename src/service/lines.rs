//! When a task ends, so do its descendants. Every call judges that by itself; here those are told who wait.

use super::leases::HoldKind;
use super::ports::LedgerError;
use super::sweep::SETTLED_AT_ONCE;
use super::{Continuation, bounded};
use crate::domain::id::TaskId;
use crate::domain::lineage::{Lineage, Load, Locator};
use crate::domain::task::Task;
use crate::domain::time::Time;

impl Continuation {
    /// A task has ended: its leg with it, and the legs of its descendants, whose holders are told.
    pub(super) fn fell(&self, task: TaskId, kind: HoldKind) {
        self.leases.end(task, kind);
        let below = self.leases.below(task);
        if !below.is_empty() {
            let this = self.clone();
            tokio::spawn(async move { this.expire_all(below).await });
        }
    }

    /// Writes down the ends of several tasks, as many at a time as share a commit well.
    pub(super) async fn expire_all(&self, tasks: Vec<TaskId>) {
        bounded::each(tasks, SETTLED_AT_ONCE, |task| {
            let this = self.clone();
            async move { Box::pin(this.expire(task)).await }
        })
        .await;
    }

    /// Ends the legs whose line is dead. Every call on them is refused anyway; here their holders hear of it.
    pub(super) async fn sweep_lines(&self) {
        let Some(now) = self.ports.clock.now() else {
            return;
        };
        let mut dead = Vec::new();
        for task in self.leases.descending() {
            tokio::task::yield_now().await;
            let rows = self.ports.ledger.load(Load::of(Locator::Task(task))).await;
            let ended = rows.ok().is_some_and(|rows| {
                let seen = rows.as_of(now);
                let task = seen.task.as_ref();
                task.is_some_and(|task| task.state_at(now).is_terminal())
            });
            if ended {
                dead.push(task);
            }
        }
        self.expire_all(dead).await;
    }

    /// A task as its whole line, and what is revoked, make it.
    pub(super) async fn seen(&self, task: Task, now: Time) -> Result<Task, LedgerError> {
        if task.state.is_terminal() {
            return Ok(task);
        }
        let rows = self.rows_of(task.clone()).await?;
        Ok(rows.as_of(now).task.clone().unwrap_or(task))
    }

    /// The rows that say what a task is: a root's own, and what is revoked.
    pub(super) async fn rows_of(&self, task: Task) -> Result<Lineage, LedgerError> {
        if task.parent.is_some() {
            let load = Load::of(Locator::Task(task.id));
            return self.ports.ledger.load(load).await;
        }
        Ok(Lineage {
            id: Some(task.id),
            task: Some(task),
            revocations: self.ports.ledger.revocations(),
            ..Lineage::default()
        })
    }
}
