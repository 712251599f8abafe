//! The ledger port: an optimistic transaction over the rows that a decision read.
//!
//! [`decide`] is the only way to a [`Recorded`] or [`Noted`] value, and so to a signature.

use super::BoxFuture;
use crate::domain::denial::Reason;
use crate::domain::event::{ChainedEvent, Event};
use crate::domain::id::{ApprovalId, RecordNumber, SpiffeId, TaskId};
use crate::domain::lineage::{Lineage, Load, Transition, Writes};
use crate::domain::revocation::{Ending, Revocations};
use crate::domain::task::Task;
use crate::domain::time::Time;
use std::sync::{Arc, Mutex, PoisonError};

/// A decision: what to write, what to say, and its audit event.
#[derive(Debug)]
pub struct Judged<E> {
    /// Rows and answer.
    pub transition: Transition<E>,
    /// What the audit chain records of it.
    pub event: Event,
}

/// A refusal and its audit event.
#[derive(Clone, Debug)]
pub struct Denied {
    /// The true reason.
    pub reason: Reason,
    /// What the audit chain records of it.
    pub event: Event,
}

/// A pure decision over the rows it is given. Called again where the rows changed meanwhile.
pub type Judge<E> = dyn Fn(&Lineage) -> Result<Judged<E>, Box<Denied>> + Send + Sync;

/// Rows to write and the event that goes with them.
#[derive(Debug)]
pub struct Prepared {
    /// Rows.
    pub writes: Writes,
    /// Event.
    pub event: Event,
}

/// Decides again on newer rows, in the ledger's own thread.
pub type Again = Box<dyn FnMut(&Lineage) -> Result<Prepared, Box<Denied>> + Send>;

/// One commit.
pub struct Work {
    /// Which rows the decision read.
    pub load: Load,
    /// What they were: the commit holds only while they still are.
    pub expected: Lineage,
    /// What was decided on them.
    pub prepared: Prepared,
    /// Whether what else the decision read (the policy generation) is still the newest.
    pub current: Box<dyn Fn() -> bool + Send>,
    /// Decides again if not.
    pub again: Again,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work")
            .field("load", &self.load)
            .finish_non_exhaustive()
    }
}

/// How a commit came out.
#[derive(Debug)]
pub enum Applied {
    /// Durable, with this audit record.
    Recorded(RecordNumber),
    /// Deciding again came out with an answer that changes nothing; its event is noted.
    Unchanged(RecordNumber),
    /// Deciding again refused.
    Denied(Box<Denied>),
}

/// Why the ledger could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The queue of commits is full: a named limit.
    #[error("ledger queue is full")]
    Busy,
    /// No room is left beyond the reserve that keeps cancel and revoke recordable.
    #[error("ledger is out of space")]
    Full,
    /// A write or sync failed; the process is about to stop.
    #[error("ledger has failed: {0}")]
    Failed(String),
    /// A row could not be read as what it should be.
    #[error("ledger row is corrupt: {0}")]
    Corrupt(String),
}

/// Tasks in the order of their identifiers.
#[derive(Clone, Debug)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<TaskId>,
}

/// Which endings a ledger keeps, by their audit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptEndings {
    /// Those after this one.
    pub after: RecordNumber,
    /// Up to this one: the newest durable record. A later number may yet be given to another record.
    pub newest: RecordNumber,
}

/// Tasks, legs, steps, token records and the audit chain, each commit in one transaction.
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Reads the rows of one decision. An absent task costs the same reads as a present one.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn load(&self, load: Load) -> BoxFuture<'_, Result<Lineage, LedgerError>>;

    /// Commits durably, deciding again where a row changed. Prefer [`decide`].
    ///
    /// # Errors
    /// See [`LedgerError`]; then nothing is known to be durable, and the caller must be told so.
    fn apply(&self, work: Work) -> BoxFuture<'_, Result<Applied, LedgerError>>;

    /// Gives an event its number in the chain; it rides the next durable batch.
    ///
    /// # Errors
    /// [`LedgerError::Busy`] when too many events wait, [`LedgerError::Failed`] after a failure.
    fn note(&self, event: Event) -> Result<RecordNumber, LedgerError>;

    /// Reads events from `from` on, at most `limit`, pending ones included once they are durable.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn events(
        &self,
        from: RecordNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ChainedEvent>, LedgerError>>;

    /// What is revoked, as of the last commit.
    fn revocations(&self) -> Arc<Revocations>;

    /// Which endings are kept.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn kept_endings(&self) -> BoxFuture<'_, Result<KeptEndings, LedgerError>>;

    /// What the commits after this audit record ended, by their records, at most `limit`.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn endings(
        &self,
        after: RecordNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(RecordNumber, Ending)>, LedgerError>>;

    /// Whether a step's token of this task was ever issued for this audience.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn is_audience<'a>(
        &'a self,
        task: TaskId,
        id: &'a SpiffeId,
    ) -> BoxFuture<'a, Result<bool, LedgerError>>;

    /// Reads tasks after `after`, at most `limit`.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn tasks(
        &self,
        after: Option<TaskId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<TaskPage, LedgerError>>;

    /// Reads tasks that have not ended, as written, after `after`, at most `limit`. Ended ones cost nothing.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn live_tasks(
        &self,
        after: Option<TaskId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<TaskPage, LedgerError>>;

    /// Reads which tasks ended at `by` or before, the earliest first, at most `limit`.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn ended_tasks(
        &self,
        by: Time,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<TaskId>, LedgerError>>;

    /// Reads which decisions tasks wait for, after `after` and in the order of their tasks, at most `limit`. Some
    /// may be over by now.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn open_approvals(
        &self,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ApprovalId>, LedgerError>>;

    /// Removes every row of an ended task and every name it ever had, in one commit with this event.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn forget(&self, task: TaskId, event: Event) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Removes unused create terms that ended before `before`, at most `limit`; says how many.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn forget_terms(&self, before: Time, limit: usize)
    -> BoxFuture<'_, Result<usize, LedgerError>>;

    /// Removes the oldest endings as far as they are from before `before`, at most `limit`; says how many.
    ///
    /// # Errors
    /// See [`LedgerError`].
    fn forget_endings(
        &self,
        before: Time,
        limit: usize,
    ) -> BoxFuture<'_, Result<usize, LedgerError>>;
}

