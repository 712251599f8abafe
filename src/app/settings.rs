//! From the configuration to the service's settings.

use crate::config::Config;
use crate::oidc::{IdTokens, Issuer, LoginTimes};
use crate::service::{Settings, WorkloadRow};

/// The service's settings.
pub(super) fn of(config: &Config) -> Settings {
    let limits = &config.limits;
    Settings {
        limits: config.rules(),
        workloads: config
            .workloads
            .iter()
            .map(|row| {
                let required = WorkloadRow {
                    required: row.evidence.clone(),
                    process: row.process,
                };
                (row.spiffe_id.clone(), required)
            })
            .collect(),
        releases: config.releases(),
        approvers: config
            .approvers
            .iter()
            .map(|row| row.spiffe_id.clone())
            .collect(),
        lease_idle: config.tasks.lease_idle,
        reattach_window: config.tasks.reattach_window,
        reattest_interval: config.spiffe.reattest_interval,
        sweep_interval: config.tasks.sweep_interval,
        deadline_notice: config.tasks.deadline_notice,
        rate_per_process: (
            limits.requests_per_process,
            limits.requests_per_process_burst,
        ),
        rate_per_uid: (limits.requests_per_uid, limits.requests_per_uid_burst),
        rate_callers_max: limits.rate_callers,
        fold_window: config.timeouts.fold,
        fold_entries_max: limits.folded_records,
        legs_max: limits.legs,
        holds_per_leg_max: limits.holds_per_leg,
        hold_queue_max: limits.hold_notices,
        watches_max: limits.watches,
        watches_per_uid_max: limits.watches_per_uid,
        revocation_heartbeat: config.revocation.heartbeat,
        revocation_subscribers_max: limits.revocation_subscribers,
        revocation_subscribers_per_uid_max: limits.revocation_subscribers_per_uid,
        revocation_notices_max: limits.revocation_notices,
        receipts_max: limits.receipts,
        children_named_max: limits.children_named,
        fold_denials_per_uid_max: limits.folded_denials_per_uid,
    }
}

/// The people who may decide. Keys that cannot be read are told at once, and stop nothing else.
pub(super) fn persons(config: &Config) -> IdTokens {
    let issuer = |row: &crate::config::PersonIssuerRow| Issuer {
        issuer: row.issuer.clone(),
        audience: row.audience.clone(),
        jwks_path: row.jwks_path.clone(),
    };
    let issuers = config.person_issuers.iter().map(issuer).collect();
    let times = LoginTimes {
        age_max: config.approvals.login_age_max,
        skew_max: config.approvals.login_skew_max,
    };
    let persons = IdTokens::new(issuers, times, config.limits.jwks_bytes);
    if let Err(complaints) = persons.check() {
        for why in complaints {
            tracing::warn!(%why, "nobody of this issuer can decide: its keys are not usable");
        }
    }
    persons
}
