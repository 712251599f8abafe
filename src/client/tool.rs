//! The tool's side: `Check` before an effect, `Report` after it.
//!
//! Names `proto`. The one thing to know: an effect needs a [`Fresh`], and only a `Check` reply makes one. A
//! tool whose function takes a `Fresh` cannot be called without having asked.

use super::agent::Stub;
use super::call::ToolCall;
use super::error::ClientError;
use super::facts::{Refused, StepState, TaskFacts};
use super::header::Token;
use super::peer::PeerProof;
use crate::proto::v1::check_request::Operation;
use crate::proto::v1::check_response::Answer;
use crate::proto::v1::enforcement_client::EnforcementClient;
use crate::proto::v1::{self as proto, proof};
use std::time::{Duration, SystemTime};

/// What a tool asks of its agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tool(EnforcementClient<Stub>);

/// The answer to [`Tool::check`]. Only `Fresh` permits an effect.
#[derive(Clone, Debug)]
pub enum Checked {
    /// No.
    Denied(Refused),
    /// Yes, once: act now, then report.
    Fresh(Box<Fresh>),
    /// The token was used before; this is what became of the step. Do nothing.
    Repeat(StepState),
}

/// The right to one effect, now.
#[derive(Clone, Debug)]
pub struct Fresh {
    act_by_ms: u64,
    task: TaskFacts,
    step: proto::StepFacts,
    decision_id: String,
}

/// Names one attempt at an effect. Nothing can be done with it but report: a tool that keeps it, durably and before
/// the effect, can say after a restart what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The task.
    pub task_id: String,
    /// The step, from 1.
    pub step: u32,
    /// The fence of this attempt.
    pub fence: u64,
    /// ID of the token that was used (16 bytes).
    pub jti: Vec<u8>,
}

/// What became of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Done,
    /// It did not happen and will not: the step may be retried.
    NotDone,
    /// It cannot be told.
    Unknown,
}

impl Tool {
    pub(super) fn new(stub: Stub) -> Self {
        Self(EnforcementClient::new(stub))
    }

    /// The stub, for the feed of revocations.
    pub(super) fn stub(&self) -> EnforcementClient<Stub> {
        self.0.clone()
    }

    /// Asks whether this call, with this token on this connection, may take effect. Burns the token.
    ///
    /// `call` is what the tool was called with; its audience is the tool itself.
    ///
    /// # Errors
    /// See [`ClientError`]: there was no decision, so it is a no. A refusal is not an error but
    /// [`Checked::Denied`].
    pub async fn check(
        &self,
        token: &Token,
        peer: &PeerProof,
        call: ToolCall,
    ) -> Result<Checked, ClientError> {
        let request = proto::CheckRequest {
            token: token.expose().to_owned(),
            proof: Some(proof_of(peer)),
            principal: None,
            operation: Some(Operation::Step(call.into_proto())),
        };
        let reply = self.0.clone().check(request).await?.into_inner();
        let decision_id = reply.decision_id;
        match reply.answer.ok_or(ClientError::Reply("answer"))? {
            Answer::Fresh(fresh) => Ok(Checked::Fresh(Box::new(Fresh {
                act_by_ms: fresh.act_by_ms,
                task: TaskFacts::read(fresh.task)?,
                step: fresh.step.ok_or(ClientError::Reply("step"))?,
                decision_id,
            }))),
            Answer::Repeat(repeat) => StepState::read(repeat.state).map(Checked::Repeat),
            Answer::Denied(refused) => Ok(Checked::Denied(Refused::read(refused, decision_id))),
            Answer::Read(_) => Err(ClientError::Reply("answer to a step")),
        }
    }

    /// Reports what became of the effect. The same report may be repeated, also after the agent's restart.
    ///
    /// # Errors
    /// See [`ClientError`]; after [`ClientError::Unavailable`] report again, else the step stays unknown.
    pub async fn report(&self, fresh: &Fresh, outcome: Outcome) -> Result<StepState, ClientError> {
        self.report_begun(&fresh.begun(), outcome).await
    }

    /// As [`Tool::report`], for whoever kept no more than the effect's name: after a restart, most of all.
    ///
    /// # Errors
    /// As [`Tool::report`].
    pub async fn report_begun(
        &self,
        begun: &Begun,
        outcome: Outcome,
    ) -> Result<StepState, ClientError> {
        use proto::report_request::Outcome as Wire;
        let outcome = match outcome {
            Outcome::Done => Wire::Done,
            Outcome::NotDone => Wire::NotDone,
            Outcome::Unknown => Wire::Unknown,
        };
        let request = proto::ReportRequest {
            task_id: begun.task_id.clone(),
            step: begun.step,
            fence: begun.fence,
            jti: begun.jti.clone(),
            outcome: outcome.into(),
        };
        let reply = self.0.clone().report(request).await?.into_inner();
        StepState::read(reply.state)
    }
}

impl Fresh {
    /// The effect must begin before this time, in milliseconds since the Unix epoch, by the agent's clock.
    #[must_use]
    pub fn act_by_ms(&self) -> u64 {
        self.act_by_ms
    }

    /// Whether the effect may still begin at `now`. Ask again right before it, after any waiting.
    #[must_use]
    pub fn may_begin(&self, now: SystemTime) -> bool {
        now.duration_since(SystemTime::UNIX_EPOCH)
            .is_ok_and(|since| since < Duration::from_millis(self.act_by_ms))
    }

    /// Equal for every attempt at this step: give it to systems that recognise repeats.
    #[must_use]
    pub fn idempotency_key(&self) -> &[u8] {
        &self.step.idempotency_key
    }

    /// Grows with every leg and token of the task: refuse an effect with a lower one than the highest seen.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.step.fence
    }

    /// The place of the effect in the worker's program.
    #[must_use]
    pub fn step(&self) -> u32 {
        self.step.step
    }

    /// Names this attempt, for a report after a restart.
    #[must_use]
    pub fn begun(&self) -> Begun {
        Begun {
            task_id: self.task.task_id.clone(),
            step: self.step.step,
            fence: self.step.fence,
            jti: self.step.jti.clone(),
        }
    }

    /// SPIFFE ID of the worker.
    #[must_use]
    pub fn performer(&self) -> &str {
        &self.step.performer
    }

    /// On whose authority the step acts: authorise it as theirs, never as the worker's.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.step.subject
    }

    /// The task.
    #[must_use]
    pub fn task(&self) -> &TaskFacts {
        &self.task
    }

    /// For `handfast explain`.
    #[must_use]
    pub fn decision_id(&self) -> &str {
        &self.decision_id
    }
}

/// The proof that a token's key is on this connection.
pub(super) fn proof_of(peer: &PeerProof) -> proto::Proof {
    proto::Proof {
        proof: Some(proof::Proof::PeerCertificate(peer.certificate().to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fresh, TaskFacts};
    use crate::client::facts::{Assurance, TaskState};
    use crate::proto::v1 as proto;
    use std::time::{Duration, SystemTime};

    #[test]
    fn an_effect_begins_before_act_by_or_not_at_all() {
        let fresh = Fresh {
            act_by_ms: 5_000,
            task: TaskFacts {
                task_id: String::new(),
                state: TaskState::Working,
                owner: None,
                server: String::new(),
                ancestors: Vec::new(),
                assurance: Assurance::Process,
            },
            step: proto::StepFacts::default(),
            decision_id: String::new(),
        };
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        assert!(fresh.may_begin(at(4_999)));
        assert!(!fresh.may_begin(at(5_000)));
        assert!(!fresh.may_begin(SystemTime::UNIX_EPOCH - Duration::from_millis(1)));
    }
}
