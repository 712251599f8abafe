//! An agent's edge for tests: the listener, the attestor, and a directory that answers as SPIRE's
//! `unix` attestor would.

use handfast::attest::{AttestLimits, KernelAttestor};
use handfast::domain::id::SpiffeId;
use handfast::domain::time::Time;
use handfast::grpc::listener::{PinnedListener, UnixSocket};
use handfast::grpc::observe::{ConnectionCounters, ConnectionEvent};
use handfast::grpc::serve::{Closing, Drained, ServeLimits, Serving};
use handfast::service::ports::{
    Attestor, BoxFuture, Clock, DirectoryError, Entropy, EntropyError, Freshness, Peer,
    ProcessDirectory,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// No condition of these tests takes longer on a working machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The wall clock, which a test can move.
#[derive(Debug)]
pub(crate) struct TestClock {
    start: std::time::Instant,
    ahead_ms: AtomicU64,
}

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: std::time::Instant::now(),
            ahead_ms: AtomicU64::new(0),
        })
    }

    pub(crate) fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap();
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "certificates of these tests live in real time"
    )]
    fn now(&self) -> Option<Time> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ms = u64::try_from(now.unwrap().as_millis()).unwrap();
        Some(Time(ms + self.ahead_ms.load(Ordering::SeqCst)))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed() + Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }
}

/// No spread in the ages of connections.
#[derive(Debug)]
pub(crate) struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        buffer.fill(0);
        Ok(())
    }
}

/// Names a process by the program that it runs when the question arrives.
#[derive(Debug)]
pub(crate) struct TestDirectory {
    pub(crate) questions: AtomicUsize,
    /// One permit per question that may be answered; a test takes them to look in between.
    pub(crate) gate: Semaphore,
    /// A question has arrived.
    pub(crate) asked: Notify,
    /// Answers this instead.
    pub(crate) fails: Mutex<Option<DirectoryError>>,
}

impl TestDirectory {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            questions: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS >> 1),
            asked: Notify::new(),
            fails: Mutex::new(None),
        })
    }

    /// From now on no question is answered until permits are added.
    pub(crate) fn shut(&self) {
        self.gate.forget_permits(usize::MAX);
    }

    pub(crate) fn count(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

impl ProcessDirectory for TestDirectory {
    fn spiffe_ids(&self, pid: i32) -> BoxFuture<'_, Result<Vec<SpiffeId>, DirectoryError>> {
        Box::pin(async move {
            self.questions.fetch_add(1, Ordering::SeqCst);
            let program = std::fs::read_link(format!("/proc/{pid}/exe"));
            self.asked.notify_one();
            self.gate.acquire().await.unwrap().forget();
            if let Some(error) = self.fails.lock().unwrap().clone() {
                return Err(error);
            }
            let program = program.map_err(|e| DirectoryError::Unavailable(e.to_string()))?;
            let name = program.file_name().unwrap().to_string_lossy().into_owned();
            let id = format!("spiffe://a.test/{name}");
            Ok(vec![SpiffeId::new(&id).unwrap()])
        })
    }

    fn deadline(&self) -> Duration {
        PATIENCE
    }
}

/// What the handlers of the test use.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) attestor: Arc<KernelAttestor>,
    pub(crate) peers: Arc<Mutex<Vec<Peer>>>,
    /// What every `/now` and `/recent` was answered.
    pub(crate) verdicts: Arc<Mutex<Vec<String>>>,
    pub(crate) running: Arc<AtomicUsize>,
    pub(crate) entered: Arc<Notify>,
}

/// A served Unix socket.
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) directory: Arc<TestDirectory>,
    pub(crate) counters: Arc<ConnectionCounters>,
    pub(crate) shared: Shared,
    pub(crate) drain: CancellationToken,
    pub(crate) served: JoinHandle<Drained>,
    _folder: tempfile::TempDir,
}

/// How the parts of an agent differ from the default.
#[derive(Clone, Copy, Default)]
pub(crate) struct With {
    pub(crate) serve: Option<ServeLimits>,
    pub(crate) attest: AttestLimits,
}

impl Agent {
    pub(crate) fn start() -> Self {
        Self::with(&With::default())
    }

