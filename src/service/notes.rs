//! Events that need not be durable before their answer: refusals and reads. Equal ones are folded, so
//! that nobody fills the ledger by asking (A63).

use super::Settings;
use super::ports::ledger::Notes;
use super::ports::{Clock, Ledger, LedgerError};
use crate::domain::event::{Event, Verdict};
use crate::domain::evidence::ProcessKey;
use crate::domain::id::{RecordNumber, TaskId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What makes two events equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    operation: String,
    uid: Option<u32>,
    spiffe_id: Option<String>,
    reason: Option<String>,
    generation: u64,
    /// Absent where one user has too many refusals to tell them apart.
    detail: Option<Detail>,
}

/// Whose refusal, and about what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Detail {
    process: Option<ProcessKey>,
    task: Option<TaskId>,
}

/// The records that are being folded.
#[derive(Debug, Default)]
struct Folds {
    records: HashMap<Key, Fold>,
    /// Refusals told apart, by user: nobody gets more records by starting more processes.
    detailed: HashMap<Option<u32>, usize>,
}

impl Folds {
    fn insert(&mut self, key: Key, fold: Fold) {
        if key.is_detailed_denial() {
            let count = self.detailed.entry(key.uid).or_default();
            *count = count.saturating_add(1);
        }
        self.records.insert(key, fold);
    }

    fn remove(&mut self, key: &Key) -> Option<Fold> {
        let fold = self.records.remove(key)?;
        if key.is_detailed_denial()
            && let Some(count) = self.detailed.get_mut(&key.uid)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.detailed.remove(&key.uid);
            }
        }
        Some(fold)
    }
}

impl Key {
    fn is_detailed_denial(&self) -> bool {
        self.reason.is_some() && self.detail.is_some()
    }
}

#[derive(Debug)]
struct Fold {
    number: RecordNumber,
    since: Duration,
    /// Events after the first, not yet counted in the chain.
    extra: u64,
    last: Event,
}

/// A [`Notes`] that folds.
#[derive(Debug)]
pub(super) struct FoldedNotes {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    window: Duration,
    entries_max: usize,
    detailed_max: usize,
    folds: Mutex<Folds>,
}

impl FoldedNotes {
    pub(super) fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, settings: &Settings) -> Self {
        Self {
            ledger,
            clock,
            window: settings.fold_window,
            entries_max: settings.fold_entries_max,
            detailed_max: settings.fold_denials_per_uid_max,
            folds: Mutex::default(),
        }
    }

    /// Writes the counts of windows that are over.
    pub(super) fn sweep(&self) -> Result<(), LedgerError> {
        let now = self.clock.monotonic();
        let over: Vec<Fold> = {
            let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
            let keys: Vec<Key> = folds
                .records
                .iter()
                .filter(|(_, fold)| now.saturating_sub(fold.since) >= self.window)
                .map(|(key, _)| key.clone())
                .collect();
            keys.iter().filter_map(|key| folds.remove(key)).collect()
        };
        over.into_iter().try_for_each(|fold| self.write_count(fold))
    }

    fn write_count(&self, fold: Fold) -> Result<(), LedgerError> {
        if fold.extra == 0 {
            return Ok(());
        }
        let mut event = fold.last;
        event.count = fold.extra;
        event.facts.push(("folded_into", fold.number.0.to_string()));
        self.ledger.note(event).map(drop)
    }
}

impl Notes for FoldedNotes {
    fn note(&self, event: Event) -> Result<RecordNumber, LedgerError> {
        let mut key = key(&event);
        let now = self.clock.monotonic();
        let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        if !folds.records.contains_key(&key)
            && key.is_detailed_denial()
            && folds
                .detailed
                .get(&key.uid)
                .is_some_and(|count| *count >= self.detailed_max)
        {
            key.detail = None;
        }
        if let Some(fold) = folds.records.get_mut(&key)
            && now.saturating_sub(fold.since) < self.window
        {
            fold.extra = fold.extra.saturating_add(1);
            fold.last = event;
            return Ok(fold.number);
        }
        if let Some(over) = folds.remove(&key) {
            self.write_count(over)?;
        }
        if folds.records.len() >= self.entries_max {
            // One pass over a bounded map; what is written keeps its count.
            let oldest = folds
                .records
                .iter()
                .min_by_key(|(_, fold)| fold.since)
                .map(|(key, _)| key.clone());
            if let Some(over) = oldest.and_then(|key| folds.remove(&key)) {
                self.write_count(over)?;
            }
        }
        let number = self.ledger.note(event.clone())?;
        folds.insert(
            key,
            Fold {
                number,
                since: now,
                extra: 0,
                last: event,
            },
        );
        Ok(number)
    }
}

/// Notes an event.
pub(super) fn note(notes: &FoldedNotes, event: Event) -> Result<RecordNumber, LedgerError> {
    Notes::note(notes, event)
}

fn key(event: &Event) -> Key {
    Key {
        operation: event.operation.clone(),
        uid: event.caller.uid,
        spiffe_id: event.caller.spiffe_ids.first().map(ToString::to_string),
        reason: match &event.verdict {
            Verdict::Allowed => None,
            Verdict::Denied { reason, .. } => Some(reason.clone()),
        },
        generation: event.policy.number,
        detail: Some(Detail {
            process: event.caller.process,
            task: event.task,
        }),
    }
}
