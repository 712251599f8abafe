//! `handfast validate`.

use super::Complaint;
use super::output::Output;
use crate::config::{Config, WorkloadRow};
use crate::kernel::{self, NodeWants};
use crate::policy::{CedarPolicy, PolicySource};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Checks configuration and policy, and the node if asked.
pub(super) fn validate(
    path: &Path,
    node: bool,
    output: &mut Output,
) -> Result<ExitCode, Complaint> {
    let config = Config::load(path)
        .map_err(|error| Complaint::of(&error, "spire-config/handfast.toml explains every key"))?;
    let policy = CedarPolicy::load(PolicySource {
        path: Some(config.policy.path.clone()),
        bytes_max: config.limits.policy_bytes,
        policies_max: config.limits.policies,
    })
    .map_err(|error| Complaint::new(format!("policy: {}", error.chain()), ""))?;
    let policies = policy.summary().policies.len();
    let mut lines = vec![
        format!(
            "ok    configuration: {} ({} settings)",
            path.display(),
            config.settings.len()
        ),
        format!(
            "ok    policy: {} ({policies} policies)",
            config.policy.path.display()
        ),
    ];
    let needs = if node {
        kernel::self_test(&NodeWants {
            executable_digests: config.workloads.iter().any(WorkloadRow::needs_executable),
            connections_max: u64::try_from(config.limits.connections).unwrap_or(u64::MAX),
            legs_max: u64::try_from(config.limits.legs).unwrap_or(u64::MAX),
        })
    } else {
        Vec::new()
    };
    lines.extend(needs.iter().map(ToString::to_string));
    let fit = needs.iter().all(|need| need.met || !need.required);
    let json = json!({
        "config": path, "settings": config.settings.len(), "policies": policies, "fit": fit,
        "node": needs.iter().map(|need| json!({
            "name": need.name, "have": need.have, "want": need.want, "how": need.how,
            "met": need.met, "required": need.required,
        })).collect::<Vec<_>>(),
    });
    output.answer(&json, &lines);
    Ok(if fit {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
