//! Tasks as an operator sees them.

use super::answers;
use crate::domain::grant::{ArgumentConstraint, Grant, Permission};
use crate::domain::id::Hex;
use crate::domain::step::StepState;
use crate::proto::v1;
use crate::service::TaskSummary;

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
        asked: in_words(&task.asked),
        own: in_words(&task.own),
        claimed: task.claimed_at.is_some(),
        requirements: shown.requirements.clone(),
    }
}

fn in_words(grant: &Grant) -> Vec<String> {
    let line = |permission: &Permission| {
        let Permission {
            audience,
            tool,
            arguments,
        } = permission;
        match arguments {
            ArgumentConstraint::Any => format!("{tool} at {audience}"),
            ArgumentConstraint::Exact(digest) => {
                let digest = Hex(&digest.0);
                format!("{tool} at {audience} with the arguments of SHA-256 {digest}")
            }
        }
    };
    grant.permissions.iter().map(line).collect()
}
