//! The worker's side: take a work reference from a queue, hold the leg, ask for each step.
//!
//! Names `proto`. The one thing to know: a leg belongs to this process and this hand. Keep a [`Hold`] open
//! while you work, and stop at once when it says anything but [`HoldKind::Holding`].

use super::agent::{RequestId, Stub};
use super::call::ToolCall;
use super::error::ClientError;
use super::facts::{StepState, TaskState};
use super::hand::Hand;
use super::header::Token;
use crate::proto::v1 as proto;
use crate::proto::v1::legs_client::LegsClient;
use std::time::Duration;
use tonic::Streaming;

/// What a worker asks of its agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Worker(LegsClient<Stub>);

/// The exclusive right of this process to carry a task out.
#[derive(Clone, Debug)]
pub struct Leg {
    stub: LegsClient<Stub>,
    /// The task.
    pub task_id: String,
    /// The leg's number within the task, from 1.
    pub number: u32,
    /// The fence of this start.
    pub fence: u64,
    /// Whether this process had the leg already, before the agent restarted.
    pub reattached: bool,
    /// The highest step that was ever issued; 0 for none.
    pub last_step: u32,
    /// Earlier steps that are not done.
    pub open: Vec<OpenStep>,
    /// When the task ends, in milliseconds since the Unix epoch.
    pub deadline_ms: u64,
    /// Without a hold and without a step the leg ends after this time.
    pub lease_idle: Duration,
    /// For `handfast explain`.
    pub decision_id: String,
}

/// An earlier step that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenStep {
    /// Its number.
    pub step: u32,
    /// What became of it.
    pub state: StepState,
}

/// The answer to [`Leg::issue`].
#[derive(Clone, Debug)]
pub enum StepIssued {
    /// The step needs no token: it is done, or it is running.
    Already(StepState),
    /// A person is asked first. Keep the [`Hold`] open and ask again for the same step.
    Pending(PendingApproval),
    /// Call the tool with this.
    Token(StepToken),
}

/// A person is asked for consent to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingApproval {
    /// Names the request, for people.
    pub approval_id: String,
    /// Nobody can decide at or after this time, in milliseconds since the Unix epoch.
    pub decide_by_ms: u64,
    /// For `handfast explain`.
    pub decision_id: String,
}

/// A token for one call of one tool, on connections that show the leg's hand.
#[derive(Clone, Debug)]
pub struct StepToken {
    /// The token.
    pub token: Token,
    /// When it ends, in milliseconds since the Unix epoch; exclusive.
    pub expires_at_ms: u64,
    /// Its fence.
    pub fence: u64,
    /// Equal for every attempt at this step.
    pub idempotency_key: Vec<u8>,
    /// For `handfast explain`.
    pub decision_id: String,
}

/// How a worker ends its leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedLeg {
    /// The task is done.
    Completed,
    /// The task cannot be done.
    Failed,
    /// Another worker may go on.
    Yielded,
}

/// An open stream that renews the lease while it and the process live.
#[derive(Debug)]
pub struct Hold(Streaming<proto::HoldEvent>);

/// What a [`Hold`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldEvent {
    /// What happened.
    pub kind: HoldKind,
    /// When, in milliseconds since the Unix epoch, by the agent's clock.
    pub at_ms: u64,
}

/// What happened to a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldKind {
    /// The task was cancelled: stop.
    Cancelled,
    /// The task's deadline is near.
    DeadlineNear,
    /// The agent is about to stop; start again when it is back.
    Draining,
    /// Another leg, or another start of this one, took over: stop.
    Fenced,
    /// The task has ended: stop.
    Finished,
    /// The stream is up and renews the lease.
    Holding,
    /// Policy changed; the next step may be refused.
    PolicyChanged,
    /// The right to work was withdrawn: stop.
    Revoked,
}

impl Worker {
    pub(super) fn new(stub: Stub) -> Self {
        Self(LegsClient::new(stub))
    }

    /// Starts a leg of the task that a work reference names, or takes up again the leg that this process
    /// had. Make a new hand for each start.
    ///
    /// # Errors
    /// See [`ClientError`]: `held` with a delay while another process has the leg, an unknown task for
    /// whoever is not named to carry it out.
    pub async fn start(
        &self,
        work_reference: impl Into<String>,
        hand: &Hand,
    ) -> Result<Leg, ClientError> {
        let request = proto::StartRequest {
            work_reference: work_reference.into(),
            certificate: hand.certificate().to_vec(),
            request_id: RequestId::or_random(None)?,
        };
        let reply = self.0.clone().start(request).await?.into_inner();
        let open = reply.open.into_iter().map(|open| {
            Ok(OpenStep {
                step: open.step,
                state: StepState::read(open.state)?,
            })
        });
        Ok(Leg {
            stub: self.0.clone(),
            open: open.collect::<Result<_, ClientError>>()?,
            task_id: reply.task_id,
            number: reply.leg,
            fence: reply.fence,
            reattached: reply.reattached,
            last_step: reply.last_step,
            deadline_ms: reply.deadline_ms,
            lease_idle: Duration::from_millis(reply.lease_idle_ms),
            decision_id: reply.decision_id,
        })
    }
}

