//! `[enforcement]`: the TCP listener for tools on other nodes, and which trust domains it knows.
//!
//! Names `domain` only. Without `listen` nothing is reachable over the network.

use super::refusal::ConfigError;
use super::table::Table;
use crate::domain::id::{SpiffeId, TrustDomain};
use std::net::SocketAddr;

/// `[enforcement]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnforcementConfig {
    /// Address of the mTLS listener; none listens if absent.
    pub listen: Option<SocketAddr>,
    /// Who may connect there, by exact SPIFFE ID.
    pub allowed: Vec<SpiffeId>,
    /// Trust domains other than the agent's own whose SVIDs are believed.
    pub federated: Vec<TrustDomain>,
}

impl EnforcementConfig {
    pub(super) fn read(
        mut table: Table<'_>,
        trust_domain: &TrustDomain,
    ) -> Result<Self, ConfigError> {
        let config = Self {
            listen: listen(&mut table)?,
            allowed: table.spiffe_ids("allowed")?,
            federated: table.trust_domains("federated")?,
        };
        config.check(&table, trust_domain)?;
        table.finish()?;
        Ok(config)
    }

    /// Whether SVIDs of this trust domain are believed.
    #[must_use]
    pub fn trusts(&self, own: &TrustDomain, other: &TrustDomain) -> bool {
        other == own || self.federated.contains(other)
    }

    fn check(&self, table: &Table<'_>, own: &TrustDomain) -> Result<(), ConfigError> {
        if self.federated.contains(own) {
            let want = "other trust domains than the agent's own";
            return Err(table.refuse("federated", own.as_str(), want));
        }
        if let Some(id) = self
            .allowed
            .iter()
            .find(|id| !self.trusts(own, id.trust_domain()))
        {
            let want = "SPIFFE IDs in the agent's trust domain or in one listed in `federated`";
            return Err(table.refuse("allowed", &id.to_string(), want));
        }
        if self.listen.is_some() && self.allowed.is_empty() {
            return Err(ConfigError::Conflict {
                key: table.key("allowed"),
                other: table.key("listen"),
                reason: "a listener that admits nobody serves nobody, list who may connect",
            });
        }
        Ok(())
    }
}

fn listen(table: &mut Table<'_>) -> Result<Option<SocketAddr>, ConfigError> {
    let Some(text) = table.text("listen")? else {
        return Ok(None);
    };
    match text.parse() {
        Ok(address) => Ok(Some(address)),
        Err(_not_an_address) => Err(table.refuse(
            "listen",
            &text,
            "an IP address and port, such as `127.0.0.1:8445`",
        )),
    }
}
