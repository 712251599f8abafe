//! The configuration file, read once and turned into values that need no further checking.
//!
//! Names `domain` only. The file is TOML; `spire-config/handfast.toml` states and explains every
//! key. The one thing to know: whatever is not understood (an unknown key, a zero, a relative path)
//! is refused with the path of the key, and nothing starts.

mod agent;
mod approvals;
mod duration;
mod enforcement;
mod folders;
mod lifetimes;
mod limits;
mod refusal;
mod release;
mod rows;
mod running;
mod spire;
mod table;
#[cfg(test)]
mod tests;

pub use agent::AgentConfig;
pub use approvals::{ApprovalConfig, ApproverRow, PersonIssuerRow};
pub use enforcement::EnforcementConfig;
pub use lifetimes::{TaskConfig, Timeouts, TokenConfig};
pub use limits::Limits;
pub use refusal::ConfigError;
pub use release::ReleaseRow;
pub use rows::{AudienceRow, ToolRow, WorkloadRow};
pub use running::{
    ClockConfig, DrainConfig, LogConfig, LogFormat, LogLevel, PolicyConfig, RevocationConfig,
};
pub use spire::{AgentId, Attestation, SpiffeConfig};
pub use table::Setting;

use crate::domain::{self, evidence::Releases, id::SpiffeId};
use std::path::Path;
use table::Table;

/// Bytes of the file that are read at most; a longer one is refused.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Everything the agent was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[agent]`.
    pub agent: AgentConfig,
    /// `[spiffe]`.
    pub spiffe: SpiffeConfig,
    /// `[enforcement]`.
    pub enforcement: EnforcementConfig,
    /// `[[workload]]`, one row per SPIFFE ID.
    pub workloads: Vec<WorkloadRow>,
    /// `[[release]]`, one row per name.
    pub releases: Vec<ReleaseRow>,
    /// `[[audience]]`, one row per URL.
    pub audiences: Vec<AudienceRow>,
    /// `[approvals]`.
    pub approvals: ApprovalConfig,
    /// `[[approver]]`, one row per SPIFFE ID.
    pub approvers: Vec<ApproverRow>,
    /// `[[person_issuer]]`, one row per issuer.
    pub person_issuers: Vec<PersonIssuerRow>,
    /// `[[tool]]`, one row per audience and tool.
    pub tools: Vec<ToolRow>,
    /// `[policy]`.
    pub policy: PolicyConfig,
    /// `[revocation]`.
    pub revocation: RevocationConfig,
    /// `[tokens]`.
    pub tokens: TokenConfig,
    /// `[tasks]`.
    pub tasks: TaskConfig,
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// `[limits]`.
    pub limits: Limits,
    /// `[clock]`.
    pub clock: ClockConfig,
    /// `[drain]`.
    pub drain: DrainConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// Every key in force with its value, in the order of the file's sections.
    pub settings: Vec<Setting>,
}

