//! Reading rows: the same functions for a reader's snapshot and for the writer's transaction.

use super::keys;
use super::rows::{self, Row, RowError, wire};
use crate::domain::approval::Account;
use crate::domain::child::ChildGrant;
use crate::domain::id::{Digest, TaskId};
use crate::domain::lineage::{CreateTerms, DEPTH_MAX, Lineage, Load, Locator, NewOwner};
use crate::domain::revocation::Revocations;
use crate::domain::role::Owner;
use crate::domain::task::Task;
use crate::domain::time::Time;
use crate::service::ports::LedgerError;
use crate::service::ports::ledger::TaskPage;
use prost::Message;
use redb::{ReadableTable, StorageError, TableDefinition};
use std::sync::Arc;

/// The one table.
pub(super) const TABLE: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("handfast");

/// Anything that rows can be read from.
pub(super) trait Rows: ReadableTable<&'static [u8], &'static [u8]> {}
impl<T: ReadableTable<&'static [u8], &'static [u8]>> Rows for T {}

/// Why rows could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The row is there and is not what it should be.
    Corrupt(String),
    /// The store failed.
    Storage(StorageError),
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl ReadError {
    /// A row of this kind that cannot be read.
    pub(super) fn row(kind: &str, error: &RowError) -> Self {
        Self::Corrupt(format!("{kind}: {error}"))
    }

    /// What follows: an answer to the caller, or the end of this ledger.
    pub(super) fn trouble(self) -> Trouble {
        match self {
            Self::Corrupt(what) | Self::Storage(StorageError::Corrupted(what)) => {
                Trouble::Answer(LedgerError::Corrupt(what))
            }
            Self::Storage(error) => Trouble::Store(error.to_string()),
        }
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Corrupt(what) => f.write_str(what),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

/// Why an order was not carried out.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The caller is told; the store still works.
    Answer(LedgerError),
    /// The store failed, and with it the ledger.
    Store(String),
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        error.trouble()
    }
}

/// Reads one row.
pub(super) fn read<R: Row>(
    table: &impl Rows,
    key: &[u8],
    kind: &str,
) -> Result<Option<R>, ReadError> {
    let Some(bytes) = table.get(key)? else {
        return Ok(None);
    };
    R::decode(bytes.value())
        .map(Some)
        .map_err(|error| ReadError::row(kind, &error))
}

/// Reads a row that holds the identifier of a task.
pub(super) fn read_task_id(table: &impl Rows, key: &[u8]) -> Result<Option<TaskId>, ReadError> {
    let Some(bytes) = table.get(key)? else {
        return Ok(None);
    };
    rows::task_id(bytes.value(), "task")
        .map(Some)
        .map_err(|error| ReadError::row("index", &error))
}

/// What is revoked.
pub(super) fn revocations(table: &impl Rows) -> Result<Arc<Revocations>, ReadError> {
    let row = read(table, keys::REVOCATIONS, "revocations")?;
    Ok(Arc::new(row.unwrap_or_default()))
}

/// Reads every row of one decision. A task that is absent costs the same reads as one that is not.
///
/// What is revoked is read by every decision and changes seldom: whoever reads rows keeps it.
pub(super) fn lineage(
    table: &impl Rows,
    load: &Load,
    revocations: Arc<Revocations>,
) -> Result<Lineage, ReadError> {
    let id = match load.locator {
        Locator::Name(name) => read_task_id(table, &keys::name(name))?,
        Locator::Request(request) => read_task_id(table, &keys::request(request))?,
        Locator::Nothing => None,
        Locator::Task(id) => Some(id),
    };
    let at = id.unwrap_or(keys::ABSENT);
    let task: Option<Task> = read(table, &keys::task(at), "task")?;
    let terms: Option<CreateTerms> = read(table, &keys::terms(at), "create terms")?;
    let owner_tasks = load.tasks_of.map(|NewOwner { principal }| {
        let workload = terms.as_ref().map(|terms| terms.owner.clone());
        let owner = Owner {
            workload,
            principal,
        };
        read_counter(table, &keys::live_of(&owner))
    });
    let child: Option<ChildGrant> =
        read(table, &keys::child(load.child.unwrap_or(at)), "child grant")?;
    let parent = match &task {
        Some(task) => task.parent,
        None => child.as_ref().map(|child| child.parent),
    };
    let ancestors = ancestors(table, parent)?;
    // What a tree asks of people is its root's owner's to answer for.
    let root = ancestors.last().or(task.as_ref());
    let account: Option<Account> = root
        .filter(|_| load.account && task.is_some())
        .map(|root| read(table, &keys::account(&root.owner), "account"))
        .transpose()?
        .flatten();
    Ok(Lineage {
        id,
        owner_tasks: owner_tasks.transpose()?.flatten().unwrap_or_default(),
        ancestors,
        task,
        child,
        spawned: load
            .spawned
            .map(|request| read(table, &keys::spawned(at, request), "spawned children"))
            .transpose()?
            .flatten(),
        terms,
        step: load
            .step
            .map(|number| read(table, &keys::step(at, number), "step"))
            .transpose()?
            .flatten(),
        record: load
            .record
            .map(|fence| read(table, &keys::record(at, fence), "token record"))
            .transpose()?
            .flatten(),
        named: load
            .name
            .map(|name| read_task_id(table, &keys::name(name)))
            .transpose()?
            .flatten(),
        approval: load
            .approval
            .map(|number| read(table, &keys::approval(at, number), "approval"))
            .transpose()?
            .flatten(),
        owing: owing(table, account.as_ref())?,
        account,
        revocations,
    })
}

