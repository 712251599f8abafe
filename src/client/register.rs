//! The registration of a task: what a server hands in, and what only the agent's answer makes.
//!
//! Names `proto`. The one thing to know: a [`Registered`] exists only once the task is durable, and only
//! then may `CreateTaskResult` leave the server.

use super::agent::{self, RequestId};
use super::call::ToolCall;
use super::error::ClientError;
use super::facts::TaskState;
use super::grant::Grant;
use super::server::Caller;
use crate::proto::v1 as proto;
use std::time::Duration;

/// A task that a server registers.
#[derive(Clone)]
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
#[derive(Clone)]
pub struct Registered {
    task_id: String,
    work_reference: String,
    state: TaskState,
    deadline_ms: u64,
    claim_by_ms: u64,
    repeat: bool,
    decision_id: String,
}

/// Without the handle.
impl std::fmt::Debug for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Register")
            .field("caller", &self.caller)
            .field("call", &self.call)
            .field("performers", &self.performers)
            .finish_non_exhaustive()
    }
}

/// Without the work reference.
impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered")
            .field("task_id", &self.task_id)
            .field("state", &self.state)
            .field("repeat", &self.repeat)
            .field("decision_id", &self.decision_id)
            .finish_non_exhaustive()
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

    pub(super) fn into_proto(self) -> Result<proto::CreateRequest, ClientError> {
        let (token, proof, principal) = self.caller.into_proto();
        Ok(proto::CreateRequest {
            request_id: RequestId::or_random(self.request_id)?,
            token,
            proof,
            principal,
            call: Some(self.call.into_proto()),
            handle: self.handle,
            keep: self.keep.map(Grant::into_keep),
            own: Some(self.own.into_proto()),
            performers: self.performers,
            // Zero on the wire asks for the longest life that the agent allows.
            lifetime_ms: u64::try_from(self.lifetime.as_millis()).unwrap_or_default(),
        })
    }
}

impl Registered {
    pub(super) fn read(reply: proto::CreateResponse) -> Result<Self, ClientError> {
        Ok(Self {
            state: TaskState::read(reply.state)?,
            task_id: reply.task_id,
            work_reference: reply.work_reference,
            deadline_ms: reply.deadline_ms,
            claim_by_ms: reply.claim_by_ms,
            repeat: reply.repeat,
            decision_id: reply.decision_id,
        })
    }

    /// Internal identifier of the task, for `Server::finish` and `Server::get`. Not secret.
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

/// Mints a handle: 128 random bits in hexadecimal, for servers whose MCP library does not mint its own.
///
/// # Errors
/// [`ClientError::Randomness`].
pub fn mint_handle() -> Result<String, ClientError> {
    use std::fmt::Write as _;
    let mut handle = String::new();
    // Hexadecimal: in base64url a random text may begin like a constant prefix, and pass for too short.
    for byte in agent::random()? {
        // Writing to a string cannot fail.
        let _infallible = write!(handle, "{byte:02x}");
    }
    Ok(handle)
}