    pub(crate) fn with(with: &With) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let listener = PinnedListener::bind(&UnixSocket {
            path: socket.clone(),
            directory_mode: 0o750,
            mode: 0o660,
            group: None,
            backlog: 128,
        })
        .unwrap();
        let clock = TestClock::new();
        let directory = TestDirectory::new();
        let counters = Arc::new(ConnectionCounters::default());
        let shared = Shared::new(&directory, &clock, &with.attest);
        let drain = CancellationToken::new();
        let serving = Serving::new(
            routes(shared.clone()),
            is_stream,
            clock.clone(),
            Arc::new(NoEntropy),
            counters.clone(),
        )
        .with_limits(with.serve.unwrap_or_default())
        .with_drain(drain.clone());
        Self {
            socket,
            clock,
            directory,
            counters,
            shared,
            drain,
            served: tokio::spawn(serving.unix(listener)),
            _folder: folder,
        }
    }

    pub(crate) fn count(&self, event: ConnectionEvent) -> u64 {
        self.counters.count(event)
    }

    /// Waits until an event has happened so often.
    pub(crate) async fn until(&self, event: ConnectionEvent, count: u64) {
        until(|| self.count(event) >= count, event.name()).await;
    }

    /// The peer of the newest request.
    pub(crate) fn last_peer(&self) -> Peer {
        self.shared.peers.lock().unwrap().last().unwrap().clone()
    }
}

/// Waits for a condition.
pub(crate) async fn until(condition: impl Fn() -> bool, what: &str) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await; // poll: the condition
        }
    };
    let waited = tokio::time::timeout(PATIENCE, poll).await;
    assert!(waited.is_ok(), "waited in vain for {what}");
}

impl Shared {
    pub(crate) fn new(
        directory: &Arc<TestDirectory>,
        clock: &Arc<TestClock>,
        limits: &AttestLimits,
    ) -> Self {
        let directory = directory.clone();
        let clock = clock.clone();
        Self {
            attestor: Arc::new(KernelAttestor::new(directory, clock, limits)),
            peers: Arc::default(),
            verdicts: Arc::default(),
            running: Arc::default(),
            entered: Arc::default(),
        }
    }

    async fn attest(self, peer: Peer, freshness: Freshness) -> String {
        self.peers.lock().unwrap().push(peer.clone());
        let verdict = match self.attestor.attest(&peer, freshness).await {
            Ok(workload) => {
                let evidence = workload.evidence();
                let traced = if evidence.traced { ", traced" } else { "" };
                format!("{}{traced}", evidence.spiffe_ids[0])
            }
            Err(error) => error.to_string(),
        };
        self.verdicts.lock().unwrap().push(verdict.clone());
        verdict
    }
}

fn is_stream(path: &str) -> bool {
    path == "/stream"
}

/// Counts a running request, also one that is cut.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `/who` says that the caller was heard, `/now` and `/recent` attest it, the others try the
/// limits.
pub(crate) fn routes(shared: Shared) -> tonic::service::Routes {
    use axum::Extension;
    use axum::body::Body;
    use axum::routing::post;
    let (now, recent, slow, stream, who) = (
        shared.clone(),
        shared.clone(),
        shared.clone(),
        shared.clone(),
        shared,
    );
    let router = axum::Router::new()
        .route(
            "/now",
            post(move |Extension(peer)| now.clone().attest(peer, Freshness::Now)),
        )
        .route(
            "/recent",
            post(move |Extension(peer)| recent.clone().attest(peer, Freshness::Recent)),
        )
        .route(
            "/who",
            post(move |Extension(peer): Extension<Peer>| async move {
                who.peers.lock().unwrap().push(peer);
                "heard"
            }),
        )
        .route(
            "/slow",
            post(move || async move {
                let _running = Running::new(&slow.running);
                slow.entered.notify_one();
                std::future::pending::<()>().await;
            }),
        )
        .route(
            "/stream",
            post(move |Extension(closing): Extension<Closing>| async move {
                let running = Running::new(&stream.running);
                stream.entered.notify_one();
                let (sender, receiver) = tokio::sync::mpsc::channel(4);
                tokio::spawn(async move {
                    let _running = running;
                    drop(sender.send(Ok::<_, std::io::Error>("open")).await);
                    tokio::select! {
                        () = closing.0.cancelled() => {
                            drop(sender.send(Ok("draining")).await);
                        }
                        () = sender.closed() => {}
                    }
                });
                let frames = tokio_stream::wrappers::ReceiverStream::new(receiver);
                Body::from_stream(frames)
            }),
        )
        .route(
            "/large",
            post(|| async {
                let chunk = || Ok::<_, std::io::Error>(vec![b'x'; 1 << 16]);
                Body::from_stream(tokio_stream::iter((0..16).map(move |_| chunk())))
            }),
        )
        .route(
            "/panic",
            post(|| async {
                assert!(!std::hint::black_box(true), "on purpose");
            }),
        );
    router.into()
}
