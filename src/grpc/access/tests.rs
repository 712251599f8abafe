//! The security header and the one access event of each call.

use super::*;
use crate::domain::id::SpiffeId;
use crate::domain::time::Time;
use crate::grpc::health::Health;
use crate::grpc::routes::MessageLimits;
use crate::service::ports::RemotePeer;
use http_body_util::BodyExt as _;
use std::convert::Infallible;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use tonic::service::Routes;

const PROTO: &str = include_str!("../../../proto/handfast/v1/handfast.proto");

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Option<Time> {
        Some(Time(1))
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// What was logged.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8(log.clone()).expect("is text");
        text.lines().map(str::to_owned).collect()
    }

    /// Writes every event of this thread here until dropped.
    ///
    /// With one subscriber alone, `tracing` remembers the no of whichever thread meets an event first; with
    /// a second one it asks them all.
    fn start(&self) -> (tracing::subscriber::DefaultGuard, tracing::Dispatch) {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        (
            tracing::subscriber::set_default(subscriber),
            tracing::Dispatch::new(tracing_subscriber::registry()),
        )
    }
}

/// Answers every call of one service with a status, for what the layer makes of it.
#[derive(Clone, Debug)]
struct Refusing(fn() -> Status);

impl tonic::server::NamedService for Refusing {
    const NAME: &'static str = "handfast.v1.Legs";
}

impl Service<Request<tonic::body::Body>> for Refusing {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<tonic::body::Body>) -> Self::Future {
        std::future::ready(Ok((self.0)().into_http()))
    }
}

async fn routes(refuse: fn() -> Status) -> Routes {
    let health = Health::starting().await;
    let layer = AccessLayer {
        clock: Arc::new(FixedClock),
    };
    Routes::new(health.server(&MessageLimits::default()))
        .add_service(Refusing(refuse))
        .into_axum_router()
        .layer(layer)
        .into()
}

fn request(path: &str, headers: &[&str]) -> Request<tonic::body::Body> {
    let mut request = Request::post(path);
    for header in headers {
        request = request.header(SECURITY_HEADER.0, *header);
    }
    let peer = RemotePeer {
        spiffe_id: SpiffeId::new("spiffe://example.test/tool").expect("is one"),
        not_after: Time(2),
    };
    // An empty message: no compression, length 0.
    let body = http_body_util::Full::new(hyper::body::Bytes::from_static(&[0; 5]));
    request
        .header("content-type", "application/grpc")
        .extension(Peer::Remote(Arc::new(peer)))
        .body(tonic::body::Body::new(body))
        .expect("is a request")
}

/// Sends one call to its end: its code and what was logged of it.
async fn call(path: &str, headers: &[&str], refuse: fn() -> Status) -> (Code, Vec<String>) {
    let log = Log::default();
    let logging = log.start();
    let mut routes = routes(refuse).await;
    let response = routes
        .call(request(path, headers))
        .await
        .expect("cannot fail");
    let in_head = response.headers().get(Status::GRPC_STATUS).map(code);
    let body = response.into_body().collect().await.expect("has an end");
    let trailers = body.trailers();
    let in_trailers = trailers.and_then(|trailers| trailers.get(Status::GRPC_STATUS).map(code));
    drop(body);
    drop(logging);
    (in_head.or(in_trailers).expect("has a code"), log.lines())
}

fn denied() -> Status {
    status::of(crate::service::Failure::Denied {
        reason: crate::domain::denial::Reason::NoLeg,
        decision_id: "d-1".to_owned(),
    })
}

fn broken() -> Status {
    status::of(crate::service::Failure::Internal("row 7".to_owned()))
}

