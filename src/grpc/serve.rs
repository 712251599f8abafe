//! The accept loops: Unix socket and TLS over TCP, with limits and a drain that always ends.
//!
//! The one thing to know: [`Serving::unix`] and [`Serving::tls`] return when every connection and
//! every request of theirs has ended, which is made so `drain_deadline` after the drain began.

use super::admission::{Admission, Source};
use super::connection;
use super::listener::PinnedListener;
use super::metered::Metered;
use super::observe::{ConnectionEvent, ConnectionObserver};
use super::pinned::PinnedStream;
use super::tls;
use crate::kernel::{self, KernelError};
use crate::service::ports::{Clock, Entropy, LocalPeer, Peer};
use rustls::ServerConfig;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

/// Limits of one listener.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Open connections of this listener; beyond it nothing is accepted.
    pub connections_max: usize,
    /// Open connections of one user ID (Unix socket) or one address (TCP); beyond it they are
    /// closed.
    pub connections_per_source_max: usize,
    /// TLS handshakes at once.
    pub handshakes_max: usize,
    /// HTTP/2 streams at once on one connection.
    pub concurrent_streams_max: u32,
    /// Streams that we reset for a peer's error before its connection is closed.
    pub local_error_reset_streams_max: usize,
    /// Streams that the peer reset before we looked at them, before its connection is closed.
    pub pending_accept_reset_streams_max: usize,
    /// Bytes of the headers of one request.
    pub header_list_bytes_max: u32,
    /// Bytes of one HTTP/2 frame.
    pub frame_bytes_max: u32,
    /// Flow-control window of one stream, in bytes.
    pub stream_window_bytes: u32,
    /// Flow-control window of one connection, in bytes.
    pub connection_window_bytes: u32,
    /// Bytes that wait to be sent on one stream.
    pub send_buffer_bytes_max: usize,
    /// Bytes read from one connection per second, with a burst of one second's worth.
    pub read_bytes_per_second: u64,
    /// For the TLS handshake.
    pub handshake_timeout: Duration,
    /// For the first bytes: HTTP/2 preface and settings.
    pub preface_timeout: Duration,
    /// A connection without a request is closed after it.
    pub idle_timeout: Duration,
    /// For a unary request, from its headers to its reply; for a stream, until it is open. A unary
    /// reply that is not taken for as long again closes the connection.
    pub request_deadline: Duration,
    /// A PING is sent after so much silence.
    pub keepalive_interval: Duration,
    /// The PING must be answered within it.
    pub keepalive_timeout: Duration,
    /// A connection is told to go away at this age, less up to a tenth at random.
    pub connection_age_max: Duration,
    /// What is open then may go on for so long.
    pub connection_age_grace: Duration,
    /// A connection is told to go away so long before the peer's certificate expires.
    pub expiry_margin: Duration,
    /// A connection without a request that was told to go away is closed after it.
    pub goaway_wait: Duration,
    /// Requests that are open when the drain begins may go on for so long.
    pub drain_deadline: Duration,
    /// First wait after a failed `accept`; doubled up to `accept_backoff_max`.
    pub accept_backoff: Duration,
    /// Longest wait after a failed `accept`.
    pub accept_backoff_max: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            connections_per_source_max: 256,
            handshakes_max: 64,
            concurrent_streams_max: 64,
            local_error_reset_streams_max: 256,
            pending_accept_reset_streams_max: 20,
            header_list_bytes_max: 8192,
            frame_bytes_max: 16_384,
            stream_window_bytes: 65_535,
            connection_window_bytes: 256 * 1024,
            send_buffer_bytes_max: 128 * 1024,
            read_bytes_per_second: 4 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(3),
            preface_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(300),
            request_deadline: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            connection_age_max: Duration::from_secs(3600),
            connection_age_grace: Duration::from_secs(30),
            expiry_margin: Duration::from_secs(30),
            goaway_wait: Duration::from_secs(1),
            drain_deadline: Duration::from_secs(10),
            accept_backoff: Duration::from_millis(50),
            accept_backoff_max: Duration::from_millis(500),
        }
    }
}

/// Yields the TLS configuration for the next handshake, so that it can rotate; `None` while there
/// is none.
pub type TlsConfigs = Arc<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>;