/// A value that was durable before it was made. Only [`decide`] makes one.
#[derive(Debug)]
pub struct Recorded<E> {
    effect: E,
    number: RecordNumber,
}

/// A value that changed nothing and whose event is numbered. Only [`decide`] makes one.
#[derive(Debug)]
pub struct Noted<E> {
    effect: E,
    number: RecordNumber,
}

macro_rules! outcome_value {
    ($name:ident) => {
        impl<E> $name<E> {
            /// The answer.
            pub fn effect(&self) -> &E {
                &self.effect
            }

            /// Its audit record.
            pub fn number(&self) -> RecordNumber {
                self.number
            }

            /// Narrows the answer to a part of it.
            pub fn map<F>(self, part: impl FnOnce(E) -> F) -> $name<F> {
                $name {
                    effect: part(self.effect),
                    number: self.number,
                }
            }

            /// Takes the answer out; the proof is gone then.
            pub fn into_effect(self) -> E {
                self.effect
            }
        }
    };
}
outcome_value!(Recorded);
outcome_value!(Noted);

impl<A, B> Recorded<Result<A, B>> {
    /// Separates the two answers; the proof stays with the first.
    ///
    /// # Errors
    /// The second answer.
    pub fn split(self) -> Result<Recorded<A>, B> {
        let Self { effect, number } = self;
        effect.map(|effect| Recorded { effect, number })
    }
}

/// Where answers that change nothing are noted; may fold equal ones.
pub trait Notes: Send + Sync {
    /// Gives the event, or the one it is folded into, its number.
    ///
    /// # Errors
    /// As [`Ledger::note`].
    fn note(&self, event: Event) -> Result<RecordNumber, LedgerError>;
}

/// How a decision came out.
#[derive(Debug)]
pub enum Decision<E> {
    /// It changed something, durably.
    Recorded(Recorded<E>),
    /// It changed nothing.
    Noted(Noted<E>),
    /// It refused. The event is not yet noted.
    Denied(Box<Denied>),
}

/// Loads, judges and, where something changes, commits.
///
/// # Errors
/// See [`LedgerError`]: no decision was possible.
pub async fn decide<E: Send + 'static>(
    (ledger, notes): (&dyn Ledger, &dyn Notes),
    load: Load,
    judge: Arc<Judge<E>>,
    current: impl Fn() -> bool + Send + 'static,
) -> Result<Decision<E>, LedgerError> {
    let expected = ledger.load(load).await?;
    let judged = match judge(&expected) {
        Ok(judged) => judged,
        Err(denied) => return Ok(Decision::Denied(denied)),
    };
    let Judged { transition, event } = judged;
    if transition.writes.is_empty() {
        let number = notes.note(event)?;
        return Ok(Decision::Noted(Noted {
            effect: transition.effect,
            number,
        }));
    }
    crate::failpoint::hit_in("decide.judged_not_applied", &event.operation);
    // Deciding again replaces the answer; the lock is held for a move only.
    let slot = Arc::new(Mutex::new(Some(transition.effect)));
    let refill = Arc::clone(&slot);
    let again: Again = Box::new(move |lineage| {
        let Judged { transition, event } = judge(lineage)?;
        *refill.lock().unwrap_or_else(PoisonError::into_inner) = Some(transition.effect);
        Ok(Prepared {
            writes: transition.writes,
            event,
        })
    });
    let prepared = Prepared {
        writes: transition.writes,
        event,
    };
    let work = Work {
        load,
        expected,
        prepared,
        current: Box::new(current),
        again,
    };
    let applied = ledger.apply(work).await?;
    let effect = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (applied, effect) {
        (Applied::Denied(denied), _) => Ok(Decision::Denied(denied)),
        (Applied::Recorded(number), Some(effect)) => {
            Ok(Decision::Recorded(Recorded { effect, number }))
        }
        (Applied::Unchanged(number), Some(effect)) => Ok(Decision::Noted(Noted { effect, number })),
        (Applied::Recorded(_) | Applied::Unchanged(_), None) => {
            Err(LedgerError::Failed("a commit lost its answer".to_owned()))
        }
    }
}
