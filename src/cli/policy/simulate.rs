//! `handfast policy simulate`.

use super::super::Complaint;
use super::super::operator::{connect, none_as_dash, refused};
use super::super::output::{Output, columns};
use crate::proto::v1;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Tasks looked at in one call.
const PAGE: u32 = 100;

/// Puts the acts that the live tasks wait for to another set.
pub(super) async fn simulate(
    socket: &Path,
    file: &Path,
    output: &mut Output,
) -> Result<ExitCode, Complaint> {
    let policy = super::text(file)?;
    let mut operator = connect(socket).await?;
    let (mut after, mut changes) = (String::new(), Vec::new());
    let (mut tasks, mut acts, mut left_out) = (0_u32, 0_u32, 0_u32);
    loop {
        let request = v1::SimulateRequest {
            policy: policy.clone(),
            after,
            limit: PAGE,
        };
        let page = operator
            .simulate(request)
            .await
            .map_err(|status| refused(&status))?
            .into_inner();
        tasks = tasks.saturating_add(page.tasks);
        acts = acts.saturating_add(page.acts);
        left_out = left_out.saturating_add(page.left_out);
        changes.extend(page.changes);
        if page.next.is_empty() {
            break;
        }
        after = page.next;
    }
    let count = |then| changes.iter().filter(|it| it.then() == then).count();
    let cut_off = count(v1::SimulatedAnswer::Refused);
    let asks_person = count(v1::SimulatedAnswer::AsksPerson);
    let opened = count(v1::SimulatedAnswer::Permitted);
    let mut lines = Vec::new();
    if !changes.is_empty() {
        let heading = ["THEN", "TASK", "ACTION", "BY", "TOOL", "WHY"];
        let rows: Vec<Vec<String>> = changes.iter().map(row).collect();
        lines.extend(columns(&heading, &rows));
    }
    lines.push(format!(
        "{tasks} live tasks, {acts} acts: {cut_off} would be cut off, {asks_person} put before a person, \
         {opened} opened"
    ));
    if left_out > 0 {
        lines.push(format!("{left_out} more changes had no room in an answer"));
    }
    let json = json!({
        "tasks": tasks, "acts": acts, "cut_off": cut_off, "asks_person": asks_person, "opened": opened,
        "left_out": left_out,
        "changes": changes.iter().map(|it| json!({
            "task_id": it.task_id, "action": it.action, "actor": it.actor, "audience": it.audience,
            "tool": it.tool, "then": answer(it), "why": it.why,
        })).collect::<Vec<_>>(),
    });
    output.answer(&json, &lines);
    Ok(ExitCode::SUCCESS)
}

fn answer(change: &v1::SimulatedChange) -> &'static str {
    match change.then() {
        v1::SimulatedAnswer::AsksPerson => "asks a person",
        v1::SimulatedAnswer::Permitted => "permitted",
        v1::SimulatedAnswer::Refused | v1::SimulatedAnswer::Unspecified => "refused",
    }
}

fn row(change: &v1::SimulatedChange) -> Vec<String> {
    let tool = match change.tool.as_str() {
        "" => "-".to_owned(),
        tool => format!("{tool} at {}", change.audience),
    };
    vec![
        answer(change).to_owned(),
        change.task_id.clone(),
        change.action.clone(),
        none_as_dash(&change.actor),
        tool,
        change.why.clone(),
    ]
}