/// In the extensions of every request: cancelled when its connection shall go away. A long stream
/// ends itself then, else it is cut at the end of the grace.
#[derive(Clone, Debug)]
pub struct Closing(pub CancellationToken);

/// What a listener serves, and how.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The services.
    pub routes: Routes,
    /// Whether the method of this path is a stream, which `request_deadline` must not cut once it
    /// is open.
    pub is_stream: fn(&str) -> bool,
    /// Says when a peer's certificate has expired.
    pub clock: Arc<dyn Clock>,
    /// Spreads the ages of connections.
    pub entropy: Arc<dyn Entropy>,
    /// Is told what happens.
    pub observer: Arc<dyn ConnectionObserver>,
    /// Limits.
    pub limits: ServeLimits,
    /// Begins the drain.
    pub drain: CancellationToken,
    /// Requests in progress; made new by `unix` and `tls`.
    pub(super) requests: TaskTracker,
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open at the deadline.
    pub aborted: usize,
    /// Requests that did not end although their connection had: zero unless a handler blocks its
    /// thread.
    pub requests_left: usize,
}

impl Serving {
    /// Serves `routes` to whoever the kernel says is at the other end, within default limits.
    pub fn new(
        routes: Routes,
        is_stream: fn(&str) -> bool,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        observer: Arc<dyn ConnectionObserver>,
    ) -> Self {
        Self {
            routes: routes.prepare(),
            is_stream,
            clock,
            entropy,
            observer,
            limits: ServeLimits::default(),
            drain: CancellationToken::new(),
            requests: TaskTracker::new(),
        }
    }

    /// With other limits than the default.
    #[must_use]
    pub fn with_limits(mut self, limits: ServeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// With a drain that others begin.
    #[must_use]
    pub fn with_drain(mut self, drain: CancellationToken) -> Self {
        self.drain = drain;
        self
    }

    /// Serves a Unix socket until drained. Every caller is a pinned process.
    pub async fn unix(mut self, listener: PinnedListener) -> Drained {
        self.requests = TaskTracker::new();
        let admission = Admission::new(self.limits.connections_per_source_max);
        let serving = Arc::new(self);
        let each = |stream| local(Arc::clone(&serving), Arc::clone(&admission), stream);
        accept_all(&serving, listener, each).await
    }

    /// Serves TLS over TCP until drained. Every caller has shown a certificate.
    pub async fn tls(mut self, listener: TcpListener, configs: TlsConfigs) -> Drained {
        self.requests = TaskTracker::new();
        let gate = Arc::new(TlsGate {
            admission: Admission::new(self.limits.connections_per_source_max),
            handshakes: Semaphore::new(self.limits.handshakes_max.max(1)),
            configs,
        });
        let serving = Arc::new(self);
        let each = |stream| remote(Arc::clone(&serving), Arc::clone(&gate), stream);
        accept_all(&serving, listener, each).await
    }

    pub(super) fn note(&self, event: ConnectionEvent, peer: &Peer) {
        let local = match peer {
            Peer::Local(local) => Some(local.as_ref()),
            Peer::Remote(_) => None,
        };
        self.observer.connection(event, local);
    }
}

/// A source of connections.
trait Accept: Send {
    type Stream: Send;
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for PinnedListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        TcpListener::accept(self).await.map(|(stream, _)| stream)
    }
}

async fn accept_all<L, F>(
    serving: &Arc<Serving>,
    listener: L,
    each: impl Fn(L::Stream) -> F,
) -> Drained
where
    L: Accept,
    F: Future<Output = ()> + Send + 'static,
{
    let limits = &serving.limits;
    let places = Arc::new(Semaphore::new(limits.connections_max.max(1)));
    let mut connections = JoinSet::new();
    let mut backoff = limits.accept_backoff;
    loop {
        // A place first, then the connection: those without one wait in the kernel's backlog.
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = serving.drain.cancelled() => break,
            next = next => next,
            Some(_ended) = connections.join_next() => continue,
        };
        if let Ok(stream) = accepted {
            backoff = limits.accept_backoff;
            let serve = each(stream);
            connections.spawn(async move {
                let _place = place;
                serve.await;
            });
        } else {
            let observer = &serving.observer;
            observer.connection(ConnectionEvent::AcceptFailed, None);
            // Out of descriptors: trying again at once would fail at once, for ever.
            tokio::select! {
                () = serving.drain.cancelled() => break,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = backoff.saturating_mul(2).min(limits.accept_backoff_max);
        }
    }
    drop(listener);
    drain(serving, connections).await
}

