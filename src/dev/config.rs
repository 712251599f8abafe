//! What the development provider is told, and the trust domains it will serve.

use super::provider::DevError;
use crate::domain::id::{SpiffeId, TrustDomain};
use std::path::PathBuf;
use std::time::Duration;

/// Path of the provider's own SPIFFE ID, shaped like that of a SPIRE agent.
pub const PROVIDER_PATH: &str = "/spire/agent/dev";

/// Names reserved by RFC 2606 and RFC 6761, under which no production trust domain can be.
const RESERVED: [&str; 4] = [".test", ".example", ".invalid", ".localhost"];

/// Whether a trust domain can never be one of production.
#[must_use]
pub fn is_reserved(trust_domain: &TrustDomain) -> bool {
    RESERVED
        .iter()
        .any(|suffix| trust_domain.as_str().ends_with(suffix))
}

/// Settings of the development provider.
#[derive(Clone, Debug)]
pub struct DevConfig {
    /// Trust domain to serve; under `.test`, `.example`, `.invalid` or `.localhost`.
    pub trust_domain: TrustDomain,
    /// Path of the Workload API socket (mode 0777, as SPIRE's).
    pub workload_socket: PathBuf,
    /// Path of the Broker API socket (mode 0770, as SPIRE's).
    pub broker_socket: PathBuf,
    /// TOML file of registration entries, read again whenever its content changes.
    pub entries: PathBuf,
    /// Life of an X.509-SVID; a new key is made at half of it. At least [`DevConfig::TTL_MIN`].
    pub svid_ttl: Duration,
    /// Life of a JWT-SVID. At least [`DevConfig::TTL_MIN`].
    pub jwt_ttl: Duration,
    /// How often the entries file is looked at.
    pub reload_interval: Duration,
    /// Connections served at once on each socket; more are closed at once.
    pub connections_max: usize,
}

impl DevConfig {
    /// The shortest life of an SVID: X.509 and JWT times have whole seconds.
    pub const TTL_MIN: Duration = Duration::from_secs(2);

    /// The settings of `handfast dev`, for sockets and an entries file at these paths.
    #[must_use]
    pub fn new(
        trust_domain: TrustDomain,
        workload_socket: PathBuf,
        broker_socket: PathBuf,
        entries: PathBuf,
    ) -> Self {
        Self {
            trust_domain,
            workload_socket,
            broker_socket,
            entries,
            svid_ttl: Duration::from_secs(3600),
            jwt_ttl: Duration::from_secs(300),
            reload_interval: Duration::from_secs(1),
            connections_max: 1024,
        }
    }

    /// The provider's own SPIFFE ID: what a client of its Broker API must expect.
    ///
    /// # Errors
    /// [`DevError::OwnId`] where the trust domain leaves no room for the path.
    pub fn provider_id(&self) -> Result<SpiffeId, DevError> {
        SpiffeId::new(format!("spiffe://{}{PROVIDER_PATH}", self.trust_domain))
            .map_err(DevError::OwnId)
    }

    /// Checks everything that can be checked without touching the machine.
    pub(super) fn check(&self) -> Result<(), DevError> {
        if !is_reserved(&self.trust_domain) {
            return Err(DevError::TrustDomain(self.trust_domain.clone()));
        }
        for (setting, ttl) in [("svid_ttl", self.svid_ttl), ("jwt_ttl", self.jwt_ttl)] {
            if ttl < Self::TTL_MIN {
                return Err(DevError::TtlTooShort { setting });
            }
        }
        if self.reload_interval.is_zero() || self.connections_max == 0 {
            return Err(DevError::Zero);
        }
        if self.workload_socket == self.broker_socket {
            return Err(DevError::SameSocket);
        }
        Ok(())
    }
}
