//! Puts the development provider together and runs it.

use super::broker_api::BrokerApi;
use super::config::DevConfig;
use super::pb::broker::api_server::ApiServer;
use super::pb::workload::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use super::registry::{Registry, RegistryError};
use super::serve::{Door, bind, broker_tls, serve};
use super::workload_api::WorkloadApi;
use crate::domain::id::{SpiffeId, TrustDomain};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// Why the development provider did not start.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A socket could not be bound.
    #[error("socket `{path}` cannot be bound")]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The provider's SPIFFE ID cannot be formed.
    #[error("provider's SPIFFE ID cannot be formed")]
    OwnId(#[source] spiffe::SpiffeIdError),
    /// Entries could not be loaded or material not issued.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The Workload API and the Broker API need a socket each.
    #[error("workload_socket and broker_socket are the same")]
    SameSocket,
    /// TLS for the Broker API could not be configured.
    #[error("TLS of the Broker API cannot be configured")]
    Tls(#[from] rustls::Error),
    /// The trust domain could be a real one.
    #[error(
        "trust domain `{0}` is not under .test, .example, .invalid or .localhost: \
         the development provider serves no other"
    )]
    TrustDomain(TrustDomain),
    /// An SVID would live for less than certificates can express.
    #[error("{setting} is shorter than 2 seconds")]
    TtlTooShort {
        /// The setting.
        setting: &'static str,
    },
    /// A limit of nothing serves nobody.
    #[error("reload_interval and connections_max must not be zero")]
    Zero,
}

/// A development provider whose sockets are bound: clients may connect already.
pub struct DevProvider {
    config: DevConfig,
    provider_id: SpiffeId,
    registry: Arc<Registry>,
    workload: UnixListener,
    broker: UnixListener,
    tls: TlsAcceptor,
}

/// Runs the provider until `shutdown` is cancelled. `ready` is told once clients may connect.
///
/// # Errors
/// See [`DevProvider::bind`].
pub async fn run(
    config: DevConfig,
    ready: oneshot::Sender<()>,
    shutdown: CancellationToken,
) -> Result<(), DevError> {
    let provider = DevProvider::bind(config)?;
    if ready.send(()).is_err() {
        tracing::debug!("nobody waits for the provider to be ready");
    }
    provider.serve(shutdown).await;
    Ok(())
}

impl DevProvider {
    /// Loads the entries, makes an authority and binds both sockets. Call it within a Tokio
    /// runtime.
    ///
    /// # Errors
    /// See [`DevError`].
    pub fn bind(config: DevConfig) -> Result<Self, DevError> {
        config.check()?;
        let provider_id = config.provider_id()?;
        let registry = Arc::new(Registry::load(&config, provider_id.clone())?);
        let tls = broker_tls(&registry)?;
        let bound = |path: &Path, mode| {
            bind(path, mode).map_err(|source| DevError::Bind {
                path: path.to_owned(),
                source,
            })
        };
        // Modes as SPIRE's: any process may ask for its own identity, only the owner's group for
        // another's.
        let workload = bound(&config.workload_socket, 0o777)?;
        let broker = bound(&config.broker_socket, 0o770)?;
        Ok(Self {
            config,
            provider_id,
            registry,
            workload,
            broker,
            tls,
        })
    }

    /// The SPIFFE ID that the Broker API presents.
    #[must_use]
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.provider_id
    }

    /// Serves until `shutdown` is cancelled; then every connection is closed.
    pub async fn serve(self, shutdown: CancellationToken) {
        tracing::warn!(
            provider = %self.provider_id,
            workload_socket = %self.config.workload_socket.display(),
            broker_socket = %self.config.broker_socket.display(),
            "DEVELOPMENT SPIFFE PROVIDER: its authority lives in memory and anybody who can \
             edit the entries file chooses who is who. Never use it where identities matter"
        );
        let jwt_ttl = self.config.jwt_ttl;
        let workload_api = Routes::new(SpiffeWorkloadApiServer::new(WorkloadApi {
            registry: Arc::clone(&self.registry),
            jwt_ttl,
        }))
        .prepare();
        let broker_api = Routes::new(ApiServer::new(BrokerApi {
            registry: Arc::clone(&self.registry),
            jwt_ttl,
        }))
        .prepare();
        let connections_max = self.config.connections_max;
        let broker_door = Door::Tls(self.tls);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.registry.keep(self.config.reload_interval) => {}
            () = serve(self.workload, Door::Peer, workload_api, connections_max) => {}
            () = serve(self.broker, broker_door, broker_api, connections_max) => {}
        }
        for path in [&self.config.workload_socket, &self.config.broker_socket] {
            if let Err(error) = std::fs::remove_file(path) {
                tracing::warn!(%error, path = %path.display(), "socket not removed");
            }
        }
    }
}

impl std::fmt::Debug for DevProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevProvider")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
