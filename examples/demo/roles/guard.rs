//! What stands between an MCP server's handlers and its tasks: who is asking, and may they.

use crate::oauth::Verifier;
use handfast::client::{
    Agent, Caller, CancelChecked, ClientError, PeerProof, QueryChecked, Refused, TaskState,
    UpdateChecked, token_from_headers,
};
use http::header::AUTHORIZATION;
use rmcp::ErrorData;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use std::sync::{Arc, Mutex, PoisonError};

/// The guard of one server.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) agent: Agent,
    pub(crate) users: Verifier,
    /// Decision ID of the last refusal: for the operator, never for the caller.
    pub(crate) last_refusal: Arc<Mutex<Option<String>>>,
}

impl Guard {
    /// Who is asking: the user, and the token with the key of this connection.
    pub(crate) fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
        let parts = context
            .extensions
            .get::<http::request::Parts>()
            .ok_or_else(|| not_now("no request"))?;
        let principal = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| self.users.principal(value))
            .ok_or_else(|| ErrorData::invalid_request("a valid access token is needed", None))?;
        let token = token_from_headers(&parts.headers)
            .map_err(|error| ErrorData::invalid_request(error.to_string(), None))?;
        let Some(token) = token else {
            return Ok(Caller::principal_only(principal));
        };
        let peer = parts
            .extensions
            .get::<PeerProof>()
            .ok_or_else(|| not_now("no proof of the client's key"))?;
        Ok(Caller::with_token(&token, peer).acting_for(principal))
    }

    /// Lets a `tasks/get` through, or not. The state is the agent's to say.
    pub(crate) async fn query(&self, caller: Caller, handle: &str) -> Result<TaskState, ErrorData> {
        let checked = self.agent.server().check_query(caller, handle).await;
        match checked.map_err(|error| undecided(&error))? {
            QueryChecked::Read(task) => Ok(task.state),
            QueryChecked::Denied(no) => Err(self.refused(no)),
        }
    }

    /// Cancels a task in the agent's ledger, or not.
    pub(crate) async fn cancel(&self, caller: Caller, handle: &str) -> Result<(), ErrorData> {
        let checked = self.agent.server().check_cancel(caller, handle).await;
        match checked.map_err(|error| undecided(&error))? {
            CancelChecked::Cancelled(_) | CancelChecked::Ended(_) => Ok(()),
            CancelChecked::Denied(no) => Err(self.refused(no)),
        }
    }

    /// Lets a `tasks/update` through, or not. This server asks its clients nothing, so there is never an answer to
    /// take; an order of the owner's is carried out by the agent.
    pub(crate) async fn update(&self, caller: Caller, handle: &str) -> Result<(), ErrorData> {
        let checked = self.agent.server().check_update(caller, handle).await;
        match checked.map_err(|error| undecided(&error))? {
            UpdateChecked::Settled(_) | UpdateChecked::Taken(_) => Ok(()),
            UpdateChecked::Denied(no) => Err(self.refused(no)),
        }
    }

    /// Answers what the agent says that an MCP server should answer, and keeps the rest for the operator.
    fn refused(&self, no: Refused) -> ErrorData {
        *self
            .last_refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(no.decision_id);
        ErrorData::new(rmcp::model::ErrorCode(no.mcp_code), no.mcp_message, None)
    }
}

/// Answers a call whose task was not made.
pub(crate) fn not_made(error: &ClientError) -> ErrorData {
    match error {
        ClientError::Denied(no) => ErrorData::invalid_params(no.message.clone(), None),
        _ => undecided(error),
    }
}

/// There was no decision: that is a no.
pub(crate) fn undecided(error: &ClientError) -> ErrorData {
    tracing::warn!(%error, "no decision");
    not_now("not now")
}

fn not_now(why: &'static str) -> ErrorData {
    ErrorData::internal_error(why, None)
}
