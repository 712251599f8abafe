//! The MCP client: one workload that acts for two users.

use super::BUILD_REPORT;
use crate::harness::{self, Role, now_ms};
use crate::oauth::RESOURCE;
use crate::wire::{Ask, Denied, Said};
use crate::{Error, mcp};
use handfast::client::{
    Act, Agent, Create, Delegate, Grant, Hand, Issued, OrderReply, RequestId, TaskName, Token,
    ToolCall,
};
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CancelTaskParams, CancelTaskRequest, ClientRequest,
    GetTaskParams, GetTaskRequest, InputResponses, ServerResult, TaskStatus, UpdateTaskParams,
    UpdateTaskRequest,
};
use rmcp::service::ServiceError;
use serde::{Deserialize, Serialize};
use spiffe::SpiffeId;
use std::collections::BTreeMap;
use std::time::Duration;

const HAND_LIFE: Duration = Duration::from_secs(3600);

/// What the director tells the client.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) server: String,
    pub(crate) port: u16,
    pub(crate) warehouse: String,
    pub(crate) worker: String,
    pub(crate) archive: String,
    /// Access token of each user.
    pub(crate) users: BTreeMap<String, String>,
}

/// An MCP client with a hand for one server, and a session for each user.
pub(crate) struct Assistant {
    settings: Settings,
    agent: Agent,
    hand: Hand,
    sessions: BTreeMap<String, mcp::Client>,
    kept: Option<Token>,
}

pub(crate) async fn play() -> Result<(), Error> {
    let (source, id, agent) = harness::join().await?;
    let settings: Settings = harness::settings()?;
    let hand = Hand::generate(HAND_LIFE)?;
    let server = SpiffeId::new(&settings.server)?;
    let connection = mcp::connect(source, &server, settings.port, &hand).await?;
    let mut sessions = BTreeMap::new();
    for (user, access_token) in &settings.users {
        let session = mcp::start(connection.clone(), RESOURCE, access_token).await?;
        sessions.insert(user.clone(), session);
    }
    let assistant = Assistant {
        settings,
        agent,
        hand,
        sessions,
        kept: None,
    };
    let up = Said::Up {
        port: None,
        spiffe_id: id.to_string(),
    };
    harness::answer_all(assistant, up).await
}

impl Role for Assistant {
    async fn answer(&mut self, ask: Ask) -> Result<Said, Error> {
        match ask {
            Ask::CallTool { user, plain } => self.call_tool(&user, plain).await,
            Ask::GetTask { user, handle } => match self.query_token(&handle).await? {
                Ok(token) => get_task(self.session(&user)?, &handle, Some(token)).await,
                Err(denied) => Ok(denied),
            },
            Ask::KeepQueryToken { handle } => {
                self.kept = self.query_token(&handle).await?.ok();
                Ok(Said::Done { asked_ms: now_ms() })
            }
            Ask::GetTaskWithKept { user, handle } => {
                let token = self.kept.clone().ok_or("no token was kept")?;
                get_task(self.session(&user)?, &handle, Some(token)).await
            }
            Ask::CancelTask { user, handle } => {
                let owner = self.agent.owner();
                let server = &self.settings.server;
                let issued = owner.issue_cancel(&self.hand, server, &handle).await;
                match issued.map(needed) {
                    Ok(token) => cancel_task(self.session(&user)?, &handle, Some(token?)).await,
                    Err(error) => harness::denied(error),
                }
            }
            Ask::Order { user, handle, to } => self.order(&user, handle, to).await,
            other => Err(format!("an assistant does not do {other:?}").into()),
        }
    }
}

impl Assistant {
    fn session(&self, user: &str) -> Result<&mcp::Client, Error> {
        Ok(self.sessions.get(user).ok_or("no such user")?)
    }

    /// Makes a task: lends the authority to export, and names who may carry it out.
    async fn call_tool(&self, user: &str, plain: bool) -> Result<Said, Error> {
        let session = self.session(user)?;
        let tools = session.list_all_tools().await?;
        let tool = tools.iter().find(|tool| tool.name == BUILD_REPORT);
        let definition = serde_json::to_vec(tool.ok_or("the server lacks the tool")?)?;
        let arguments = serde_json::json!({ "year": 2026 });
        let call = ToolCall::new(&self.settings.server, BUILD_REPORT, arguments.to_string())?
            .defined_by(&definition)?;
        let export = super::warehouse::export_call(&self.settings.warehouse)?;
        let create = Create::by(call)
            .granting(
                Grant::nothing()
                    .call(&export)
                    .tool(&self.settings.warehouse, super::PURGE)
                    .tool(&self.settings.archive, super::STORE)
                    .fanning_out(3, 1),
            )
            .performed_by(&self.settings.worker);
        let params = CallToolRequestParams::new(BUILD_REPORT)
            .with_arguments(arguments.as_object().cloned().unwrap_or_default());
        let mut request = CallToolRequest::new(params);
        if !plain {
            let issued = self.agent.owner().issue_create(&self.hand, create).await?;
            request.extensions.insert(needed(issued)?);
        }
        let sent = session.send_request(ClientRequest::CallToolRequest(request));
        match sent.await {
            Ok(ServerResult::CreateTaskResult(made)) => Ok(Said::Task {
                handle: made.task.task_id,
            }),
            Ok(other) => Err(format!("no task but {other:?}").into()),
            Err(error) => refused(error),
        }
    }

