//! Serves any gRPC routes on a Unix socket, for providers that misbehave in ways the real one does
//! not.

use hyper_util::rt::{TokioExecutor, TokioIo};
use std::path::Path;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tonic::service::Routes;

/// Serves until the result is dropped.
pub(crate) fn serve(path: &Path, routes: Routes) -> JoinSet<()> {
    serve_on(UnixListener::bind(path).unwrap(), routes)
}

/// Serves on a socket that is bound already.
pub(crate) fn serve_on(listener: UnixListener, routes: Routes) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _unnamed)) = listener.accept().await {
            let routes = routes.clone();
            connections.spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    tower::Service::call(&mut routes.clone(), request)
                });
                let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                // How a connection ends is the client's business.
                drop(http2.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    tasks
}
