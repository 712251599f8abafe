//! The embedded ledger: redb behind one writer that groups commits.
//!
//! Names `domain`, `service::ports` and the crash points. The one thing to know: a caller is answered
//! only after the transaction with its rows *and* its audit record has been synced, and after one
//! failed sync nobody is answered any more. Start at `writer`; `plan` says what a decision
//! becomes in rows, `chain` how records are numbered and linked.

mod chain;
mod config;
mod essential;
mod failure;
mod feed;
mod keys;
mod open;
mod overlay;
mod plan;
mod reserve;
mod rows;
mod settle;
mod shared;
mod space;
mod store;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use config::LedgerConfig;
pub use failure::OnFailure;
pub use open::{OpenError, Opened, SCHEMA_VERSION};
pub use verify::{AuditError, Verified, verify_chain};

use crate::domain::event::{ChainedEvent, Event};
use crate::domain::id::{ApprovalId, RecordNumber, SpiffeId, TaskId};
use crate::domain::lineage::{Lineage, Load};
use crate::domain::revocation::{Ending, Revocations};
use crate::domain::task::Task;
use crate::domain::time::Time;
use crate::service::ports::ledger::{Applied, KeptEndings, TaskPage, Work};
use crate::service::ports::{BoxFuture, Ledger, LedgerError};
use redb::{Database, ReadableDatabase};
use rows::{Row, RowError};
use settle::Reply;
use shared::Shared;
use space::Room;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::JoinHandle;
use store::{ReadError, TABLE, Trouble};
use tokio::sync::oneshot;
use writer::Order;

/// How many audit records are read to learn the time that an earlier run had reached.
const NEWEST_RECORDS: usize = 1024;

/// The embedded ledger. Dropping it writes what waits and closes the file.
#[derive(Debug)]
pub struct RedbLedger {
    shared: Arc<Shared>,
    path: PathBuf,
    /// Taken away when the ledger is dropped, so that the writer ends.
    orders: Option<SyncSender<Order>>,
    writer: Option<JoinHandle<()>>,
}

/// How full the ledger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerSize {
    /// Bytes that the file takes on the disk.
    pub disk_bytes: u64,
    /// Whether only what ends tasks is written.
    pub full: bool,
}

impl RedbLedger {
    /// Waits until everything noted so far is durable.
    ///
    /// # Errors
    /// See [`LedgerError`].
    #[must_use]
    pub fn flush(&self) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.order(|reply| Order::Flush { reply })
    }

    /// How full the ledger is, as of the last commit.
    ///
    /// # Errors
    /// [`LedgerError::Failed`] where the file cannot be looked at.
    pub fn size(&self) -> Result<LedgerSize, LedgerError> {
        let disk_bytes = self
            .shared
            .space
            .disk_bytes()
            .map_err(|error| LedgerError::Failed(error.to_string()))?;
        Ok(LedgerSize {
            disk_bytes,
            full: self.shared.space.room() != Room::Free,
        })
    }

    /// The number of the newest audit record, durable or not.
    #[must_use]
    pub fn newest(&self) -> RecordNumber {
        self.shared.waiting.newest()
    }

    /// The latest time that the newest durable audit records tell; `None` in a new ledger.
    ///
    /// Several are read: a folded record is written later than it happened.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] where one of them cannot be read, [`LedgerError::Failed`].
    pub fn newest_time(&self) -> Result<Option<Time>, LedgerError> {
        self.read(|table| {
            let (from, to) = keys::audit_from(RecordNumber(0));
            let mut latest = None;
            for entry in table
                .range(from.as_slice()..to.as_slice())?
                .rev()
                .take(NEWEST_RECORDS)
            {
                let (key, row) = entry?;
                latest = latest.max(Some(record(key.value(), row.value())?.event.at));
            }
            Ok(latest)
        })
    }

    fn database(&self) -> &Database {
        &self.shared.database
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// Queues an order and waits for its answer.
    fn order<T: Send + 'static>(
        &self,
        order: impl FnOnce(Reply<T>) -> Order,
    ) -> BoxFuture<'_, Result<T, LedgerError>> {
        let (reply, answer) = oneshot::channel();
        let queued = self.send(order(reply));
        Box::pin(async move {
            queued?;
            match answer.await {
                Ok(answer) => answer,
                // The writer ended without an answer: it failed, or it panicked.
                Err(_closed) => Err(self.stopped()),
            }
        })
    }

    fn send(&self, order: Order) -> Result<(), LedgerError> {
        self.shared.failure.check()?;
        let orders = self.orders.as_ref().ok_or_else(|| self.stopped())?;
        orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => LedgerError::Busy,
            TrySendError::Disconnected(_) => self.stopped(),
        })
    }

    fn stopped(&self) -> LedgerError {
        match self.shared.failure.check() {
            Err(failed) => failed,
            Ok(()) => LedgerError::Failed("ledger writer has ended".to_owned()),
        }
    }

    /// Reads from one snapshot. A store that cannot be read has failed.
    fn read<T>(
        &self,
        read: impl FnOnce(&redb::ReadOnlyTable<&'static [u8], &'static [u8]>) -> Result<T, ReadError>,
    ) -> Result<T, LedgerError> {
        self.shared.failure.check()?;
        let table = self
            .database()
            .begin_read()
            .map_err(|error| self.fail(&error))
            .and_then(|txn| txn.open_table(TABLE).map_err(|error| self.fail(&error)))?;
        read(&table).map_err(|error| match error.trouble() {
            Trouble::Answer(error) => error,
            Trouble::Store(why) => self.fail(&why),
        })
    }

    fn fail(&self, error: &impl ToString) -> LedgerError {
        let failed = self.shared.failure.mark(error.to_string());
        self.shared.failure.tell();
        failed
    }
}