async fn drain(serving: &Serving, mut connections: JoinSet<()>) -> Drained {
    let all = async { while connections.join_next().await.is_some() {} };
    let in_time = tokio::time::timeout(serving.limits.drain_deadline, all).await;
    let aborted = if in_time.is_ok() {
        0
    } else {
        connections.len()
    };
    connections.abort_all();
    while connections.join_next().await.is_some() {
        serving.observer.connection(ConnectionEvent::Aborted, None);
    }
    // A request notices that its connection is gone when it is next polled, which that wakes it
    // for.
    serving.requests.close();
    let wait = serving.requests.wait();
    let ended = tokio::time::timeout(serving.limits.goaway_wait, wait).await;
    Drained {
        aborted,
        requests_left: ended.map_or_else(|_elapsed| serving.requests.len(), |()| 0),
    }
}

async fn local(serving: Arc<Serving>, admission: Arc<Admission>, stream: UnixStream) {
    let observer = &serving.observer;
    let pinned = match kernel::pin(&stream) {
        Ok(pinned) => pinned,
        Err(error) => return observer.connection(pin_event(&error), None),
    };
    let Some(_admitted) = admission.admit(Source::User(pinned.uid)) else {
        return observer.connection(ConnectionEvent::TooManyFromPeer, None);
    };
    let peer = Arc::new(LocalPeer {
        pidfd: pinned.pidfd,
        key: pinned.key,
        uid: pinned.uid,
        gid: pinned.gid,
        image: pinned.image,
    });
    let stream = PinnedStream::new(stream, Arc::clone(&peer), Arc::clone(observer));
    let allowance = serving.limits.read_bytes_per_second;
    let stream = Metered::new(stream, allowance, Arc::clone(observer));
    connection::serve(serving, stream, Peer::Local(peer)).await;
}

fn pin_event(error: &KernelError) -> ConnectionEvent {
    match error {
        KernelError::Gone => ConnectionEvent::PeerGone,
        KernelError::Invisible => ConnectionEvent::PeerInvisible,
        KernelError::KernelTooOld => ConnectionEvent::KernelTooOld,
        KernelError::Failed(..)
        | KernelError::Malformed(_)
        | KernelError::NotPermitted(_)
        | KernelError::OtherExecutable
        | KernelError::TooLarge(_)
        | KernelError::UserFileSystem => ConnectionEvent::PinFailed,
    }
}

/// What a TLS connection passes before it is served.
struct TlsGate {
    admission: Arc<Admission>,
    handshakes: Semaphore,
    configs: TlsConfigs,
}

async fn remote(serving: Arc<Serving>, gate: Arc<TlsGate>, stream: TcpStream) {
    let observer = &serving.observer;
    let Ok(address) = stream.peer_addr() else {
        return observer.connection(ConnectionEvent::PeerGone, None);
    };
    let Some(_admitted) = gate.admission.admit(Source::Address(address.ip())) else {
        return observer.connection(ConnectionEvent::TooManyFromPeer, None);
    };
    let handshake = async {
        let _turn = gate.handshakes.acquire().await;
        let config = (gate.configs)().ok_or(ConnectionEvent::TlsNotReady)?;
        tls::accept(stream, config, serving.limits.handshake_timeout).await
    };
    let shaken = tokio::select! {
        () = serving.drain.cancelled() => return,
        shaken = handshake => shaken,
    };
    match shaken {
        Ok((stream, peer)) => {
            let allowance = serving.limits.read_bytes_per_second;
            let stream = Metered::new(stream, allowance, Arc::clone(observer));
            connection::serve(serving, stream, Peer::Remote(Arc::new(peer))).await;
        }
        Err(event) => observer.connection(event, None),
    }
}
