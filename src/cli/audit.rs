//! `handfast audit` and `handfast explain`.

use super::Complaint;
use super::operator::{connect, refused};
use super::output::Output;
use crate::config::Config;
use crate::domain::id::Hex;
use crate::ledger::verify_chain;
use crate::proto::v1;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Checks a stopped agent's chain; exit status 1 and the place if it is broken.
pub(super) fn verify(
    config: &Path,
    ledger: Option<PathBuf>,
    output: &mut Output,
) -> Result<ExitCode, Complaint> {
    let path = if let Some(path) = ledger {
        path
    } else {
        let config = Config::load(config)
            .map_err(|error| Complaint::of(&error, "or name the file with --ledger"))?;
        config.agent.ledger_path()
    };
    let verified = verify_chain(&path).map_err(|error| {
        Complaint::of(
            &error,
            "a running agent has its ledger open: stop it, or verify a copy",
        )
    })?;
    let head = Hex(&verified.head.0).to_string();
    let line = format!("ok: {} records, head {head}", verified.records);
    output.answer(
        &json!({ "records": verified.records, "head": head }),
        &[line],
    );
    Ok(ExitCode::SUCCESS)
}

/// Prints records of the running agent.
pub(super) async fn tail(
    socket: &Path,
    (from, limit): (Option<u64>, u32),
    output: &mut Output,
) -> Result<ExitCode, Complaint> {
    let mut operator = connect(socket).await?;
    let from = if let Some(from) = from {
        from
    } else {
        let status = operator
            .status(v1::StatusRequest {})
            .await
            .map_err(|status| refused(&status))?
            .into_inner();
        let limit = u64::from(limit);
        status.audit_records.saturating_sub(limit).saturating_add(1)
    };
    let records = operator
        .audit(v1::AuditRequest { from, limit })
        .await
        .map_err(|status| refused(&status))?
        .into_inner()
        .records;
    let json = records.iter().map(record_json).collect();
    let lines: Vec<String> = records.iter().map(line).collect();
    output.answer(&json, &lines);
    Ok(ExitCode::SUCCESS)
}

/// Prints the true reason behind a decision ID.
pub(super) async fn explain(
    socket: &Path,
    decision_id: String,
    output: &mut Output,
) -> Result<ExitCode, Complaint> {
    let found = connect(socket)
        .await?
        .explain(v1::ExplainRequest { decision_id })
        .await
        .map_err(|status| refused(&status))?
        .into_inner();
    let Some(record) = found.record else {
        return Err(Complaint::new(
            "no such decision here",
            "a decision ID is opened by the agent that gave it, with its key file",
        ));
    };
    let mut lines = vec![line(&record)];
    if !record.explanation.is_empty() {
        lines.push(format!("why      {}", record.explanation));
    }
    lines.push(format!(
        "caller   {} ({})",
        record.spiffe_ids.join(", "),
        record.assurance
    ));
    lines.push(format!(
        "seen     pid {}, uid {}, cgroup {}",
        record.pid, record.uid, record.cgroup
    ));
    if !record.policies.is_empty() {
        lines.push(format!(
            "policies {} of set {}",
            record.policies.join(", "),
            record.policy_generation
        ));
    }
    let mut facts: Vec<String> = record
        .facts
        .iter()
        .map(|(name, value)| format!("fact     {name} = {value}"))
        .collect();
    facts.sort();
    lines.extend(facts);
    output.answer(&record_json(&record), &lines);
    Ok(ExitCode::SUCCESS)
}

fn line(record: &v1::AuditRecord) -> String {
    let outcome = if record.allowed {
        "ok".to_owned()
    } else {
        format!("DENIED {}", record.reason)
    };
    let times = if record.count > 1 {
        format!(" x{}", record.count)
    } else {
        String::new()
    };
    let task = if record.task_id.is_empty() {
        "-"
    } else {
        record.task_id.as_str()
    };
    format!(
        "{:>6}  {}  {:<26} {outcome}{times}  task {task}  pid {}",
        record.number, record.at_ms, record.operation, record.pid
    )
}

fn record_json(record: &v1::AuditRecord) -> Value {
    json!({
        "number": record.number, "at_ms": record.at_ms, "operation": record.operation,
        "allowed": record.allowed, "reason": record.reason, "explanation": record.explanation,
        "task_id": record.task_id, "spiffe_ids": record.spiffe_ids,
        "assurance": record.assurance, "pid": record.pid, "uid": record.uid,
        "cgroup": record.cgroup, "executable_s256": record.executable_s256,
        "policy_generation": record.policy_generation, "policies": record.policies,
        "facts": record.facts, "count": record.count, "hash": Hex(&record.hash).to_string(),
    })
}
