//! TLS for remote peers: mutual, 1.3 only, by SPIFFE ID.

use super::source::{Identity, IdentityError};
use crate::domain::id::{SpiffeId, TrustDomain};
use rustls::{ProtocolVersion, ServerConfig};
use spiffe_rustls::{TerminalSourcePolicy, TrustDomainPolicy};
use std::collections::BTreeSet;
use std::sync::Arc;

/// HTTP/2, which gRPC is. A client that offers others only is refused in the handshake; one that
/// offers nothing is not, and fails at its first byte.
pub(super) const ALPN: [&[u8]; 1] = [b"h2"];

/// Who may finish a handshake. Being admitted here is not being authorised for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerRules {
    /// Exactly these identities.
    pub spiffe_ids: BTreeSet<SpiffeId>,
    /// Every identity of these trust domains.
    pub trust_domains: BTreeSet<TrustDomain>,
    /// Trust domains, besides the agent's own, whose certificates are considered at all.
    pub federation: BTreeSet<TrustDomain>,
}

/// Why peer rules were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRulesError {
    /// They admit nobody.
    #[error("no SPIFFE ID and no trust domain is admitted")]
    Empty,
    /// A rule that could never apply, which is surely not what was meant.
    #[error("trust domain `{0}` is admitted but is neither the agent's own nor federated")]
    NotFederated(TrustDomain),
}

impl PeerRules {
    /// Whether a verified SPIFFE ID is admitted. Compares whole IDs, so that a path never stands
    /// for itself.
    #[must_use]
    pub fn admit(&self, peer: &SpiffeId) -> bool {
        self.spiffe_ids.contains(peer) || self.trust_domains.contains(peer.trust_domain())
    }

    fn check(&self, own: &TrustDomain) -> Result<(), PeerRulesError> {
        let named = self.spiffe_ids.iter().map(SpiffeId::trust_domain);
        let mut domains = named.chain(&self.trust_domains).peekable();
        if domains.peek().is_none() {
            return Err(PeerRulesError::Empty);
        }
        match domains.find(|domain| *domain != own && !self.federation.contains(domain)) {
            Some(unreachable) => Err(PeerRulesError::NotFederated(unreachable.clone())),
            None => Ok(()),
        }
    }

    fn trust_domain_policy(&self, own: &TrustDomain) -> TrustDomainPolicy {
        if self.federation.is_empty() {
            return TrustDomainPolicy::LocalOnly(own.clone());
        }
        let mut allowed = self.federation.clone();
        allowed.insert(own.clone());
        TrustDomainPolicy::AllowList(allowed)
    }
}

impl Identity {
    /// TLS of the TCP listener: a client certificate that `rules` admit, TLS 1.3, ALPN `h2`, no
    /// resumption.
    ///
    /// The configuration follows rotation and withdrawal by itself: without a usable SVID it
    /// refuses every handshake. Connections that are already open are not cut; whoever serves them
    /// checks their end.
    ///
    /// # Errors
    /// [`IdentityError::PeerRules`], [`IdentityError::Tls12`], or [`IdentityError::Tls`] without an
    /// SVID.
    pub fn server_tls(&self, rules: &PeerRules) -> Result<Arc<ServerConfig>, IdentityError> {
        rules.check(self.trust_domain())?;
        require_tls13_only()?;
        let admitted = rules.clone();
        spiffe_rustls::mtls_server(self.source().clone())
            .authorize(move |peer: &SpiffeId| admitted.admit(peer))
            .trust_domain_policy(rules.trust_domain_policy(self.trust_domain()))
            .terminal_source_policy(TerminalSourcePolicy::FailClosed)
            .with_alpn_protocols(ALPN)
            .build()
            .map(Arc::new)
            .map_err(|error| IdentityError::Tls(Box::new(error)))
    }
}

/// `spiffe-rustls` takes every version that rustls was built with, so the build must know no other.
pub(super) fn require_tls13_only() -> Result<(), IdentityError> {
    if rustls::ALL_VERSIONS
        .iter()
        .all(|supported| supported.version == ProtocolVersion::TLSv1_3)
    {
        Ok(())
    } else {
        Err(IdentityError::Tls12)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(ids: &[&str], domains: &[&str], federation: &[&str]) -> PeerRules {
        PeerRules {
            spiffe_ids: ids.iter().map(|id| SpiffeId::new(id).unwrap()).collect(),
            trust_domains: domains
                .iter()
                .map(|d| TrustDomain::new(d).unwrap())
                .collect(),
            federation: federation
                .iter()
                .map(|d| TrustDomain::new(d).unwrap())
                .collect(),
        }
    }

    #[test]
    fn rules_that_admit_nobody_or_can_never_apply_are_refused() {
        let foreign = || {
            Err(PeerRulesError::NotFederated(
                TrustDomain::new("b.test").unwrap(),
            ))
        };
        for (rules, expected) in [
            (rules(&[], &[], &[]), Err(PeerRulesError::Empty)),
            (rules(&[], &[], &["b.test"]), Err(PeerRulesError::Empty)),
            (rules(&["spiffe://a.test/x"], &[], &[]), Ok(())),
            (rules(&["spiffe://b.test/x"], &[], &[]), foreign()),
            (rules(&["spiffe://b.test/x"], &[], &["b.test"]), Ok(())),
            (rules(&[], &["b.test"], &[]), foreign()),
            (rules(&[], &["a.test"], &[]), Ok(())),
        ] {
            assert_eq!(
                rules.check(&TrustDomain::new("a.test").unwrap()),
                expected,
                "{rules:?}"
            );
        }
    }

    #[test]
    fn this_build_speaks_tls13_only() {
        assert!(require_tls13_only().is_ok());
    }
}
