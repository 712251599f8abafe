//! The owner's side: an MCP client asks its node for a token before each request that acts on a task.
//!
//! Names `proto`. The one thing to know: the token goes into `Handfast-Token` of one request to one server,
//! on a connection that shows the same hand; the handle goes where MCP puts it and grants nothing.

use super::agent::{RequestId, Stub};
use super::call::ToolCall;
use super::error::ClientError;
use super::grant::Grant;
use super::hand::Hand;
use super::header::Token;
use crate::proto::v1::requests_client::RequestsClient;
use crate::proto::v1::{self as proto, issue_request::Operation};
use std::time::Duration;

/// What an MCP client asks of its agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Owner(RequestsClient<Stub>);

/// A task that an owner wants made.
#[derive(Clone, Debug)]
pub struct Create {
    call: ToolCall,
    asked: Option<Grant>,
    child: String,
    performers: Vec<String>,
    lifetime: Duration,
    request_id: Option<RequestId>,
}

/// A token for one request.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The token; `None` for a create that was carried out already.
    pub token: Option<Token>,
    /// When it ends, in milliseconds since the Unix epoch; exclusive.
    pub expires_at_ms: u64,
    /// For `handfast explain`.
    pub decision_id: String,
}

impl Issued {
    pub(super) fn read(reply: proto::IssueResponse) -> Result<Self, ClientError> {
        let token = match reply.token {
            none if none.is_empty() => None,
            text => Some(Token::new(text).map_err(|_malformed| ClientError::Reply("token"))?),
        };
        Ok(Self {
            token,
            expires_at_ms: reply.expires_at_ms,
            decision_id: reply.decision_id,
        })
    }
}

impl Create {
    /// The task that this call at an MCP server makes. Grants nothing, leaves the choice of worker to the
    /// server, and lives as long as the agent allows.
    #[must_use]
    pub fn by(call: ToolCall) -> Self {
        Self {
            call,
            asked: None,
            child: String::new(),
            performers: Vec::new(),
            lifetime: Duration::ZERO,
            request_id: None,
        }
    }

    /// Lends the owner's authority for these steps.
    #[must_use]
    pub fn granting(mut self, asked: Grant) -> Self {
        self.asked = Some(asked);
        self
    }

    /// Spends a child grant, as [`Leg::spawn`](super::Leg::spawn) named it. What it grants lies within what the
    /// child has; without a word it is all of it.
    #[must_use]
    pub fn spending(mut self, child: impl Into<String>) -> Self {
        self.child = child.into();
        self
    }

    /// Names a workload (SPIFFE ID) that may carry the task out; the server may then only choose among the
    /// named.
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

    /// Names the request. Keep the name to repeat it after a lost reply; a random one is made otherwise.
    #[must_use]
    pub fn request_id(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }
}

impl Owner {
    pub(super) fn new(stub: Stub) -> Self {
        Self(RequestsClient::new(stub))
    }

    /// Asks for a token that lets `create`'s call make a task at its server.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn issue_create(&self, hand: &Hand, create: Create) -> Result<Issued, ClientError> {
        let lifetime_ms = u64::try_from(create.lifetime.as_millis()).unwrap_or(u64::MAX);
        let operation = Operation::Create(proto::AskCreate {
            call: Some(create.call.into_proto()),
            asked: create.asked.map(Grant::into_proto),
            child: create.child,
            performers: create.performers,
            lifetime_ms,
        });
        let request_id = RequestId::or_random(create.request_id)?;
        self.issue(hand, request_id, operation).await
    }

    /// Asks for a token for `tasks/get` of a handle at the server (SPIFFE ID or mapped URL) that gave it.
    ///
    /// # Errors
    /// See [`ClientError`]; a handle that is not the caller's is an unknown task.
    pub async fn issue_query(
        &self,
        hand: &Hand,
        server: impl Into<String>,
        handle: impl Into<String>,
    ) -> Result<Issued, ClientError> {
        let operation = Operation::Query(ask_name(server, handle));
        self.issue(hand, Vec::new(), operation).await
    }

    /// Asks for a token for `tasks/cancel` of a handle at the server that gave it.
    ///
    /// # Errors
    /// See [`ClientError`]; a handle that is not the caller's is an unknown task.
    pub async fn issue_cancel(
        &self,
        hand: &Hand,
        server: impl Into<String>,
        handle: impl Into<String>,
    ) -> Result<Issued, ClientError> {
        let operation = Operation::Cancel(ask_name(server, handle));
        let request_id = RequestId::or_random(None)?;
        self.issue(hand, request_id, operation).await
    }

    /// Asks for a token for `tasks/update` of a handle at the server that gave it: for one answer to what the
    /// task waits for.
    ///
    /// # Errors
    /// See [`ClientError`]; a handle that is not the caller's is an unknown task.
    pub async fn issue_update(
        &self,
        hand: &Hand,
        server: impl Into<String>,
        handle: impl Into<String>,
    ) -> Result<Issued, ClientError> {
        let operation = Operation::Update(ask_name(server, handle));
        let request_id = RequestId::or_random(None)?;
        self.issue(hand, request_id, operation).await
    }

    async fn issue(
        &self,
        hand: &Hand,
        request_id: Vec<u8>,
        operation: Operation,
    ) -> Result<Issued, ClientError> {
        let request = proto::IssueRequest {
            request_id,
            certificate: hand.certificate().to_vec(),
            operation: Some(operation),
        };
        let reply = self.0.clone().issue(request).await?.into_inner();
        Issued::read(reply)
    }
}

fn ask_name(server: impl Into<String>, handle: impl Into<String>) -> proto::AskName {
    proto::AskName {
        server: server.into(),
        handle: handle.into(),
    }
}
