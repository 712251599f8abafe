//! What the configuration tells the service, as valid values.

use crate::domain::evidence::{Releases, Required};
use crate::domain::id::SpiffeId;
use crate::domain::limits::Limits;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A `[[workload]]` row: what a SPIFFE ID must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadRow {
    /// User, cgroup and executable.
    pub required: Required,
    /// Pin the one live process as owner or server of a task.
    pub process: bool,
}

/// A principal as the server verified it. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Vouched {
    /// `iss` of the OAuth token.
    pub issuer: String,
    /// `sub` of the OAuth token.
    pub subject: String,
}

impl std::fmt::Debug for Vouched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vouched(…)")
    }
}

/// Settings of the service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Times and counts of the rules.
    pub limits: Limits,
    /// What each configured SPIFFE ID must show.
    pub workloads: BTreeMap<SpiffeId, WorkloadRow>,
    /// The executables that count as one program, by name.
    pub releases: Releases,
    /// Workloads through which people decide; each has a row above that names a user or a cgroup.
    pub approvers: BTreeSet<SpiffeId>,
    /// A leg without a `Hold` stream and without a step for this long ends.
    pub lease_idle: Duration,
    /// How long after readiness a suspended leg waits for its process.
    pub reattach_window: Duration,
    /// How often the entitlement of a live leg's process is asked about again.
    pub reattest_interval: Duration,
    /// How often clocks are swept into the ledger.
    pub sweep_interval: Duration,
    /// A worker is told this long before its task's deadline.
    pub deadline_notice: Duration,
    /// Requests per second and burst of one process.
    pub rate_per_process: (u32, u32),
    /// Requests per second and burst of one user ID, or of one remote SPIFFE ID.
    pub rate_per_uid: (u32, u32),
    /// The most callers whose rates are kept.
    pub rate_callers_max: usize,
    /// Equal refusals and reads within this time share one audit record.
    pub fold_window: Duration,
    /// The most records that are being folded at a time.
    pub fold_entries_max: usize,
    /// The most legs that are up on this agent.
    pub legs_max: usize,
    /// The most `Hold` streams of one leg.
    pub holds_per_leg_max: usize,
    /// Events that wait in one `Hold` stream before it is closed.
    pub hold_queue_max: usize,
    /// The most `Watch` streams.
    pub watches_max: usize,
    /// The most `Watch` streams of one user.
    pub watches_per_uid_max: usize,
    /// How often an enforcement point hears that the feed of revocations is there.
    pub revocation_heartbeat: Duration,
    /// The most subscriptions to that feed; half of them for all workloads elsewhere together.
    pub revocation_subscribers_max: usize,
    /// The most of one user, or of one remote SPIFFE ID.
    pub revocation_subscribers_per_uid_max: usize,
    /// Events that wait for one subscriber before its stream is closed.
    pub revocation_notices_max: usize,
    /// Revocations whose receipt is remembered.
    pub receipts_max: usize,
    /// Children of one `Spawn` that its audit record names.
    pub children_named_max: usize,
    /// Refusals of one user that are told apart by process and task at a time.
    pub fold_denials_per_uid_max: usize,
}
