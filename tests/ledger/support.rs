//! Rows, events and a ledger file to test with.

use handfast::domain::barred::Takeovers;
use handfast::domain::event::{CallerFacts, Event, Verdict};
use handfast::domain::grant::{Authority, Grant, ToolCall};
use handfast::domain::id::{
    Digest, Epoch, Fence, Jti, LegNumber, RecordNumber, SpiffeId, StepNumber, TaskId,
};
use handfast::domain::lineage::{CreateTerms, Lineage, Load, Locator, Writes};
use handfast::domain::policy::PolicyGeneration;
use handfast::domain::role::{Owner, Role};
use handfast::domain::step::{Purpose, Step, StepState, TokenRecord};
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;
use handfast::ledger::{LedgerConfig, RedbLedger};
use handfast::service::ports::ledger::{Applied, Notes, Prepared, Work};
use handfast::service::ports::{Ledger, LedgerError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a condition that must come true may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A folder of its own with a ledger file in it.
pub(crate) struct File {
    folder: tempfile::TempDir,
    pub(crate) config: LedgerConfig,
}

impl File {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = LedgerConfig {
            cache_bytes: 1 << 20,
            reserve_bytes: 1 << 20,
            note_flush_interval: Duration::from_millis(5),
            ..LedgerConfig::at(folder.path().join("ledger"))
        };
        Self { folder, config }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    pub(crate) fn open(&self) -> RedbLedger {
        RedbLedger::open(&self.config, Box::new(|why| panic!("ledger failed: {why}")))
            .unwrap()
            .0
    }
}

pub(crate) fn id(number: u64) -> TaskId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    TaskId(id)
}

pub(crate) fn digest(kind: u8, number: u64) -> Digest {
    let mut digest = [kind; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    Digest(digest)
}

pub(crate) fn spiffe(path: &str) -> SpiffeId {
    SpiffeId::new(format!("spiffe://example.test/{path}")).unwrap()
}

pub(crate) fn role(path: &str) -> Role {
    Role {
        spiffe_id: spiffe(path),
        required: handfast::domain::evidence::Required {
            uid: Some(1000),
            ..Default::default()
        },
    }
}

pub(crate) fn call() -> ToolCall {
    ToolCall {
        audience: spiffe("server"),
        tool: "build".to_owned(),
        arguments: digest(1, 0),
        definition: None,
    }
}

pub(crate) fn task(number: u64) -> Task {
    Task {
        id: id(number),
        txn: id(number),
        parent: None,
        spawned_by: None,
        subject: None,
        created_at: Time(1),
        owner: Owner {
            workload: Some(role("owner")),
            principal: None,
        },
        server: role("server"),
        performers: vec![role("worker")],
        delegations: Vec::new(),
        takeovers: Takeovers::default(),
        call: call(),
        asked: Grant::default(),
        own: Grant::default(),
        state: TaskState::Working,
        inputs: Vec::new(),
        deadline: Time(1_000_000),
        claim_by: Time(1_000_000),
        claimed_at: None,
        owner_seen_at: Time(0),
        ended_at: None,
        name: digest(2, number),
        fence: Fence(1),
        legs: LegNumber(0),
        leg: None,
        last_step: StepNumber(0),
        pending: None,
        open_steps: Vec::new(),
        skipped_steps: Vec::new(),
        spawned: 0,
        owner_tokens: 0,
        owner_tokens_from: Time(0),
    }
}

pub(crate) fn step(number: u32) -> Step {
    Step {
        number: StepNumber(number),
        call: call(),
        authority: Authority::Asked,
        idempotency_key: digest(3, u64::from(number)),
        fence: Fence(u64::from(number) + 1),
        state: StepState::Done,
        ever_used: true,
        leg: LegNumber(1),
        epoch: Epoch(1),
        expires_at: Time(50),
        act_by: Some(Time(60)),
        request: digest(4, u64::from(number)),
    }
}

pub(crate) fn record(task: u64, fence: u64) -> TokenRecord {
    TokenRecord {
        task: id(task),
        fence: Fence(fence),
        jti: Jti([7; 16]),
        purpose: Purpose::Step(StepNumber(1)),
        delegation: None,
        process: None,
        audience: spiffe("server"),
        certificate: digest(5, fence),
        expires_at: Time(50),
        used_at: None,
    }
}

pub(crate) fn terms(number: u64, expires_at: u64) -> CreateTerms {
    CreateTerms {
        task: id(number),
        owner: role("owner"),
        spender: None,
        server: spiffe("server"),
        call: call(),
        asked: Grant::default(),
        performers: Vec::new(),
        lifetime: Duration::from_millis(1_500),
        jti: Jti([8; 16]),
        certificate: digest(5, number),
        issued_at: Time(1),
        expires_at: Time(expires_at),
        epoch: Epoch(1),
        request: digest(6, number),
        used_at: None,
    }
}

pub(crate) fn event(operation: &str) -> Event {
    Event {
        at: Time(5),
        operation: operation.to_owned(),
        verdict: Verdict::Allowed,
        task: None,
        caller: CallerFacts::default(),
        policy: PolicyGeneration::default(),
        policies: vec!["policy0".to_owned()],
        facts: vec![("step", "1".to_owned())],
        count: 1,
    }
}

/// The writes that make a task.
pub(crate) fn creation(number: u64) -> Writes {
    let task = task(number);
    Writes {
        bind: Some(task.name),
        request: Some((digest(6, number), task.id)),
        task: Some(task),
        ..Writes::default()
    }
}

pub(crate) fn of_task(number: u64) -> Load {
    Load::of(Locator::Task(id(number)))
}

/// A commit that must find the rows as expected.
pub(crate) fn work(load: Load, expected: Lineage, writes: Writes) -> Work {
    Work {
        load,
        expected,
        prepared: Prepared {
            writes,
            event: event("test"),
        },
        current: Box::new(|| true),
        again: Box::new(|_| panic!("the rows had not changed")),
    }
}

/// Commits writes on the rows as they are.
pub(crate) async fn commit(ledger: &dyn Ledger, load: Load, writes: Writes) {
    let expected = ledger.load(load).await.unwrap();
    let applied = ledger.apply(work(load, expected, writes)).await.unwrap();
    assert!(matches!(applied, Applied::Recorded(_)), "{applied:?}");
}

/// Makes a task with its name and request.
pub(crate) async fn create(ledger: &dyn Ledger, number: u64) {
    commit(ledger, of_task(number), creation(number)).await;
}

/// Notes each event by itself.
pub(crate) struct Unfolded<'a>(pub(crate) &'a dyn Ledger);

impl Notes for Unfolded<'_> {
    fn note(&self, event: Event) -> Result<RecordNumber, LedgerError> {
        self.0.note(event)
    }
}

/// Polls until a condition holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < DEADLINE, "never came true: {what}");
        tokio::task::yield_now().await;
    }
}
