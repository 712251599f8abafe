//! An agent in this process, and callers of it.

use handfast::client::Hand;
use handfast::clock::{SystemClock, SystemEntropy};
use handfast::domain::evidence::{Assurance, Evidence, ProcessKey, Releases, Required};
use handfast::domain::id::SpiffeId;
use handfast::domain::limits::Limits;
use handfast::domain::time::Time;
use handfast::grpc::convert::Forms;
use handfast::grpc::health::Health;
use handfast::grpc::operator::{AgentView, StatusSource};
use handfast::grpc::routes::{self, Api, MessageLimits, SECURITY_HEADER};
use handfast::grpc::serve::Closing;
use handfast::keys::{KeyFile, Keys};
use handfast::ledger::{LedgerConfig, RedbLedger};
use handfast::oidc::IdTokens;
use handfast::policy::{CedarPolicy, PolicySource};
use handfast::proto::v1;
use handfast::service::ports::{
    AttestError, AttestedWorkload, Attestor, BoxFuture, Clock, Entropy, Freshness, LocalPeer,
    Observed, Peer, Processes, RemotePeer,
};
use handfast::service::{Continuation, Ports, Settings, WorkloadRow};
use handfast::token::SigningKeys;
use handfast::token::certificate::CertificateCheck;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub(crate) const OWNER: &str = "spiffe://example.test/owner";
pub(crate) const SERVER: &str = "spiffe://example.test/server";
pub(crate) const WORKER: &str = "spiffe://example.test/worker";
pub(crate) const TOOL: &str = "spiffe://example.test/tool";
pub(crate) const OTHER: &str = "spiffe://example.test/other";
pub(crate) const APPROVER: &str = "spiffe://example.test/approver";

pub(crate) const MESSAGES: MessageLimits = MessageLimits {
    message_bytes: 16 * 1024,
    spawn_bytes: 64 * 1024,
    reply_bytes: 16 * 1024,
    policy_bytes: 16 * 1024,
    page_rows: 50,
};

/// Everybody who may call, with the user ID that each runs as.
const EVERYBODY: [(&str, u32); 6] = [
    (OWNER, 1001),
    (SERVER, 1002),
    (WORKER, 1003),
    (TOOL, 1004),
    (OTHER, 1005),
    (APPROVER, 1006),
];

/// Attests by user ID: what SPIRE would say of each.
#[derive(Debug)]
struct ByUser;

impl ByUser {
    fn evidence(spiffe_id: &str, local: Option<&LocalPeer>) -> Evidence {
        Evidence {
            spiffe_ids: vec![id(spiffe_id)],
            assurance: match local {
                Some(_) => Assurance::Process,
                None => Assurance::Svid,
            },
            process: local.map(|local| local.key),
            uid: local.map(|local| local.uid),
            cgroup: local.map(|local| format!("/system.slice/{}.service", local.uid)),
            executable: None,
            releases: Vec::new(),
            traced: false,
            attested_at: Time(0),
        }
    }
}

impl Attestor for ByUser {
    fn attest<'a>(
        &'a self,
        peer: &'a Peer,
        _freshness: Freshness,
    ) -> BoxFuture<'a, Result<AttestedWorkload, AttestError>> {
        let attested = match peer {
            Peer::Local(local) => EVERYBODY
                .iter()
                .find(|(_, uid)| *uid == local.uid)
                .map(|(name, _)| {
                    let evidence = Self::evidence(name, Some(local));
                    AttestedWorkload::attested(evidence, Some(Arc::clone(local)))
                })
                .ok_or(AttestError::NoIdentity),
            Peer::Remote(remote) => {
                let evidence = Self::evidence(&remote.spiffe_id.to_string(), None);
                Ok(AttestedWorkload::attested(evidence, None))
            }
        };
        Box::pin(std::future::ready(attested))
    }

    fn observe(&self, peer: &LocalPeer) -> Result<Observed, AttestError> {
        Ok(Observed {
            pid: peer.key.pid,
            uid: peer.uid,
            gid: peer.gid,
            cgroup: None,
            executable_path: Some("/usr/bin/true".to_owned()),
        })
    }
}

