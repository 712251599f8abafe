//! What a decision reads and what it writes: rows, as plain values.

use super::approval::{Account, Approval};
use super::child::{ChildGrant, Spawned};
use super::evidence::ProcessKey;
use super::grant::{Grant, ToolCall};
use super::id::{
    Digest, Epoch, Fence, Jti, NameHash, PrincipalHash, SpiffeId, StepNumber, TaskId, Thumbprint,
};
use super::revocation::{Ending, Revocations};
use super::role::Role;
use super::step::{Step, TokenRecord};
use super::task::{Leg, Task, TaskState};
use super::time::Time;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The most ancestors of a task. A chain that is longer, or broken, is dead.
pub const DEPTH_MAX: usize = 16;

/// Names the task whose rows a decision reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locator {
    /// The task that this name (server and handle) belongs to.
    Name(NameHash),
    /// None: what is revoked, and nothing else.
    Nothing,
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
    pub step: Option<StepNumber>,
    /// A token record to read besides, by fence.
    pub record: Option<Fence>,
    /// A name that is about to be bound: read who has it.
    pub name: Option<NameHash>,
    /// The request for approval of this step to read besides.
    pub approval: Option<StepNumber>,
    /// Whether to read what the task's owner has asked of people.
    pub account: bool,
    /// A child grant that is about to be spent; without one, that of the task itself, if it was spawned.
    pub child: Option<TaskId>,
    /// A request that may have spawned children of the task before.
    pub spawned: Option<Digest>,
    /// The owner of a task that is about to be made: read how many it has.
    pub tasks_of: Option<NewOwner>,
}

/// Who owns a task that is about to be made: the workload of its create terms, if there are any, and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOwner {
    /// The principal that the server vouches for.
    pub principal: Option<PrincipalHash>,
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
            approval: None,
            account: false,
            tasks_of: None,
            child: None,
            spawned: None,
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
    /// The tasks that it, or the child grant where there is no task yet, descends from, nearest first: at
    /// most [`DEPTH_MAX`] and as far as they exist.
    pub ancestors: Vec<Task>,
    /// The child grant asked for, or the one that the task was made of.
    pub child: Option<ChildGrant>,
    /// What the request asked for has spawned.
    pub spawned: Option<Spawned>,
    /// The terms of its create token.
    pub terms: Option<CreateTerms>,
    /// The settled step asked for.
    pub step: Option<Step>,
    /// The token record asked for.
    pub record: Option<TokenRecord>,
    /// Who has the name asked for.
    pub named: Option<TaskId>,
    /// The request for approval asked for.
    pub approval: Option<Approval>,
    /// What the task's owner has asked of people.
    pub account: Option<Account>,
    /// How many tasks of the owner asked for have not ended, as written.
    pub owner_tasks: u64,
    /// The tasks of the requests that the account calls open.
    pub owing: Vec<Task>,
    /// What is revoked: read by every decision, so that no commit overtakes a revocation.
    pub revocations: Arc<Revocations>,
}

