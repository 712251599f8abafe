//! Limits of a connection, and a drain that always ends.

use crate::actor::Actor;
use crate::again;
use crate::agent::{Agent, PATIENCE, With, until};
use handfast::grpc::observe::ConnectionEvent;
use handfast::grpc::serve::{Drained, ServeLimits};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const SHORT: Duration = Duration::from_millis(100);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn agent(change: impl Fn(&mut ServeLimits)) -> Agent {
    let mut limits = ServeLimits::default();
    change(&mut limits);
    Agent::with(&With {
        serve: Some(limits),
        ..With::default()
    })
}

/// A client of this very process, with a flow-control window of `window` bytes.
pub(crate) async fn client(socket: &Path, window: u32) -> SendRequest<Empty<Bytes>> {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

async fn call(sender: &mut SendRequest<Empty<Bytes>>, path: &str) -> Response<Incoming> {
    let uri = format!("http://agent.test{path}");
    let request = Request::post(uri).body(Empty::new()).unwrap();
    let reply = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
    reply.unwrap().unwrap()
}

async fn body(response: Response<Incoming>) -> Bytes {
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await;
    body.unwrap().unwrap().to_bytes()
}

fn status(response: &Response<Incoming>) -> &str {
    let status = response.headers().get("grpc-status");
    status.map_or("0", |status| status.to_str().unwrap())
}

/// A connection that only ever sends this.
async fn mute(socket: &Path, sends: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(sends).await.unwrap();
    stream
}

/// Waits until the other end closes.
async fn closed(mut stream: UnixStream) {
    let mut sink = [0; 1024];
    let read = async {
        while let Ok(read) = stream.read(&mut sink).await {
            if read == 0 {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
}

fn settings() -> Vec<u8> {
    [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_clients_do_not_hold_up_the_drain() {
    let agent = agent(|_| {});
    let mut mutes = Vec::new();
    for sends in [&[][..], &PREFACE[..10], PREFACE] {
        for _ in 0..10 {
            mutes.push(mute(&agent.socket, sends).await);
        }
    }
    let mut idle = client(&agent.socket, 65_535).await;
    assert_eq!(body(call(&mut idle, "/who").await).await, "heard");
    agent.until(ConnectionEvent::Opened, 31).await;
    let start = Instant::now();
    agent.drain.cancel();
    let drained = agent.served.await.unwrap();
    let took = start.elapsed();
    let clean = Drained {
        aborted: 0,
        requests_left: 0,
    };
    assert_eq!(drained, clean);
    assert!(took < Duration::from_millis(500), "{took:?}");
    for mute in mutes {
        closed(mute).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_answer_do_not_hold_up_the_drain() {
    let agent = agent(|limits| limits.goaway_wait = SHORT);
    let mute = mute(&agent.socket, &settings()).await;
    agent.until(ConnectionEvent::Opened, 1).await;
    let start = Instant::now();
    agent.drain.cancel();
    let drained = agent.served.await.unwrap();
    let took = start.elapsed();
    assert_eq!(drained.aborted, 0);
    assert!(took < Duration::from_secs(5), "{took:?}");
    closed(mute).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_may_finish_until_the_drain_deadline_and_no_longer() {
    let agent = agent(|limits| limits.drain_deadline = SHORT);
    let mut sender = client(&agent.socket, 65_535).await;
    let uri = "http://agent.test/slow";
    let request = Request::post(uri).body(Empty::new()).unwrap();
    let slow = sender.send_request(request);
    agent.shared.entered.notified().await;
    assert_eq!(agent.shared.running.load(Ordering::SeqCst), 1);
    agent.drain.cancel();
    let drained = agent.served.await.unwrap();
    let cut = Drained {
        aborted: 1,
        requests_left: 0,
    };
    assert_eq!(drained, cut);
    assert_eq!(agent.shared.running.load(Ordering::SeqCst), 0);
    assert!(slow.await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_outlive_the_deadline_and_hear_of_the_drain() {
    let agent = agent(|limits| limits.request_deadline = SHORT);
    let mut sender = client(&agent.socket, 65_535).await;
    let stream = call(&mut sender, "/stream").await;
    // A unary request of the same connection meets its deadline meanwhile, thrice.
    for _ in 0..3 {
        let slow = call(&mut sender, "/slow").await;
        assert_eq!(status(&slow), "4", "DEADLINE_EXCEEDED");
    }
    assert_eq!(agent.count(ConnectionEvent::RequestTimeout), 3);
    assert_eq!(
        agent.shared.running.load(Ordering::SeqCst),
        1,
        "only the stream"
    );
    agent.drain.cancel();
    assert_eq!(body(stream).await, "opendraining");
    assert_eq!(agent.served.await.unwrap().aborted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_begin_to_speak_is_cut_off() {
    let agent = agent(|limits| limits.preface_timeout = SHORT);
    let mut mutes = Vec::new();
    for sends in [&[][..], &PREFACE[..10], PREFACE] {
        mutes.push(mute(&agent.socket, sends).await);
    }
    let mut sender = client(&agent.socket, 65_535).await;
    assert_eq!(body(call(&mut sender, "/who").await).await, "heard");
    for mute in mutes {
        closed(mute).await;
    }
    agent.until(ConnectionEvent::PrefaceTimeout, 3).await;
    assert_eq!(body(call(&mut sender, "/who").await).await, "heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_and_dead_connections_are_closed() {
    let idle = agent(|limits| limits.idle_timeout = SHORT);
    let mut sender = client(&idle.socket, 65_535).await;
    let open = call(&mut sender, "/stream").await;
    let other = client(&idle.socket, 65_535).await;
    idle.until(ConnectionEvent::IdleTimeout, 1).await;
    idle.until(ConnectionEvent::Closed, 1).await;
    until(|| other.is_closed(), "the client to see it").await;
    assert!(!sender.is_closed(), "a stream is open on this one");
    drop(open);
    idle.until(ConnectionEvent::IdleTimeout, 2).await;

    let dead = agent(|limits| {
        limits.keepalive_interval = SHORT;
        limits.keepalive_timeout = SHORT;
    });
    closed(mute(&dead.socket, &settings()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_not_taken_closes_the_connection() {
    let agent = agent(|limits| limits.request_deadline = SHORT);
    let mut sender = client(&agent.socket, 1024).await;
    let unread = call(&mut sender, "/large").await;
    agent.until(ConnectionEvent::Stuck, 1).await;
    agent.until(ConnectionEvent::Closed, 1).await;
    drop(unread);

    let mut sender = client(&agent.socket, 65_535).await;
    let read = body(call(&mut sender, "/large").await).await;
    assert_eq!(read.len(), 1 << 20, "the one that is taken arrives whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_request_alone() {
    let agent = agent(|_| {});
    let mut sender = client(&agent.socket, 65_535).await;
    let broken = call(&mut sender, "/panic").await;
    assert_eq!(status(&broken), "13", "INTERNAL");
    assert_eq!(agent.count(ConnectionEvent::HandlerPanicked), 1);
    assert_eq!(body(call(&mut sender, "/who").await).await, "heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_has_its_share_of_connections() {
    let agent = agent(|limits| limits.connections_per_source_max = 2);
    let first = Actor::connected(&agent.socket);
    let mut second = Actor::connected(&agent.socket);
    assert_eq!(second.ask("call /who"), "heard");
    agent.until(ConnectionEvent::Opened, 2).await;
    let mut third = Actor::connected(&agent.socket);
    assert_eq!(third.ask("call /who"), "closed");
    assert_eq!(agent.count(ConnectionEvent::TooManyFromPeer), 1);
    drop(first);
    agent.until(ConnectionEvent::Closed, 1).await;
    until(
        || agent.count(ConnectionEvent::Closed) == 1,
        "the first to go",
    )
    .await;
    let connect = format!("connect {}", agent.socket.display());
    assert_eq!(third.ask(&connect), "ok");
    assert_eq!(third.ask("call /who"), "heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_connections_wait() {
    let agent = agent(|limits| limits.connections_max = 1);
    let first = Actor::connected(&agent.socket);
    agent.until(ConnectionEvent::Opened, 1).await;
    let mut second = Actor::connected(&agent.socket);
    second.tell("call /who");
    assert_eq!(agent.count(ConnectionEvent::Opened), 1);
    drop(first);
    assert_eq!(second.answer(), "heard");
    assert_eq!(agent.count(ConnectionEvent::Opened), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_told_to_go_and_finishes_its_request() {
    let agent = agent(|limits| limits.connection_age_max = SHORT);
    let mut sender = client(&agent.socket, 65_535).await;
    let stream = call(&mut sender, "/stream").await;
    agent.until(ConnectionEvent::Old, 1).await;
    assert_eq!(body(stream).await, "opendraining");
    agent.until(ConnectionEvent::Closed, 1).await;
    assert_eq!(agent.count(ConnectionEvent::Aborted), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_taken_back_at_once_close_the_connection() {
    let agent = agent(|_| {});
    let mut actor = Actor::connected(&agent.socket);
    assert_eq!(actor.ask("call /who"), "heard");
    assert_eq!(actor.ask("flood /slow"), "closed");
    agent.until(ConnectionEvent::Closed, 1).await;
    let running = || agent.shared.running.load(Ordering::SeqCst);
    until(|| running() == 0, "the requests to end").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_it_waits_and_recovers() {
    if !again::is_inside() {
        let test = "limits::without_descriptors_it_waits_and_recovers";
        let few = ["sh", "-c", "ulimit -Sn 48; exec \"$@\"", "sh"];
        return again::run(test, &few);
    }
    let agent = agent(|_| {});
    let mut actor = Actor::start();
    let all: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    let connect = format!("connect {}", agent.socket.display());
    assert_eq!(actor.ask(&connect), "ok", "the kernel takes it");
    agent.until(ConnectionEvent::AcceptFailed, 3).await;
    let (failed, start) = (agent.count(ConnectionEvent::AcceptFailed), Instant::now());
    agent.until(ConnectionEvent::AcceptFailed, failed + 2).await;
    let took = start.elapsed();
    assert!(took > Duration::from_millis(150), "no spinning: {took:?}");
    drop(all);
    assert_eq!(actor.ask("call /who"), "heard");
}
