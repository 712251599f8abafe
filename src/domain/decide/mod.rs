//! The decisions: each a pure function of rows, role, policy's permit and time.
//!
//! Every function takes the proofs it depends on as values ([`Held`](super::role::Held),
//! [`Permit`](super::policy::Permit)) and returns what to write and what to say, or a
//! [`Reason`]. Nothing here is durable or signed yet.

pub mod approval;
pub mod check;
mod child;
pub mod create;
pub mod end;
pub mod handover;
pub mod input;
pub mod leg;
pub mod order;
pub mod owner;
pub mod report;
pub mod sequence;
pub mod spawn;
pub mod step;

use super::claims::{Operation, TokenClaims};
use super::denial::Reason;
use super::evidence::ProcessKey;
use super::id::{DelegationNumber, NameHash, StepNumber, Thumbprint};
use super::lineage::{Lineage, Now};
use super::step::{Circumstances, Step, StepState};
use super::task::{Task, TaskState};
use super::time::Time;

/// A verified token and the certificate of the connection that carried it.
#[derive(Clone, Debug)]
pub struct Presented {
    /// What the token says; its signature and times were verified by the token room.
    pub claims: TokenClaims,
    /// Thumbprint of the peer certificate of that connection.
    pub certificate: Thumbprint,
}

impl Presented {
    /// Checks what every token must show besides its signature: key, operation and time.
    ///
    /// # Errors
    /// The first thing that is not as the token says.
    fn check(&self, operations: &[Operation], now: &Now<'_>) -> Result<(), Reason> {
        if self.claims.certificate != self.certificate {
            return Err(Reason::Certificate);
        }
        if !operations.contains(&self.claims.operation) {
            return Err(Reason::TokenInvalid("operation"));
        }
        if self.claims.epoch != now.epoch {
            return Err(Reason::TokenInvalid("epoch"));
        }
        if now.time.reached(self.claims.expires_at) {
            return Err(Reason::TokenExpired);
        }
        Ok(())
    }

    /// Checks that the token is bound to this name.
    fn names(&self, name: NameHash) -> Result<(), Reason> {
        if self.claims.name == Some(name) {
            Ok(())
        } else {
            Err(Reason::TokenInvalid("name"))
        }
    }
}

impl Lineage {
    /// The task, if it exists and is not yet forgotten.
    ///
    /// # Errors
    /// [`Reason::Unknown`], alike for both.
    pub fn known(&self, now: &Now<'_>) -> Result<&Task, Reason> {
        self.task
            .as_ref()
            .filter(|task| !task.forgotten(now))
            .ok_or(Reason::Unknown)
    }

    /// Refuses a delegate whose process lost a leg of the line to a takeover: what was taken from it, it does not do by
    /// other hands or words. It may still look, and end what it was lent to end. An owner is nobody's delegate.
    ///
    /// # Errors
    /// [`Reason::TakenOver`].
    fn hears(
        &self,
        delegation: Option<DelegationNumber>,
        process: Option<ProcessKey>,
    ) -> Result<(), Reason> {
        let barred = process.is_some_and(|process| self.bars(&process));
        if delegation.is_some() && barred {
            return Err(Reason::TakenOver);
        }
        Ok(())
    }

    /// The step of this number as last written, pending or settled.
    #[must_use]
    pub fn written_step(&self, number: StepNumber) -> Option<&Step> {
        let pending = self.task.as_ref().and_then(|task| task.pending.as_ref());
        pending
            .into_iter()
            .chain(&self.step)
            .find(|step| step.number == number)
    }
}

impl Task {
    /// Whether its retention is over: then it answers like a task that never was.
    #[must_use]
    pub fn forgotten(&self, now: &Now<'_>) -> bool {
        self.ended_by(now.time)
            .is_some_and(|at| now.time.reached(at.after(now.limits.retention)))
    }

    /// The circumstances in which this task's steps are judged.
    #[must_use]
    pub fn circumstances(&self, now: &Now<'_>) -> Circumstances {
        Circumstances {
            now: now.time,
            epoch: now.epoch,
            grace: now.limits.act_by_grace,
            leg: self.live_leg(now.epoch).map(|leg| (leg.number, leg.fence)),
        }
    }

    /// The pending step and its state now.
    #[must_use]
    pub fn pending_at(&self, now: &Now<'_>) -> Option<(&Step, StepState)> {
        let at = self.circumstances(now);
        self.pending.as_ref().map(|step| (step, step.state_at(&at)))
    }

    /// Refuses whatever needs a runnable task.
    pub(super) fn runnable(&self, now: Time) -> Result<(), Reason> {
        match self.state_at(now) {
            TaskState::InputRequired | TaskState::Working => Ok(()),
            ended @ (TaskState::Cancelled
            | TaskState::Completed
            | TaskState::Expired
            | TaskState::Failed) => Err(Reason::Terminal(ended)),
        }
    }

    /// Puts the task into a terminal state: its leg ends and its tokens die with it.
    fn finish(&mut self, state: TaskState, at: Time) {
        self.state = state;
        self.ended_at = Some(at);
        self.leg = None;
        self.inputs.clear();
    }

    /// Raises the fence and returns it.
    fn raise(&mut self) -> super::id::Fence {
        self.fence = self.fence.next();
        self.fence
    }
}
