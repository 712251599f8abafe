//! One HTTP/2 connection from its preface to its end: requests, deadlines, age, drain.

use super::metered::Metered;
use super::observe::ConnectionEvent;
use super::serve::{Closing, ServeLimits, Serving};
use crate::service::ports::{Peer, RemotePeer};
use http::{Request, Response};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tonic::Status;

/// An HTTP/2 client begins with a preface of 24 bytes and a SETTINGS frame of at least 9 (RFC 9113
/// §3.4).
const OPENING_BYTES: u64 = 33;

/// Serves one connection until it ends.
pub(super) async fn serve<I>(serving: Arc<Serving>, io: Metered<I>, peer: Peer)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serving.note(ConnectionEvent::Opened, &peer);
    let life = Life::new(&serving, &peer, io.read_bytes());
    let streams = Arc::clone(&life.streams);
    let closing = Closing(serving.drain.child_token());
    let service = {
        let (serving, peer, closing) = (Arc::clone(&serving), peer.clone(), closing.clone());
        hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            request.extensions_mut().insert(closing.clone());
            let is_stream = (serving.is_stream)(request.uri().path());
            let open = streams.open(is_stream);
            answer(Arc::clone(&serving), request, open)
        })
    };
    let connection = builder(&serving).serve_connection(TokioIo::new(io), service);
    let mut connection = Box::pin(connection);
    let mut leaving = None;
    loop {
        let now = Instant::now();
        tokio::select! {
            _ended = connection.as_mut() => break,
            () = closing.0.cancelled(), if leaving.is_none() => {
                if !life.is_open() {
                    break;
                }
                leaving = Some(now);
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep_until(life.wake(leaving, now)) => {
                match life.judge(leaving, Instant::now()) {
                    Verdict::Close(Some(event)) => {
                        serving.note(event, &peer);
                        break;
                    }
                    Verdict::Close(None) => break,
                    Verdict::Leave => {
                        serving.note(ConnectionEvent::Old, &peer);
                        closing.0.cancel();
                    }
                    Verdict::Stay => {}
                }
            }
        }
    }
    // Whoever streams on it shall know, also when the peer just went away.
    closing.0.cancel();
    serving.note(ConnectionEvent::Closed, &peer);
}

fn builder(serving: &Serving) -> Builder<Requests> {
    let limits = &serving.limits;
    let mut builder = Builder::new(Requests(serving.requests.clone()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.concurrent_streams_max)
        .max_local_error_reset_streams(limits.local_error_reset_streams_max)
        .max_pending_accept_reset_streams(limits.pending_accept_reset_streams_max)
        .max_header_list_size(limits.header_list_bytes_max)
        .max_frame_size(limits.frame_bytes_max)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes)
        .adaptive_window(false)
        .max_send_buf_size(limits.send_buffer_bytes_max)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    builder
}

/// Runs the requests where the drain can wait for them.
#[derive(Clone, Debug)]
struct Requests(TaskTracker);

impl<F> hyper::rt::Executor<F> for Requests
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        drop(self.0.spawn(request));
    }
}

async fn answer(
    serving: Arc<Serving>,
    request: Request<Incoming>,
    open: OpenStream,
) -> Result<Response<Reply>, Infallible> {
    let status = match request.extensions().get::<Peer>() {
        Some(Peer::Remote(remote)) => refuse_expired(&serving, remote),
        Some(Peer::Local(_)) => None,
        None => Some(Status::internal("no peer")),
    };
    let response = match status {
        Some(status) => status.into_http(),
        None => call(&serving, request).await,
    };
    Ok(response.map(|body| Reply { body, _open: open }))
}

/// TLS never looks at a certificate again: an open connection would outlive it.
fn refuse_expired(serving: &Serving, remote: &RemotePeer) -> Option<Status> {
    match serving.clock.now() {
        None => Some(Status::unavailable("the wall clock is not usable")),
        Some(now) if now.reached(remote.not_after) => {
            let observer = &serving.observer;
            observer.connection(ConnectionEvent::CertificateExpired, None);
            Some(Status::unauthenticated("the certificate has expired"))
        }
        Some(_) => None,
    }
}

async fn call(serving: &Serving, request: Request<Incoming>) -> Response<tonic::body::Body> {
    let mut routes = serving.routes.clone();
    let handler = caught(tower::Service::call(&mut routes, request));
    match tokio::time::timeout(serving.limits.request_deadline, handler).await {
        Ok(Some(Ok(response))) => response,
        Ok(None) => {
            let observer = &serving.observer;
            observer.connection(ConnectionEvent::HandlerPanicked, None);
            Status::internal("internal error").into_http()
        }
        Err(_elapsed) => {
            let observer = &serving.observer;
            observer.connection(ConnectionEvent::RequestTimeout, None);
            Status::deadline_exceeded("the request took too long").into_http()
        }
    }
}

/// Runs a future to its end, or to its panic (`None`): one broken request must not take others
/// along.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_panic) => Poll::Ready(None),
        }
    })
    .await
}

/// What to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Close(Option<ConnectionEvent>),
    Leave,
    Stay,
}

/// When a connection must end.
struct Life {
    limits: ServeLimits,
    streams: Arc<Streams>,
    read: Arc<AtomicU64>,
    opened_at: Instant,
    old_at: Instant,
    expires_at: Option<Instant>,
}

