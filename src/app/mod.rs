//! The agent, put together: the only room that knows every other.
//!
//! [`run`] opens the ledger, binds the sockets and serves; whatever needs the agent's identity answers
//! "unavailable" until SPIRE has given one. The one thing to know: the re-attachment window of suspended
//! legs starts at readiness, not at start.

mod drain;
mod late;
mod limits;
mod log;
mod ready;
mod settings;
mod sockets;

pub use log::start_log;
pub use ready::{Guard, Readiness};

use crate::attest::broker::BrokerDirectory;
use crate::attest::delegated::DelegatedDirectory;
use crate::attest::directory::{DirectoryConfig, self_test};
use crate::attest::{KernelAttestor, KernelProcesses};
use crate::clock::{SystemClock, SystemEntropy};
use crate::config::{AgentId, Attestation, Config};
use crate::domain::time::Time;
use crate::identity::{
    AgentRule, BrokerChannelConfig, Identity, IdentityConfig, IdentityError, IdentityLimits,
    UnixEndpoint,
};
use crate::keys::{KeyFile, Keys};
use crate::ledger::{LedgerConfig, Opened, RedbLedger};
use crate::policy::{CedarPolicy, PolicySource};
use crate::service::ports::{Clock, Entropy, ProcessDirectory};
use crate::service::{Continuation, Failure, Ports};
use crate::token::SigningKeys;
use crate::token::certificate::{CertificateCheck, CertificateLimits};
use late::LateDirectory;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Exit status after a failed write or sync: the supervisor starts a fresh process (`EX_IOERR`).
pub const EXIT_LEDGER_FAILED: i32 = 74;

/// How often the ledger's room is looked at.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);

/// How long the agent waits before it asks SPIRE about itself again.
const SELF_TEST_PAUSE: Duration = Duration::from_secs(2);

