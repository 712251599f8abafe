//! Invariant 14, from the inside: behind equal answers the service makes equal calls of its ports.
//!
//! Real ledger, policy, keys and signer, each behind a [`recorder`](crate::recorder). Whoever can tell two answers
//! apart by their time, or by the load that they make, would have to find it in that list.

use crate::attempts::{METHODS, Names, Rightful, attempt, report, spawn};
use crate::life::create_as;
use crate::recorder::{Calls, recorded};
use crate::world::{
    APPROVER, OTHER, OWNER, SERVER, TOOL, WORKER, World, call, certificate, id, proof,
};
use handfast::domain::time::Time;
use handfast::policy::{CedarPolicy, DEFAULT_POLICY, PolicySource};
use handfast::proto::v1;
use handfast::service::ports::{Clock, Ledger as _};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use v1::enforcement_client::EnforcementClient;
use v1::legs_client::LegsClient;

const WANTS_CONSENT: &str = r#"
@id("wire-wants-consent")
forbid (principal, action in [Action::"step", Action::"retry"], resource)
when { resource.name == "wire" } unless { context.approved };
"#;

const RETENTION: Duration = Duration::from_secs(60);

/// A clock that can be moved on.
#[derive(Debug)]
struct Later {
    clock: Arc<dyn Clock>,
    by_ms: Arc<AtomicU64>,
}

