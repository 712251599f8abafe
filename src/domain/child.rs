//! Child grants: what a leg holder has cut out of its task's grant for one task to be.
//!
//! A child is a grant, not a task: it is spent by a `create` at its server. Until then it is a row that names
//! who may spend it, on what, and until when; with a dead line it is worth nothing.

use super::grant::{Authority, Grant, Permission};
use super::id::{Digest, Fence, LegNumber, SpiffeId, TaskId};
use super::role::Role;
use super::time::Time;

/// A grant for one task to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildGrant {
    /// The task to be.
    pub id: TaskId,
    /// The task that it was spawned from.
    pub parent: TaskId,
    /// Root of the task tree (N8).
    pub txn: TaskId,
    /// From which of the parent's grants it was cut.
    pub authority: Authority,
    /// On whose authority its steps act (N8): that of the parent's steps under the same grant.
    pub subject: SpiffeId,
    /// Who may spend it.
    pub spender: Role,
    /// The `create` that it is good for.
    pub call: Permission,
    /// What the task's steps may be permitted at most. Its end is the task's too.
    pub asked: Grant,
    /// Who made it.
    pub maker: SpiffeId,
    /// The leg that made it.
    pub leg: LegNumber,
    /// That leg's fence.
    pub fence: Fence,
    /// When it was made.
    pub made_at: Time,
    /// When it was spent.
    pub spent_at: Option<Time>,
    /// When an operator revoked it, unspent.
    pub revoked_at: Option<Time>,
}

impl ChildGrant {
    /// When it ends, spent or not.
    #[must_use]
    pub fn ends_at(&self) -> Time {
        // INVARIANT: `Grant::narrow` gives every child an end; one without would be over at once.
        self.asked.not_after.unwrap_or_default()
    }
}

/// What one request spawned, so that a repeat gets the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawned {
    /// The task that they were spawned from.
    pub parent: TaskId,
    /// Keyed digest of the calling process and its `request_id`.
    pub request: Digest,
    /// SHA-256 of what was asked: a repeat must ask for the same.
    pub asked: Digest,
    /// The children, in the order in which they were asked for.
    pub children: Vec<TaskId>,
}