impl Config {
    /// Reads and checks a file, and checks the folders it names.
    ///
    /// # Errors
    /// Everything [`Config::parse`] refuses, [`ConfigError::Read`], and [`ConfigError::Exposed`]
    /// for a file or socket in a folder that every user can write.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::parse(&read(path)?)?;
        config.refuse_exposed(path)?;
        Ok(config)
    }

    /// Checks the text of a configuration file. Looks at nothing outside of it.
    ///
    /// # Errors
    /// See [`ConfigError`]; each names the key's whole path.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let values: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| syntax(text, &error))?;
        let mut settings = Vec::new();
        let mut file = Table::new("", values, &mut settings);
        let agent = AgentConfig::read(file.section("agent")?)?;
        let own = agent.trust_domain();
        let mut config = Self {
            spiffe: SpiffeConfig::read(file.section("spiffe")?, own)?,
            enforcement: EnforcementConfig::read(file.section("enforcement")?, own)?,
            agent,
            workloads: file.rows("workload", WorkloadRow::read)?,
            releases: file.rows("release", ReleaseRow::read)?,
            audiences: file.rows("audience", AudienceRow::read)?,
            approvals: ApprovalConfig::read(file.section("approvals")?)?,
            approvers: file.rows("approver", ApproverRow::read)?,
            person_issuers: file.rows("person_issuer", PersonIssuerRow::read)?,
            tools: file.rows("tool", ToolRow::read)?,
            policy: PolicyConfig::read(file.section("policy")?)?,
            revocation: RevocationConfig::read(file.section("revocation")?)?,
            tokens: TokenConfig::read(file.section("tokens")?)?,
            tasks: TaskConfig::read(file.section("tasks")?)?,
            timeouts: Timeouts::read(file.section("timeouts")?)?,
            limits: Limits::read(file.section("limits")?)?,
            clock: ClockConfig::read(file.section("clock")?)?,
            drain: DrainConfig::read(file.section("drain")?)?,
            log: LogConfig::read(file.section("log")?)?,
            settings: Vec::new(),
        };
        file.finish()?;
        config.settings = settings;
        config.check_rows()?;
        Ok(config)
    }

    /// The row of a workload.
    #[must_use]
    pub fn workload(&self, spiffe_id: &SpiffeId) -> Option<&WorkloadRow> {
        self.workloads
            .iter()
            .find(|row| row.spiffe_id == *spiffe_id)
    }

    /// The times and counts that the rules work with.
    #[must_use]
    pub fn rules(&self) -> domain::limits::Limits {
        domain::limits::Limits {
            token_ttl: self.tokens.ttl,
            query_ttl: self.tokens.query_ttl,
            act_by: self.tokens.act_by,
            act_by_grace: self.tokens.act_by_grace,
            claim_by: self.tasks.claim_by,
            deadline_max: self.tasks.deadline_max,
            owner_seen_max: self.tasks.owner_seen_max,
            retention: self.tasks.retention,
            held_retry_after: self.tasks.held_retry_after,
            steps_max: self.tasks.steps_max,
            open_steps_max: self.tasks.open_steps_max,
            performers_max: self.limits.performers,
            permissions_max: self.limits.grant_pairs,
            owner_tokens_max: self.tasks.owner_tokens_max,
            delegations_max: self.tasks.delegations_max,
            takeovers_max: self.tasks.takeovers_max,
            inputs_max: self.limits.inputs,
            decide_by: self.approvals.decide_by,
            use_within: self.approvals.use_within,
            approval_pause: self.approvals.pause,
            approval_pause_max: self.approvals.pause_max,
            approval_text_bytes: self.limits.approval_text_bytes,
            approvals_per_owner: self.limits.approvals_per_owner,
            revoked_ids_max: self.limits.revoked_ids,
            tasks_per_owner: self.limits.tasks_per_owner,
            depth_max: self.tasks.depth_max,
            children_max: self.tasks.children_max,
            children_per_spawn: self.limits.children_per_spawn,
            tool_risks: self
                .tools
                .iter()
                .map(|row| (row.audience.clone(), row.tool.clone(), row.risk))
                .collect(),
        }
    }

    /// The executables that count as one program, by name.
    #[must_use]
    pub fn releases(&self) -> Releases {
        release::named(&self.releases)
    }

    fn check_rows(&self) -> Result<(), ConfigError> {
        rows::refuse_repeats(&self.workloads, "workload", "spiffe_id", |row| {
            row.spiffe_id.clone()
        })?;
        rows::refuse_repeats(&self.releases, "release", "name", |row| row.name.clone())?;
        release::refuse_strangers(&self.workloads, &self.releases)?;
        rows::refuse_repeats(&self.audiences, "audience", "url", |row| row.url.clone())?;
        rows::refuse_repeats(&self.approvers, "approver", "spiffe_id", |row| {
            row.spiffe_id.clone()
        })?;
        rows::refuse_repeats(&self.person_issuers, "person_issuer", "issuer", |row| {
            row.issuer.clone()
        })?;
        let mut approvers = self.approvers.iter().enumerate();
        if let Some((index, row)) = approvers.find(|(_, row)| !row.is_bounded_by(&self.workloads)) {
            return Err(ConfigError::Value {
                key: format!("approver[{index}].spiffe_id"),
                value: row.spiffe_id.to_string(),
                want: "with a `[[workload]]` row that names a uid or a cgroup".to_owned(),
            });
        }
        rows::refuse_repeats(&self.tools, "tool", "tool", |row| {
            // A SPIFFE ID has no `#` (SPIFFE-ID §2).
            format!("{}#{}", row.audience, row.tool)
        })?;
        let own = self.agent.trust_domain();
        let ids = self.workloads.iter().map(|row| &row.spiffe_id);
        let stranger = ids
            .enumerate()
            .find(|(_, id)| !self.enforcement.trusts(own, id.trust_domain()));
        match stranger {
            None => Ok(()),
            Some((index, id)) => Err(ConfigError::Value {
                key: format!("workload[{index}].spiffe_id"),
                value: id.to_string(),
                want: "in the agent's trust domain or in one listed in `enforcement.federated`"
                    .to_owned(),
            }),
        }
    }

    fn refuse_exposed(&self, file: &Path) -> Result<(), ConfigError> {
        let ledger = self.agent.ledger_path();
        let files = [
            ("--config", file),
            ("agent.socket_path", self.agent.socket_path.as_path()),
            (
                "agent.operator_socket_path",
                &self.agent.operator_socket_path,
            ),
            ("agent.data_dir", &ledger),
            ("agent.key_file", &self.agent.key_file),
            ("policy.path", &self.policy.path),
        ];
        let keys = self.person_issuers.iter();
        let keys = keys.map(|row| ("person_issuer.jwks_path", row.jwks_path.as_path()));
        for (key, path) in files.into_iter().chain(keys) {
            if let Some(folder) = folders::exposed(path) {
                return Err(ConfigError::Exposed {
                    key: key.to_owned(),
                    folder,
                });
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .and_then(|length| match u64::try_from(length) {
            Ok(length) if length < FILE_BYTES_MAX => Ok(()),
            _ => Err(std::io::Error::other("longer than 1 MiB")),
        })
        .map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
    Ok(text)
}

fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end.saturating_add(1));
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    ConfigError::Syntax {
        line: before.matches('\n').count().saturating_add(1),
        column: column.saturating_add(1),
        message: error.message().to_owned(),
    }
}
