//! `handfast healthcheck`.

use super::Complaint;
use super::output::Output;
use crate::client::{Agent, AgentConfig};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Asks the agent's health service.
pub(super) async fn healthcheck(socket: &Path, output: &mut Output) -> Result<ExitCode, Complaint> {
    let advice = "is the agent running? `handfast run --config FILE`";
    let agent = Agent::connect(AgentConfig::new(socket))
        .await
        .map_err(|error| Complaint::of(&error, advice))?;
    let ready = agent
        .is_ready()
        .await
        .map_err(|error| Complaint::of(&error, advice))?;
    let line = if ready {
        "agent is ready"
    } else {
        "agent is not ready: its log says what it waits for"
    };
    output.answer(&json!({ "ready": ready }), &[line.to_owned()]);
    Ok(if ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
