//! The MCP server's side: register a task before answering with it, ask before showing or ending it.
//!
//! Names `proto`. The one thing to know: a [`Registered`] exists only once the task is durable, and only
//! then may `CreateTaskResult` leave the server.

use super::agent::{self, RequestId, Stub};
use super::call::{Grant, ToolCall};
use super::error::ClientError;
use super::facts::{Refused, TaskFacts, TaskState};
use super::header::Token;
use super::peer::PeerProof;
use super::tool::proof_of;
use crate::proto::v1 as proto;
use crate::proto::v1::check_request::Operation;
use crate::proto::v1::check_response::Answer;
use crate::proto::v1::enforcement_client::EnforcementClient;
use crate::proto::v1::tasks_client::TasksClient;
use std::time::Duration;

/// What an MCP server asks of its agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server {
    tasks: TasksClient<Stub>,
    enforcement: EnforcementClient<Stub>,
}

/// A user or tenant whose OAuth token the server verified on this very request. `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Principal {
    /// `iss` of the token.
    pub issuer: String,
    /// `sub` of the token.
    pub subject: String,
}

/// Who is asking: what the server saw on this request.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    token: String,
    proof: Option<proto::Proof>,
    principal: Option<Principal>,
}

/// A task that a server registers.
#[derive(Clone, Debug)]
pub struct Register {
    caller: Caller,
    call: ToolCall,
    handle: String,
    keep: Option<Grant>,
    own: Grant,
    performers: Vec<String>,
    lifetime: Duration,
    request_id: Option<RequestId>,
}

/// A task that is durable.
#[derive(Clone, Debug)]
pub struct Registered {
    task_id: String,
    work_reference: String,
    state: TaskState,
    deadline_ms: u64,
    claim_by_ms: u64,
    repeat: bool,
    decision_id: String,
}

/// The answer to [`Server::check_query`].
#[derive(Clone, Debug)]
pub enum QueryChecked {
    /// No; answer with what it says and nothing else.
    Denied(Refused),
    /// The task may be shown.
    Read(TaskFacts),
}

/// The answer to [`Server::check_cancel`].
#[derive(Clone, Debug)]
pub enum CancelChecked {
    /// The task is cancelled now, in the agent's ledger: stop its body.
    Cancelled(TaskFacts),
    /// No; answer with what it says and nothing else.
    Denied(Refused),
    /// The task had ended before; acknowledge and do nothing.
    Ended(TaskFacts),
}

/// How a server ends a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With success.
    Completed,
    /// Without.
    Failed,
}

/// What a server sees of its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// State now.
    pub state: TaskState,
    /// When it ends, in milliseconds since the Unix epoch.
    pub deadline_ms: u64,
    /// The number of the live leg, if one is up.
    pub leg: Option<u32>,
    /// The highest step issued.
    pub last_step: u32,
}

/// Mints a handle: 128 random bits in base64url, for servers whose MCP library does not mint its own.
///
/// # Errors
/// [`ClientError::Randomness`].
pub fn mint_handle() -> Result<String, ClientError> {
    use base64::Engine as _;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(agent::random()?))
}

impl Caller {
    /// A client with a token, and the proof of the connection it came on.
    #[must_use]
    pub fn with_token(token: &Token, peer: &PeerProof) -> Self {
        Self {
            token: token.expose().to_owned(),
            proof: Some(proof_of(peer)),
            principal: None,
        }
    }

    /// A client without SVID: the server vouches for the principal alone.
    #[must_use]
    pub fn principal_only(principal: Principal) -> Self {
        Self::default().acting_for(principal)
    }

    /// The principal that the server verified on this request, beside the token.
    #[must_use]
    pub fn acting_for(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    fn principal(&self) -> Option<proto::Principal> {
        self.principal.as_ref().map(|principal| proto::Principal {
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
        })
    }
}

impl Register {
    /// The task that `caller` asked for by `call`, as the server received it (its audience is the server),
    /// and the `taskId` that the client will get: at least 120 random bits.
    #[must_use]
    pub fn new(caller: Caller, call: ToolCall, handle: impl Into<String>) -> Self {
        Self {
            caller,
            call,
            handle: handle.into(),
            keep: None,
            own: Grant::nothing(),
            performers: Vec::new(),
            lifetime: Duration::MAX,
            request_id: None,
        }
    }

    /// Keeps only these of the owner's permissions, each exactly as the owner asked for it.
    #[must_use]
    pub fn keeping(mut self, keep: Grant) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Adds what the steps may do on the server's own authority.
    #[must_use]
    pub fn granting(mut self, own: Grant) -> Self {
        self.own = own;
        self
    }

    /// Names a workload (SPIFFE ID) that may carry the task out.
    #[must_use]
    pub fn performed_by(mut self, spiffe_id: impl Into<String>) -> Self {
        self.performers.push(spiffe_id.into());
        self
    }

    /// Ends the task after this time at the latest.
    #[must_use]
    pub fn lasting(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Names the request, where there is no token: the idempotency key that MCP lacks.
    #[must_use]
    pub fn request_id(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }
}

impl Server {
    pub(super) fn new(stub: Stub) -> Self {
        Self {
            tasks: TasksClient::new(stub.clone()),
            enforcement: EnforcementClient::new(stub),
        }
    }

