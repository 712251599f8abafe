//! The MCP server's side: register a task before answering with it, ask before showing or ending it.
//!
//! Names `proto`. The one thing to know: `Check` is asked for every request that acts on a task, with what was
//! seen on this very request; nothing is remembered from an earlier one or from the connection.

use super::agent::{RequestId, Stub};
use super::error::ClientError;
use super::facts::{Refused, TaskFacts, TaskState};
use super::header::Token;
use super::peer::PeerProof;
use super::register::{Register, Registered};
use super::task_watch::{Input, TaskWatch};
use super::tool::proof_of;
use crate::proto::v1 as proto;
use crate::proto::v1::check_request::Operation;
use crate::proto::v1::check_response::Answer;
use crate::proto::v1::enforcement_client::EnforcementClient;
use crate::proto::v1::tasks_client::TasksClient;

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

impl Principal {
    pub(super) fn into_proto(self) -> proto::Principal {
        proto::Principal {
            issuer: self.issuer,
            subject: self.subject,
        }
    }
}

/// Who is asking: what the server saw on this request.
#[derive(Clone, Default)]
pub struct Caller {
    token: String,
    proof: Option<proto::Proof>,
    principal: Option<Principal>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller")
            .field("has_token", &!self.token.is_empty())
            .field("has_principal", &self.principal.is_some())
            .finish_non_exhaustive()
    }
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

/// The answer to [`Server::check_update`].
#[derive(Clone, Debug)]
pub enum UpdateChecked {
    /// No; answer with what it says and nothing else.
    Denied(Refused),
    /// Acknowledge and take nothing: the task waits for no answer; or this was an order of its owner's, which the
    /// agent has carried out, and a prompt that is open stays open.
    Settled(TaskFacts),
    /// Take the answer; the task no longer waits for one.
    Taken(TaskFacts),
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
    /// What it waits for; empty unless the state is `InputRequired`.
    pub inputs: Vec<Input>,
    /// When it ends, in milliseconds since the Unix epoch.
    pub deadline_ms: u64,
    /// The number of the live leg, if one is up.
    pub leg: Option<u32>,
    /// The highest step issued.
    pub last_step: u32,
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

    /// Token, proof and principal.
    pub(super) fn into_proto(self) -> (String, Option<proto::Proof>, Option<proto::Principal>) {
        let principal = self.principal.map(Principal::into_proto);
        (self.token, self.proof, principal)
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
        let request = register.into_proto()?;
        let reply = self.tasks.clone().create(request).await?.into_inner();
        Registered::read(reply)
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
            inputs: Input::read_all(reply.inputs)?,
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

    /// Asks whether `caller` may answer what the task behind a handle waits for; if so, it waits no longer.
    ///
    /// # Errors
    /// See [`ClientError`]: there was no decision, and no answer may be taken. A refusal is not an error.
    pub async fn check_update(
        &self,
        caller: Caller,
        handle: impl Into<String>,
    ) -> Result<UpdateChecked, ClientError> {
        let handle = handle.into();
        let operation = Operation::Update(proto::CheckName { handle });
        match self.check(caller, operation).await? {
            (Answer::Fresh(done), _) => TaskFacts::read(done.task).map(UpdateChecked::Taken),
            (Answer::Read(read), _) => TaskFacts::read(read.task).map(UpdateChecked::Settled),
            (Answer::Repeat(repeat), _) => TaskFacts::read(repeat.task).map(UpdateChecked::Settled),
            (Answer::Denied(no), id) => Ok(UpdateChecked::Denied(Refused::read(no, id))),
        }
    }

    /// Makes a task wait for answers of its owner, by the server's own names for them: show it as MCP
    /// `input_required`. With the fence of the last start while a leg lives.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn require_input(
        &self,
        task_id: impl Into<String>,
        keys: Vec<String>,
        leg_fence: Option<u64>,
    ) -> Result<TaskState, ClientError> {
        let request = proto::RequireInputRequest {
            task_id: task_id.into(),
            keys,
            leg_fence,
            request_id: RequestId::or_random(None)?,
        };
        let reply = self.tasks.clone().require_input(request).await?;
        TaskState::read(reply.into_inner().state)
    }

    /// Watches a task: its state now, and every change until it has ended.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn watch(&self, task_id: impl Into<String>) -> Result<TaskWatch, ClientError> {
        let request = proto::WatchTaskRequest {
            task_id: task_id.into(),
        };
        let reply = self.tasks.clone().watch(request).await?;
        Ok(TaskWatch::new(reply.into_inner()))
    }

    async fn check(
        &self,
        caller: Caller,
        operation: Operation,
    ) -> Result<(Answer, String), ClientError> {
        let (token, proof, principal) = caller.into_proto();
        let request = proto::CheckRequest {
            token,
            proof,
            principal,
            operation: Some(operation),
        };
        let reply = self.enforcement.clone().check(request).await?.into_inner();
        let answer = reply.answer.ok_or(ClientError::Reply("answer"))?;
        Ok((answer, reply.decision_id))
    }
}

impl std::fmt::Debug for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Principal(…)")
    }
}
