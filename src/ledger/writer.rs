//! The one writer: a thread that groups waiting commits into one durable transaction.
//!
//! Natural batching: it takes what waits, up to a limit, and never waits for more. Each work is
//! decided again inside the transaction where its rows have changed, so nothing has to be retried
//! outside and a cancel cannot starve. Nobody is answered before the commit has returned.

use super::chain::{self, Waiting};
use super::plan::{self, Change};
use super::reserve::Reserve;
use super::rows::Row as _;
use super::settle::{Reply, Settle, answer, settle};
use super::shared::Shared;
use super::space::Room;
use super::store::{self, Head, TABLE, Trouble};
use super::{feed, keys, open};
use crate::domain::event::Event;
use crate::domain::id::TaskId;
use crate::domain::revocation::Revocations;
use crate::domain::time::Time;
use crate::failpoint;
use crate::service::ports::LedgerError;
use crate::service::ports::ledger::{Applied, Prepared, Work};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

/// What the writer is asked to do.
pub(super) enum Order {
    /// Answer once everything noted so far is durable.
    Flush { reply: Reply<()> },
    /// Remove a task.
    Forget {
        task: TaskId,
        event: Box<Event>,
        reply: Reply<()>,
    },
    /// Remove the oldest endings.
    ForgetEndings {
        before: Time,
        limit: usize,
        reply: Reply<usize>,
    },
    /// Remove unused create terms.
    ForgetTerms {
        before: Time,
        limit: usize,
        reply: Reply<usize>,
    },
    /// A note waits: make it durable before long.
    Wake,
    /// Commit a decision.
    Work {
        work: Box<Work>,
        reply: Reply<Applied>,
    },
}

/// The writer's own side.
#[derive(Debug)]
pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub orders: Receiver<Order>,
    pub head: Head,
    pub batch_max: usize,
    pub note_flush_interval: Duration,
    pub reserve: Reserve,
}

/// Marks the ledger failed if the writer's thread unwinds.
struct Unwinding(Arc<Shared>);

impl Drop for Unwinding {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failure.mark("ledger writer panicked".to_owned());
            self.0.failure.tell();
        }
    }
}

enum Next {
    Closed,
    Flush,
    Order(Order),
}

impl Writer {
    /// Runs until the ledger is dropped or has failed.
    pub(super) fn run(mut self) {
        let _unwinding = Unwinding(Arc::clone(&self.shared));
        let mut flush_at = None;
        loop {
            let first = match self.next(flush_at) {
                Next::Closed => {
                    self.batch(Vec::new());
                    return;
                }
                Next::Flush => None,
                Next::Order(Order::Wake) => {
                    self.shared.woken.store(false, Ordering::SeqCst);
                    flush_at = flush_at.or_else(|| self.flush_time());
                    continue;
                }
                Next::Order(order) => Some(order),
            };
            let orders = self.gather(first);
            if !self.batch(orders) {
                return;
            }
            flush_at = if self.shared.waiting.is_empty() {
                None
            } else {
                self.flush_time()
            };
        }
    }

    fn flush_time(&self) -> Option<Instant> {
        Instant::now().checked_add(self.note_flush_interval)
    }