    /// Registers a task: burns the create token and makes the task durable, in one commit.
    ///
    /// # Errors
    /// See [`ClientError`]: without a [`Registered`] the client must not get a task.
    pub async fn create(&self, register: Register) -> Result<Registered, ClientError> {
        let request = proto::CreateRequest {
            request_id: RequestId::or_random(register.request_id)?,
            principal: register.caller.principal(),
            token: register.caller.token,
            proof: register.caller.proof,
            call: Some(register.call.into_proto()),
            handle: register.handle,
            keep: register.keep.map(Grant::into_keep),
            own: Some(register.own.into_proto()),
            performers: register.performers,
            lifetime_ms: lifetime_ms(register.lifetime),
        };
        let reply = self.tasks.clone().create(request).await?.into_inner();
        Ok(Registered {
            state: TaskState::read(reply.state)?,
            task_id: reply.task_id,
            work_reference: reply.work_reference,
            deadline_ms: reply.deadline_ms,
            claim_by_ms: reply.claim_by_ms,
            repeat: reply.repeat,
            decision_id: reply.decision_id,
        })
    }

    /// Ends a task; with the fence of the last start while a leg lives.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn finish(
        &self,
        task_id: impl Into<String>,
        how: Ended,
        leg_fence: Option<u64>,
    ) -> Result<TaskState, ClientError> {
        let request = proto::FinishRequest {
            task_id: task_id.into(),
            completed: how == Ended::Completed,
            leg_fence,
            request_id: RequestId::or_random(None)?,
        };
        let reply = self.tasks.clone().finish(request).await?.into_inner();
        TaskState::read(reply.state)
    }

    /// What the server may know of its task.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(&self, task_id: impl Into<String>) -> Result<ServerView, ClientError> {
        let request = proto::GetRequest {
            task_id: task_id.into(),
        };
        let reply = self.tasks.clone().get(request).await?.into_inner();
        Ok(ServerView {
            state: TaskState::read(reply.state)?,
            deadline_ms: reply.deadline_ms,
            leg: reply.leg_live.then_some(reply.leg),
            last_step: reply.last_step,
        })
    }

    /// Asks whether `caller` may see the task behind a handle.
    ///
    /// # Errors
    /// See [`ClientError`]: there was no decision, so it is a no. A refusal is not an error.
    pub async fn check_query(
        &self,
        caller: Caller,
        handle: impl Into<String>,
    ) -> Result<QueryChecked, ClientError> {
        let handle = handle.into();
        let operation = Operation::Query(proto::CheckName { handle });
        match self.check(caller, operation).await? {
            (Answer::Read(read), _) => TaskFacts::read(read.task).map(QueryChecked::Read),
            (Answer::Denied(no), id) => Ok(QueryChecked::Denied(Refused::read(no, id))),
            (Answer::Fresh(_) | Answer::Repeat(_), _) => {
                Err(ClientError::Reply("answer to a query"))
            }
        }
    }

    /// Cancels the task behind a handle, if `caller` may. From then on nothing of it is permitted.
    ///
    /// # Errors
    /// See [`ClientError`]: there was no decision, and no cancellation. A refusal is not an error.
    pub async fn check_cancel(
        &self,
        caller: Caller,
        handle: impl Into<String>,
    ) -> Result<CancelChecked, ClientError> {
        let handle = handle.into();
        let operation = Operation::Cancel(proto::CheckName { handle });
        match self.check(caller, operation).await? {
            (Answer::Fresh(done), _) => TaskFacts::read(done.task).map(CancelChecked::Cancelled),
            (Answer::Read(read), _) => TaskFacts::read(read.task).map(CancelChecked::Ended),
            (Answer::Repeat(repeat), _) => TaskFacts::read(repeat.task).map(CancelChecked::Ended),
            (Answer::Denied(no), id) => Ok(CancelChecked::Denied(Refused::read(no, id))),
        }
    }

    async fn check(
        &self,
        caller: Caller,
        operation: Operation,
    ) -> Result<(Answer, String), ClientError> {
        let request = proto::CheckRequest {
            principal: caller.principal(),
            token: caller.token,
            proof: caller.proof,
            operation: Some(operation),
        };
        let reply = self.enforcement.clone().check(request).await?.into_inner();
        let answer = reply.answer.ok_or(ClientError::Reply("answer"))?;
        Ok((answer, reply.decision_id))
    }
}

impl Registered {
    /// Internal identifier of the task, for [`Server::finish`] and [`Server::get`]. Not secret.
    #[must_use]
    pub fn task_id(&self) -> &str {
        &self.task_id
    }

    /// What goes into the queue. It names the work and grants nothing.
    #[must_use]
    pub fn work_reference(&self) -> &str {
        &self.work_reference
    }

    /// State now; for a repeat the task may have ended.
    #[must_use]
    pub fn state(&self) -> TaskState {
        self.state
    }

    /// When the task ends, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    /// Until when its owner must have asked about it, else it is cancelled.
    #[must_use]
    pub fn claim_by_ms(&self) -> u64 {
        self.claim_by_ms
    }

    /// Whether the task existed before: the client repeats a call whose answer was lost.
    #[must_use]
    pub fn is_repeat(&self) -> bool {
        self.repeat
    }

    /// For `handfast explain`.
    #[must_use]
    pub fn decision_id(&self) -> &str {
        &self.decision_id
    }

    #[cfg(test)]
    pub(super) fn of(task_id: &str) -> Self {
        Self {
            task_id: task_id.to_owned(),
            work_reference: String::new(),
            state: TaskState::Working,
            deadline_ms: 0,
            claim_by_ms: 0,
            repeat: false,
            decision_id: String::new(),
        }
    }
}

impl std::fmt::Debug for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Principal(…)")
    }
}

/// Zero on the wire asks for the longest life that the agent allows.
fn lifetime_ms(lifetime: Duration) -> u64 {
    u64::try_from(lifetime.as_millis()).unwrap_or_default()
}
