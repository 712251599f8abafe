//! A server on a free port of this machine.

use crate::{Error, explained};
use handfast::client::http::{HttpLimits, serve};
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use spiffe::X509Source;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;

/// Serves on a free port, and gives the port.
pub(crate) async fn listen<S, B>(source: X509Source, service: S) -> Result<u16, Error>
where
    S: tower::Service<Request<Incoming>, Response = Response<B>>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Error>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Error>,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        let served = serve(listener, source, HttpLimits::default(), service).await;
        if let Err(error) = served {
            tracing::error!(error = explained(&error), "no longer served");
        }
    });
    Ok(port)
}