    fn next(&self, flush_at: Option<Instant>) -> Next {
        let Some(at) = flush_at else {
            return self.orders.recv().map_or(Next::Closed, Next::Order);
        };
        match self
            .orders
            .recv_timeout(at.saturating_duration_since(Instant::now()))
        {
            Ok(order) => Next::Order(order),
            Err(RecvTimeoutError::Timeout) => Next::Flush,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    fn gather(&self, first: Option<Order>) -> Vec<Order> {
        let mut orders: Vec<Order> = first.into_iter().collect();
        while orders.len() < self.batch_max {
            match self.orders.try_recv() {
                Ok(Order::Wake) => self.shared.woken.store(false, Ordering::SeqCst),
                Ok(order) => orders.push(order),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        orders
    }

    /// Carries out one batch and answers its callers; `false` after a failure.
    fn batch(&mut self, orders: Vec<Order>) -> bool {
        let mut answers = Vec::with_capacity(orders.len());
        let durable = self.commit(orders, &mut answers).map_err(|why| {
            // Marked before anybody is answered: no caller may try again on a ledger that failed.
            self.shared.failure.mark(why)
        });
        let failed = durable.is_err();
        for answer in answers {
            answer(durable.clone());
        }
        if failed {
            self.shared.failure.tell();
        }
        !failed
    }

    /// # Errors
    /// What went wrong with the store; nothing of the batch is known to be durable then.
    fn commit(&mut self, orders: Vec<Order>, answers: &mut Vec<Settle>) -> Result<(), String> {
        let room = self
            .shared
            .space
            .assess(self.head.live_bytes)
            .map_err(|error| format!("disk: {error}"))?;
        let txn = open::begin(&self.shared.database)?;
        let mut batch = Batch {
            table: txn.open_table(TABLE).map_err(|error| error.to_string())?,
            waiting: &self.shared.waiting,
            head: self.head,
            room,
            reserve: &mut self.reserve,
            dirty: false,
            revocations: self.shared.revocations(),
        };
        let mut orders = orders.into_iter();
        let mut outcome = Ok(());
        for order in orders.by_ref() {
            let (answer, carried_out) = batch.order(order);
            answers.push(answer);
            outcome = carried_out;
            if outcome.is_err() {
                break;
            }
        }
        // Whoever was not reached is answered too.
        answers.extend(orders.map(Batch::unreached));
        outcome?;
        batch.chain()?;
        let (head, dirty) = (batch.head, batch.dirty);
        let revocations = Arc::clone(&batch.revocations);
        drop(batch);
        if !dirty {
            return txn.abort().map_err(|error| error.to_string());
        }
        failpoint::hit("ledger.before_commit");
        txn.commit().map_err(|error| error.to_string())?;
        failpoint::hit("ledger.after_commit");
        self.head = head;
        // Before anybody is answered: whoever hears of a revocation reads it from then on.
        self.shared.revoke(revocations);
        Ok(())
    }
}

type Table<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

/// One transaction while it is being filled.
struct Batch<'txn> {
    table: Table<'txn>,
    waiting: &'txn Waiting,
    head: Head,
    room: Room,
    reserve: &'txn mut Reserve,
    dirty: bool,
    revocations: Arc<Revocations>,
}

impl Batch<'_> {
    /// Carries out one order: its answer, and whether the store still works.
    fn order(&mut self, order: Order) -> (Settle, Result<(), String>) {
        match order {
            Order::Flush { reply } => (settle(reply, Ok(())), Ok(())),
            Order::Forget { task, event, reply } => answer(reply, self.forget(task, *event)),
            Order::ForgetTerms {
                before,
                limit,
                reply,
            } => answer(reply, self.forget_terms(before, limit)),
            Order::ForgetEndings {
                before,
                limit,
                reply,
            } => answer(reply, self.forget_endings(before, limit)),
            // Left over from before a batch that took every note.
            Order::Wake => (Box::new(|_durable| ()), Ok(())),
            Order::Work { work, reply } => answer(reply, self.work(*work)),
        }
    }

    /// The answer to an order that came after the failure.
    fn unreached(order: Order) -> Settle {
        let never = || LedgerError::Failed("not carried out".to_owned());
        match order {
            Order::Flush { reply } | Order::Forget { reply, .. } => settle(reply, Err(never())),
            Order::ForgetEndings { reply, .. } | Order::ForgetTerms { reply, .. } => {
                settle(reply, Err(never()))
            }
            Order::Wake => Box::new(|_durable| ()),
            Order::Work { reply, .. } => settle(reply, Err(never())),
        }
    }

    fn forget(&mut self, task: TaskId, event: Event) -> Result<(), Trouble> {
        let changes = plan::of_forget(&self.table, task)?;
        self.write(&changes)?;
        self.waiting.commit(event);
        Ok(())
    }

    fn forget_terms(&mut self, before: Time, limit: usize) -> Result<usize, Trouble> {
        let (changes, count) = plan::of_forget_terms(&self.table, before, limit)?;
        self.write(&changes)?;
        Ok(count)
    }

    fn forget_endings(&mut self, before: Time, limit: usize) -> Result<usize, Trouble> {
        let (changes, count) = feed::of_forget_endings(&self.table, before, limit)?;
        self.write(&changes)?;
        Ok(count)
    }

    fn work(&mut self, work: Work) -> Result<Applied, Trouble> {
        let Work {
            load,
            expected,
            prepared,
            current,
            mut again,
        } = work;
        let lineage = store::lineage(&self.table, &load, Arc::clone(&self.revocations))?;
        let prepared = if lineage == expected && current() {
            prepared
        } else {
            match again(&lineage) {
                Ok(prepared) => prepared,
                Err(denied) => return Ok(Applied::Denied(denied)),
            }
        };
        let Prepared { writes, event } = prepared;
        if writes.is_empty() {
            if self.room == Room::Last {
                return Err(Trouble::Answer(LedgerError::Full));
            }
            return Ok(Applied::Unchanged(self.waiting.commit(event)));
        }
        let before = lineage.task.as_ref();
        if !self.reserve.admits(self.room, before, &writes) {
            return Err(Trouble::Answer(LedgerError::Full));
        }
        let changes = plan::of_writes(&self.table, &lineage, &writes)?;
        self.write(&changes)?;
        if let Some(revocations) = writes.revocations {
            self.revocations = revocations;
        }
        let number = self.waiting.commit(event);
        if let Some(ending) = writes.ending {
            self.put(keys::ending(number), ending.encode())
                .map_err(Trouble::Store)?;
        }
        Ok(Applied::Recorded(number))
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), Trouble> {
        changes.iter().try_for_each(|change| {
            self.change(change)
                .map_err(|error| Trouble::Store(error.to_string()))
        })
    }

    fn change(&mut self, Change { key, value }: &Change) -> Result<(), redb::StorageError> {
        let size =
            |bytes: usize| u64::try_from(bytes.saturating_add(key.len())).unwrap_or(u64::MAX);
        let (before, after) = match value {
            Some(value) => (
                self.table
                    .insert(key.as_slice(), value.as_slice())?
                    .map(|old| size(old.value().len())),
                size(value.len()),
            ),
            None => (
                self.table
                    .remove(key.as_slice())?
                    .map(|old| size(old.value().len())),
                0,
            ),
        };
        self.dirty |= before.is_some() || after != 0;
        self.head.live_bytes = self
            .head
            .live_bytes
            .saturating_sub(before.unwrap_or_default())
            .saturating_add(after);
        Ok(())
    }

    /// Appends every waiting event to the chain, and writes its new end.
    fn chain(&mut self) -> Result<(), String> {
        let events = self.waiting.take();
        for (number, event) in &events {
            let (row, head) = chain::seal(&self.head, *number, event);
            self.head = head;
            self.put(keys::audit(*number), row)?;
        }
        if self.dirty {
            self.put(keys::HEAD.to_vec(), self.head.encode())?;
        }
        Ok(())
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), String> {
        let change = Change {
            key,
            value: Some(value),
        };
        self.change(&change).map_err(|error| error.to_string())
    }
}
