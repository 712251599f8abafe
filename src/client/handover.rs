//! What an owner, or its delegate, does with a task besides asking about it: hand it over, take it back, settle an
//! effect that nobody knows about.

use super::agent::{RequestId, Stub};
use super::error::ClientError;
use super::facts::StepState;
use super::grant::Grant;
use crate::proto::v1::legs_client::LegsClient;
use crate::proto::v1::{self as proto};

pub use proto::Act;

/// Hands tasks over. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handover(LegsClient<Stub>);

/// A task as its owner names it: the server that gave the handle, and the handle.
#[derive(Clone)]
pub struct TaskName {
    server: String,
    handle: String,
}

impl std::fmt::Debug for TaskName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskName")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl TaskName {
    /// Names a task. `server` is a SPIFFE ID or a mapped URL.
    #[must_use]
    pub fn new(server: impl Into<String>, handle: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            handle: handle.into(),
        }
    }

    fn into_proto(self) -> proto::AskName {
        proto::AskName {
            server: self.server,
            handle: self.handle,
        }
    }
}

/// What is handed over, and to whom.
#[derive(Clone, Debug)]
pub struct Delegate {
    to: String,
    acts: Vec<Act>,
    lent: Option<Grant>,
    not_after_ms: Option<u64>,
    request_id: Option<RequestId>,
}

impl Delegate {
    /// To the workload with this SPIFFE ID, which must show what its `[[workload]]` row says.
    #[must_use]
    pub fn to(spiffe_id: impl Into<String>, acts: impl IntoIterator<Item = Act>) -> Self {
        Self {
            to: spiffe_id.into(),
            acts: acts.into_iter().collect(),
            lent: None,
            not_after_ms: None,
            request_id: None,
        }
    }

    /// Lends this alone of what the giver has: what the grant permits, its budgets aside.
    #[must_use]
    pub fn lending(mut self, grant: Grant) -> Self {
        self.lent = Some(grant);
        self
    }

    /// Ends at this time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn until_ms(mut self, not_after_ms: u64) -> Self {
        self.not_after_ms = Some(not_after_ms);
        self
    }

    /// Names the request. Keep the name to repeat it after a lost reply; a random one is made otherwise.
    #[must_use]
    pub fn request_id(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }
}

/// A delegation as it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegated {
    /// Its number within the task.
    pub number: u32,
    /// Until when it stands, in milliseconds since the Unix epoch; exclusive.
    pub not_after_ms: u64,
    /// What the delegate must show, in words.
    pub requirement: String,
    /// For `handfast explain`.
    pub decision_id: String,
}

impl Handover {
    pub(super) fn new(stub: Stub) -> Self {
        Self(LegsClient::new(stub))
    }

    /// Hands the task, or acts on it, over.
    ///
    /// # Errors
    /// See [`ClientError`]: `not_narrower` with the field that asks for more than the giver has,
    /// `principal_due` where the owner acts for a user.
    pub async fn delegate(
        &self,
        task: TaskName,
        delegate: Delegate,
    ) -> Result<Delegated, ClientError> {
        let permissions = delegate.lent.map(|grant| proto::Keep {
            permissions: grant.into_proto().permissions,
        });
        let request = proto::DelegateRequest {
            task: Some(task.into_proto()),
            to: delegate.to,
            acts: delegate.acts.into_iter().map(i32::from).collect(),
            permissions,
            not_after_ms: delegate.not_after_ms,
            principal: None,
            request_id: RequestId::or_random(delegate.request_id)?,
        };
        let reply = self.0.clone().delegate(request).await?.into_inner();
        let made = reply.delegation.ok_or(ClientError::Reply("delegation"))?;
        Ok(Delegated {
            number: made.number,
            not_after_ms: made.not_after_ms,
            requirement: made.requirement,
            decision_id: reply.decision_id,
        })
    }

    /// Takes a delegation back, and whatever was made on its strength.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke(&self, task: TaskName, number: u32) -> Result<(), ClientError> {
        let request = proto::RevokeDelegationRequest {
            task: Some(task.into_proto()),
            number,
        };
        self.0.clone().revoke_delegation(request).await?;
        Ok(())
    }

    /// Ends the live leg; its process cannot start again. Says which leg it was. A random request ID is made where
    /// none is given; give the same one to repeat a request whose reply was lost.
    ///
    /// # Errors
    /// See [`ClientError`]: `no_leg` where there is none.
    pub async fn take_over(
        &self,
        task: TaskName,
        request_id: Option<RequestId>,
    ) -> Result<u32, ClientError> {
        let request = proto::TakeoverRequest {
            task: Some(task.into_proto()),
            request_id: RequestId::or_random(request_id)?,
        };
        Ok(self.0.clone().takeover(request).await?.into_inner().leg)
    }

    /// Says whether the effect of a step happened, where nobody knows.
    ///
    /// # Errors
    /// See [`ClientError`]: `not_unknown` where the outcome is known or still open.
    pub async fn resolve(
        &self,
        task: TaskName,
        step: u32,
        done: bool,
    ) -> Result<StepState, ClientError> {
        let request = proto::ResolveRequest {
            task: Some(task.into_proto()),
            step,
            done,
        };
        let reply = self.0.clone().resolve(request).await?.into_inner();
        StepState::read(reply.state)
    }
}
