//! Tasks as an operator sees them.

use super::answers;
use crate::domain::step::StepState;
use crate::proto::v1;
use crate::service::{SimulatedAnswer, SimulatedChange, TaskSummary, words};

/// One row of a list.
pub(in crate::grpc) fn summary(summary: &TaskSummary) -> v1::TaskSummary {
    let task = &summary.task;
    v1::TaskSummary {
        task_id: task.id.to_string(),
        state: answers::task_state(summary.state),
        owner: task
            .owner
            .workload
            .as_ref()
            .map(|role| role.spiffe_id.to_string())
            .unwrap_or_default(),
        server: task.server.spiffe_id.to_string(),
        tool: task.call.tool.clone(),
        created_at_ms: answers::at_ms(task.created_at),
        deadline_ms: answers::at_ms(task.deadline),
        held_by: summary.held_by.clone(),
        can_act_now: summary.can_act_now.clone(),
        last_step: task.last_step.0,
        performers: task
            .performers
            .iter()
            .map(|role| role.spiffe_id.to_string())
            .collect(),
        parent: task
            .parent
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        children: task.spawned,
    }
}

/// One task, whole.
pub(in crate::grpc) fn details(shown: &TaskSummary) -> v1::ShowTaskResponse {
    let task = &shown.task;
    let mut open: Vec<_> = task
        .open_steps
        .iter()
        .filter(|number| shown.pending.is_none_or(|(pending, _)| pending != **number))
        .map(|number| (*number, StepState::NotDone))
        .chain(shown.pending)
        .collect();
    open.sort_unstable();
    v1::ShowTaskResponse {
        summary: Some(summary(shown)),
        fence: task.fence.0,
        legs: task.legs.0,
        open: answers::open_steps(&open),
        asked: words::grant(&task.asked),
        own: words::grant(&task.own),
        claimed: task.claimed_at.is_some(),
        requirements: shown.requirements.clone(),
    }
}

/// What another policy set would answer otherwise.
pub(in crate::grpc) fn simulated(change: &SimulatedChange) -> v1::SimulatedChange {
    let input = &change.input;
    let id = |id: &crate::domain::id::SpiffeId| id.to_string();
    v1::SimulatedChange {
        task_id: change.task.to_string(),
        action: input.action.name().to_owned(),
        actor: input.actor.as_ref().map(id).unwrap_or_default(),
        audience: input
            .call
            .as_ref()
            .map(|call| id(&call.audience))
            .unwrap_or_default(),
        tool: input
            .call
            .as_ref()
            .map(|call| call.tool.clone())
            .unwrap_or_default(),
        why: change.why.clone(),
        then: match change.then {
            SimulatedAnswer::Refused => v1::SimulatedAnswer::Refused,
            SimulatedAnswer::AsksPerson => v1::SimulatedAnswer::AsksPerson,
            SimulatedAnswer::Permitted => v1::SimulatedAnswer::Permitted,
        }
        .into(),
    }
}