#[tokio::test]
async fn our_services_need_the_security_header() {
    for headers in [&[][..], &["TRUE"], &[""], &["true", "true"], &["true", "x"]] {
        let (code, log) = call("/handfast.v1.Legs/End", headers, denied).await;
        assert_eq!(code, Code::InvalidArgument, "{headers:?}");
        assert_eq!(log.len(), 1);
        assert!(
            log[0].contains("reason=\"security_header_missing\""),
            "{log:?}"
        );
    }
    let (code, _) = call("/handfast.v1.Legs/End", &["true"], denied).await;
    assert_eq!(code, Code::FailedPrecondition);
    // Health checkers know nothing of us.
    let (code, _) = call("/grpc.health.v1.Health/Check", &[], denied).await;
    assert_eq!(code, Code::Ok);
}

#[tokio::test]
async fn each_call_has_one_event() {
    let (_, log) = call("/handfast.v1.Legs/End", &["true"], denied).await;
    let [line] = log.as_slice() else {
        panic!("not one line: {log:?}");
    };
    for part in [
        "INFO",
        "handfast::access",
        "method=\"/handfast.v1.Legs/End\"",
        "code=\"FAILED_PRECONDITION\"",
        "reason=\"no_leg\"",
        "decision_id=\"d-1\"",
        "spiffe_id=\"spiffe://example.test/tool\"",
        "duration_us=0",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let (code, log) = call("/grpc.health.v1.Health/Check", &[], denied).await;
    assert_eq!((code, log.len()), (Code::Ok, 1));
    assert!(log[0].contains("code=\"OK\""), "{log:?}");
}

#[tokio::test]
async fn a_bug_is_logged_whole_and_told_by_number() {
    let (code, log) = call("/handfast.v1.Legs/End", &["true"], broken).await;
    assert_eq!((code, log.len()), (Code::Internal, 1));
    assert!(
        log[0].contains("ERROR") && log[0].contains("detail=\"row 7\""),
        "{log:?}"
    );
    assert!(log[0].contains("incident="), "{log:?}");
}

#[tokio::test]
async fn a_path_that_is_not_ours_is_not_logged() {
    let (code, log) = call("/handfast.v1.Secret/bd6bd2f2", &["true"], denied).await;
    assert_eq!((code, log.len()), (Code::Unimplemented, 1));
    assert!(
        log[0].contains("method=\"other\"") && !log[0].contains("bd6bd2f2"),
        "{log:?}"
    );
}

#[tokio::test]
async fn a_reply_that_nobody_takes_is_cancelled() {
    let log = Log::default();
    let logging = log.start();
    let mut routes = routes(denied).await;
    let response = routes
        .call(request("/grpc.health.v1.Health/Watch", &[]))
        .await;
    assert!(log.lines().is_empty(), "the stream has not ended");
    drop(response);
    drop(logging);
    let log = log.lines();
    assert_eq!(log.len(), 1);
    assert!(log[0].contains("code=\"CANCELLED\""), "{log:?}");
}

/// Every method of the `.proto` file, as a path.
fn methods() -> Vec<String> {
    let mut service = "";
    let mut methods = Vec::new();
    for line in PROTO.lines() {
        let mut words = line.split([' ', '(']).filter(|word| !word.is_empty());
        match (words.next(), words.next()) {
            (Some("service"), Some(name)) => service = name,
            (Some("rpc"), Some(name)) => methods.push(format!("/handfast.v1.{service}/{name}")),
            _ => {}
        }
    }
    methods.sort();
    methods
}

#[test]
fn every_method_has_a_name_in_the_log() {
    let ours: Vec<&str> = METHODS
        .iter()
        .copied()
        .filter(|method| method.starts_with(OURS))
        .collect();
    assert_eq!(ours, methods());
}

#[test]
fn every_stream_is_known_as_one() {
    for method in METHODS {
        let name = method.rsplit('/').next().unwrap_or_default();
        let streams = PROTO.contains(&format!("rpc {name}("))
            && PROTO
                .lines()
                .any(|line| line.contains(&format!("rpc {name}(")) && line.contains("stream "));
        let streams = streams || *method == "/grpc.health.v1.Health/Watch";
        assert_eq!(crate::grpc::routes::is_stream(method), streams, "{method}");
    }
}
