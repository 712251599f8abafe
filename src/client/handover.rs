//! What an owner, or its delegate, does with a task besides asking about it: hand it over, take it back, settle an
//! effect that nobody knows about.
//!
//! Where it acts for a user, only the task's server can see who that is: [`Handover::with_hand`] gets a token for
//! each order, and one `tasks/update` that shows it has the order carried out.

use super::agent::{RequestId, Stub};
use super::error::ClientError;
use super::facts::StepState;
use super::grant::Grant;
use super::hand::Hand;
use super::owner::Issued;
use super::server::Principal;
use crate::proto::v1::legs_client::LegsClient;
use crate::proto::v1::{self as proto};

pub use proto::Act;

/// Hands tasks over. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handover {
    legs: LegsClient<Stub>,
    /// The hand that orders are given by; empty where no user is due.
    certificate: Vec<u8>,
}

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
    principal: Option<Principal>,
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
            principal: None,
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

    /// The delegate acts for this user, whom servers must then see on each of its requests.
    #[must_use]
    pub fn acting_for(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
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
    /// What the delegate may do with the task.
    pub acts: Vec<Act>,
    /// What it was lent, each permission in words; empty where it was lent nothing, or all.
    pub lent: Vec<String>,
    /// Whether it was lent all of the owner's grant.
    pub lent_all: bool,
    /// Until when it stands, in milliseconds since the Unix epoch; exclusive.
    pub not_after_ms: u64,
    /// What the delegate must show, in words.
    pub requirement: String,
    /// For `handfast explain`.
    pub decision_id: String,
}

/// What became of an order.
#[derive(Clone, Debug)]
pub enum OrderReply<T> {
    /// The caller acts for a user: this token makes one `tasks/update` at the task's server, on a connection of the
    /// same hand, carry the order out. Call again with the same content to hear what became of it.
    AtServer(Issued),
    /// It is carried out.
    Done(T),
}

impl<T> OrderReply<T> {
    /// What became of it, where no user is due.
    fn done(self) -> Result<T, ClientError> {
        match self {
            Self::AtServer(_) => Err(ClientError::Reply("order_token")),
            Self::Done(done) => Ok(done),
        }
    }

    fn of(
        token: Option<proto::OrderToken>,
        decision_id: &str,
        done: impl FnOnce() -> Result<T, ClientError>,
    ) -> Result<Self, ClientError> {
        let Some(proto::OrderToken {
            token,
            expires_at_ms,
        }) = token
        else {
            return done().map(Self::Done);
        };
        let reply = proto::IssueResponse {
            token,
            expires_at_ms,
            repeat: false,
            decision_id: decision_id.to_owned(),
        };
        Issued::read(reply).map(Self::AtServer)
    }
}

/// Orders of an owner, or a delegate, that acts for a user. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UserHandover(Handover);

impl Handover {
    pub(super) fn new(stub: Stub) -> Self {
        Self {
            legs: LegsClient::new(stub),
            certificate: Vec::new(),
        }
    }

    /// The same orders where the caller acts for a user. `hand` is that of the connection to the server.
    #[must_use]
    pub fn with_hand(&self, hand: &Hand) -> UserHandover {
        UserHandover(Self {
            legs: self.legs.clone(),
            certificate: hand.certificate().to_vec(),
        })
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
        self.order_delegate(task, delegate).await?.done()
    }