impl Life {
    fn new(serving: &Serving, peer: &Peer, read: Arc<AtomicU64>) -> Self {
        let limits = serving.limits;
        let opened_at = Instant::now();
        let mut age = limits.connection_age_max.mul_f64(spread(serving));
        let mut expires_at = None;
        if let Peer::Remote(remote) = peer {
            let now = serving.clock.now();
            let left = now.map_or(Duration::ZERO, |now| remote.not_after.since(now));
            // Of a certificate that lives for less than the margin at least half shall be of use.
            let margin = limits.expiry_margin.min(left.mul_f64(0.5));
            age = age.min(left.saturating_sub(margin));
            expires_at = Some(after(opened_at, left));
        }
        Self {
            limits,
            streams: Arc::new(Streams::new(opened_at)),
            read,
            opened_at,
            old_at: after(opened_at, age),
            expires_at,
        }
    }

    /// The peer has begun to speak HTTP/2.
    fn is_open(&self) -> bool {
        self.read.load(Ordering::Relaxed) >= OPENING_BYTES
    }

    /// The ends that count now, each with what it means.
    fn ends(&self, leaving: Option<Instant>) -> impl Iterator<Item = (Instant, Verdict)> {
        let limits = &self.limits;
        let close = |event| Verdict::Close(Some(event));
        let (quiet_since, unary_since) = self.streams.state();
        let expiry = self
            .expires_at
            .map(|at| (at, close(ConnectionEvent::CertificateExpired)));
        let preface = (!self.is_open()).then(|| {
            let at = after(self.opened_at, limits.preface_timeout);
            (at, close(ConnectionEvent::PrefaceTimeout))
        });
        let stuck = unary_since.map(|since| {
            let at = after(since, limits.request_deadline.saturating_mul(2));
            (at, close(ConnectionEvent::Stuck))
        });
        let idle = quiet_since.map(|since| {
            let at = after(since, limits.idle_timeout);
            (at, close(ConnectionEvent::IdleTimeout))
        });
        let age = match leaving {
            None => (self.old_at, Verdict::Leave),
            Some(since) => (
                after(since, limits.connection_age_grace),
                Verdict::Close(None),
            ),
        };
        let gone = leaving.zip(quiet_since).map(|(since, quiet)| {
            let at = after(since.max(quiet), limits.goaway_wait);
            (at, Verdict::Close(None))
        });
        [expiry, preface, stuck, idle, gone, Some(age)]
            .into_iter()
            .flatten()
    }

    /// When to judge next: a request may have opened meanwhile, so never later than its deadline.
    fn wake(&self, leaving: Option<Instant>, now: Instant) -> Instant {
        let mut latest = self.limits.request_deadline;
        if leaving.is_some() {
            latest = latest.min(self.limits.goaway_wait);
        }
        let latest = after(now, latest);
        self.ends(leaving).map(|(at, _)| at).fold(latest, Ord::min)
    }

    fn judge(&self, leaving: Option<Instant>, now: Instant) -> Verdict {
        self.ends(leaving)
            .find(|(at, _)| now >= *at)
            .map_or(Verdict::Stay, |(_, verdict)| verdict)
    }
}

/// A share of the maximal age, so that connections made together do not all end together.
fn spread(serving: &Serving) -> f64 {
    let mut bytes = [0_u8; 2];
    match serving.entropy.fill(&mut bytes) {
        Ok(()) => 1.0 - f64::from(u16::from_le_bytes(bytes)) / (10.0 * f64::from(u16::MAX)),
        Err(_) => 1.0,
    }
}

fn after(instant: Instant, duration: Duration) -> Instant {
    // Too far away to be represented is never; a day is looked at again long before.
    const FAR: Duration = Duration::from_secs(24 * 3600);
    instant
        .checked_add(duration)
        .or_else(|| instant.checked_add(FAR))
        .unwrap_or(instant)
}

/// The open HTTP/2 streams of a connection.
#[derive(Debug)]
struct Streams(Mutex<Open>);

#[derive(Debug)]
struct Open {
    next: u64,
    /// By age; a unary request with its start.
    streams: BTreeMap<u64, Option<Instant>>,
    quiet_since: Instant,
}

impl Streams {
    fn new(now: Instant) -> Self {
        Self(Mutex::new(Open {
            next: 0,
            streams: BTreeMap::new(),
            quiet_since: now,
        }))
    }

    fn open(self: &Arc<Self>, is_stream: bool) -> OpenStream {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = open.next;
        open.next = id.wrapping_add(1);
        open.streams.insert(id, (!is_stream).then(Instant::now));
        OpenStream(Arc::clone(self), id)
    }

    /// Since when nothing is open, and since when the oldest unary request is.
    fn state(&self) -> (Option<Instant>, Option<Instant>) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = open.streams.is_empty().then_some(open.quiet_since);
        (quiet, open.streams.values().find_map(|since| *since))
    }
}

/// One open stream, until its reply was sent.
#[derive(Debug)]
struct OpenStream(Arc<Streams>, u64);

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.streams.remove(&self.1);
        if open.streams.is_empty() {
            open.quiet_since = Instant::now();
        }
    }
}

/// A reply's body, which keeps its stream open until it is sent or dropped.
struct Reply {
    body: tonic::body::Body,
    _open: OpenStream,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
