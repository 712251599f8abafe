//! A step and the token records: what was issued, used, and how it ended.

use super::evidence::ProcessKey;
use super::grant::{Authority, ToolCall};
use super::id::{
    DelegationNumber, Digest, Epoch, Fence, Jti, LegNumber, SpiffeId, StepNumber, TaskId,
    Thumbprint,
};
use super::order::Order;
use super::time::Time;

/// Where the newest token of a step is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StepState {
    /// A token is out and unused.
    Issued,
    /// Its audience said `fresh` is what it got; the effect may be happening until `act_by`.
    Used,
    /// The effect happened.
    Done,
    /// The effect did not happen; a retry is allowed.
    NotDone,
    /// Nobody knows; a blind retry is refused.
    Unknown,
    /// The token was lost, expired or overtaken before it was used.
    Void,
}

/// One logical effect, numbered by the worker; it keeps its number over every retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The worker's number of it.
    pub number: StepNumber,
    /// What is called.
    pub call: ToolCall,
    /// Under which of the task's grants it was begun, and so on whose authority it acts.
    pub authority: Authority,
    /// H(task, number, audience, tool, arguments): equal over retries.
    pub idempotency_key: Digest,
    /// The fence of its newest token: names the token record.
    pub fence: Fence,
    /// State as last written. Ask [`Step::state_at`], which also judges clock, leg and epoch.
    pub state: StepState,
    /// Whether any token of it was ever used; from then on its call is fixed.
    pub ever_used: bool,
    /// The leg that got the newest token.
    pub leg: LegNumber,
    /// The epoch that signed the newest token.
    pub epoch: Epoch,
    /// When the newest token ends.
    pub expires_at: Time,
    /// Until when a used token's effect may begin.
    pub act_by: Option<Time>,
    /// Keyed digest of the request that got the newest token, for repeats.
    pub request: Digest,
}

/// A step whose outcome nobody knows and that its task went on past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its number.
    pub number: StepNumber,
    /// What was called: asked for under another number it would be a blind retry.
    pub call: ToolCall,
}

/// The circumstances in which a step or record is judged.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The time.
    pub now: Time,
    /// The running epoch.
    pub epoch: Epoch,
    /// How long after `act_by` a missing report counts as unknown, in milliseconds.
    pub grace: std::time::Duration,
    /// The live leg's number and the fence from which its tokens count, if there is a live leg.
    pub leg: Option<(LegNumber, Fence)>,
}

impl Step {
    /// Whether a used token's effect may still begin, whoever has lost sight of it.
    #[must_use]
    pub fn may_begin(&self, at: &Circumstances) -> bool {
        let over = |by: Time| at.now.reached(by.after(at.grace));
        self.ever_used && self.act_by.is_some_and(|by| !over(by))
    }

    /// The state now: an unused token dies with its time, its leg or its epoch; a used one becomes
    /// unknown after its epoch or `act_by` and grace. Judged at every touch, so nothing needs a sweep.
    #[must_use]
    pub fn state_at(&self, at: &Circumstances) -> StepState {
        match self.state {
            StepState::Issued => {
                let leg_alive = at
                    .leg
                    .is_some_and(|(number, floor)| number == self.leg && self.fence > floor);
                if self.epoch == at.epoch && leg_alive && !at.now.reached(self.expires_at) {
                    StepState::Issued
                } else {
                    StepState::Void
                }
            }
            StepState::Used => {
                let over = self
                    .act_by
                    .is_none_or(|by| at.now.reached(by.after(at.grace)));
                if over || self.epoch != at.epoch {
                    StepState::Unknown
                } else {
                    StepState::Used
                }
            }
            settled @ (StepState::Done
            | StepState::NotDone
            | StepState::Unknown
            | StepState::Void) => settled,
        }
    }
}

/// What an effectful token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// End the task; its use is the transition.
    Cancel,
    /// Have this carried out for an owner that acts for a user; its use is the transition.
    Order(Box<Order>),
    /// Carry out the step with this number.
    Step(StepNumber),
    /// Answer what the task waits for; its use is the transition.
    Update,
}

/// The row without which a signature is an alarm (invariant 5). Keyed by (task, fence).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The task.
    pub task: TaskId,
    /// Names the record within the task.
    pub fence: Fence,
    /// The token's `jti`.
    pub jti: Jti,
    /// What it is for.
    pub purpose: Purpose,
    /// Of an owner token: the delegation by which it was issued; `None` for the owner's own. It works by no other.
    pub delegation: Option<DelegationNumber>,
    /// Of an owner token: the process that it was issued to. At `Check` only the token is seen.
    pub process: Option<ProcessKey>,
    /// The one audience.
    pub audience: SpiffeId,
    /// Thumbprint of the certificate that it is bound to.
    pub certificate: Thumbprint,
    /// When it ends.
    pub expires_at: Time,
    /// When it was used.
    pub used_at: Option<Time>,
}
