//! `handfast task`.

use super::output::{Output, columns};
use super::{Complaint, Task};
use crate::client::{Agent, AgentConfig, ClientError, OperatorStub};
use crate::proto::v1;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Tasks asked for at a time.
const PAGE: u32 = 200;

/// Connects to the operator's socket.
pub(super) async fn connect(socket: &Path) -> Result<OperatorStub, Complaint> {
    let agent = Agent::connect(AgentConfig::new(socket)).await.map_err(|error| {
        Complaint::of(
            &error,
            "the operator's socket is mode 0600: run this as the agent's user or as root, and name \
             it with --operator-socket-path",
        )
    })?;
    Ok(agent.operator())
}

/// A refusal or failure of the agent, in its own words.
pub(super) fn refused(status: &tonic::Status) -> Complaint {
    if status.code() == tonic::Code::Unimplemented {
        return Complaint::new(
            "what answers at this socket knows no such operator's call",
            "name the operator's socket with --operator-socket-path, not the workloads'; or the agent is older \
             than this program",
        );
    }
    Complaint::of(&ClientError::from(status.clone()), "")
}

/// Runs a verb on tasks.
pub(super) async fn task(verb: Task, output: &mut Output) -> Result<ExitCode, Complaint> {
    match verb {
        Task::List { all, operator } => list(&operator.operator_socket_path, all, output).await,
        Task::Show { task_id, operator } => {
            show(&operator.operator_socket_path, task_id, output).await
        }
        Task::Revoke {
            task_id,
            why,
            operator,
        } => {
            let request = v1::RevokeRequest {
                scope: Some(v1::revoke_request::Scope::TaskId(task_id)),
                reason: why,
                dry_run: false,
            };
            revoke(&operator.operator_socket_path, request, output).await
        }
    }
}

async fn list(socket: &Path, all: bool, output: &mut Output) -> Result<ExitCode, Complaint> {
    let mut operator = connect(socket).await?;
    let (mut after, mut tasks) = (String::new(), Vec::new());
    loop {
        let page = operator
            .list_tasks(v1::ListTasksRequest {
                after,
                limit: PAGE,
                include_ended: all,
            })
            .await
            .map_err(|status| refused(&status))?
            .into_inner();
        tasks.extend(page.tasks);
        if page.next.is_empty() {
            break;
        }
        after = page.next;
    }
    let rows: Vec<Vec<String>> = tasks
        .iter()
        .map(|task| {
            vec![
                task.task_id.clone(),
                state(task.state),
                task.tool.clone(),
                none_as_dash(&task.parent),
                task.children.to_string(),
                none_as_dash(&task.held_by),
                task.can_act_now.clone(),
            ]
        })
        .collect();
    let heading = [
        "TASK",
        "STATE",
        "TOOL",
        "PARENT",
        "CHILDREN",
        "HELD BY",
        "CAN ACT NOW",
    ];
    let json = tasks.iter().map(summary_json).collect();
    output.answer(&json, &columns(&heading, &rows));
    Ok(ExitCode::SUCCESS)
}

async fn show(socket: &Path, task_id: String, output: &mut Output) -> Result<ExitCode, Complaint> {
    let shown = connect(socket)
        .await?
        .show_task(v1::ShowTaskRequest { task_id })
        .await
        .map_err(|status| refused(&status))?
        .into_inner();
    let summary = shown.summary.clone().unwrap_or_default();
    let mut lines = vec![
        format!("task         {}", summary.task_id),
        format!("state        {}", state(summary.state)),
        format!("tool         {} at {}", summary.tool, summary.server),
        format!("owner        {}", none_as_dash(&summary.owner)),
        format!("held by      {}", none_as_dash(&summary.held_by)),
        format!("can act now  {}", summary.can_act_now),
        format!("claimed      {}", shown.claimed),
        format!("parent       {}", none_as_dash(&summary.parent)),
        format!("children     {}", summary.children),
        format!(
            "legs {}, fence {}, last step {}",
            shown.legs, shown.fence, summary.last_step
        ),
    ];
    lines.extend(
        shown
            .open
            .iter()
            .map(|step| format!("open step    {} {}", step.step, step_state(step.state))),
    );
    lines.extend(
        shown
            .asked
            .iter()
            .map(|line| format!("asked        {line}")),
    );
    lines.extend(shown.own.iter().map(|line| format!("own          {line}")));
    lines.extend(
        shown
            .requirements
            .iter()
            .map(|line| format!("must show    {line}")),
    );
    let json = json!({
        "summary": summary_json(&summary), "fence": shown.fence, "legs": shown.legs,
        "claimed": shown.claimed, "asked": shown.asked, "own": shown.own,
        "requirements": shown.requirements,
        "open": shown.open.iter()
            .map(|step| json!({ "step": step.step, "state": step_state(step.state) }))
            .collect::<Vec<_>>(),
    });
    output.answer(&json, &lines);
    Ok(ExitCode::SUCCESS)
}

async fn revoke(
    socket: &Path,
    request: v1::RevokeRequest,
    output: &mut Output,
) -> Result<ExitCode, Complaint> {
    let done = connect(socket)
        .await?
        .revoke(request)
        .await
        .map_err(|status| refused(&status))?
        .into_inner();
    let now = state(done.state);
    let line = format!("task is {now}; decision {}", done.decision_id);
    output.answer(
        &json!({ "state": now, "decision_id": done.decision_id }),
        &[line],
    );
    Ok(ExitCode::SUCCESS)
}

fn summary_json(task: &v1::TaskSummary) -> serde_json::Value {
    json!({
        "task_id": task.task_id, "state": state(task.state), "owner": task.owner,
        "server": task.server, "tool": task.tool, "created_at_ms": task.created_at_ms,
        "deadline_ms": task.deadline_ms, "held_by": task.held_by,
        "can_act_now": task.can_act_now, "last_step": task.last_step,
        "performers": task.performers, "parent": task.parent, "children": task.children,
    })
}

pub(super) fn state(number: i32) -> String {
    v1::TaskState::try_from(number)
        .unwrap_or_default()
        .as_str_name()
        .trim_start_matches("TASK_STATE_")
        .to_lowercase()
}

fn step_state(number: i32) -> String {
    v1::StepState::try_from(number)
        .unwrap_or_default()
        .as_str_name()
        .trim_start_matches("STEP_STATE_")
        .to_lowercase()
}

pub(super) fn none_as_dash(text: &str) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text.to_owned()
    }
}
