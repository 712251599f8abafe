//! Fanning out: a worker cuts grants for children out of its task's.
//!
//! Names `proto`. The one thing to know: a child is a grant, not yet a task. Whoever may spend it asks its agent
//! for a create token with the child's ID ([`Create::spending`](super::Create::spending)) and calls the server.

use super::agent::RequestId;
use super::call::ToolCall;
use super::error::ClientError;
use super::grant::{self, Grant, Members};
use super::worker::Leg;
use crate::proto::v1 as proto;

/// A child that a worker asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    call: proto::Permission,
    asked: Grant,
    spender: String,
}

impl Child {
    /// A child that a call of this tool at this server (SPIFFE ID or mapped URL) makes, with any arguments.
    #[must_use]
    pub fn at(server: impl Into<String>, tool: impl Into<String>) -> Self {
        Self::of(grant::any_call(server.into(), tool.into()))
    }

    /// A child that this tool makes with arguments within these members.
    #[must_use]
    pub fn at_with(server: impl Into<String>, tool: impl Into<String>, members: Members) -> Self {
        Self::of(grant::constrained(server.into(), tool.into(), members))
    }

    /// A child that exactly this call makes.
    #[must_use]
    pub fn by(call: &ToolCall) -> Self {
        Self::of(grant::exact_call(call))
    }

    fn of(call: proto::Permission) -> Self {
        Self {
            call,
            asked: Grant::nothing(),
            spender: String::new(),
        }
    }

    /// What the child's steps may do: within what the task itself may. Its time is the child's too.
    #[must_use]
    pub fn granting(mut self, asked: Grant) -> Self {
        self.asked = asked;
        self
    }

    /// Names another workload (SPIFFE ID) that shall spend it.
    #[must_use]
    pub fn spent_by(mut self, spiffe_id: impl Into<String>) -> Self {
        self.spender = spiffe_id.into();
        self
    }
}

impl Leg {
    /// Makes every child, or none; returns their IDs in order. Give the same request ID to repeat a request whose
    /// reply was lost: the children are the same.
    ///
    /// # Errors
    /// See [`ClientError`]: `narrowing` for the first child that asks for more than there is.
    pub async fn spawn(
        &self,
        children: impl IntoIterator<Item = Child>,
        request_id: Option<RequestId>,
    ) -> Result<Vec<String>, ClientError> {
        let child = |child: Child| proto::Child {
            call: Some(child.call),
            asked: Some(child.asked.into_proto()),
            spender: child.spender,
        };
        let request = proto::SpawnRequest {
            task_id: self.task_id.clone(),
            leg: self.number,
            request_id: RequestId::or_random(request_id)?,
            children: children.into_iter().map(child).collect(),
        };
        let reply = self.stub().spawn(request).await?.into_inner();
        Ok(reply.children)
    }
}
