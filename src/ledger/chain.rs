//! The audit chain: numbers in one order for commits and notes, and records that name the one before.
//!
//! A number is given under one lock, together with the place in the queue of events that wait for the
//! next commit. That commit takes the whole queue, so the order of the numbers is the order in the
//! file, and the file has no gaps.

use super::keys;
use super::rows::{self, Row, RowError, wire};
use super::store::Head;
use crate::domain::event::{ChainedEvent, Event};
use crate::domain::id::{Digest, RecordNumber};
use aws_lc_rs::digest::{SHA256, digest};
use prost::Message;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The hash stands before the record's bytes.
const HASH_LEN: usize = 32;

/// Events that have their number and wait for the next commit.
#[derive(Debug)]
pub(super) struct Waiting {
    queue: Mutex<Queue>,
    notes_max: usize,
}

#[derive(Debug)]
struct Queue {
    last: u64,
    events: Vec<(RecordNumber, Event)>,
    notes: usize,
}

impl Queue {
    fn push(&mut self, event: Event) -> RecordNumber {
        // A `u64` cannot be exhausted by any rate of records.
        self.last = self.last.saturating_add(1);
        let number = RecordNumber(self.last);
        self.events.push((number, event));
        number
    }
}

/// A note's number, and whether the writer must be woken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub number: RecordNumber,
    pub first: bool,
}

impl Waiting {
    /// The number of the newest record, durable or not.
    pub(super) fn newest(&self) -> RecordNumber {
        RecordNumber(
            self.queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .last,
        )
    }

    /// Continues after the chain's end.
    pub(super) fn after(head: &Head, notes_max: usize) -> Self {
        Self {
            queue: Mutex::new(Queue {
                last: head.number,
                events: Vec::new(),
                notes: 0,
            }),
            notes_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers an event that waits for some commit; `None` when too many wait.
    pub(super) fn note(&self, event: Event) -> Option<Noted> {
        let mut queue = self.lock();
        if queue.notes >= self.notes_max {
            return None;
        }
        queue.notes = queue.notes.saturating_add(1);
        let first = queue.events.is_empty();
        let number = queue.push(event);
        Some(Noted { number, first })
    }

    /// Numbers an event of the commit that is being made.
    pub(super) fn commit(&self, event: Event) -> RecordNumber {
        self.lock().push(event)
    }

    /// Takes every waiting event, in the order of the numbers.
    pub(super) fn take(&self) -> Vec<(RecordNumber, Event)> {
        let mut queue = self.lock();
        queue.notes = 0;
        std::mem::take(&mut queue.events)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().events.is_empty()
    }
}

/// Makes the row of a record, and the chain's new end.
pub(super) fn seal(head: &Head, number: RecordNumber, event: &Event) -> (Vec<u8>, Head) {
    let bytes = wire::AuditRecord {
        number: number.0,
        previous: head.hash.0.to_vec(),
        event: Some(event.to_wire()),
    }
    .encode_to_vec();
    let hash = sha256(&bytes);
    let mut row = hash.0.to_vec();
    row.extend_from_slice(&bytes);
    let head = Head {
        number: number.0,
        hash,
        live_bytes: head.live_bytes,
    };
    (row, head)
}

/// Why a row is not the record that its key names.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenRecordError {
    /// The bytes are not those that were hashed.
    #[error("its bytes do not have its hash")]
    Hash,
    /// The record says that it has another number.
    #[error("it is record {0}")]
    Number(u64),
    /// The bytes are no record.
    #[error("{0}")]
    Row(#[from] RowError),
}

/// Opens the row of a record and checks its hash and number. The chain is for the caller to follow.
pub(super) fn open(key: &[u8], row: &[u8]) -> Result<ChainedEvent, OpenRecordError> {
    let (hash, bytes) = row
        .split_at_checked(HASH_LEN)
        .ok_or(RowError::Field("hash"))?;
    let hash = rows::digest(hash, "hash")?;
    if sha256(bytes) != hash {
        return Err(OpenRecordError::Hash);
    }
    let number = keys::audit_number(key).ok_or(RowError::Field("key"))?;
    let record = wire::AuditRecord::decode(bytes).map_err(RowError::Wire)?;
    if record.number != number.0 {
        return Err(OpenRecordError::Number(record.number));
    }
    let event = record.event.ok_or(RowError::Field("event"))?;
    Ok(ChainedEvent {
        number,
        previous: rows::digest(&record.previous, "previous")?,
        hash,
        event: Event::from_wire(event)?,
    })
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut hash = [0_u8; HASH_LEN];
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    Digest(hash)
}
