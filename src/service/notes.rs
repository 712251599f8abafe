//! Events that need not be durable before their answer: refusals and reads. Equal ones are folded, so
//! that nobody fills the ledger by asking (A63).

use super::Settings;
use super::ports::ledger::Notes;
use super::ports::{Clock, Ledger, LedgerError};
use crate::domain::event::{Event, Verdict};
use crate::domain::id::{RecordNumber, TaskId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What makes two events equal: caller, operation and outcome; for reads also the task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    operation: String,
    uid: Option<u32>,
    spiffe_id: Option<String>,
    reason: Option<String>,
    task: Option<TaskId>,
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
    folds: Mutex<HashMap<Key, Fold>>,
}

impl FoldedNotes {
    pub(super) fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, settings: &Settings) -> Self {
        Self {
            ledger,
            clock,
            window: settings.fold_window,
            entries_max: settings.fold_entries_max,
            folds: Mutex::default(),
        }
    }

    /// Writes the counts of windows that are over.
    pub(super) fn sweep(&self) -> Result<(), LedgerError> {
        let now = self.clock.monotonic();
        let over: Vec<Fold> = {
            let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
            let keys: Vec<Key> = folds
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
        let key = key(&event);
        let now = self.clock.monotonic();
        let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fold) = folds.get_mut(&key)
            && now.saturating_sub(fold.since) < self.window
        {
            fold.extra = fold.extra.saturating_add(1);
            fold.last = event;
            return Ok(fold.number);
        }
        if let Some(over) = folds.remove(&key) {
            self.write_count(over)?;
        }
        if folds.len() >= self.entries_max {
            // One pass over a bounded map; what is written keeps its count.
            let oldest = folds
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
    let (reason, task) = match &event.verdict {
        Verdict::Allowed => (None, event.task),
        Verdict::Denied { reason, .. } => (Some(reason.clone()), None),
    };
    Key {
        operation: event.operation.clone(),
        uid: event.caller.uid,
        spiffe_id: event.caller.spiffe_ids.first().map(ToString::to_string),
        reason,
        task,
    }
}
