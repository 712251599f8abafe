//! What a decision reads and what it writes: rows, as plain values.

use super::grant::{Grant, ToolCall};
use super::id::{Digest, Epoch, Fence, Jti, NameHash, SpiffeId, TaskId, Thumbprint};
use super::role::Role;
use super::step::{Step, TokenRecord};
use super::task::Task;
use super::time::Time;
use std::time::Duration;

/// Names the task whose rows a decision reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locator {
    /// The task that this name (server and handle) belongs to.
    Name(NameHash),
    /// The task that this create request made, by keyed digest of caller and `request_id`.
    Request(Digest),
    /// The task itself.
    Task(TaskId),
}

/// Which rows a decision reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Whose rows.
    pub locator: Locator,
    /// A settled step to read besides, by number.
    pub step: Option<super::id::StepNumber>,
    /// A token record to read besides, by fence.
    pub record: Option<Fence>,
    /// A name that is about to be bound: read who has it.
    pub name: Option<NameHash>,
}

impl Load {
    /// The task's own row, with its create terms.
    #[must_use]
    pub fn of(locator: Locator) -> Self {
        Self {
            locator,
            step: None,
            record: None,
            name: None,
        }
    }
}

/// Every row a decision reads. A commit holds only while all of them are still the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The task that the locator found, even where it has no rows yet.
    pub id: Option<TaskId>,
    /// The task.
    pub task: Option<Task>,
    /// The terms of its create token.
    pub terms: Option<CreateTerms>,
    /// The settled step asked for.
    pub step: Option<Step>,
    /// The token record asked for.
    pub record: Option<TokenRecord>,
    /// Who has the name asked for.
    pub named: Option<TaskId>,
}

/// What the owner asked for in `Requests.Issue(create)`: the create token's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTerms {
    /// The task to be.
    pub task: TaskId,
    /// The owner's workload.
    pub owner: Role,
    /// The server that may use the token.
    pub server: SpiffeId,
    /// The call that the token is good for.
    pub call: ToolCall,
    /// The grant asked for.
    pub asked: Grant,
    /// The performers named by the owner; empty leaves the choice to the server.
    pub performers: Vec<Role>,
    /// How long the task may live.
    pub lifetime: Duration,
    /// The token's `jti`.
    pub jti: Jti,
    /// Thumbprint of the owner's hand certificate.
    pub certificate: Thumbprint,
    /// When it was issued.
    pub issued_at: Time,
    /// When the token ends.
    pub expires_at: Time,
    /// The signing epoch.
    pub epoch: Epoch,
    /// Keyed digest of caller and `request_id`.
    pub request: Digest,
    /// When it was used.
    pub used_at: Option<Time>,
}

/// Rows to write; all or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// The task's row.
    pub task: Option<Task>,
    /// The create terms.
    pub terms: Option<CreateTerms>,
    /// Steps that are settled, or whose row changed after they were.
    pub steps: Vec<Step>,
    /// Token records.
    pub records: Vec<TokenRecord>,
    /// A name to bind to the task.
    pub bind: Option<NameHash>,
    /// A name to release.
    pub release: Option<NameHash>,
    /// A create request to remember.
    pub request: Option<(Digest, TaskId)>,
}

impl Writes {
    /// Whether nothing would change: such an answer needs no commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A decision's outcome: what to write and what to tell the caller once it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition<E> {
    /// Rows to write.
    pub writes: Writes,
    /// What follows.
    pub effect: E,
}

impl<E> Transition<E> {
    /// An answer that changes nothing.
    #[must_use]
    pub fn unchanged(effect: E) -> Self {
        Self {
            writes: Writes::default(),
            effect,
        }
    }
}

/// The circumstances of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The time.
    pub time: Time,
    /// The running epoch.
    pub epoch: Epoch,
    /// The configured times and counts.
    pub limits: &'a super::limits::Limits,
}
