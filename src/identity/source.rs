//! The SVID that the agent acts under, kept fresh by the Workload API.

use super::endpoint::UnixEndpoint;
use super::wait::{keeps_waiting, waiting_for};
use crate::domain::id::{SpiffeId, TrustDomain};
use crate::domain::time::Time;
use spiffe::x509_source::{MetricsErrorKind, MetricsRecorder, SvidPicker, X509SourceUpdates};
use spiffe::{X509ResourceLimits, X509Source, X509SourceError, X509Svid};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How to obtain the agent's identity.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// The Workload API socket.
    pub endpoint: UnixEndpoint,
    /// The identity to use where the Workload API offers several. Without it, exactly one must be
    /// offered.
    pub spiffe_id: Option<SpiffeId>,
    /// Length of one attempt at the first SVID; the reason for waiting is logged after each.
    pub initial_sync_timeout: Duration,
    /// Shortest and longest pause between attempts to reach the Workload API again.
    pub reconnect_backoff: (Duration, Duration),
    /// How much a Workload API response may hold.
    pub limits: IdentityLimits,
    /// How long the last update may take to finish at shutdown.
    pub shutdown_timeout: Duration,
}

/// Upper bounds of one Workload API response; a larger one is refused and the last good one is
/// kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityLimits {
    /// SVIDs, at least 1.
    pub svids_max: usize,
    /// Trust bundles, at least 1.
    pub bundles_max: usize,
    /// DER bytes of all certificates in one trust bundle.
    pub bundle_bytes_max: usize,
}

impl Default for IdentityLimits {
    fn default() -> Self {
        Self {
            svids_max: 16,
            bundles_max: 64,
            bundle_bytes_max: 1024 * 1024,
        }
    }
}

impl IdentityConfig {
    /// Defaults for a Workload API socket.
    #[must_use]
    pub fn new(endpoint: UnixEndpoint) -> Self {
        Self {
            endpoint,
            spiffe_id: None,
            initial_sync_timeout: Duration::from_secs(10),
            reconnect_backoff: (Duration::from_millis(200), Duration::from_secs(10)),
            limits: IdentityLimits::default(),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// Why there is no identity, now or ever.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A SPIFFE ID that the agent must present lies in another trust domain than its own.
    #[error("`{0}` is not in the agent's own trust domain")]
    ForeignAgent(SpiffeId),
    /// Who may connect is not well defined.
    #[error("rules for remote peers are refused")]
    PeerRules(#[from] super::tls::PeerRulesError),
    /// The Workload API can never give an identity as it is.
    #[error("the Workload API at `{endpoint}` gives no identity")]
    Source {
        /// Where it was asked.
        endpoint: UnixEndpoint,
        /// What it said.
        #[source]
        source: Box<X509SourceError>,
    },
    /// TLS could not be configured, or there is no usable SVID now.
    #[error("TLS cannot be configured from the SVID")]
    Tls(#[source] Box<spiffe_rustls::Error>),
    /// This build could speak TLS 1.2, which the configuration could not turn off.
    #[error("this build includes TLS 1.2")]
    Tls12,
    /// There is no SVID now.
    #[error("no usable SVID")]
    Unusable(#[source] Box<X509SourceError>),
}

/// The agent's identity: one SPIFFE ID for life, with an SVID that rotates underneath.
#[derive(Clone, Debug)]
pub struct Identity {
    source: X509Source,
    spiffe_id: SpiffeId,
    counts: Arc<Recorder>,
}

/// How the identity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Shut down, or the task that keeps it fresh died.
    Closed,
    /// The SVID has expired, or the pinned SPIFFE ID is no longer among those offered.
    Unusable,
    /// There is a valid SVID.
    Usable {
        /// Grows by one at each change of SVID or bundles.
        revision: u64,
    },
    /// SPIRE has withdrawn the registration entry.
    Withdrawn,
}

/// What the source has been through since the start; all only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdentityCounts {
    /// Accepted updates.
    pub updates: u64,
    /// Attempts to reach the Workload API again.
    pub reconnects: u64,
    /// Refused updates and failed attempts.
    pub errors: u64,
}

impl Identity {
    /// Waits until the Workload API gives an identity, saying why in the log again and again while
    /// it does not.
    ///
    /// Drop the future to stop waiting.
    ///
    /// # Errors
    /// [`IdentityError::Source`] where waiting cannot help: the endpoint is no SPIFFE Workload API.
    pub async fn start(config: &IdentityConfig) -> Result<Self, IdentityError> {
        let counts = Arc::new(Recorder::default());
        loop {
            let again = tokio::time::sleep(config.initial_sync_timeout);
            let error = match Self::attempt(config, &counts).await {
                Ok(identity) => {
                    tracing::info!(spiffe_id = %identity.spiffe_id, "identity established");
                    return Ok(identity);
                }
                Err(error) => error,
            };
            if !keeps_waiting(&error) {
                return Err(IdentityError::Source {
                    endpoint: config.endpoint.clone(),
                    source: Box::new(error),
                });
            }
            let reason = waiting_for(config).await;
            let endpoint = &config.endpoint;
            tracing::warn!(%endpoint, %reason, "not ready: waiting for an identity");
            again.await;
        }
    }

    async fn attempt(
        config: &IdentityConfig,
        counts: &Arc<Recorder>,
    ) -> Result<Self, X509SourceError> {
        let (min, max) = config.reconnect_backoff;
        let recorder: Arc<dyn MetricsRecorder> = Arc::<Recorder>::clone(counts);
        let limits = config.limits;
        let source = X509Source::builder()
            .endpoint(config.endpoint.to_string())
            .picker(Picker::new(config.spiffe_id.clone()))
            .reconnect_backoff(min, max)
            .resource_limits(X509ResourceLimits::new(
                Some(limits.svids_max),
                Some(limits.bundles_max),
                Some(limits.bundle_bytes_max),
            ))
            .metrics(recorder)
            .shutdown_timeout(Some(config.shutdown_timeout))
            .initial_sync_timeout(config.initial_sync_timeout)
            .build()
            .await?;
        let spiffe_id = source.svid()?.spiffe_id().clone();
        Ok(Self {
            source,
            spiffe_id,
            counts: Arc::clone(counts),
        })
    }

    /// The agent's SPIFFE ID. It never changes: an update without it makes the identity unusable.
    #[must_use]
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.spiffe_id
    }

    /// The agent's trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        self.spiffe_id.trust_domain()
    }

    /// Whether there is a valid SVID now: one condition of readiness.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self.standing(), Standing::Usable { .. })
    }