impl Drop for RedbLedger {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(writer) = self.writer.take() {
            // Its panic was told through the failure hook.
            writer.join().ok();
        }
    }
}

impl Ledger for RedbLedger {
    fn load(&self, load: Load) -> BoxFuture<'_, Result<Lineage, LedgerError>> {
        Box::pin(async move {
            // Before the rows: a decision on older rows than these is judged anew when it is committed.
            let revocations = self.shared.revocations();
            self.read(|table| store::lineage(table, &load, revocations))
        })
    }

    fn apply(&self, work: Work) -> BoxFuture<'_, Result<Applied, LedgerError>> {
        self.order(|reply| Order::Work {
            work: Box::new(work),
            reply,
        })
    }

    fn note(&self, event: Event) -> Result<RecordNumber, LedgerError> {
        self.shared.failure.check()?;
        if self.shared.space.room() == Room::Last {
            return Err(LedgerError::Full);
        }
        let noted = self.shared.waiting.note(event).ok_or(LedgerError::Busy)?;
        if noted.first && !self.shared.woken.swap(true, Ordering::SeqCst) {
            match self.send(Order::Wake) {
                Ok(()) => {}
                // The writer is awake, and looks for notes after each batch.
                Err(LedgerError::Busy) => self.shared.woken.store(false, Ordering::SeqCst),
                Err(failed) => return Err(failed),
            }
        }
        Ok(noted.number)
    }

    fn events(
        &self,
        from: RecordNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ChainedEvent>, LedgerError>> {
        Box::pin(async move {
            self.read(|table| {
                let (from, to) = keys::audit_from(from);
                table
                    .range(from.as_slice()..to.as_slice())?
                    .take(limit)
                    .map(|entry| {
                        let (key, row) = entry?;
                        record(key.value(), row.value())
                    })
                    .collect()
            })
        })
    }

    fn revocations(&self) -> Arc<Revocations> {
        self.shared.revocations()
    }

    fn kept_endings(&self) -> BoxFuture<'_, Result<KeptEndings, LedgerError>> {
        Box::pin(async move { self.read(feed::kept) })
    }

    fn endings(
        &self,
        after: RecordNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordNumber, Ending)>, LedgerError>> {
        Box::pin(async move { self.read(|table| feed::endings(table, after, limit)) })
    }

    fn is_audience<'a>(
        &'a self,
        task: TaskId,
        id: &'a SpiffeId,
    ) -> BoxFuture<'a, Result<bool, LedgerError>> {
        Box::pin(async move { self.read(|table| feed::is_audience(table, task, id)) })
    }

    fn tasks(
        &self,
        after: Option<TaskId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<TaskPage, LedgerError>> {
        Box::pin(async move { self.read(|table| page(table, after, limit)) })
    }

    fn live_tasks(
        &self,
        after: Option<TaskId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<TaskPage, LedgerError>> {
        Box::pin(async move { self.read(|table| store::live(table, after, limit)) })
    }

    fn ended_tasks(
        &self,
        by: Time,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<TaskId>, LedgerError>> {
        Box::pin(async move { self.read(|table| store::ended(table, by, limit)) })
    }

    fn open_approvals(
        &self,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ApprovalId>, LedgerError>> {
        Box::pin(async move {
            self.read(|table| {
                let (from, to) = keys::open_approvals_after(after);
                let mut open = Vec::new();
                for entry in table.range(from.as_slice()..to.as_slice())?.take(limit) {
                    let (key, _) = entry?;
                    let corrupt = || ReadError::Corrupt("list of open approvals".to_owned());
                    open.push(keys::open_approval_id(key.value()).ok_or_else(corrupt)?);
                }
                Ok(open)
            })
        })
    }

    fn forget(&self, task: TaskId, event: Event) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.order(|reply| Order::Forget {
            task,
            event: Box::new(event),
            reply,
        })
    }

    fn forget_terms(
        &self,
        before: Time,
        limit: usize,
    ) -> BoxFuture<'_, Result<usize, LedgerError>> {
        self.order(|reply| Order::ForgetTerms {
            before,
            limit,
            reply,
        })
    }

    fn forget_endings(
        &self,
        before: Time,
        limit: usize,
    ) -> BoxFuture<'_, Result<usize, LedgerError>> {
        self.order(|reply| Order::ForgetEndings {
            before,
            limit,
            reply,
        })
    }
}

fn record(key: &[u8], row: &[u8]) -> Result<ChainedEvent, ReadError> {
    chain::open(key, row).map_err(|error| ReadError::Corrupt(format!("audit record: {error}")))
}

/// One page of tasks; `next` is set where at least one more follows.
fn page(
    table: &impl store::Rows,
    after: Option<TaskId>,
    limit: usize,
) -> Result<TaskPage, ReadError> {
    let (from, to) = keys::tasks_after(after);
    let mut tasks: Vec<Task> = Vec::new();
    for entry in table.range(from.as_slice()..to.as_slice())? {
        let (_, row) = entry?;
        if tasks.len() >= limit {
            return Ok(TaskPage {
                next: tasks.last().map(|task| task.id).or(after),
                tasks,
            });
        }
        let task =
            Task::decode(row.value()).map_err(|error: RowError| ReadError::row("task", &error))?;
        tasks.push(task);
    }
    Ok(TaskPage { tasks, next: None })
}
