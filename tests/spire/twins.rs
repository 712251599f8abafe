//! Processes that SPIRE cannot tell apart: one registration entry, one SVID, one private key.

use crate::actor::{Actor, No};
use crate::cast::{
    Cast, Leg, SERVER, Step, Task, ask_create_by, call, check_by, end, hold, issue, issue_name,
    report_by, start,
};
use crate::world::{STRANGER, Setup, World, number, ready};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn a02_of_two_workers_with_one_svid_one_has_the_leg_and_the_other_waits() {
    let Some(programs) = ready() else {
        return;
    };
    let setup = Setup {
        settings: &["tasks.lease_idle = '3s'"],
        ..Setup::default()
    };
    let world = World::start(&programs, setup);
    let mut cast = Cast::start(&world);
    let worker = |user| Actor::start(&world, "worker", user);
    let own = number("worker");
    let (mut second, mut stranger) = (worker(own), worker(STRANGER));

    let svid = world.svid("worker", own);
    assert!(svid["x509_svid_key"].is_string(), "{svid}");
    assert_eq!(world.svid("worker", own), svid, "of another process");
    assert_eq!(world.svid("worker", STRANGER), svid, "of another user");

    let task = cast.create("a02");
    let leg = start(&mut cast.worker, &task).expect("leg 1");
    hold(&mut cast.worker, &leg).expect("a hold");
    cast.effect(&leg, 1);
    let no = start(&mut second, &task).unwrap_err();
    assert!(no.is("FailedPrecondition", "held"), "{no:?}");
    let no = issue(&mut second, &leg, 2).unwrap_err();
    assert!(no.is("FailedPrecondition", "no_leg"), "{no:?}");
    for refused in [
        start(&mut stranger, &task).unwrap_err(),
        issue(&mut stranger, &leg, 2).unwrap_err(),
        hold(&mut stranger, &leg).unwrap_err(),
        end(&mut stranger, &leg, "yielded").unwrap_err(),
    ] {
        assert!(refused.is_unknown_task(), "{refused:?}");
    }
    cast.effect(&leg, 2);

    // The first exits.
    drop(std::mem::replace(&mut cast.worker, worker(own)));
    let leg = world.wait_for("the exit", || start(&mut second, &task).ok());
    assert_eq!(leg.number, 2);
    hold(&mut second, &leg).expect("a hold");
    let no = start(&mut cast.worker, &task).unwrap_err();
    assert!(no.is("FailedPrecondition", "held"), "{no:?}");
    assert!(start(&mut stranger, &task).unwrap_err().is_unknown_task());

    // The second ends.
    end(&mut second, &leg, "yielded").expect("the end");
    let leg = start(&mut cast.worker, &task).expect("leg 3");
    cast.effect(&leg, 3);

    // The third does nothing for `lease_idle`.
    let leg = world.wait_for("the idle lease", || start(&mut second, &task).ok());
    assert_eq!(leg.number, 4);
    end(&mut second, &leg, "completed").expect("the end");
}

/// Tries each call as the twins first, then as the original, and remembers which were tried.
#[derive(Default)]
struct Table {
    tried: BTreeSet<String>,
}

impl Table {
    fn row(
        &mut self,
        rpc: &str,
        (twins, original): (&mut [Actor], &mut Actor),
        ask: &dyn Fn(&mut Actor) -> Result<Value, No>,
    ) -> Value {
        for twin in twins {
            let no = decided(ask(twin)).expect_err(rpc);
            assert!(
                no.reason == "unknown_task" || no.reason == "workload_row",
                "{rpc}: {no:?}"
            );
        }
        self.tried.insert(rpc.to_owned());
        decided(ask(original)).unwrap_or_else(|no| panic!("the original, {rpc}: {no:?}"))
    }
}

/// `Check` answers a no with OK.
fn decided(answer: Result<Value, No>) -> Result<Value, No> {
    let answer = answer?;
    if answer["answer"] == "denied" {
        let reason = answer["reason"].as_str().unwrap_or_default().to_owned();
        return Err(No {
            code: "Ok".to_owned(),
            reason,
        });
    }
    Ok(answer)
}

/// Every method that a workload may call: `Service.Method`.
fn methods() -> BTreeSet<String> {
    let proto = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/handfast/v1/handfast.proto"),
    )
    .expect("the proto");
    let (mut service, mut methods) = ("", BTreeSet::new());
    for line in proto.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("service"), Some(name)) => service = name,
            (Some("rpc"), Some(rest)) => {
                let name = rest.split('(').next().unwrap_or_default();
                methods.insert(format!("{service}.{name}"));
            }
            _ => {}
        }
    }
    methods.retain(|name| !name.starts_with("Operator.") && !name.starts_with("Self."));
    methods
}

/// Whose twins are tried beside the development provider alone (`tests/agent/twins.rs`), not yet here.
const ELSEWHERE: [&str; 13] = [
    "Approvals.Decide",
    "Approvals.Get",
    "Approvals.List",
    "Approvals.Watch",
    "Enforcement.AcknowledgeRevocations",
    "Enforcement.WatchRevocations",
    "Legs.Delegate",
    "Legs.Resolve",
    "Legs.RevokeDelegation",
    "Legs.Spawn",
    "Legs.Takeover",
    "Tasks.RequireInput",
    "Tasks.Watch",
];