impl Clock for Later {
    fn now(&self) -> Option<Time> {
        let by = Duration::from_millis(self.by_ms.load(Ordering::SeqCst));
        self.clock.now().map(|now| now.after(by))
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// A world whose ports are recorded, and in it a name of each kind.
struct Recording {
    world: World,
    calls: Calls,
    /// A task that is there, one that is over, one that was forgotten, and none.
    live: Names,
    over: Names,
    forgotten: Names,
    unknown: Names,
    /// The task that [`OTHER`] owns.
    own: Names,
    /// One whose leg may be taken away.
    spare: Names,
}

impl Recording {
    async fn new() -> Self {
        let (calls, by_ms) = (Calls::default(), Arc::new(AtomicU64::new(0)));
        let folder = tempfile::tempdir().expect("can be made");
        let path = folder.path().join("policy.cedar");
        std::fs::write(&path, format!("{DEFAULT_POLICY}{WANTS_CONSENT}")).expect("is written");
        let world = World::with(|ports, settings| {
            let policy = CedarPolicy::load(PolicySource::file(path)).expect("is good");
            ports.policy = Arc::new(policy);
            let (clock, by_ms) = (Arc::clone(&ports.clock), Arc::clone(&by_ms));
            ports.clock = Arc::new(Later { clock, by_ms });
            *ports = recorded(ports.clone(), &calls);
            settings.limits.retention = RETENTION;
            settings.approvers = [id(APPROVER)].into();
        })
        .await;
        let forgotten = task(&world, "forgotten", 'f').await;
        end(&world, &forgotten).await;
        let later = u64::try_from(RETENTION.as_millis()).expect("fits");
        by_ms.store(later, Ordering::SeqCst);
        forget(&world).await;
        let over = task(&world, "over", '5').await;
        end(&world, &over).await;
        let live = task(&world, "live", '7').await;
        let spare = task(&world, "spare", '8').await;
        let unknown = live.never_given();
        let mut own = live.clone();
        own.handle = handle('9');
        own.task = create_as(&world, OTHER, &own.handle).await.task_id;
        Self {
            world,
            calls,
            live,
            over,
            forgotten,
            unknown,
            own,
            spare,
        }
    }

    /// What the caller hears, and what was called for it.
    async fn attempt(&self, method: &str, caller: &str, names: &Names) -> (String, Vec<String>) {
        let ask = attempt(&self.world, method, caller, names, &self.own.handle).await;
        self.calls.take();
        let answer = ask.await;
        (answer, self.calls.take())
    }
}

fn handle(digit: char) -> String {
    "3f0c5f0e-5d5a-4a3f-9d3c-0a8d3e0e6bxx".replace('x', &digit.to_string())
}

/// A task with a leg, a child that nobody has spent, a step that its tool has checked, and one that waits for a
/// person.
async fn task(world: &World, kind: &'static str, digit: char) -> Names {
    let handle = handle(digit);
    let created = create_as(world, OWNER, &handle).await;
    let leg_certificate = certificate();
    let mut legs = LegsClient::new(world.caller(WORKER));
    let started = v1::StartRequest {
        work_reference: created.work_reference.clone(),
        certificate: leg_certificate.clone(),
        request_id: Vec::new(),
    };
    legs.start(started).await.expect("is permitted");
    let spawned = legs.spawn(spawn(&created.task_id)).await;
    let child = spawned.expect("is permitted").into_inner().children.pop();
    let paid = step(world, &created.task_id, 1, "pay").await;
    let check = v1::CheckRequest {
        token: paid.token,
        proof: Some(proof(&leg_certificate)),
        principal: None,
        operation: Some(v1::check_request::Operation::Step(call(TOOL, "pay"))),
    };
    let mut tool = EnforcementClient::new(world.caller(TOOL));
    let fresh = tool.check(check).await.expect("is decided").into_inner();
    let Some(v1::check_response::Answer::Fresh(fresh)) = fresh.answer else {
        panic!("is not fresh: {fresh:?}");
    };
    let names = Names {
        kind,
        handle,
        reference: created.work_reference,
        task: created.task_id.clone(),
        fence: paid.fence,
        jti: fresh.step.expect("is a step").jti,
        approval: String::new(),
        child: child.expect("has one"),
    };
    tool.report(report(&names)).await.expect("is taken");
    let wired = step(world, &created.task_id, 2, "wire").await;
    let pending = wired.pending_approval.expect("a person is asked");
    Names {
        approval: pending.approval_id,
        ..names
    }
}

async fn step(world: &World, task: &str, step: u32, tool: &str) -> v1::IssueStepResponse {
    let ask = v1::IssueStepRequest {
        task_id: task.to_owned(),
        leg: 1,
        step,
        call: Some(call(TOOL, tool)),
        request_id: vec![1],
        skip_unknown: false,
    };
    let mut legs = LegsClient::new(world.caller(WORKER));
    legs.issue(ask).await.expect("is permitted").into_inner()
}

async fn end(world: &World, names: &Names) {
    let end = v1::EndRequest {
        task_id: names.task.clone(),
        leg: 1,
        outcome: v1::end_request::Outcome::Completed.into(),
        request_id: vec![2],
    };
    let mut legs = LegsClient::new(world.caller(WORKER));
    legs.end(end).await.expect("is permitted");
}

/// Sweeps until no task is left.
async fn forget(world: &World) {
    let shutdown = CancellationToken::new();
    let (sweeping, until) = (Arc::clone(&world.continuation), shutdown.clone());
    let sweep = tokio::spawn(async move { sweeping.run(until).await });
    let any = async || {
        let page = world.ledger.tasks(None, 1).await.expect("can be read");
        !page.tasks.is_empty()
    };
    let mut patience = 0..1_000_000;
    while any().await {
        patience.next().expect("is forgotten at last");
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    sweep.await.expect("ends");
}

#[tokio::test]
async fn a36_unknown_foreign_and_forgotten_names_cause_the_same_calls_of_ports() {
    let recording = Recording::new().await;
    let Recording {
        live,
        over,
        forgotten,
        unknown,
        own,
        spare,
        ..
    } = &recording;
    for (method, rightful) in METHODS {
        for caller in [OTHER, OWNER, SERVER, WORKER, TOOL, APPROVER] {
            // To whom the task belongs it is not foreign.
            let alike = if rightful == Rightful::Workload(caller) {
                vec![forgotten]
            } else {
                vec![live, over, forgotten]
            };
            let first = recording.attempt(method, caller, unknown).await;
            assert!(first.0.contains("unknown task"), "{method}: {first:?}");
            assert!(first.1.iter().any(|call| call.starts_with("ledger.load")));
            for names in alike {
                let answer = recording.attempt(method, caller, names).await;
                assert_eq!(answer, first, "{method} by {caller}, {}", names.kind);
            }
        }
    }
    // The positive control: for those with a role it is there, and more is asked for them.
    for (method, rightful) in METHODS {
        let (caller, names) = match rightful {
            // The live task has a leg, whose fence it would have to give.
            Rightful::Workload(caller) if method == "Tasks.RequireInput" => (caller, own),
            // The worker still needs the leg of the live one.
            Rightful::Workload(caller) if method == "Legs.Takeover" => (caller, spare),
            Rightful::Workload(caller) => (caller, live),
            Rightful::ServerOfToken => (SERVER, own),
            Rightful::Nobody => continue,
        };
        let refused = recording.attempt(method, caller, unknown).await;
        let (answer, calls) = recording.attempt(method, caller, names).await;
        assert!(!answer.contains("unknown task"), "{method}: {answer}");
        if method == "Approvals.Decide" {
            // It comes as far as its ID token, of an issuer whom this world does not know.
            assert!(answer.contains(" person "), "{answer}");
            continue;
        }
        assert!(answer.starts_with("ok: "), "{method}: {answer}");
        assert_ne!(calls, refused.1, "{method}");
    }
}

/// The methods in which nobody names a task, and the operator's, to whom every task is known.
const NAMELESS: [&str; 15] = [
    // Each caller is shown what it may decide, and nothing by name.
    "Approvals.List",
    "Approvals.Watch",
    // Numbers of the feed, which every audience sees.
    "Enforcement.AcknowledgeRevocations",
    "Enforcement.WatchRevocations",
    "Operator.Audit",
    "Operator.Explain",
    "Operator.Lift",
    "Operator.ListTasks",
    "Operator.Receipt",
    "Operator.Revoke",
    "Operator.ShowTask",
    "Operator.Simulate",
    "Operator.Status",
    "Self.WhoAmI",
    // The name is the caller's to give; which task it is for, the token says.
    "Tasks.Create",
];

/// Every method of every service: `Service.Method`.
fn served() -> BTreeSet<String> {
    let (mut service, mut methods) = ("", BTreeSet::new());
    for line in include_str!("../../proto/handfast/v1/handfast.proto").lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("service"), Some(name)) => service = name,
            (Some("rpc"), Some(rest)) => {
                let name = rest.split('(').next().expect("has a first part");
                methods.insert(format!("{service}.{name}"));
            }
            _ => {}
        }
    }
    methods
}

#[test]
fn a36_every_method_that_takes_a_name_has_a_row() {
    let method = |(name, _): &(&'static str, Rightful)| name.split(' ').next();
    let rows: BTreeSet<&str> = METHODS.iter().filter_map(method).collect();
    let both: Vec<&str> = NAMELESS
        .into_iter()
        .filter(|name| rows.contains(name))
        .collect();
    assert!(both.is_empty(), "{both:?}");
    let all: BTreeSet<String> = rows
        .into_iter()
        .chain(NAMELESS)
        .map(str::to_owned)
        .collect();
    assert_eq!(all, served(), "what does it say of a name of nobody's?");
}
