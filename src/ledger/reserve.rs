//! What is taken from the reserve of a full ledger, and by whom.
//!
//! The one thing to know: whatever ends something does so once, so there is an end to what that writes. A token that
//! will can be asked for again and again: these have a part of the reserve, each owner has a part of that, and its
//! delegates together another.

use super::essential::{Essential, essential};
use super::space::Room;
use crate::domain::id::SpiffeId;
use crate::domain::lineage::Writes;
use crate::domain::task::Task;
use std::collections::HashMap;

/// For so many bytes of the reserve each owner may have one token. A token takes about 800 bytes, its audit record
/// included: one owner has about a tenth of the half that all tokens may take.
const BYTES_A_TOKEN: u64 = 16 * 1024;

/// Tokens that were made since the ledger had room for everything, by their tasks' owners. Forgotten with a restart.
#[derive(Debug)]
pub(super) struct Reserve {
    each_max: u64,
    by_owners: HashMap<SpiffeId, u64>,
    by_delegates: HashMap<SpiffeId, u64>,
}

impl Reserve {
    pub(super) fn of(bytes: u64) -> Self {
        Self {
            each_max: bytes.div_ceil(BYTES_A_TOKEN),
            by_owners: HashMap::new(),
            by_delegates: HashMap::new(),
        }
    }

    /// Whether there is room for these writes. Tokens have the first half of the reserve, endings all of it.
    pub(super) fn admits(&mut self, room: Room, before: Option<&Task>, writes: &Writes) -> bool {
        if room == Room::Free {
            self.by_owners.clear();
            self.by_delegates.clear();
            return true;
        }
        match essential(before, writes) {
            Essential::No => false,
            Essential::Ends => true,
            Essential::Token => room == Room::Reserved && self.takes(before, writes),
        }
    }

    fn takes(&mut self, task: Option<&Task>, writes: &Writes) -> bool {
        // There is no token of a task that is not there.
        let Some(task) = task else {
            return false;
        };
        let owner = task.owner.workload.as_ref().unwrap_or(&task.server);
        let mut records = writes.records.iter();
        let tokens = if records.any(|record| record.delegation.is_some()) {
            &mut self.by_delegates
        } else {
            &mut self.by_owners
        };
        let taken = tokens.entry(owner.spiffe_id.clone()).or_default();
        *taken = taken.saturating_add(1);
        *taken <= self.each_max
    }
}