    /// Lets somebody read the task. The agent cannot see the user, the server can: it carries the order out when
    /// this user's `tasks/update` brings the order's token.
    async fn order(&self, user: &str, handle: String, to: String) -> Result<Said, Error> {
        let orders = self.agent.handover().with_hand(&self.hand);
        let task = TaskName::new(&self.settings.server, &handle);
        // The same name every time: asked again, the agent says what became of it.
        let name = RequestId::new(to.as_bytes()).ok_or("too long a name")?;
        let given = Delegate::to(to, [Act::Query]).request_id(name);
        let token = match orders.delegate(task.clone(), given.clone()).await? {
            OrderReply::AtServer(issued) => needed(issued)?,
            OrderReply::Done(_) => return Err("it was carried out before".into()),
        };
        if let Some(refused) = update_task(self.session(user)?, handle, token).await? {
            return Ok(refused);
        }
        match orders.delegate(task, given).await? {
            OrderReply::Done(made) => Ok(Said::Granted {
                number: made.number,
            }),
            OrderReply::AtServer(_) => Err("the server did not have it carried out".into()),
        }
    }

    async fn query_token(&self, handle: &str) -> Result<Result<Token, Said>, Error> {
        let owner = self.agent.owner();
        let server = &self.settings.server;
        match owner.issue_query(&self.hand, server, handle).await {
            Ok(issued) => Ok(Ok(needed(issued)?)),
            Err(error) => harness::denied(error).map(Err),
        }
    }
}

fn needed(issued: Issued) -> Result<Token, Error> {
    issued.token.ok_or_else(|| "the agent gave no token".into())
}

/// `tasks/get`, with a token or without.
pub(crate) async fn get_task(
    session: &mcp::Client,
    handle: &str,
    token: Option<Token>,
) -> Result<Said, Error> {
    let mut request = GetTaskRequest::new(GetTaskParams::new(handle));
    if let Some(token) = token {
        request.extensions.insert(token);
    }
    match session
        .send_request(ClientRequest::GetTaskRequest(request))
        .await
    {
        Ok(ServerResult::GetTaskResult(shown)) => Ok(Said::Status {
            status: status(shown.task.status()).to_owned(),
            message: shown.task.task.status_message.unwrap_or_default(),
        }),
        Ok(other) => Err(format!("no task but {other:?}").into()),
        Err(error) => refused(error),
    }
}

/// `tasks/cancel`, with a token or without.
pub(crate) async fn cancel_task(
    session: &mcp::Client,
    handle: &str,
    token: Option<Token>,
) -> Result<Said, Error> {
    let mut request = CancelTaskRequest::new(CancelTaskParams::new(handle));
    if let Some(token) = token {
        request.extensions.insert(token);
    }
    let asked_ms = now_ms();
    let sent = session.send_request(ClientRequest::CancelTaskRequest(request));
    match sent.await {
        Ok(_) => Ok(Said::Done { asked_ms }),
        Err(error) => refused(error),
    }
}

/// `tasks/update` without an answer, for the token alone. What the server refuses it with, if it does.
async fn update_task(
    session: &mcp::Client,
    handle: String,
    token: Token,
) -> Result<Option<Said>, Error> {
    let params = UpdateTaskParams::new(handle, InputResponses::default());
    let mut request = UpdateTaskRequest::new(params);
    request.extensions.insert(token);
    let sent = session.send_request(ClientRequest::UpdateTaskRequest(request));
    match sent.await {
        Ok(_) => Ok(None),
        Err(error) => refused(error).map(Some),
    }
}

/// What the server says to whoever may not.
fn refused(error: ServiceError) -> Result<Said, Error> {
    match error {
        ServiceError::McpError(error) => Ok(Said::Denied(Denied {
            reason: error.code.0.to_string(),
            message: error.message.into_owned(),
            decision_id: None,
        })),
        other => Err(other.into()),
    }
}

fn status(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Working => "working",
        TaskStatus::InputRequired => "input required",
        TaskStatus::Completed => "completed",
        TaskStatus::Failed => "failed",
        TaskStatus::Cancelled => "cancelled",
        _ => "unknown",
    }
}
