//! A task, its leg, and the step that is not settled: everything in one ledger row.

use super::barred::Takeovers;
use super::claims::Subject;
use super::delegation::Delegation;
use super::evidence::ProcessKey;
use super::grant::{Authority, Grant, Permission, ToolCall};
use super::id::{
    DelegationNumber, Epoch, Fence, LegNumber, NameHash, SpiffeId, StepNumber, TaskId, Thumbprint,
};
use super::input::Input;
use super::lineage::Now;
use super::role::{Owner, Role};
use super::step::{Skipped, Step};
use super::time::Time;

/// Where a task is in its life. After a terminal state nothing acts (invariant 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskState {
    /// Terminal: cancelled by its owner, an operator, or because it was never claimed.
    Cancelled,
    /// Terminal: finished well.
    Completed,
    /// Terminal: its deadline passed. Shows as MCP `failed`.
    Expired,
    /// Terminal: finished badly.
    Failed,
    /// Runnable, but waits for an answer: no new step is issued. Shows as MCP `input_required`.
    InputRequired,
    /// Runnable.
    Working,
}

impl TaskState {
    /// Whether nothing may act any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::InputRequired | Self::Working)
    }
}

/// One asynchronous MCP operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Internal identifier.
    pub id: TaskId,
    /// Root of the task tree (`txn`); equal to `id` for a root.
    pub txn: TaskId,
    /// The task that it was spawned from; `None` for a root.
    pub parent: Option<TaskId>,
    /// Who spawned it; `None` for a root.
    pub spawned_by: Option<SpiffeId>,
    /// On whose authority steps under `asked` act, where it is not the owner's: a child's owner spends a
    /// grant that it did not give.
    pub subject: Option<SpiffeId>,
    /// When `Tasks.Create` was committed.
    pub created_at: Time,
    /// For whom it was created.
    pub owner: Owner,
    /// The MCP server that created it.
    pub server: Role,
    /// Who may carry it out.
    pub performers: Vec<Role>,
    /// What its owner handed over, and to whom, in the order of their numbers.
    pub delegations: Vec<Delegation>,
    /// What was taken over: those processes start no other leg.
    pub takeovers: Takeovers,
    /// The call that created it, copied from the create token (invariant 8).
    pub call: ToolCall,
    /// What the owner asked for; steps under it have `sub` = owner.
    pub asked: Grant,
    /// What the server added of its own; steps under it have `sub` = server.
    pub own: Grant,
    /// State as last written. Ask [`Task::state_at`], which also judges the clocks.
    pub state: TaskState,
    /// What the task waits for. `InputRequired` while one of them is open.
    pub inputs: Vec<Input>,
    /// When it stops being runnable.
    pub deadline: Time,
    /// Cancelled at this time unless its owner asked about it before.
    pub claim_by: Time,
    /// When its owner first asked about it.
    pub claimed_at: Option<Time>,
    /// When its owner was last seen: to a part of `owner_seen_max`, so that a poll costs no row.
    pub owner_seen_at: Time,
    /// When a terminal state was written.
    pub ended_at: Option<Time>,
    /// Keyed digest of (server, handle).
    pub name: NameHash,
    /// The highest fence ever given out.
    pub fence: Fence,
    /// How many legs there have been.
    pub legs: LegNumber,
    /// The live or suspended leg.
    pub leg: Option<Leg>,
    /// The highest step that was ever issued.
    pub last_step: StepNumber,
    /// The step whose token is issued or used, or whose outcome is unknown. At most one.
    pub pending: Option<Step>,
    /// Steps below `last_step` that are neither done nor pending.
    pub open_steps: Vec<StepNumber>,
    /// Steps below `last_step` whose outcome nobody knows and that the task went on past.
    pub skipped_steps: Vec<Skipped>,
    /// How many children were ever spawned from it.
    pub spawned: u32,
    /// Cancel, update and order tokens issued since `owner_tokens_from`, by weight.
    pub owner_tokens: u32,
    /// When the count of owner tokens began anew; it does so after the life of a token.
    pub owner_tokens_from: Time,
}

impl Task {
    /// What a delegation of this task lends of its owner's grant.
    #[must_use]
    pub fn lent_by<'a>(&'a self, delegation: &'a Delegation) -> &'a [Permission] {
        let part = delegation.permissions.as_ref();
        part.unwrap_or(&self.asked.permissions)
    }

    /// The state now: a deadline or a missed claim counts from its moment on, written or not.
    #[must_use]
    pub fn state_at(&self, now: Time) -> TaskState {
        match self.end(now) {
            Some((_, state)) => state,
            None if self.inputs.iter().any(|input| input.is_open(now)) => TaskState::InputRequired,
            None => TaskState::Working,
        }
    }

