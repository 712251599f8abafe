//! The MCP server `reports`: one tool, whose calls become tasks of the Tasks extension.
//!
//! With an agent, every request that acts on a task asks it first. Without (`guarded: false`) the task ID is
//! all there is, which is how such servers are usually built.

use super::BUILD_REPORT;
use super::guard::{Guard, not_made};
use super::queue::Queue;
use crate::harness::{self, Role};
use crate::oauth::{RESOURCE, Verifier};
use crate::wire::{Ask, Said};
use crate::{Error, serve};
use handfast::client::{BodyGate, Register, TaskState, ToolCall, body_gate};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CreateTaskResult, DetailedTask,
    GetTaskParams, GetTaskResult, Implementation, InputRequests, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, TaskPayload, Tool, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What the director tells the server.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) guarded: bool,
    pub(crate) queue: PathBuf,
    pub(crate) issuer_key: String,
}

#[derive(Clone)]
struct Reports {
    settings: Settings,
    spiffe_id: String,
    guard: Guard,
    tasks: TaskManager,
}

pub(crate) async fn play() -> Result<(), Error> {
    let settings: Settings = harness::settings()?;
    let (source, id, agent) = harness::join().await?;
    let guard = Guard {
        agent,
        users: Verifier::new(&settings.issuer_key)?,
        last_refusal: Arc::new(Mutex::new(None)),
    };
    let reports = Reports {
        spiffe_id: id.to_string(),
        guard: guard.clone(),
        tasks: TaskManager::new(),
        settings,
    };
    let host: http::Uri = RESOURCE.parse()?;
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None)
        .with_allowed_hosts(host.host().map(ToOwned::to_owned));
    let service = StreamableHttpService::new(
        move || Ok(reports.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let port = serve::listen(source, service).await?;
    let up = Said::Up {
        port: Some(port),
        spiffe_id: id.to_string(),
    };
    harness::answer_all(guard, up).await
}

impl Role for Guard {
    async fn answer(&mut self, ask: Ask) -> Result<Said, Error> {
        match ask {
            Ask::LastRefusal => {
                let last = self
                    .last_refusal
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                let id = last.ok_or("the server refused nothing")?;
                Ok(Said::Decision { id })
            }
            other => Err(format!("a server does not do {other:?}").into()),
        }
    }
}

/// The tool's definition, which tokens are bound to.
fn build_report() -> Tool {
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "year": { "type": "integer" } },
        "required": ["year"],
    });
    let schema = schema.as_object().cloned().unwrap_or_default();
    Tool::new(BUILD_REPORT, "Builds the yearly report", schema)
}

impl Reports {
    /// The body of a task behind its gate: hand the work to whoever takes it from the queue.
    fn start(&self, gate: Option<BodyGate>) -> rmcp::model::Task {
        let queue = self.settings.queue.clone();
        self.tasks.spawn(TaskOptions::new(), move |task| {
            Box::pin(async move {
                task.set_status_message("report for user-1: 41 of 120 pages so far");
                let Some(gate) = gate else {
                    return until_cancelled(&task).await;
                };
                let enqueued = gate
                    .run(async |registered| {
                        Queue::at(&queue)
                            .push(registered.work_reference())
                            .map_err(|error| ErrorData::internal_error(error.to_string(), None))
                    })
                    .await;
                enqueued.ok_or(TaskExit::Cancelled)??;
                until_cancelled(&task).await
            })
        })
    }

    /// The call as it was received, bound to the definition that `tools/list` shows.
    fn call(&self, request: &CallToolRequestParams) -> Result<ToolCall, Error> {
        let arguments = serde_json::to_vec(&request.arguments.clone().unwrap_or_default())?;
        let definition = serde_json::to_vec(&build_report())?;
        Ok(
            ToolCall::new(&self.spiffe_id, request.name.clone(), arguments)?
                .defined_by(&definition)?,
        )
    }
}

async fn until_cancelled(task: &TaskContext) -> Result<rmcp::model::CallToolResult, TaskExit> {
    task.cancelled().await;
    Err(TaskExit::Cancelled)
}

impl ServerHandler for Reports {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("reports", "1"))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![build_report()]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caller = self.guard.caller(&context)?;
        if !self.settings.guarded {
            return Ok(CallToolResponse::Task(CreateTaskResult::new(
                self.start(None),
            )));
        }
        let call = self
            .call(&request)
            .map_err(|error| ErrorData::invalid_params(error.to_string(), None))?;
        let (gate, opener) = body_gate();
        let task = self.start(Some(gate));
        // What the owner lends stands as it is; the server adds nothing of its own.
        let register = Register::new(caller, call, &task.task_id);
        match self.guard.agent.server().create(register).await {
            Ok(registered) => {
                opener.open(registered);
                Ok(CallToolResponse::Task(CreateTaskResult::new(task)))
            }
            Err(error) => Err(not_made(&error)),
        }
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let caller = self.guard.caller(&context)?;
        let waits = self.settings.guarded
            && self.guard.query(caller, &request.task_id).await? == TaskState::InputRequired;
        let mut shown = self.tasks.get_task(&request.task_id)?;
        if waits {
            // A person is asked elsewhere: there is nothing that this client could answer.
            let input_requests = InputRequests::default();
            shown = DetailedTask::new(shown.task, TaskPayload::InputRequired { input_requests });
        }
        Ok(GetTaskResult::new(shown))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let caller = self.guard.caller(&context)?;
        if self.settings.guarded {
            self.guard.update(caller, &request.task_id).await?;
        }
        Ok(())
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let caller = self.guard.caller(&context)?;
        if self.settings.guarded {
            self.guard.cancel(caller, &request.task_id).await?;
        }
        self.tasks.cancel_task(&request.task_id)
    }
}