/// The tasks of the requests that an account calls open, as far as they exist.
fn owing(table: &impl Rows, account: Option<&Account>) -> Result<Vec<Task>, ReadError> {
    let open = account.map(|account| account.open.as_slice());
    open.unwrap_or_default()
        .iter()
        .filter_map(|id| read(table, &keys::task(id.task), "task").transpose())
        .collect()
}

/// Follows a line from this parent on as far as it exists.
fn ancestors(table: &impl Rows, parent: Option<TaskId>) -> Result<Vec<Task>, ReadError> {
    let mut line: Vec<Task> = Vec::new();
    let mut parent = parent;
    while let Some(id) = parent.filter(|_| line.len() < DEPTH_MAX) {
        let Some(ancestor) = read::<Task>(table, &keys::task(id), "task")? else {
            break;
        };
        parent = ancestor.parent;
        line.push(ancestor);
    }
    Ok(line)
}

/// One page of tasks that have not ended; `next` is set where at least one more follows.
pub(super) fn live(
    table: &impl Rows,
    after: Option<TaskId>,
    limit: usize,
) -> Result<TaskPage, ReadError> {
    let (from, to) = keys::live_after(after);
    let mut tasks: Vec<Task> = Vec::new();
    for entry in table.range(from.as_slice()..to.as_slice())? {
        let (key, _) = entry?;
        if tasks.len() >= limit {
            let next = tasks.last().map(|task| task.id).or(after);
            return Ok(TaskPage { tasks, next });
        }
        let task = match keys::live_task(key.value()) {
            Some(id) => read(table, &keys::task(id), "task")?,
            None => None,
        };
        let corrupt = || ReadError::Corrupt("list of live tasks".to_owned());
        tasks.push(task.ok_or_else(corrupt)?);
    }
    Ok(TaskPage { tasks, next: None })
}

/// Tasks that ended at this time or before, the earliest first.
pub(super) fn ended(table: &impl Rows, by: Time, limit: usize) -> Result<Vec<TaskId>, ReadError> {
    let (from, to) = keys::ended_by(by);
    let entries = table.range(from.as_slice()..to.as_slice())?;
    let ids = entries.take(limit).map(|entry| {
        let (key, _) = entry?;
        let corrupt = || ReadError::Corrupt("list of ended tasks".to_owned());
        keys::timed_task(key.value()).ok_or_else(corrupt)
    });
    ids.collect()
}

/// The end of the audit chain and the size of the rows, as of some commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of the last record; zero before the first.
    pub number: u64,
    /// Its hash; all zero before the first.
    pub hash: Digest,
    /// Bytes of all keys and values.
    pub live_bytes: u64,
}

impl Head {
    /// Before the first record.
    pub(super) const START: Self = Self {
        number: 0,
        hash: Digest([0; 32]),
        live_bytes: 0,
    };

    pub(super) fn read(table: &impl Rows) -> Result<Self, ReadError> {
        let Some(bytes) = table.get(keys::HEAD)? else {
            return Ok(Self::START);
        };
        let head = wire::Head::decode(bytes.value())
            .map_err(|error| ReadError::row("chain head", &RowError::Wire(error)))?;
        Ok(Self {
            number: head.number,
            hash: rows::digest(&head.hash, "hash")
                .map_err(|error| ReadError::row("chain head", &error))?,
            live_bytes: head.live_bytes,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        wire::Head {
            number: self.number,
            hash: self.hash.0.to_vec(),
            live_bytes: self.live_bytes,
        }
        .encode_to_vec()
    }
}

/// Reads a big-endian counter.
pub(super) fn read_counter(table: &impl Rows, key: &[u8]) -> Result<Option<u64>, ReadError> {
    let Some(bytes) = table.get(key)? else {
        return Ok(None);
    };
    let bytes: [u8; 8] = bytes
        .value()
        .try_into()
        .map_err(|_other_length| ReadError::Corrupt("counter is not 8 bytes".to_owned()))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}