impl Lineage {
    /// The rows as their whole line and what is revoked make them: a task whose ancestor has ended, or is
    /// missing, is cancelled from that moment on, whatever its own row says (a dead ancestor is a dead child);
    /// so is one that is revoked. A leg of a revoked ID, or of a process
    /// from which an ancestor was taken over, is gone; a delegation that has run out is over, with the
    /// leg under it.
    ///
    /// Every decision is made on this view, so ending a tree, or everything of a workload, writes one row.
    #[must_use]
    pub fn as_of(&self, now: Time) -> Cow<'_, Self> {
        let dead_since = self.dead_since(now);
        let Some(task) = self.task.as_ref().filter(|task| {
            dead_since.is_some()
                || self.leg_is_lost(task)
                || task.delegations_ran_out(now, &self.revocations)
        }) else {
            return Cow::Borrowed(self);
        };
        let mut task = task.clone();
        if let Some(dead_since) = dead_since {
            task.state = TaskState::Cancelled;
            task.ended_at = Some(dead_since);
            task.leg = None;
        }
        if self.leg_is_lost(&task) {
            task.leg = None;
        }
        task.end_delegations(now, &self.revocations);
        Cow::Owned(Self {
            task: Some(task),
            ..self.clone()
        })
    }

    /// The task and those that it descends from, nearest first.
    pub fn line(&self) -> impl Iterator<Item = &Task> {
        self.task.iter().chain(&self.ancestors)
    }

    /// The root of the line, as far as it exists.
    #[must_use]
    pub fn root(&self) -> Option<&Task> {
        self.line().last()
    }

    /// Whether nothing was seen of the tree's owner for too long.
    #[must_use]
    pub fn owner_is_away(&self, now: &Now<'_>) -> bool {
        self.root().is_some_and(|root| {
            let until = root.owner_seen_at.after(now.limits.owner_seen_max);
            now.time.reached(until)
        })
    }

    /// The child grant that the task would be made of, and that nobody has spent.
    #[must_use]
    pub fn unspent(&self) -> Option<&ChildGrant> {
        let child = self
            .child
            .as_ref()
            .filter(|child| self.id == Some(child.id));
        child.filter(|child| self.task.is_none() && child.spent_at.is_none())
    }

    /// Whether a process lost a leg of the line to a takeover.
    #[must_use]
    pub fn bars(&self, process: &ProcessKey) -> bool {
        self.line().any(|task| task.takeovers.bar(process))
    }

    /// Whether a leg is over by a revocation, or by a takeover further up.
    fn leg_is_lost(&self, task: &Task) -> bool {
        let leg = task.leg.as_ref();
        let barred = |leg: &Leg| {
            let mut up = self.ancestors.iter();
            up.any(|ancestor| ancestor.takeovers.bar(&leg.holder))
        };
        leg.is_some_and(|leg| self.revocations.ends_leg(leg) || barred(leg))
    }

    /// Since when a task is dead by its line, or revoked, unless it had ended by itself before.
    fn dead_since(&self, now: Time) -> Option<Time> {
        let task = self.task.as_ref().filter(|it| !it.state.is_terminal())?;
        let own = task.ended_by(now);
        self.revocations
            .ended_since(task)
            .into_iter()
            .chain(self.line_dead_since(task.parent, now))
            .min()
            .filter(|since| own.is_none_or(|own| *since < own))
    }

    /// Since when the line of a task with this parent is dead.
    fn line_dead_since(&self, parent: Option<TaskId>, now: Time) -> Option<Time> {
        let ended = self
            .ancestors
            .iter()
            .filter_map(|ancestor| ancestor.ended_by(now))
            .chain(
                self.ancestors
                    .iter()
                    .filter_map(|ancestor| self.revocations.ended_since(ancestor)),
            )
            .min();
        let next = self
            .ancestors
            .last()
            .map_or(parent, |ancestor| ancestor.parent);
        // Forgotten, or further away than any task may be: nobody knows since when.
        let broken = next.is_some().then_some(now);
        ended.or(broken)
    }

    /// Whether a child grant can still be spent: not once its line is dead, its own end has come, it was revoked,
    /// its maker or spender was after it was made, or the leg that made it was taken over.
    #[must_use]
    pub fn child_is_alive(&self, child: &ChildGrant, now: Time) -> bool {
        let mut up = self.ancestors.iter();
        let parent = up.find(|task| task.id == child.parent);
        !now.reached(child.ends_at())
            && child.revoked_at.is_none()
            && self.line_dead_since(Some(child.parent), now).is_none()
            && !self.revocations.ends_child(child)
            && !parent.is_some_and(|parent| parent.takeovers.ended(child.leg))
    }
}

/// What the owner asked for in `Requests.Issue(create)`: the create token's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTerms {
    /// The task to be.
    pub task: TaskId,
    /// The owner's workload.
    pub owner: Role,
    /// The process that asked, where it spends a child grant.
    pub spender: Option<ProcessKey>,
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
    /// Child grants: made, or spent.
    pub children: Vec<ChildGrant>,
    /// What a request has spawned.
    pub spawned: Option<Spawned>,
    /// A name to bind to the task, beside those that it has: a name stays a task's until it is forgotten.
    pub bind: Option<NameHash>,
    /// A create request to remember.
    pub request: Option<(Digest, TaskId)>,
    /// A request for approval.
    pub approval: Option<Approval>,
    /// What the task's owner has asked of people.
    pub account: Option<Account>,
    /// What is revoked from now on.
    pub revocations: Option<Arc<Revocations>>,
    /// The work that this ends, for whoever carries it out.
    pub ending: Option<Ending>,
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

    /// The same writes with another answer.
    pub fn map<F>(self, answer: impl FnOnce(E) -> F) -> Transition<F> {
        Transition {
            writes: self.writes,
            effect: answer(self.effect),
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