    /// When and how it ended, if it has by now: as written, or by the clock that ran out first. What one
    /// clock has ended another one does not end again, however late it is written.
    fn end(&self, now: Time) -> Option<(Time, TaskState)> {
        let over = (self.deadline, TaskState::Expired);
        let unclaimed = (self.claim_by, TaskState::Cancelled);
        if self.state.is_terminal() {
            let (by_clock, _) = if self.state == TaskState::Expired {
                over
            } else {
                unclaimed
            };
            return Some((self.ended_at.unwrap_or(by_clock), self.state));
        }
        let unclaimed = Some(unclaimed).filter(|_| self.claimed_at.is_none());
        [Some(over), unclaimed]
            .into_iter()
            .flatten()
            .filter(|(at, _)| now.reached(*at))
            .min_by_key(|(at, _)| *at)
    }

    /// Waits for one more thing.
    pub(super) fn wait_for(&mut self, input: Input, now: Time) {
        self.inputs.push(input);
        self.wait_on(now, |_| true);
    }

    /// Goes on waiting for what is open and kept, and for nothing else.
    pub(super) fn wait_on(&mut self, now: Time, keep: impl Fn(&Input) -> bool) {
        self.inputs
            .retain(|input| input.is_open(now) && keep(input));
        self.state = self.state_at(now);
    }

    /// Notes that its owner is here, unless it is somebody else who asks.
    pub(super) fn sees_owner(&mut self, unseen: bool, now: Time) {
        if !unseen {
            self.owner_seen_at = self.owner_seen_at.max(now);
        }
    }

    /// What an owner's question is written down as: the first claims the task, and a later one is a sign of the owner
    /// where it was not seen for a while. `None` where nothing changes.
    pub(super) fn asked_about(&self, unseen: bool, now: &Now<'_>) -> Option<Self> {
        let away = now.time.since(self.owner_seen_at);
        let sighting = !unseen && away >= now.limits.sighting();
        if self.state_at(now.time).is_terminal() || (self.claimed_at.is_some() && !sighting) {
            return None;
        }
        let mut next = self.clone();
        next.claimed_at = next.claimed_at.or(Some(now.time));
        next.sees_owner(unseen, now.time);
        Some(next)
    }

    /// When it ended, if it has by now: as written, or at the moment that the clock decided.
    #[must_use]
    pub fn ended_by(&self, now: Time) -> Option<Time> {
        self.end(now).map(|(at, _)| at)
    }

    /// On whose authority a grant of this task permits anything; `None` where nobody lends it.
    #[must_use]
    pub fn subject(&self, authority: Authority) -> Option<Subject> {
        let owner = self.owner.workload.as_ref().map(|role| &role.spiffe_id);
        let lender = match authority {
            Authority::Asked => self.subject.as_ref().or(owner),
            Authority::Own => Some(&self.server.spiffe_id),
        };
        lender.cloned().map(Subject::Workload)
    }

    /// One of its grants.
    #[must_use]
    pub fn grant(&self, authority: Authority) -> &Grant {
        match authority {
            Authority::Asked => &self.asked,
            Authority::Own => &self.own,
        }
    }

    /// One of its grants, to take from it.
    pub fn grant_mut(&mut self, authority: Authority) -> &mut Grant {
        match authority {
            Authority::Asked => &mut self.asked,
            Authority::Own => &mut self.own,
        }
    }

    /// The leg, if it is up in this epoch.
    #[must_use]
    pub fn live_leg(&self, epoch: Epoch) -> Option<&Leg> {
        self.leg.as_ref().filter(|leg| leg.epoch == epoch)
    }
}

/// The exclusive right of one live process to carry out the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Counted from 1 within the task; kept over re-attachment.
    pub number: LegNumber,
    /// The performer role under which it was started.
    pub performer: SpiffeId,
    /// The delegation under which it was started; `None` for a performer of the task itself.
    pub delegation: Option<DelegationNumber>,
    /// The process that holds it.
    pub holder: ProcessKey,
    /// Effective user ID of the holder when it started.
    pub uid: Option<u32>,
    /// Thumbprint of the leg certificate.
    pub certificate: Thumbprint,
    /// When the leg certificate ends.
    pub certificate_ends: Time,
    /// The fence of the last start or re-attachment; tokens at or below it are void.
    pub fence: Fence,
    /// The agent run in which it was last up. In a later epoch the leg is suspended.
    pub epoch: Epoch,
    /// When it started.
    pub started_at: Time,
}