/// Processes that never exit, and of which none is found again.
#[derive(Debug, Default)]
pub(crate) struct Immortal {
    /// The kernel does not answer.
    pub(crate) silent: AtomicBool,
}

impl Processes for Immortal {
    fn exited(&self, _peer: Arc<LocalPeer>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn reopen(&self, _key: &ProcessKey) -> Result<Option<Arc<LocalPeer>>, AttestError> {
        if self.silent.load(Ordering::SeqCst) {
            return Err(AttestError::Unavailable("no descriptor left".to_owned()));
        }
        Ok(None)
    }
}

#[derive(Debug)]
struct NotReady;

impl StatusSource for NotReady {
    fn view(&self) -> AgentView {
        AgentView {
            spiffe_id: Some(id("spiffe://example.test/handfast")),
            not_ready: vec!["attestation".to_owned()],
            policy_error: None,
            audit_records: 7,
        }
    }
}

pub(crate) struct World {
    pub(crate) local: Routes,
    pub(crate) remote: Routes,
    pub(crate) operator: Routes,
    pub(crate) ledger: Arc<RedbLedger>,
    pub(crate) continuation: Arc<Continuation>,
    pub(crate) processes: Arc<Immortal>,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_, _| ()).await
    }

    /// With ports and settings that are changed before anything runs on them.
    pub(crate) async fn with(change: impl FnOnce(&mut Ports, &mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("can be made");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new(Duration::from_secs(60)));
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let config = LedgerConfig {
            note_flush_interval: Duration::from_millis(5),
            ..LedgerConfig::at(folder.path().join("ledger"))
        };
        let failed = Box::new(|why: String| panic!("the ledger failed: {why}"));
        let (ledger, opened) = RedbLedger::open(&config, failed).expect("can be opened");
        let ledger = Arc::new(ledger);
        let file = KeyFile::ephemeral(entropy.as_ref()).expect("can be made");
        let keys = Keys::derive(&file, Arc::clone(&entropy)).expect("can be derived");
        let agent = id("spiffe://example.test/handfast");
        let signer = SigningKeys::begin(opened.epoch, agent, 0).expect("can be made");
        let processes = Arc::new(Immortal::default());
        let mut ports = Ports {
            attestor: Arc::new(ByUser),
            certificates: Arc::new(CertificateCheck::default()),
            clock: Arc::clone(&clock),
            entropy,
            ledger: Arc::<RedbLedger>::clone(&ledger),
            names: Arc::new(keys),
            persons: Arc::new(IdTokens::default()),
            policy: Arc::new(CedarPolicy::load(PolicySource::default()).expect("is good")),
            processes: Arc::<Immortal>::clone(&processes),
            signer: Arc::new(signer),
        };
        let mut settings = settings();
        change(&mut ports, &mut settings);
        let continuation = Arc::new(Continuation::new(ports, settings));
        let api = Arc::new(Api {
            continuation: Arc::clone(&continuation),
            clock,
            forms: Forms::default(),
            limits: MESSAGES,
            lease_idle: Duration::from_secs(10),
        });
        let health = Health::starting().await;
        Self {
            local: routes::local_routes(&api, &health),
            remote: routes::remote_routes(&api, &health),
            operator: routes::operator_routes(&api, &health, Arc::new(NotReady)),
            ledger,
            continuation,
            processes,
            _folder: folder,
        }
    }

    /// A process of this workload, on the local socket.
    pub(crate) fn caller(&self, name: &str) -> Caller {
        Caller {
            routes: self.local.clone(),
            peer: Some(process(name)),
            header: true,
            closing: Closing(CancellationToken::new()),
        }
    }

    /// A workload elsewhere, over the network.
    pub(crate) fn remote_caller(&self, name: &str) -> Caller {
        Caller {
            routes: self.remote.clone(),
            peer: Some(Peer::Remote(Arc::new(RemotePeer {
                spiffe_id: id(name),
                not_after: Time(u64::MAX),
            }))),
            ..self.caller(name)
        }
    }

    /// The operator's process, on the operator's socket.
    pub(crate) fn at_operator_socket(&self) -> Caller {
        Caller {
            routes: self.operator.clone(),
            ..self.caller(OTHER)
        }
    }

    /// Waits until every audit record is durable.
    pub(crate) async fn flush(&self) {
        self.ledger.flush().await.expect("can be flushed");
    }
}

