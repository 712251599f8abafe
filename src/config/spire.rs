//! `[spiffe]`: where SPIRE listens and how it is asked about other processes.
//!
//! Names `domain` only. Broker and admin sockets are Unix sockets: a process number means nothing
//! elsewhere.

use super::refusal::ConfigError;
use super::table::Table;
use crate::domain::id::{SpiffeId, TrustDomain};
use std::path::PathBuf;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// `[spiffe]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeConfig {
    /// Endpoint of the Workload API, as `SPIFFE_ENDPOINT_SOCKET` spells it.
    pub workload_api: String,
    /// How long to wait for the first X.509-SVID before saying so and trying again.
    pub initial_sync_timeout: Duration,
    /// How SPIRE is asked which identity a process has.
    pub attestation: Attestation,
    /// The longest one question to SPIRE may take.
    pub deadline: Duration,
    /// The greatest age of an answer that reads may still rely on; at most 10 s.
    pub reattest_interval: Duration,
    /// Audience of the JWT-SVIDs fetched in attestation: one that no endpoint accepts.
    pub audience: String,
}

/// How SPIRE is asked which identity a process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attestation {
    /// SPIFFE Broker API by process number (SPIRE 1.15.2 and later).
    Broker {
        /// The broker's socket.
        socket: PathBuf,
        /// Which SPIRE agent must answer there.
        agent_id: AgentId,
    },
    /// Delegated Identity API by process number (SPIRE 1.10.2 and later).
    Delegated {
        /// The SPIRE agent's admin socket.
        socket: PathBuf,
    },
}

/// Which SPIFFE IDs the SPIRE agent may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentId {
    /// Exactly this one.
    Exact(SpiffeId),
    /// Any in the trust domain whose path begins so; ends with `/`.
    Prefix {
        /// The trust domain.
        trust_domain: TrustDomain,
        /// The beginning of the path.
        path: String,
    },
}

impl AgentId {
    /// Whether a SPIRE agent with this SPIFFE ID is the expected one.
    #[must_use]
    pub fn admits(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Exact(expected) => id == expected,
            Self::Prefix { trust_domain, path } => {
                id.trust_domain() == trust_domain
                    && id
                        .path()
                        .strip_prefix(path.as_str())
                        .is_some_and(|rest| !rest.is_empty())
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Api {
    Broker,
    Delegated,
}

impl SpiffeConfig {
    pub(super) fn read(
        mut table: Table<'_>,
        trust_domain: &TrustDomain,
    ) -> Result<Self, ConfigError> {
        let config = Self {
            workload_api: workload_api(&mut table)?,
            initial_sync_timeout: table.duration(
                "initial_sync_timeout",
                Duration::from_secs(10),
                Duration::from_secs(600),
            )?,
            attestation: attestation(&mut table, trust_domain)?,
            deadline: table.duration("deadline", Duration::from_secs(2), MINUTE)?,
            reattest_interval: table.duration(
                "reattest_interval",
                Duration::from_secs(10),
                Duration::from_secs(10),
            )?,
            audience: table.text_or("audience", "urn:handfast:attestation")?,
        };
        table.finish()?;
        Ok(config)
    }
}

fn workload_api(table: &mut Table<'_>) -> Result<String, ConfigError> {
    let endpoint = table.text_or("workload_api", "unix:///run/spire/agent/public/api.sock")?;
    match endpoint.strip_prefix("unix://") {
        Some(path) if path.starts_with('/') => Ok(endpoint),
        _ => Err(table.refuse(
            "workload_api",
            &endpoint,
            "`unix://` and an absolute path, such as `unix:///run/spire/agent/public/api.sock`",
        )),
    }
}

fn attestation(
    table: &mut Table<'_>,
    trust_domain: &TrustDomain,
) -> Result<Attestation, ConfigError> {
    let api = table.choice(
        "attestation",
        "broker",
        &[("broker", Api::Broker), ("delegated", Api::Delegated)],
    )?;
    // A key of the way not taken is refused: it would seem to work and do nothing.
    let (other, reason) = match api {
        Api::Broker => ("admin_socket", "only `attestation = \"delegated\"` uses it"),
        Api::Delegated => ("broker_socket", "only `attestation = \"broker\"` uses it"),
    };
    if table.states(other) {
        return Err(ConfigError::Conflict {
            key: table.key(other),
            other: table.key("attestation"),
            reason,
        });
    }
    match api {
        Api::Broker => Ok(Attestation::Broker {
            socket: table.socket_path("broker_socket", "/run/spire/agent/broker/broker.sock")?,
            agent_id: broker_agent_id(table, trust_domain)?,
        }),
        Api::Delegated => Ok(Attestation::Delegated {
            socket: table.socket_path("admin_socket", "/run/spire/agent/private/admin.sock")?,
        }),
    }
}

/// Reads `broker_agent_id`: exact, or with a final `/*` everything below.
fn broker_agent_id(
    table: &mut Table<'_>,
    trust_domain: &TrustDomain,
) -> Result<AgentId, ConfigError> {
    const KEY: &str = "broker_agent_id";
    let text = table.text_or(KEY, &format!("spiffe://{trust_domain}/spire/agent/*"))?;
    let (id_text, is_prefix) = match text.strip_suffix("/*") {
        Some(parent) => (parent, true),
        None => (text.as_str(), false),
    };
    let id = SpiffeId::new(id_text).map_err(|source| ConfigError::SpiffeId {
        key: table.key(KEY),
        value: text.clone(),
        source,
    })?;
    if id.path().is_empty() || id.trust_domain() != trust_domain {
        let want = "a SPIFFE ID with a path, in the agent's own trust domain";
        return Err(table.refuse(KEY, &text, want));
    }
    Ok(if is_prefix {
        AgentId::Prefix {
            trust_domain: id.trust_domain().clone(),
            path: format!("{}/", id.path()),
        }
    } else {
        AgentId::Exact(id)
    })
}