    /// How the identity stands now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let state = self.source.state();
        if state.is_closed() {
            Standing::Closed
        } else if state.withdrawal().is_some() {
            Standing::Withdrawn
        } else if state.is_usable() {
            Standing::Usable {
                revision: state.revision(),
            }
        } else {
            Standing::Unusable
        }
    }

    /// The end of the present SVID, exclusive.
    ///
    /// # Errors
    /// [`IdentityError::Unusable`].
    pub fn not_after(&self) -> Result<Time, IdentityError> {
        let svid = self
            .source
            .svid()
            .map_err(|error| IdentityError::Unusable(Box::new(error)))?;
        Ok(not_after(&svid).unwrap_or_default())
    }

    /// Watches rotation, withdrawal and recovery, from now on. Expiry alone is no event: ask
    /// [`Self::standing`].
    #[must_use]
    pub fn updated(&self) -> IdentityUpdates {
        IdentityUpdates {
            updates: self.source.updated(),
            identity: self.clone(),
        }
    }

    /// What the source has been through.
    #[must_use]
    pub fn counts(&self) -> IdentityCounts {
        self.counts.read()
    }

    /// Stops keeping the SVID fresh; nothing can be handshaken afterwards.
    pub async fn shutdown(&self) {
        if let Err(error) = self.source.shutdown_configured().await {
            tracing::warn!(%error, "identity did not stop in time");
        }
    }

    pub(super) fn source(&self) -> &X509Source {
        &self.source
    }
}

/// A watch over changes of the identity; slow readers see only the latest.
#[derive(Clone, Debug)]
pub struct IdentityUpdates {
    updates: X509SourceUpdates,
    identity: Identity,
}

impl IdentityUpdates {
    /// Waits for the next change and says how the identity stands then. At [`Standing::Closed`],
    /// stop.
    pub async fn changed(&mut self) -> Standing {
        match self.updates.changed().await {
            Ok(_sequence) => self.identity.standing(),
            Err(_closed) => Standing::Closed,
        }
    }
}

/// Picks the configured SPIFFE ID, or the only one there is, and then stays with it.
#[derive(Debug)]
struct Picker(OnceLock<SpiffeId>);

impl Picker {
    fn new(spiffe_id: Option<SpiffeId>) -> Self {
        Self(spiffe_id.map_or_else(OnceLock::new, OnceLock::from))
    }
}

impl SvidPicker for Picker {
    fn pick_svid(&self, svids: &[Arc<X509Svid>]) -> Option<usize> {
        if self.0.get().is_none() {
            let first = svids.first()?.spiffe_id();
            if svids.iter().any(|svid| svid.spiffe_id() != first) {
                return None;
            }
            self.0.get_or_init(|| first.clone());
        }
        let pinned = self.0.get()?;
        svids.iter().position(|svid| svid.spiffe_id() == pinned)
    }
}

fn not_after(svid: &X509Svid) -> Option<Time> {
    let (_, leaf) = x509_parser::parse_x509_certificate(svid.leaf().as_bytes()).ok()?;
    let seconds = u64::try_from(leaf.validity().not_after.timestamp()).ok()?;
    Some(Time(seconds.saturating_mul(1000)))
}

#[derive(Debug, Default)]
struct Recorder {
    updates: AtomicU64,
    reconnects: AtomicU64,
    errors: AtomicU64,
}

impl Recorder {
    fn read(&self) -> IdentityCounts {
        IdentityCounts {
            updates: self.updates.load(Ordering::Relaxed),
            reconnects: self.reconnects.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }
}

impl MetricsRecorder for Recorder {
    fn record_update(&self) {
        self.updates.fetch_add(1, Ordering::Relaxed);
    }

    fn record_reconnect(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    fn record_error(&self, kind: MetricsErrorKind) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(kind = kind.as_str(), "Workload API");
    }
}