/// One end of a connection, as the accept loop would have pinned it.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) routes: Routes,
    pub(crate) peer: Option<Peer>,
    pub(crate) header: bool,
    pub(crate) closing: Closing,
}

impl tower::Service<http::Request<tonic::body::Body>> for Caller {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = <Routes as tower::Service<http::Request<tonic::body::Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        tower::Service::<http::Request<tonic::body::Body>>::poll_ready(&mut self.routes, cx)
    }

    fn call(&mut self, mut request: http::Request<tonic::body::Body>) -> Self::Future {
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        request.extensions_mut().insert(self.closing.clone());
        if self.header {
            let (name, value) = SECURITY_HEADER;
            let value = http::HeaderValue::from_static(value);
            request.headers_mut().insert(name, value);
        }
        self.routes.call(request)
    }
}

fn process(name: &str) -> Peer {
    let uid = EVERYBODY.iter().find(|(known, _)| *known == name);
    let uid = uid.map_or(4242, |(_, uid)| *uid);
    let fd = std::fs::File::open("/dev/null").expect("is there");
    Peer::Local(Arc::new(LocalPeer {
        pidfd: fd.into(),
        key: ProcessKey {
            boot_id: [1; 16],
            pidfd_inode: u64::from(uid),
            pid: i32::try_from(uid).expect("is small"),
            start_ticks: 1,
        },
        uid,
        gid: uid,
        image: None,
    }))
}

pub(crate) fn id(text: &str) -> SpiffeId {
    SpiffeId::new(text).expect("is one")
}

/// A hand or leg certificate.
pub(crate) fn certificate() -> Vec<u8> {
    let hand = Hand::generate(Duration::from_secs(600)).expect("can be made");
    hand.certificate().to_vec()
}

pub(crate) fn proof(der: &[u8]) -> v1::Proof {
    v1::Proof {
        proof: Some(v1::proof::Proof::PeerCertificate(der.to_vec())),
    }
}

pub(crate) fn call(audience: &str, tool: &str) -> v1::ToolCall {
    v1::ToolCall {
        audience: audience.to_owned(),
        tool: tool.to_owned(),
        arguments: b"{\"to\": \"bob\"}".to_vec(),
        tool_definition_s256: Vec::new(),
    }
}

fn settings() -> Settings {
    let row = |(name, uid): &(&str, u32)| {
        let required = Required {
            uid: Some(*uid),
            ..Required::default()
        };
        let row = WorkloadRow {
            required,
            process: false,
        };
        (id(name), row)
    };
    Settings {
        releases: Releases::default(),
        limits: Limits::default(),
        workloads: EVERYBODY.iter().map(row).collect::<BTreeMap<_, _>>(),
        approvers: BTreeSet::new(),
        lease_idle: Duration::from_secs(10),
        reattach_window: Duration::from_secs(60),
        reattest_interval: Duration::from_secs(10),
        sweep_interval: Duration::from_secs(1),
        deadline_notice: Duration::from_secs(30),
        rate_per_process: (10_000, 10_000),
        rate_per_uid: (10_000, 10_000),
        rate_callers_max: 100,
        // Zero: each answer has a record of its own.
        fold_window: Duration::ZERO,
        fold_entries_max: 100,
        legs_max: 10,
        holds_per_leg_max: 2,
        hold_queue_max: 8,
        watches_max: 4,
        watches_per_uid_max: 2,
        fold_denials_per_uid_max: 64,
        revocation_heartbeat: Duration::from_secs(1),
        revocation_subscribers_max: 4,
        revocation_subscribers_per_uid_max: 2,
        revocation_notices_max: 8,
        receipts_max: 2,
        children_named_max: 2,
    }
}
