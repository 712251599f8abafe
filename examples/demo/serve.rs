//! A server behind mutual TLS: its SVID, any client key, and the proof of that key with every request.

use crate::Error;
use handfast::client::{PeerProof, peer};
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use spiffe::X509Source;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

const HANDSHAKE: Duration = Duration::from_secs(3);

/// The protocol of every connection in the demo.
pub(crate) const ALPN: &[&[u8]] = &[b"h2"];

/// Serves on a free port of this machine, and gives the port.
pub(crate) async fn listen<S, B>(source: X509Source, service: S) -> Result<u16, Error>
where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Error>,
{
    let config = Arc::new(peer::server_config(source, ALPN)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (config, service) = (Arc::clone(&config), service.clone());
            tokio::spawn(async move {
                if let Err(error) = connection(stream, config, service).await {
                    tracing::warn!(error, "connection ended");
                }
            });
        }
    });
    Ok(port)
}

async fn connection<S, B>(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    service: S,
) -> Result<(), Error>
where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Error>,
{
    let (stream, proof) = peer::accept(stream, config, HANDSHAKE).await?;
    let with_proof = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert::<PeerProof>(proof.clone());
        service.clone().call(request)
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), with_proof)
        .await?;
    Ok(())
}