#[test]
fn a55_a_twin_of_any_role_gets_nowhere_with_any_call() {
    let Some(programs) = ready() else {
        return;
    };
    let setup = Setup {
        pinned: &["owner", "server"],
        ..Setup::default()
    };
    let world = World::start(&programs, setup);
    let mut cast = Cast::start(&world);
    // Another user with the same SVID; and, where a role is one process, another process of the same user.
    let twins = |role: &str, users: &[u32]| {
        let twin = |user: &u32| {
            let mut twin = Actor::start(&world, role, *user);
            let me = twin.must("whoami", json!({}));
            let id = format!("spiffe://example.org/{role}");
            assert_eq!(me["spiffe_ids"], json!([id]), "it has the same SVID");
            twin.hand("o");
            twin.hand("w");
            twin
        };
        users.iter().map(twin).collect::<Vec<_>>()
    };
    let mut owners = twins("owner", &[STRANGER, number("owner")]);
    let mut servers = twins("server", &[STRANGER, number("server")]);
    let mut workers = twins("worker", &[STRANGER]);
    let mut tools = twins("tool", &[STRANGER]);

    let create_token = cast.ask_create("a55").expect("a create token");
    let no = ask_create_by(&mut owners[0], "a55").unwrap_err();
    assert!(no.is("PermissionDenied", "workload_row"), "{no:?}");
    let task = cast.register("a55", &create_token).expect("a task");
    let leg = start(&mut cast.worker, &task).expect("a leg");
    hold(&mut cast.worker, &leg).expect("a hold");
    let finished = cast.create("a55-finished");
    let mut table = Table::default();
    for op in ["issue_query", "issue_cancel"] {
        let pair = (owners.as_mut_slice(), &mut cast.owner);
        table.row("Requests.Issue", pair, &|owner| {
            issue_name(owner, op, &task)
        });
    }

    let pair = (workers.as_mut_slice(), &mut cast.worker);
    let step = workers_calls(&mut table, (&task, &leg), pair);
    let pair = (tools.as_mut_slice(), &mut cast.tool);
    let fresh = table.row("Enforcement.Check", pair, &|tool| check_by(tool, &step));
    assert_eq!(fresh["answer"], "fresh", "{fresh}");
    let pair = (tools.as_mut_slice(), &mut cast.tool);
    table.row("Enforcement.Report", pair, &|tool| {
        report_by(tool, &task.id, &fresh)
    });

    servers_calls(
        &mut table,
        &mut servers,
        &mut cast,
        (&create_token, &task, &finished),
    );
    let elsewhere = ELSEWHERE.iter().map(|name| (*name).to_owned());
    table.tried.extend(elsewhere);
    assert_eq!(table.tried, methods(), "a method without a row");
}

/// The calls of an MCP server, about a task and about one that ends here.
fn servers_calls(
    table: &mut Table,
    twins: &mut [Actor],
    cast: &mut Cast,
    (create_token, task, finished): (&Value, &Task, &Task),
) {
    for (op, check) in [
        ("issue_query", "check_query"),
        ("issue_cancel", "check_cancel"),
    ] {
        let token = issue_name(&mut cast.owner, op, task).expect("a token");
        let ask = json!({
            "token": token, "peer": cast.owner_certificate, "handle": task.handle,
        });
        let pair = (&mut *twins, &mut cast.server);
        table.row("Enforcement.Check", pair, &|server| {
            server.ask(check, ask.clone())
        });
    }
    // The create token again: only the server that registered the task gets it once more.
    let again = json!({
        "request_id": "again", "token": create_token, "peer": cast.owner_certificate,
        "handle": task.handle, "call": call(SERVER, "report"),
    });
    for (rpc, op, ask) in [
        ("Tasks.Create", "create", again),
        ("Tasks.Get", "get", json!({ "task_id": task.id })),
        (
            "Tasks.Finish",
            "finish",
            json!({ "task_id": finished.id, "request_id": "finish" }),
        ),
    ] {
        let pair = (&mut *twins, &mut cast.server);
        table.row(rpc, pair, &|server| server.ask(op, ask.clone()));
    }
}

/// The calls of a leg's holder. Gives a step of a second leg.
fn workers_calls(
    table: &mut Table,
    (task, leg): (&Task, &Leg),
    (twins, worker): (&mut [Actor], &mut Actor),
) -> Step {
    let done = |()| json!({});
    table.row("Legs.Hold", (twins, worker), &|worker| {
        hold(worker, leg).map(done)
    });
    table.row("Legs.Issue", (twins, worker), &|worker| {
        issue(worker, leg, 1).map(|_step| json!({}))
    });
    table.row("Legs.End", (twins, worker), &|worker| {
        end(worker, leg, "yielded")
    });
    table.row("Legs.Start", (twins, worker), &|worker| {
        start(worker, task).map(|_leg| json!({}))
    });
    // Taken up again, for a certificate that is known here.
    let leg = start(worker, task).expect("re-attached");
    assert_eq!(leg.number, 2);
    issue(worker, &leg, 1).expect("a step's token")
}