impl Leg {
    pub(super) fn stub(&self) -> LegsClient<Stub> {
        self.stub.clone()
    }

    /// Asks for a token for step `step` (1 to last + 1: the place of the effect in your program, the same
    /// at every attempt). A random request ID is made where none is given; give the same one to repeat a
    /// request whose reply was lost.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn issue(
        &self,
        step: u32,
        call: ToolCall,
        request_id: Option<RequestId>,
    ) -> Result<StepIssued, ClientError> {
        self.issue_one(step, call, (request_id, false)).await
    }

    /// As [`Leg::issue`], and goes on past another step whose outcome nobody knows, where policy permits
    /// (`skip_unknown`). That one stays unknown, and its call is not made again, under whatever number, until its
    /// tool reports it or the owner settles it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn issue_past_unknown(
        &self,
        step: u32,
        call: ToolCall,
        request_id: Option<RequestId>,
    ) -> Result<StepIssued, ClientError> {
        self.issue_one(step, call, (request_id, true)).await
    }

    async fn issue_one(
        &self,
        step: u32,
        call: ToolCall,
        (request_id, skip_unknown): (Option<RequestId>, bool),
    ) -> Result<StepIssued, ClientError> {
        let request = proto::IssueStepRequest {
            task_id: self.task_id.clone(),
            leg: self.number,
            step,
            call: Some(call.into_proto()),
            request_id: RequestId::or_random(request_id)?,
            skip_unknown,
        };
        let reply = self.stub.clone().issue(request).await?.into_inner();
        if let Some(pending) = reply.pending_approval {
            return Ok(StepIssued::Pending(PendingApproval {
                approval_id: pending.approval_id,
                decide_by_ms: pending.decide_by_ms,
                decision_id: reply.decision_id,
            }));
        }
        if reply.token.is_empty() {
            return StepState::read(reply.state).map(StepIssued::Already);
        }
        Ok(StepIssued::Token(StepToken {
            token: Token::new(reply.token).map_err(|_malformed| ClientError::Reply("token"))?,
            expires_at_ms: reply.expires_at_ms,
            fence: reply.fence,
            idempotency_key: reply.idempotency_key,
            decision_id: reply.decision_id,
        }))
    }

    /// Opens a stream that renews the lease and tells when to stop.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn hold(&self) -> Result<Hold, ClientError> {
        let request = proto::HoldRequest {
            task_id: self.task_id.clone(),
            leg: self.number,
        };
        Ok(Hold(self.stub.clone().hold(request).await?.into_inner()))
    }

    /// Ends the leg, and the task with it unless it is yielded.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn end(&self, how: EndedLeg) -> Result<TaskState, ClientError> {
        use proto::end_request::Outcome;
        let outcome = match how {
            EndedLeg::Completed => Outcome::Completed,
            EndedLeg::Failed => Outcome::Failed,
            EndedLeg::Yielded => Outcome::Yielded,
        };
        let request = proto::EndRequest {
            task_id: self.task_id.clone(),
            leg: self.number,
            outcome: outcome.into(),
            request_id: RequestId::or_random(None)?,
        };
        let reply = self.stub.clone().end(request).await?.into_inner();
        TaskState::read(reply.state)
    }
}

impl Hold {
    /// The next event; `None` when the agent closed the stream.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] where the connection broke: start again when the agent is back.
    pub async fn next(&mut self) -> Result<Option<HoldEvent>, ClientError> {
        let Some(event) = self.0.message().await? else {
            return Ok(None);
        };
        Ok(Some(HoldEvent {
            kind: HoldKind::read(event.kind)?,
            at_ms: event.at_ms,
        }))
    }

    /// Waits until work must stop, and says why; `None` when the agent closed the stream before.
    ///
    /// # Errors
    /// As [`Hold::next`].
    pub async fn until_stop(&mut self) -> Result<Option<HoldEvent>, ClientError> {
        while let Some(event) = self.next().await? {
            if event.kind.must_stop() {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

impl HoldKind {
    /// Whether work must stop at once.
    #[must_use]
    pub fn must_stop(self) -> bool {
        match self {
            Self::Cancelled | Self::Fenced | Self::Finished | Self::Revoked => true,
            Self::DeadlineNear | Self::Draining | Self::Holding | Self::PolicyChanged => false,
        }
    }

    fn read(wire: i32) -> Result<Self, ClientError> {
        use proto::hold_event::Kind;
        match Kind::try_from(wire) {
            Ok(Kind::Cancelled) => Ok(Self::Cancelled),
            Ok(Kind::DeadlineNear) => Ok(Self::DeadlineNear),
            Ok(Kind::Draining) => Ok(Self::Draining),
            Ok(Kind::Fenced) => Ok(Self::Fenced),
            Ok(Kind::Finished) => Ok(Self::Finished),
            Ok(Kind::Holding) => Ok(Self::Holding),
            Ok(Kind::PolicyChanged) => Ok(Self::PolicyChanged),
            Ok(Kind::Revoked) => Ok(Self::Revoked),
            Ok(Kind::Unspecified) | Err(_) => Err(ClientError::Reply("event")),
        }
    }
}
