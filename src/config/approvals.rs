//! `[approvals]`, `[[approver]]` and `[[person_issuer]]`: who may be asked, and how long for.
//!
//! Names `domain` only.

use super::refusal::ConfigError;
use super::rows::WorkloadRow;
use super::table::Table;
use crate::domain::id::SpiffeId;
use std::path::PathBuf;
use std::time::Duration;

const SKEW_MAX: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// `[approvals]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalConfig {
    /// How long a person may take to decide; never longer than the task's deadline.
    pub decide_by: Duration,
    /// How long after a person's yes the step may still be asked for.
    pub use_within: Duration,
    /// The pause after a request that came to nothing; it doubles with each in a row.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// How old a person's login may be when it is brought.
    pub login_age_max: Duration,
    /// How far an issuer's clock may be ahead of the agent's, or behind.
    pub login_skew_max: Duration,
}

impl ApprovalConfig {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let year = DAY.saturating_mul(365);
        let config = Self {
            decide_by: table.duration("decide_by", DAY.saturating_mul(7), year)?,
            use_within: table.duration("use_within", Duration::from_secs(300), HOUR)?,
            pause: table.duration("pause", Duration::from_secs(30), DAY)?,
            pause_max: table.duration("pause_max", Duration::from_secs(3600), DAY)?,
            login_age_max: table.duration("login_age_max", Duration::from_secs(600), DAY)?,
            login_skew_max: table.duration("login_skew_max", Duration::from_secs(30), SKEW_MAX)?,
        };
        table.finish()?;
        Ok(config)
    }
}

/// One `[[approver]]` row: a workload through which people decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApproverRow {
    /// Its SPIFFE ID.
    pub spiffe_id: SpiffeId,
}

impl ApproverRow {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            spiffe_id: table.spiffe_id("spiffe_id")?,
        })
    }

    /// Whether these rows say what it must show: a user or a cgroup, as nobody was seen before.
    pub(super) fn is_bounded_by(&self, workloads: &[WorkloadRow]) -> bool {
        workloads.iter().any(|row| {
            row.spiffe_id == self.spiffe_id
                && (row.evidence.uid.is_some() || row.evidence.cgroup.is_some())
        })
    }
}

/// One `[[person_issuer]]` row: an identity provider whose people may decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonIssuerRow {
    /// `iss` of its ID tokens, exactly.
    pub issuer: String,
    /// The client whose logins count, in `aud`.
    pub audience: String,
    /// Its public keys, a JWK set.
    pub jwks_path: PathBuf,
}

impl PersonIssuerRow {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let issuer = table
            .text("issuer")?
            .ok_or_else(|| table.missing("issuer", "the issuer's `https://` URL"))?;
        if !issuer.starts_with("https://") {
            return Err(table.refuse("issuer", &issuer, "an `https://` URL"));
        }
        let audience = table
            .text("audience")?
            .ok_or_else(|| table.missing("audience", "the client ID in `aud`"))?;
        if !table.states("jwks_path") {
            return Err(table.missing("jwks_path", "the path of the issuer's JWK set"));
        }
        Ok(Self {
            issuer,
            audience,
            jwks_path: table.path("jwks_path", "")?,
        })
    }
}
