//! `handfast status`: how the agent is.

use super::Complaint;
use super::operator::{connect, none_as_dash, refused};
use super::output::Output;
use crate::proto::v1;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Prints how the running agent is. That it is not ready is an answer too: `handfast healthcheck` fails by it.
pub(super) async fn status(socket: &Path, output: &mut Output) -> Result<ExitCode, Complaint> {
    let asked = connect(socket).await?.status(v1::StatusRequest {}).await;
    let status = asked.map_err(|status| refused(&status))?.into_inner();
    let ready = match status.not_ready.as_slice() {
        _ if status.ready => "yes".to_owned(),
        waits => format!("no: waits for {}", waits.join(", ")),
    };
    let mut policy = format!("set {}", status.policy_generation);
    if !status.policy_error.is_empty() {
        policy = format!(
            "{policy}, and a newer one is not taken: {}",
            status.policy_error
        );
    }
    let revoked = none_as_dash(&status.revoked_ids.join(", "));
    let lines = [
        format!(
            "agent          {} {}",
            none_as_dash(&status.spiffe_id),
            status.version
        ),
        format!("ready          {ready}"),
        format!(
            "up for         {} s",
            Duration::from_millis(status.uptime_ms).as_secs()
        ),
        format!("epoch          {}", status.epoch),
        format!("policy         {policy}"),
        format!("audit records  {}", status.audit_records),
        format!("live legs      {}", status.live_legs),
        format!(
            "subscribers    {} to revocations",
            status.revocation_subscribers
        ),
        format!(
            "revoked IDs    {revoked} ({} of {} places taken, {} by lifted ones)",
            status.revoked_ids_kept, status.revoked_ids_max, status.revoked_ids_lifted
        ),
    ];
    let json = json!({
        "version": status.version, "spiffe_id": status.spiffe_id, "epoch": status.epoch,
        "ready": status.ready, "not_ready": status.not_ready,
        "policy_generation": status.policy_generation, "policy_error": status.policy_error,
        "audit_records": status.audit_records, "live_legs": status.live_legs,
        "uptime_ms": status.uptime_ms, "revocation_subscribers": status.revocation_subscribers,
        "revoked_ids": status.revoked_ids, "revoked_ids_kept": status.revoked_ids_kept,
        "revoked_ids_lifted": status.revoked_ids_lifted, "revoked_ids_max": status.revoked_ids_max,
    });
    output.answer(&json, &lines);
    Ok(ExitCode::SUCCESS)
}
