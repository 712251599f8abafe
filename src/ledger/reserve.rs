//! What is taken from the reserve of a full ledger, and by whom.
//!
//! The one thing to know: whatever ends something does so once, so there is an end to what that writes. A token that
//! will can be asked for again and again: these have a part of the reserve, and each owner a part of that.

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
    tokens: HashMap<SpiffeId, u64>,
}

impl Reserve {
    pub(super) fn of(bytes: u64) -> Self {
        Self {
            each_max: bytes.div_ceil(BYTES_A_TOKEN),
            tokens: HashMap::new(),
        }
    }

    /// Whether there is room for these writes. Tokens have the first half of the reserve, endings all of it.
    pub(super) fn admits(&mut self, room: Room, before: Option<&Task>, writes: &Writes) -> bool {
        if room == Room::Free {
            self.tokens.clear();
            return true;
        }
        match essential(before, writes) {
            Essential::No => false,
            Essential::Ends => true,
            Essential::Token => room == Room::Reserved && self.takes(before),
        }
    }

    fn takes(&mut self, task: Option<&Task>) -> bool {
        // There is no token of a task that is not there.
        let Some(task) = task else {
            return false;
        };
        let owner = task.owner.workload.as_ref().unwrap_or(&task.server);
        let taken = self.tokens.entry(owner.spiffe_id.clone()).or_default();
        *taken = taken.saturating_add(1);
        *taken <= self.each_max
    }
}
