//! Readiness: a set of named guards, all of which must be open.

use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// What must hold before the agent is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// SPIRE answers about processes.
    Attestation,
    /// The agent has a usable SVID.
    Identity,
    /// The ledger is open and what an earlier run left is taken up.
    Ledger,
    /// The ledger has room for more than endings.
    Space,
}

impl Guard {
    /// What an operator reads while it is shut.
    #[must_use]
    pub fn waits_for(self) -> &'static str {
        match self {
            Self::Attestation => "waits for SPIRE to say who this agent's own process is",
            Self::Identity => "waits for an SVID from the Workload API",
            Self::Ledger => "waits for the ledger",
            Self::Space => "the ledger is full: only cancel, revoke and the like are recorded",
        }
    }
}

/// The guards that are still shut.
#[derive(Clone, Debug)]
pub struct Readiness {
    shut: Arc<watch::Sender<BTreeSet<Guard>>>,
}

impl Readiness {
    pub(super) fn new() -> Self {
        let all = BTreeSet::from([
            Guard::Attestation,
            Guard::Identity,
            Guard::Ledger,
            Guard::Space,
        ]);
        Self {
            shut: Arc::new(watch::Sender::new(all)),
        }
    }

    pub(super) fn open(&self, guard: Guard) {
        self.shut.send_if_modified(|shut| shut.remove(&guard));
    }

    pub(super) fn close(&self, guard: Guard) {
        self.shut.send_if_modified(|shut| shut.insert(guard));
    }

    /// The guards that are shut now; empty when ready.
    #[must_use]
    pub fn shut(&self) -> Vec<Guard> {
        self.shut.borrow().iter().copied().collect()
    }

    /// Follows every change; the value is the set of guards that are shut.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<BTreeSet<Guard>> {
        self.shut.subscribe()
    }
}
