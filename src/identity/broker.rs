//! The channel to the SPIFFE Broker API: a Unix socket, and mutual TLS inside it.

use super::endpoint::UnixEndpoint;
use super::source::{Identity, IdentityError, Standing};
use super::tls::{ALPN, require_tls13_only};
use crate::domain::id::{SpiffeId, TrustDomain};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use spiffe_rustls::{TerminalSourcePolicy, TrustDomainPolicy};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// Where SPIRE puts its agents' SPIFFE IDs.
const SPIRE_AGENT_PREFIX: &str = "/spire/agent/";

/// Which SPIFFE ID the provider of the Broker API must present; always one of the agent's own trust
/// domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentRule {
    /// Any SPIRE agent of the trust domain. A node's SPIRE agent gets a new ID when it joins again.
    AnySpireAgent,
    /// Any whose path begins so; the prefix ends with `/`.
    Below(String),
    /// Exactly this ID.
    Exact(SpiffeId),
}

/// How to reach the Broker API.
#[derive(Clone, Debug)]
pub struct BrokerChannelConfig {
    /// The Broker API socket.
    pub endpoint: UnixEndpoint,
    /// Who must answer there.
    pub agent: AgentRule,
    /// The longest time for connecting and the handshake.
    pub connect_timeout: Duration,
}

impl BrokerChannelConfig {
    /// Defaults for a Broker API socket of a SPIRE agent.
    #[must_use]
    pub fn new(endpoint: UnixEndpoint) -> Self {
        Self {
            endpoint,
            agent: AgentRule::AnySpireAgent,
            connect_timeout: Duration::from_secs(1),
        }
    }
}

impl AgentRule {
    /// Whether a verified SPIFFE ID may answer as the SPIRE agent of a node of `own`.
    #[must_use]
    pub fn admits(&self, own: &TrustDomain, peer: &SpiffeId) -> bool {
        peer.is_member_of(own)
            && match self {
                Self::AnySpireAgent => is_below(peer.path(), SPIRE_AGENT_PREFIX),
                Self::Below(prefix) => is_below(peer.path(), prefix),
                Self::Exact(expected) => peer == expected,
            }
    }
}

/// Whether something follows the prefix, which must end a segment: `/a` would take in `/ab`.
fn is_below(path: &str, prefix: &str) -> bool {
    prefix.ends_with('/')
        && path
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty())
}

impl Identity {
    /// A channel that connects when it is used and again after a failure.
    ///
    /// Take the present channel from the receiver for each call: at each change of the SVID or of
    /// the trust bundles a new one replaces it, so that the next call is made under the new ones
    /// while calls in flight finish on the old. Without a usable SVID calls fail. Call it within a
    /// Tokio runtime.
    ///
    /// # Errors
    /// [`IdentityError::ForeignAgent`], [`IdentityError::Tls12`], or [`IdentityError::Tls`] without
    /// an SVID.
    pub fn broker_channel(
        &self,
        config: &BrokerChannelConfig,
    ) -> Result<watch::Receiver<Channel>, IdentityError> {
        if let AgentRule::Exact(expected) = &config.agent
            && !expected.is_member_of(self.trust_domain())
        {
            return Err(IdentityError::ForeignAgent(expected.clone()));
        }
        let connector = Connector {
            tls: TlsConnector::from(self.broker_tls(&config.agent)?),
            endpoint: config.endpoint.clone(),
            timeout: config.connect_timeout,
        };
        let (sender, receiver) = watch::channel(connector.channel());
        let mut updates = self.updated();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = sender.closed() => return,
                    standing = updates.changed() => {
                        sender.send_replace(connector.channel());
                        if standing == Standing::Closed {
                            return;
                        }
                    }
                }
            }
        });
        Ok(receiver)
    }

    fn broker_tls(&self, agent: &AgentRule) -> Result<Arc<ClientConfig>, IdentityError> {
        require_tls13_only()?;
        let (agent, own) = (agent.clone(), self.trust_domain().clone());
        spiffe_rustls::mtls_client(self.source().clone())
            .trust_domain_policy(TrustDomainPolicy::LocalOnly(own.clone()))
            .authorize(move |peer: &SpiffeId| agent.admits(&own, peer))
            .terminal_source_policy(TerminalSourcePolicy::FailClosed)
            .with_alpn_protocols(ALPN)
            .with_config_customizer(|config| config.enable_sni = false)
            .build()
            .map(Arc::new)
            .map_err(|error| IdentityError::Tls(Box::new(error)))
    }
}

#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
    endpoint: UnixEndpoint,
    timeout: Duration,
}

impl Connector {
    fn channel(&self) -> Channel {
        let connector = self.clone();
        // The address is never resolved: the connector knows the socket.
        Endpoint::from_static("http://broker.invalid").connect_with_connector_lazy(
            tower::service_fn(move |_address: Uri| {
                let connector = connector.clone();
                async move { connector.connect().await.map(TokioIo::new) }
            }),
        )
    }

    async fn connect(&self) -> io::Result<TlsStream<UnixStream>> {
        let connected = tokio::time::timeout(self.timeout, async {
            let stream = UnixStream::connect(self.endpoint.path()).await?;
            // Not looked at: the verifier compares SPIFFE IDs, and the name is not sent.
            let name = ServerName::try_from("broker.invalid").map_err(io::Error::other)?;
            self.tls.connect(name, stream).await
        });
        connected
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_agent_of_the_own_trust_domain_is_admitted() {
        let own = TrustDomain::new("a.test").unwrap();
        let exact = AgentRule::Exact(SpiffeId::new("spiffe://a.test/spire/agent/x").unwrap());
        let below = AgentRule::Below("/spire/agent/join_token/".to_owned());
        let half = AgentRule::Below("/spire/agent/join".to_owned());
        for (rule, peer, expected) in [
            (&below, "spiffe://a.test/spire/agent/join_token/x", true),
            (&below, "spiffe://a.test/spire/agent/k8s_psat/x", false),
            (&below, "spiffe://a.test/spire/agent/join_tokens/x", false),
            (&below, "spiffe://a.test/spire/agent/join_token", false),
            (&below, "spiffe://b.test/spire/agent/join_token/x", false),
            (&half, "spiffe://a.test/spire/agent/join_token/x", false),
            (
                &AgentRule::AnySpireAgent,
                "spiffe://a.test/spire/agent/x",
                true,
            ),
            (
                &AgentRule::AnySpireAgent,
                "spiffe://a.test/spire/agent/t/u",
                true,
            ),
            (
                &AgentRule::AnySpireAgent,
                "spiffe://b.test/spire/agent/x",
                false,
            ),
            (
                &AgentRule::AnySpireAgent,
                "spiffe://a.test/spire/agentx",
                false,
            ),
            (
                &AgentRule::AnySpireAgent,
                "spiffe://a.test/x/spire/agent/x",
                false,
            ),
            (
                &AgentRule::AnySpireAgent,
                "spiffe://a.test/spire/server",
                false,
            ),
            (&AgentRule::AnySpireAgent, "spiffe://a.test", false),
            (&exact, "spiffe://a.test/spire/agent/x", true),
            (&exact, "spiffe://a.test/spire/agent/y", false),
            (&exact, "spiffe://b.test/spire/agent/x", false),
        ] {
            let peer = SpiffeId::new(peer).unwrap();
            assert_eq!(rule.admits(&own, &peer), expected, "{rule:?} {peer}");
        }
    }
}
