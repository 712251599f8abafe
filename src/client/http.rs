//! HTTP/2 over mutual TLS, for callers that show a hand and for servers that want its proof.
//!
//! Names `domain`. The one thing to know: every request that [`serve`] hands on has a [`PeerProof`] among its
//! extensions, taken from the connection it came on. Use it as it is, or as a pattern for another HTTP
//! library.

use super::hand::Hand;
use super::peer::{self, PeerProof};
use super::tls::{self, TlsError};
use crate::domain::id::SpiffeId;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::server::conn::http2::Builder;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use spiffe::X509Source;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::Service;

/// The protocol that is offered in the TLS handshake.
const ALPN: &[&[u8]] = &[b"h2"];

/// How much a server takes on, and how long anybody waits for a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at a time; more wait until one ends.
    pub connections_max: usize,
    /// The longest time for a connection and its handshake.
    pub handshake: Duration,
    /// Requests at a time on one connection.
    pub streams_max: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            handshake: Duration::from_secs(3),
            streams_max: 64,
        }
    }
}

/// Why there is no connection, or no more service.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The listener failed.
    #[error("cannot accept connections")]
    Accept(#[source] io::Error),
    /// TCP or TLS refused.
    #[error("cannot connect to `{server}` at {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// To whom.
        server: SpiffeId,
        /// What TCP or TLS said.
        #[source]
        source: io::Error,
    },
    /// HTTP/2 could not begin.
    #[error("cannot begin HTTP/2")]
    Http(#[from] hyper::Error),
    /// There is no TLS configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Opens a connection that shows `hand` to the one server `server`. Tokens of this hand may travel on it, and
/// none of any other.
///
/// # Errors
/// See [`HttpError`]. A server that does not accept the hand says so at the first request only.
pub async fn connect<B>(
    source: X509Source,
    server: &SpiffeId,
    address: SocketAddr,
    hand: &Hand,
) -> Result<SendRequest<B>, HttpError>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let config = Arc::new(tls::client_config(source, server, hand, ALPN)?);
    let stream = tls::connect(address, config, HttpLimits::default().handshake)
        .await
        .map_err(|source| HttpError::Connect {
            address,
            server: server.clone(),
            source,
        })?;
    let (requests, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    });
    Ok(requests)
}

/// Serves with the X.509-SVID of `source`, also as it rotates, until the listener fails or the future is
/// dropped; that ends every connection.
///
/// # Errors
/// [`HttpError::Tls`] at once, [`HttpError::Accept`] later.
pub async fn serve<S, B>(
    listener: TcpListener,
    source: X509Source,
    limits: HttpLimits,
    service: S,
) -> Result<(), HttpError>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let config = Arc::new(peer::server_config(source, ALPN)?);
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // Never closed, so a permit always comes.
        let permit = Arc::clone(&room).acquire_owned().await.ok();
        let (stream, _) = listener.accept().await.map_err(HttpError::Accept)?;
        let (config, service) = (Arc::clone(&config), service.clone());
        connections.spawn(async move {
            if let Err(error) = connection(stream, config, limits, service).await {
                tracing::debug!(error, "connection ended");
            }
            drop(permit);
        });
    }
}

async fn connection<S, B>(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    limits: HttpLimits,
    service: S,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (stream, proof) = peer::accept(stream, config, limits.handshake).await?;
    let with_proof = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert::<PeerProof>(proof.clone());
        service.clone().call(request)
    });
    Builder::new(TokioExecutor::new())
        .max_concurrent_streams(limits.streams_max)
        .serve_connection(TokioIo::new(stream), with_proof)
        .await?;
    Ok(())
}
