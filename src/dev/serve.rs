//! Accept loops of the two sockets. Connections die with the loop that accepted them.

use super::broker_api::BrokerId;
use super::process::Pinned;
use super::registry::Registry;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;

/// A client that has not finished its TLS handshake by then is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How a connection is authenticated before anything is served on it.
#[derive(Clone)]
pub(super) enum Door {
    /// Workload API: the kernel names the process.
    Peer,
    /// Broker API: mutual TLS names the broker.
    Tls(TlsAcceptor),
}

/// Binds a socket, in place of one that a dead process left behind.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)?;
        }
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Serves until dropped.
pub(super) async fn serve(
    listener: UnixListener,
    door: Door,
    routes: Routes,
    connections_max: usize,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _unnamed)) if connections.len() < connections_max => {
                    connections.spawn(connection(stream, door.clone(), routes.clone()));
                }
                Ok(_) => tracing::warn!(connections_max, "too many connections, one was closed"),
                Err(error) => {
                    tracing::error!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// TLS 1.3 with a client certificate of this trust domain, and a server certificate that rotates.
pub(super) fn broker_tls(registry: &Arc<Registry>) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(registry.authority.bundle().to_vec().into())?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Rotating(Arc::clone(registry))));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

struct Rotating(Arc<Registry>);

impl std::fmt::Debug for Rotating {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rotating")
    }
}

impl ResolvesServerCert for Rotating {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.state().provider_tls())
    }
}

async fn connection(stream: UnixStream, door: Door, routes: Routes) {
    let served = match door {
        Door::Peer => match Pinned::peer(&stream) {
            Ok(peer) => http2(stream, Arc::new(peer), routes).await,
            Err(error) => Err(error.into()),
        },
        Door::Tls(acceptor) => match handshake(stream, &acceptor).await {
            Ok((stream, broker)) => http2(stream, broker, routes).await,
            Err(error) => Err(error),
        },
    };
    if let Err(error) = served {
        tracing::debug!(error, "connection ended");
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type TlsStream = tokio_rustls::server::TlsStream<UnixStream>;

async fn handshake(
    stream: UnixStream,
    acceptor: &TlsAcceptor,
) -> Result<(TlsStream, BrokerId), BoxError> {
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
    let (_, session) = stream.get_ref();
    let leaf = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .ok_or("no client certificate")?;
    let broker = BrokerId(spiffe::cert::spiffe_id_from_der(leaf)?);
    Ok((stream, broker))
}

/// Serves HTTP/2, with the authenticated peer in the extensions of every request.
async fn http2<S, P>(stream: S, peer: P, routes: Routes) -> Result<(), BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Clone + Send + Sync + 'static,
{
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        tower::Service::call(&mut routes.clone(), request)
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(Into::into)
}