/// Why the agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data folder.
    #[error("cannot make the data folder `{}`", path.display())]
    DataFolder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Our own identity.
    #[error("identity")]
    Identity(#[from] IdentityError),
    /// The Workload API's address.
    #[error("spiffe.workload_api")]
    Endpoint(#[from] crate::identity::EndpointError),
    /// The key file.
    #[error("agent.key_file")]
    KeyFile(#[from] crate::keys::KeyFileError),
    /// Keys could not be made.
    #[error("cannot make keys: {0}")]
    Keys(String),
    /// The ledger.
    #[error("ledger")]
    Ledger(#[from] crate::ledger::OpenError),
    /// Legs of an earlier run could not be read.
    #[error("cannot take up what an earlier run left: {0}")]
    Recover(String),
    /// A socket.
    #[error("listener")]
    Listen(#[from] crate::grpc::listener::ListenError),
    /// The service manager passed something that is no listening Unix socket.
    #[error("the service manager passed another kind of socket than a Unix socket")]
    Inherited {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The TCP listener.
    #[error("cannot listen on `{address}`")]
    Tcp {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The policy.
    #[error("policy")]
    Policy(#[from] crate::policy::PolicyError),
    /// A named user or group does not exist.
    #[error("agent.socket_group: no group `{0}` on this machine")]
    Group(String),
    /// A signal handler could not be installed.
    #[error("signals")]
    Signals(#[source] std::io::Error),
}

/// The agent's parts, for the sockets and the status.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) ledger: Arc<RedbLedger>,
    pub(crate) policy: Arc<CedarPolicy>,
    pub(crate) service: Arc<Continuation>,
    pub(crate) readiness: Readiness,
    attestor: Arc<KernelAttestor>,
    directory: Arc<LateDirectory>,
}

/// Runs the agent until `shutdown`, then drains.
///
/// # Errors
/// See [`AppError`]. Waiting for SPIRE is none: the agent says so and waits.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), AppError> {
    let parts = assemble(Arc::new(config))?;
    let recovered = parts.service.recover().await;
    recovered.map_err(|failure| AppError::Recover(reason(&failure)))?;
    parts.readiness.open(Guard::Ledger);
    let drain = CancellationToken::new();
    let room = tokio::spawn(watch_room(parts.clone()));
    let listeners = sockets::serve_local(&parts, drain.clone()).await?;
    let watch = tokio::spawn(
        Arc::clone(&parts.policy).watch(parts.config.policy.poll_interval, drain.clone()),
    );
    // Sweeps, suspended legs' windows and the network all wait for the identity.
    let remote = tokio::select! {
        () = shutdown.cancelled() => None,
        identity = establish(&parts) => {
            let identity = identity?;
            let follow = tokio::spawn(follow(identity.clone(), parts.clone()));
            let sweeps = tokio::spawn({
                let (service, drain) = (Arc::clone(&parts.service), drain.clone());
                async move { service.run(drain).await }
            });
            let listener = sockets::serve_remote(&parts, &identity, drain.clone()).await?;
            tracing::info!(epoch = parts.service.status().epoch, "ready");
            shutdown.cancelled().await;
            follow.abort();
            Some((listener, sweeps))
        }
    };
    tracing::info!("draining");
    parts.readiness.close(Guard::Identity);
    let deadline = parts.config.drain.deadline;
    let drained_by = tokio::time::sleep(deadline);
    drain.cancel();
    for listener in listeners {
        sockets::drained(listener.await);
    }
    if let Some((listener, sweeps)) = remote {
        if let Some(listener) = listener {
            sockets::drained(listener.await);
        }
        drain::end(sweeps, drained_by).await;
    }
    watch.abort();
    room.abort();
    drain::flush(&parts.ledger, deadline).await;
    tracing::info!("stopped");
    Ok(())
}

/// Opens everything that needs no SPIRE.
fn assemble(config: Arc<Config>) -> Result<Parts, AppError> {
    let clock = Arc::new(SystemClock::new(config.clock.backward_jump_max));
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    // Before anything is made: a start that a broken policy refuses leaves nothing behind.
    let policy = Arc::new(CedarPolicy::load(PolicySource {
        path: Some(config.policy.path.clone()),
        bytes_max: config.limits.policy_bytes,
        policies_max: config.limits.policies,
    })?);
    make_private(&config.agent.data_dir)?;
    if let Some(folder) = config.agent.key_file.parent() {
        make_private(folder)?;
    }
    let ledger_path = config.agent.ledger_path();
    let key_file = KeyFile::open_or_create(&config.agent.key_file, &ledger_path, entropy.as_ref())?;
    let keys = Keys::derive(&key_file, Arc::clone(&entropy))
        .map_err(|error| AppError::Keys(error.to_string()))?;
    let (ledger, opened) = open_ledger(&config)?;
    let reached = ledger
        .newest_time()
        .map_err(|error| AppError::Recover(error.to_string()))?;
    let clock = continued(clock, reached);
    let remembered = config.limits.verified_signatures;
    let signer = SigningKeys::begin(opened.epoch, config.agent.spiffe_id.clone(), remembered)
        .map_err(|error| AppError::Keys(error.to_string()))?;
    let directory = Arc::new(LateDirectory::new(config.spiffe.deadline));
    let asked: Arc<dyn ProcessDirectory> = Arc::<LateDirectory>::clone(&directory);
    let attestor = KernelAttestor::new(asked, Arc::clone(&clock), &limits::attest(&config));
    let attestor = Arc::new(attestor.naming(config.releases()));
    let service = Continuation::new(
        Ports {
            attestor: Arc::<KernelAttestor>::clone(&attestor),
            certificates: Arc::new(CertificateCheck::new(
                CertificateLimits::default(),
                remembered,
            )),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            ledger: Arc::<RedbLedger>::clone(&ledger),
            names: Arc::new(keys),
            persons: Arc::new(settings::persons(&config)),
            policy: Arc::<CedarPolicy>::clone(&policy),
            processes: Arc::new(KernelProcesses::default()),
            signer: Arc::new(signer),
        },
        settings::of(&config),
    );
    Ok(Parts {
        service: Arc::new(service),
        readiness: Readiness::new(),
        config,
        clock,
        entropy,
        ledger,
        policy,
        attestor,
        directory,
    })
}

/// Continues where an earlier run's clock had come to: what was past then stays past.
fn continued(clock: Arc<SystemClock>, reached: Option<Time>) -> Arc<dyn Clock> {
    if let Some(reached) = reached {
        clock.not_before(reached);
    }
    if clock.now().is_none() {
        tracing::error!(
            "the wall clock is behind the newest audit record: nothing is decided until it catches up"
        );
    }
    clock
}

/// Opens the ledger; its failure ends the process at once.
fn open_ledger(config: &Config) -> Result<(Arc<RedbLedger>, Opened), AppError> {
    let ledger_path = config.agent.ledger_path();
    let (ledger, opened) = RedbLedger::open(
        &LedgerConfig {
            cache_bytes: config.limits.ledger_cache_bytes,
            queue_len_max: config.limits.ledger_queue,
            batch_max: config.limits.ledger_batch,
            reserve_bytes: config.limits.ledger_reserve_bytes,
            max_bytes: config.limits.ledger_bytes,
            ..LedgerConfig::at(&ledger_path)
        },
        Box::new(|why| {
            tracing::error!(%why, "the ledger failed: stopping at once");
            std::process::exit(EXIT_LEDGER_FAILED);
        }),
    )?;
    tracing::info!(
        epoch = opened.epoch.0,
        created = opened.created,
        "ledger open"
    );
    Ok((Arc::new(ledger), opened))
}

/// Gets an identity and makes sure that SPIRE answers about processes. Waits as long as it takes.
async fn establish(parts: &Parts) -> Result<Identity, AppError> {
    let config = &parts.config;
    let identity = Identity::start(&IdentityConfig {
        spiffe_id: Some(config.agent.spiffe_id.clone()),
        initial_sync_timeout: config.spiffe.initial_sync_timeout,
        limits: IdentityLimits {
            svids_max: config.limits.svids,
            bundles_max: config.limits.bundles,
            bundle_bytes_max: config.limits.bundle_bytes,
        },
        ..IdentityConfig::new(UnixEndpoint::parse(&config.spiffe.workload_api)?)
    })
    .await?;
    parts.readiness.open(Guard::Identity);
    let asked = DirectoryConfig {
        audience: config.spiffe.audience.clone(),
        deadline: config.spiffe.deadline,
        ..DirectoryConfig::new(identity.trust_domain().clone())
    };
    let directory: Arc<dyn ProcessDirectory> = match &config.spiffe.attestation {
        Attestation::Broker { socket, agent_id } => {
            let endpoint = UnixEndpoint::parse(&format!("unix://{}", socket.display()))?;
            let channel = identity.broker_channel(&BrokerChannelConfig {
                agent: match agent_id {
                    AgentId::Exact(id) => AgentRule::Exact(id.clone()),
                    AgentId::Prefix { path, .. } => AgentRule::Below(path.clone()),
                },
                connect_timeout: config.spiffe.deadline,
                ..BrokerChannelConfig::new(endpoint)
            })?;
            Arc::new(BrokerDirectory::new(channel, asked))
        }
        Attestation::Delegated { socket } => {
            Arc::new(DelegatedDirectory::new(socket.clone(), asked))
        }
    };
    loop {
        match self_test(directory.as_ref(), identity.spiffe_id()).await {
            Ok(()) => break,
            Err(error) => {
                tracing::warn!(%error, "not ready: SPIRE does not say who this agent is");
                tokio::time::sleep(SELF_TEST_PAUSE).await;
            }
        }
    }
    parts.directory.set(directory);
    parts.readiness.open(Guard::Attestation);
    Ok(identity)
}

/// Says so when the ledger has no room for more than endings: readiness goes, and comes back with the room.
async fn watch_room(parts: Parts) {
    let mut looks = tokio::time::interval(ROOM_INTERVAL);
    let mut said = false;
    loop {
        looks.tick().await;
        let full = parts.ledger.size().map_or(true, |size| size.full);
        if full {
            parts.readiness.close(Guard::Space);
        } else {
            parts.readiness.open(Guard::Space);
        }
        if full && !said {
            tracing::error!(
                "the ledger is full (limits.ledger_bytes, or the disk): only endings are recorded"
            );
        }
        said = full;
    }
}

/// Follows the identity: a change of entries or bundles makes remembered answers worthless.
async fn follow(identity: Identity, parts: Parts) {
    let mut updates = identity.updated();
    loop {
        let standing = updates.changed().await;
        parts.attestor.forget_answers();
        if identity.is_usable() {
            parts.readiness.open(Guard::Identity);
        } else {
            tracing::warn!(?standing, "not ready: no usable identity");
            parts.readiness.close(Guard::Identity);
        }
        if matches!(standing, crate::identity::Standing::Closed) {
            return;
        }
    }
}

fn make_private(folder: &std::path::Path) -> Result<(), AppError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| AppError::DataFolder {
            path: folder.to_owned(),
            source,
        })
}

fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Attest(error) => error.to_string(),
        Failure::Busy(limit) => (*limit).to_owned(),
        Failure::Denied { reason, .. } => reason.name().to_owned(),
        Failure::Internal(why) | Failure::Invalid(why) | Failure::Unavailable(why) => why.clone(),
    }
}
