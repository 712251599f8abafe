//! A Workload API on a Unix socket that serves one X.509-SVID.

use crate::world::{Authority, Svid};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use tokio::net::UnixListener;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::{Request, Response, Status};

#[derive(Clone, PartialEq, prost::Message)]
struct Asked {}

#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(message, repeated, tag = "1")]
    svids: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, tag = "1")]
    spiffe_id: String,
    #[prost(bytes = "vec", tag = "2")]
    x509_svid: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    x509_svid_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    bundle: Vec<u8>,
}

type Answers = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

/// Serves until the task is aborted. Binds before it returns.
pub(crate) fn serve(
    path: &Path,
    authority: &Authority,
    id: &str,
    svid: &Svid,
) -> tokio::task::JoinHandle<()> {
    let answer = Answer {
        svids: vec![Entry {
            spiffe_id: id.to_owned(),
            x509_svid: svid.der.to_vec(),
            x509_svid_key: svid.key.clone(),
            bundle: authority.der.to_vec(),
        }],
    };
    let listener = UnixListener::bind(path).expect("binds");
    tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| respond(request, answer.clone()));
                let _ended = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

async fn respond(
    request: hyper::Request<hyper::body::Incoming>,
    answer: Answer,
) -> Result<hyper::Response<Body>, Infallible> {
    let served = request.uri().path() == "/SpiffeWorkloadAPI/FetchX509SVID"
        && request
            .headers()
            .get("workload.spiffe.io")
            .is_some_and(|value| value == "true");
    if !served {
        return Ok(Status::unimplemented("only X.509-SVIDs").into_http());
    }
    let stream = tower::service_fn(move |_: Request<Asked>| {
        let once = tokio_stream::once(Ok(answer.clone()));
        let answers: Answers = Box::pin(once.chain(tokio_stream::pending()));
        async move { Ok::<_, Status>(Response::new(answers)) }
    });
    let codec = tonic_prost::ProstCodec::<Answer, Asked>::default();
    let mut grpc = tonic::server::Grpc::new(codec);
    Ok(grpc.server_streaming(stream, request.map(Body::new)).await)
}
