//! Verifying the audit chain: every record, in order, and the end that the ledger remembers.

use super::open::{OpenError, check_schema, database_error, io_error, not_a_ledger, unreadable};
use super::overlay::Overlay;
use super::store::{Head, Rows, TABLE};
use super::{RedbLedger, chain, keys};
use crate::domain::id::{Digest, RecordNumber};
use redb::{Database, ReadableDatabase, StorageBackend as _};
use std::fs::File;
use std::mem::ManuallyDrop;
use std::panic::catch_unwind;
use std::path::Path;

/// Memory for cached pages while a stopped ledger is verified.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// A chain without a break.
///
/// Whoever can write the file can also make another chain without a break: keep `head` elsewhere and
/// compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records there are; also the number of the last one.
    pub records: u64,
    /// Hash of the last record; all zero where there is none.
    pub head: Digest,
}

/// Why a chain is not verified.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A record was changed, cut out, moved or added.
    #[error("audit record {}: {why}", number.0)]
    Broken {
        /// The first record that is not as it was written.
        number: RecordNumber,
        /// What is wrong with it.
        why: String,
    },
    /// The ledger cannot be read.
    #[error("audit chain cannot be read")]
    Unreadable(#[source] OpenError),
}

impl RedbLedger {
    /// Verifies the chain as of the last commit, beside the running writer.
    ///
    /// # Errors
    /// See [`AuditError`].
    pub fn verify(&self) -> Result<Verified, AuditError> {
        verify(self.database(), self.path())
    }
}

/// Verifies the chain of a stopped ledger. The file is not changed.
///
/// # Errors
/// See [`AuditError`]; [`OpenError::InUse`] while an agent runs on it.
pub fn verify_chain(path: &Path) -> Result<Verified, AuditError> {
    // The store trusts its own pages and may panic on damaged ones. Nothing outlives the closure.
    catch_unwind(|| verify_stopped(path)).unwrap_or_else(|_panic| {
        let why = "its pages are damaged";
        Err(AuditError::Unreadable(not_a_ledger(path, why)))
    })
}

fn verify_stopped(path: &Path) -> Result<Verified, AuditError> {
    let file = File::open(path)
        .map_err(|error| AuditError::Unreadable(io_error(path, "open it")(error)))?;
    if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        return Err(AuditError::Unreadable(not_a_ledger(path, "empty")));
    }
    let unreadable = |error| AuditError::Unreadable(database_error(path, error));
    let overlay = Overlay::over(file).map_err(unreadable)?;
    let base = overlay.base();
    let mut builder = Database::builder();
    let database = builder
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(overlay)
        .map_err(unreadable)?;
    // Never closed: closing writes, and where pages are damaged the store panics twice over it, which ends the
    // process. What it holds is lost once in a run of `audit verify`; the file's lock is given back.
    let database = ManuallyDrop::new(database);
    let verified = verify(&*database, path);
    base.close().ok();
    verified
}

fn verify(database: &impl ReadableDatabase, path: &Path) -> Result<Verified, AuditError> {
    check_schema(database, path).map_err(AuditError::Unreadable)?;
    let unusable = |error: redb::Error| AuditError::Unreadable(not_a_ledger(path, error));
    let txn = database
        .begin_read()
        .map_err(|error| unusable(error.into()))?;
    let table = txn
        .open_table(TABLE)
        .map_err(|error| unusable(error.into()))?;
    walk(&table).map_err(|stop| match stop {
        Stop::Audit(error) => error,
        Stop::Store(error) => unusable(error.into()),
        Stop::Head(error) => AuditError::Unreadable(unreadable(path, &error)),
    })
}

enum Stop {
    Audit(AuditError),
    Head(super::store::ReadError),
    Store(redb::StorageError),
}

fn broken(number: u64, why: impl Into<String>) -> Stop {
    Stop::Audit(AuditError::Broken {
        number: RecordNumber(number),
        why: why.into(),
    })
}

fn walk(table: &impl Rows) -> Result<Verified, Stop> {
    let remembered = Head::read(table).map_err(Stop::Head)?;
    let mut last = Head::START;
    let (from, to) = keys::audit_from(RecordNumber(0));
    for entry in table
        .range(from.as_slice()..to.as_slice())
        .map_err(Stop::Store)?
    {
        let (key, row) = entry.map_err(Stop::Store)?;
        let due = last.number.saturating_add(1);
        let found =
            keys::audit_number(key.value()).ok_or_else(|| broken(due, "its key is malformed"))?;
        if found.0 != due {
            return Err(broken(due, "it is missing"));
        }
        let record = chain::open(key.value(), row.value())
            .map_err(|error| broken(due, error.to_string()))?;
        if record.previous != last.hash {
            return Err(broken(
                due,
                "it does not follow the record before it: one of the two was replaced",
            ));
        }
        last.number = due;
        last.hash = record.hash;
    }
    if last.number < remembered.number {
        let first_missing = last.number.saturating_add(1);
        return Err(broken(first_missing, "it is missing"));
    }
    if last.number > remembered.number {
        let first_added = remembered.number.saturating_add(1);
        return Err(broken(first_added, "it was added"));
    }
    if last.hash != remembered.hash {
        return Err(broken(last.number, "it is not the last record written"));
    }
    Ok(Verified {
        records: last.number,
        head: last.hash,
    })
}