    async fn order_delegate(
        &self,
        task: TaskName,
        delegate: Delegate,
    ) -> Result<OrderReply<Delegated>, ClientError> {
        let permissions = delegate.lent.map(|grant| proto::Keep {
            permissions: grant.into_proto().permissions,
        });
        let request = proto::DelegateRequest {
            task: Some(task.into_proto()),
            to: delegate.to,
            acts: delegate.acts.into_iter().map(i32::from).collect(),
            permissions,
            not_after_ms: delegate.not_after_ms,
            principal: delegate.principal.map(Principal::into_proto),
            request_id: RequestId::or_random(delegate.request_id)?,
            certificate: self.certificate.clone(),
        };
        let reply = self.legs.clone().delegate(request).await?.into_inner();
        let decision_id = reply.decision_id;
        OrderReply::of(reply.order_token, &decision_id, || {
            let made = reply.delegation.ok_or(ClientError::Reply("delegation"))?;
            Ok(Delegated {
                number: made.number,
                acts: made.acts().collect(),
                lent: made.permissions,
                lent_all: made.lends_all,
                not_after_ms: made.not_after_ms,
                requirement: made.requirement,
                decision_id: decision_id.clone(),
            })
        })
    }

    /// Takes a delegation back, and whatever was made on its strength.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke(&self, task: TaskName, number: u32) -> Result<(), ClientError> {
        self.order_revoke(task, number).await?.done()
    }

    async fn order_revoke(
        &self,
        task: TaskName,
        number: u32,
    ) -> Result<OrderReply<()>, ClientError> {
        let request = proto::RevokeDelegationRequest {
            task: Some(task.into_proto()),
            number,
            certificate: self.certificate.clone(),
        };
        let reply = self.legs.clone().revoke_delegation(request).await?;
        let reply = reply.into_inner();
        OrderReply::of(reply.order_token, &reply.decision_id, || Ok(()))
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
        self.order_takeover(task, request_id).await?.done()
    }

    async fn order_takeover(
        &self,
        task: TaskName,
        request_id: Option<RequestId>,
    ) -> Result<OrderReply<u32>, ClientError> {
        let request = proto::TakeoverRequest {
            task: Some(task.into_proto()),
            request_id: RequestId::or_random(request_id)?,
            certificate: self.certificate.clone(),
        };
        let reply = self.legs.clone().takeover(request).await?.into_inner();
        OrderReply::of(reply.order_token, &reply.decision_id, || Ok(reply.leg))
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
        self.order_resolve(task, step, done).await?.done()
    }

    async fn order_resolve(
        &self,
        task: TaskName,
        step: u32,
        done: bool,
    ) -> Result<OrderReply<StepState>, ClientError> {
        let request = proto::ResolveRequest {
            task: Some(task.into_proto()),
            step,
            done,
            certificate: self.certificate.clone(),
        };
        let reply = self.legs.clone().resolve(request).await?.into_inner();
        OrderReply::of(reply.order_token, &reply.decision_id, || {
            StepState::read(reply.state)
        })
    }
}

impl UserHandover {
    /// As [`Handover::delegate`]. Give the request an ID, to be told later what was granted.
    ///
    /// # Errors
    /// As [`Handover::delegate`].
    pub async fn delegate(
        &self,
        task: TaskName,
        delegate: Delegate,
    ) -> Result<OrderReply<Delegated>, ClientError> {
        self.0.order_delegate(task, delegate).await
    }

    /// As [`Handover::revoke`].
    ///
    /// # Errors
    /// As [`Handover::revoke`].
    pub async fn revoke(&self, task: TaskName, number: u32) -> Result<OrderReply<()>, ClientError> {
        self.0.order_revoke(task, number).await
    }

    /// As [`Handover::take_over`]. Give the request an ID, to be told later which leg it was.
    ///
    /// # Errors
    /// As [`Handover::take_over`].
    pub async fn take_over(
        &self,
        task: TaskName,
        request_id: Option<RequestId>,
    ) -> Result<OrderReply<u32>, ClientError> {
        self.0.order_takeover(task, request_id).await
    }

    /// As [`Handover::resolve`].
    ///
    /// # Errors
    /// As [`Handover::resolve`].
    pub async fn resolve(
        &self,
        task: TaskName,
        step: u32,
        done: bool,
    ) -> Result<OrderReply<StepState>, ClientError> {
        self.0.order_resolve(task, step, done).await
    }
}
