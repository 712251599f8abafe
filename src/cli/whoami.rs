//! `handfast api whoami`.

use super::Complaint;
use super::output::Output;
use crate::client::{Agent, AgentConfig};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Prints what the agent sees of this process.
pub(super) async fn whoami(socket: &Path, output: &mut Output) -> Result<ExitCode, Complaint> {
    let agent = Agent::connect(AgentConfig::new(socket))
        .await
        .map_err(|error| Complaint::of(&error, "is the agent running, and is this its socket?"))?;
    let me = agent.who_am_i().await.map_err(|error| {
        Complaint::of(&error, "`handfast healthcheck` says whether it is ready")
    })?;
    let mut lines = vec![format!("pid {} uid {} gid {}", me.pid, me.uid, me.gid)];
    if !me.cgroup.is_empty() {
        lines.push(format!("cgroup {}", me.cgroup));
    }
    lines.extend(
        me.spiffe_ids
            .iter()
            .map(|id| format!("{id} (assurance {})", me.assurance)),
    );
    lines.extend(
        me.selectors
            .iter()
            .map(|selector| format!("selector {selector}")),
    );
    lines.extend(me.hints.iter().cloned());
    let json = json!({
        "spiffe_ids": me.spiffe_ids, "assurance": me.assurance, "pid": me.pid, "uid": me.uid,
        "gid": me.gid, "cgroup": me.cgroup, "selectors": me.selectors, "hints": me.hints,
    });
    output.answer(&json, &lines);
    Ok(if me.spiffe_ids.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
