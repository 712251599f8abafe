//! The ledger's port, with every call noted.

use super::Recorder;
use handfast::domain::event::{ChainedEvent, Event, Verdict};
use handfast::domain::id::{ApprovalId, RecordNumber, SpiffeId, TaskId};
use handfast::domain::lineage::{Lineage, Load, Locator, Writes};
use handfast::domain::revocation::{Ending, Revocations};
use handfast::domain::time::Time;
use handfast::service::ports::ledger::{Applied, KeptEndings, TaskPage, Work};
use handfast::service::ports::{BoxFuture, Ledger, LedgerError};
use std::sync::Arc;

/// Which rows are asked for, not whose.
fn rows(load: &Load) -> String {
    let locator = match load.locator {
        Locator::Name(_) => "name",
        Locator::Nothing => "nothing",
        Locator::Request(_) => "request",
        Locator::Task(_) => "task",
    };
    let besides = [
        ("step", load.step.is_some()),
        ("record", load.record.is_some()),
        ("named", load.name.is_some()),
        ("approval", load.approval.is_some()),
        ("child", load.child.is_some()),
        ("spawned", load.spawned.is_some()),
        ("account", load.account),
        ("tasks_of", load.tasks_of.is_some()),
    ];
    let besides = besides.into_iter().filter(|(_, asked)| *asked);
    besides.fold(locator.to_owned(), |rows, (name, _)| {
        format!("{rows} {name}")
    })
}

fn record(event: &Event) -> String {
    let verdict = match event.verdict {
        Verdict::Allowed => "allowed",
        Verdict::Denied { .. } => "denied",
    };
    format!("{} {verdict}", event.operation)
}

/// How many rows are written besides the audit record.
fn count(writes: &Writes) -> usize {
    let lists = writes.steps.len() + writes.records.len() + writes.children.len();
    let single = [
        writes.task.is_some(),
        writes.terms.is_some(),
        writes.spawned.is_some(),
        writes.bind.is_some(),
        writes.request.is_some(),
        writes.approval.is_some(),
        writes.account.is_some(),
        writes.revocations.is_some(),
        writes.ending.is_some(),
    ];
    lists + single.into_iter().filter(|row| *row).count()
}

impl Ledger for Recorder<dyn Ledger> {
    fn load(&self, load: Load) -> BoxFuture<'_, Result<Lineage, LedgerError>> {
        self.calls.add(format!("ledger.load({})", rows(&load)));
        self.port.load(load)
    }

    fn apply(&self, work: Work) -> BoxFuture<'_, Result<Applied, LedgerError>> {
        let event = record(&work.prepared.event);
        let rows = count(&work.prepared.writes);
        self.calls
            .add(format!("ledger.apply({event}, {rows} rows)"));
        Box::pin(async move {
            self.calls.gate.pass(&work.prepared.event.operation).await;
            self.port.apply(work).await
        })
    }

    fn note(&self, event: Event) -> Result<RecordNumber, LedgerError> {
        self.calls.add(format!("ledger.note({})", record(&event)));
        self.port.note(event)
    }

    fn events(
        &self,
        from: RecordNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ChainedEvent>, LedgerError>> {
        self.calls.add(format!("ledger.events({limit})"));
        self.port.events(from, limit)
    }

    fn revocations(&self) -> Arc<Revocations> {
        self.calls.add("ledger.revocations");
        self.port.revocations()
    }

    fn kept_endings(&self) -> BoxFuture<'_, Result<KeptEndings, LedgerError>> {
        self.calls.add("ledger.kept_endings");
        self.port.kept_endings()
    }

    fn forget_endings(
        &self,
        before: Time,
        limit: usize,
    ) -> BoxFuture<'_, Result<usize, LedgerError>> {
        self.calls.add(format!("ledger.forget_endings({limit})"));
        self.port.forget_endings(before, limit)
    }

    fn endings(
        &self,
        after: RecordNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordNumber, Ending)>, LedgerError>> {
        self.calls.add(format!("ledger.endings({limit})"));
        self.port.endings(after, limit)
    }

    fn is_audience<'a>(
        &'a self,
        task: TaskId,
        id: &'a SpiffeId,
    ) -> BoxFuture<'a, Result<bool, LedgerError>> {
        self.calls.add("ledger.is_audience");
        self.port.is_audience(task, id)
    }

    fn tasks(
        &self,
        after: Option<TaskId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<TaskPage, LedgerError>> {
        self.calls.add(format!("ledger.tasks({limit})"));
        self.port.tasks(after, limit)
    }

    fn live_tasks(
        &self,
        after: Option<TaskId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<TaskPage, LedgerError>> {
        self.calls.add(format!("ledger.live_tasks({limit})"));
        self.port.live_tasks(after, limit)
    }

    fn ended_tasks(
        &self,
        by: Time,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<TaskId>, LedgerError>> {
        self.calls.add(format!("ledger.ended_tasks({limit})"));
        self.port.ended_tasks(by, limit)
    }

    fn open_approvals(
        &self,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ApprovalId>, LedgerError>> {
        self.calls.add(format!("ledger.open_approvals({limit})"));
        self.port.open_approvals(after, limit)
    }

    fn forget(&self, task: TaskId, event: Event) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.calls.add(format!("ledger.forget({})", record(&event)));
        self.port.forget(task, event)
    }

    fn forget_terms(
        &self,
        before: Time,
        limit: usize,
    ) -> BoxFuture<'_, Result<usize, LedgerError>> {
        self.calls.add(format!("ledger.forget_terms({limit})"));
        self.port.forget_terms(before, limit)
    }
}
