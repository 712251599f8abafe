//! The role twin: the right program and SVID under another uid. One row for every method of the API.
//!
//! The one thing to know: in each row the twin fails first, then the original succeeds with the same call,
//! so that the twin's attempt has changed nothing.

use crate::consent::World;
use crate::fan::{child, fanning, part, spawn_op};
use crate::job::{
    HANDLE, Job, Leg, SERVER, TOOL, Task, WORKER, assert_unknown, build, check_op, end_op,
    report_op, start_op, step_op, text,
};
use crate::methods::methods;
use crate::node::{Actor, distinct_uids};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The originals, their twins, and the task of one row.
struct Cast {
    job: Job,
    client: Actor,
    server: Actor,
    worker: Actor,
    tool: Actor,
    row: usize,
}

impl Cast {
    fn start() -> Self {
        let job = Job::start();
        let twin = |name: &str| {
            let mut twin = job.node.actor(&job.node.role(name).twin());
            twin.hand(name);
            // It is no stranger: it has the original's SPIFFE ID, by the agent's own word.
            let seen = twin.ok(&json!({ "op": "whoami" }));
            let id = format!("spiffe://demo.test/{name}");
            assert_eq!(seen["spiffe_ids"], json!([id]));
            twin
        };
        Self {
            client: twin("client"),
            server: twin("server"),
            worker: twin("worker"),
            tool: twin("tool"),
            job,
            row: 0,
        }
    }

    fn task(&mut self) -> Task {
        self.row = self.row.checked_add(1).unwrap();
        let row = self.row;
        self.job.create_as(&format!("7q2mZr0Yt5kW9xB3vN8s{row:04}"))
    }

    fn leg(&mut self) -> Leg {
        let task = self.task();
        self.job.start_leg(&task)
    }
}

/// Somebody asks and has no role: the uniform answer, and for the operator that the evidence is missing.
fn assert_twin(job: &Job, refused: &Value) {
    if refused["answer"] == "denied" {
        assert_eq!(refused["reason"], "unknown_task", "{refused}");
    } else {
        assert_unknown(refused);
    }
    let truth = job.node.explain(&text(refused, "decision_id"));
    assert_eq!(truth["reason"], "role_evidence", "{truth}");
}

fn requests_issue(cast: &mut Cast) {
    let task = cast.task();
    for op in ["issue_query", "issue_update", "issue_cancel"] {
        let op = json!({
            "op": op, "request_id": op, "hand": "client", "server": SERVER, "handle": task.handle,
        });
        assert_twin(&cast.job, &cast.client.err(&op));
        cast.job.client.ok(&op);
    }
    let create = json!({
        "op": "issue_create", "request_id": "new", "hand": "client", "call": build(), "asked": [],
    });
    assert_eq!(cast.client.err(&create)["reason"], "workload_row");
    cast.job.client.ok(&create);
}

fn tasks_create(cast: &mut Cast) {
    let op = cast.job.create_op("twins", HANDLE);
    assert_eq!(cast.server.err(&op)["reason"], "workload_row");
    assert_eq!(cast.job.server.ok(&op)["repeat"], false);
    // Nor may it have what the original got.
    assert_eq!(cast.server.err(&op)["reason"], "workload_row");
}

fn tasks_get(cast: &mut Cast) {
    let op = json!({ "op": "get", "task_id": cast.task().id });
    assert_twin(&cast.job, &cast.server.err(&op));
    assert_eq!(cast.job.server.ok(&op)["state"], "working");
}

fn tasks_finish(cast: &mut Cast) {
    let id = cast.task().id;
    let op = json!({ "op": "finish", "task_id": id, "completed": true, "request_id": "f" });
    assert_twin(&cast.job, &cast.server.err(&op));
    assert_eq!(cast.job.server.ok(&op)["state"], "completed");
}

fn tasks_require_input(cast: &mut Cast) {
    let id = cast.task().id;
    let op = json!({ "op": "require_input", "task_id": id, "keys": ["amount"] });
    assert_twin(&cast.job, &cast.server.err(&op));
    assert_eq!(cast.job.server.ok(&op)["state"], "input_required");
}

fn tasks_watch(cast: &mut Cast) {
    let op = json!({ "op": "watch", "task_id": cast.task().id });
    assert_twin(&cast.job, &cast.server.err(&op));
    cast.job.server.ok(&op);
    assert_eq!(cast.job.server.event()["notice"]["state"], "working");
}

fn legs_start(cast: &mut Cast) {
    let op = start_op(&cast.task(), "worker");
    assert_twin(&cast.job, &cast.worker.err(&op));
    assert_eq!(cast.job.worker.ok(&op)["leg"], 1);
}

fn legs_issue(cast: &mut Cast) {
    let leg = cast.leg();
    let op = step_op(&leg, 1);
    assert_twin(&cast.job, &cast.worker.err(&op));
    let token = text(&cast.job.worker.ok(&op), "token");
    assert_eq!(cast.job.check(&leg, &token)["answer"], "fresh");
}

fn legs_spawn(cast: &mut Cast) {
    cast.row = cast.row.checked_add(1).unwrap();
    let handle = format!("7q2mZr0Yt5kW9xB3vN8s{:04}", cast.row);
    let token = cast.job.client.ok(&json!({
        "op": "issue_create", "request_id": handle, "hand": "client", "call": build(),
        "asked": fanning(1, 1, 1), "performers": [WORKER],
    }));
    let peer = cast.job.client_certificate();
    let created = cast.job.server.ok(&json!({
        "op": "create", "token": token["token"], "peer": peer, "call": build(), "handle": handle,
    }));
    let leg = cast.job.start_leg(&Task::created(&created, &handle));
    let op = spawn_op(&leg, "spawn", &[child(1)]);
    assert_twin(&cast.job, &cast.worker.err(&op));
    let children = cast.job.worker.ok(&op);
    // Nor may it spend what the original has spawned.
    let spend = json!({
        "op": "issue_create", "request_id": "spend", "hand": "worker", "call": part(1),
        "child": children["children"][0],
    });
    assert_eq!(cast.worker.err(&spend)["reason"], "workload_row");
    cast.job.worker.ok(&spend);
}

fn legs_hold(cast: &mut Cast) {
    let leg = cast.leg();
    let op = json!({ "op": "hold", "task_id": leg.task.id, "leg": leg.number });
    assert_twin(&cast.job, &cast.worker.err(&op));
    cast.job.worker.ok(&op);
    assert_eq!(cast.job.worker.event()["notice"]["kind"], "holding");
}

fn legs_end(cast: &mut Cast) {
    let op = end_op(&cast.leg(), "completed");
    assert_twin(&cast.job, &cast.worker.err(&op));
    assert_eq!(cast.job.worker.ok(&op)["state"], "completed");
}

fn legs_handover(cast: &mut Cast) {
    let leg = cast.leg();
    let named = |op: &str| {
        json!({
            "op": op, "server": SERVER, "handle": leg.task.handle, "to": TOOL, "acts": ["query"],
            "request_id": op, "number": 1, "step": 1, "done": true,
        })
    };
    for op in ["delegate", "revoke_delegation", "take_over"] {
        assert_twin(&cast.job, &cast.client.err(&named(op)));
        cast.job.client.ok(&named(op));
    }
    assert_twin(&cast.job, &cast.client.err(&named("resolve")));
    // The owner hears what there is to say: no step of this number.
    let refused = cast.job.client.err(&named("resolve"));
    let truth = cast.job.node.explain(&text(&refused, "decision_id"));
    assert_eq!(truth["reason"], "unknown_task", "{truth}");
}

fn enforcement_check(cast: &mut Cast) {
    let leg = cast.leg();
    let token = cast.job.step_token(&leg, 1);
    let op = check_op(&leg, &token);
    assert_twin(&cast.job, &cast.tool.ok(&op));
    assert_eq!(cast.job.tool.ok(&op)["answer"], "fresh");
    for (operation, answer) in [("query", "read"), ("update", "read"), ("cancel", "fresh")] {
        let op = cast.job.owner_op(operation, &leg.task.handle);
        assert_twin(&cast.job, &cast.server.ok(&op));
        assert_eq!(cast.job.server.ok(&op)["answer"], answer);
    }
}

fn enforcement_report(cast: &mut Cast) {
    let leg = cast.leg();
    let token = cast.job.step_token(&leg, 1);
    let fresh = cast.job.check(&leg, &token);
    assert_twin(&cast.job, &cast.tool.err(&report_op(&fresh, "not_done")));
    let reported = cast.job.tool.ok(&report_op(&fresh, "done"));
    assert_eq!(reported["state"], "done");
}

/// Only the twin's side is the same node's; the rest is in `approvals`.
fn approvals(cast: &mut Cast) {
    let mut world = World::start();
    let mut twin = world
        .job
        .node
        .actor(&world.job.node.role("approver").twin());
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    let decide = world.decision(&id, "approve");
    let list = json!({ "op": "approval_list" });
    let get = json!({ "op": "approval_get", "approval_id": id });
    let watch = json!({ "op": "approval_watch" });
    for op in [&list, &get, &watch, &decide] {
        assert_twin(&world.job, &twin.err(op));
        world.approver.ok(op);
    }
    // And where there are no approvers, nobody has the role.
    assert_unknown(&cast.job.worker.err(&list));
}

/// The twin hears nothing, and may not say for the original that it has stopped.
fn enforcement_revocations(cast: &mut Cast) {
    let watch = json!({ "op": "watch_revocations" });
    assert_twin(&cast.job, &cast.tool.err(&watch));
    cast.job.tool.ok(&watch);
    let opened = cast.job.tool.event()["notice"].clone();
    assert_eq!(opened["event"], "opened");
    let acknowledge = json!({
        "op": "acknowledge", "subscription": opened["subscription"], "sequence": opened["sequence"],
    });
    assert_unknown(&cast.tool.err(&acknowledge));
    cast.job.tool.ok(&acknowledge);
}

/// Each sees itself.
fn self_who_am_i(cast: &mut Cast) {
    let op = json!({ "op": "whoami" });
    let (twin, original) = (cast.worker.ok(&op), cast.job.worker.ok(&op));
    assert_eq!(twin["pid"], cast.worker.pid());
    assert_eq!(original["pid"], cast.job.worker.pid());
    assert_ne!(twin["uid"], original["uid"]);
}

/// Not for workloads, whoever they are: not on their socket, and not on the operator's.
fn no_operator(cast: &mut Cast, method: &str) {
    let path = format!("/handfast.v1.{}", method.replace('.', "/"));
    let op = json!({ "op": "raw", "path": path });
    let mut private = op.clone();
    let socket = cast.job.node.path("private/operator.sock");
    private["socket"] = socket.to_str().unwrap().into();
    private["connection"] = "operator".into();
    for actor in [&mut cast.server, &mut cast.client, &mut cast.job.server] {
        assert_eq!(actor.err(&op)["code"], "Unimplemented", "{method}");
        assert_eq!(actor.err(&private)["code"], "Unavailable", "{method}");
    }
}

fn operator(cast: &mut Cast) {
    let task = cast.task();
    for method in methods()
        .iter()
        .filter(|name| name.starts_with("Operator."))
    {
        no_operator(cast, method);
    }
    let node = &cast.job.node;
    node.operator_json(&["task", "list", "--all"]);
    node.operator_json(&["task", "show", &task.id]);
    node.operator_json(&["task", "revoke", &task.id, "--why", "test"]);
    node.operator_json(&["audit", "tail"]);
    let policy = node.path("policy.cedar");
    node.operator_json(&["policy", "simulate", &policy.display().to_string()]);
}

type Row = (&'static [&'static str], fn(&mut Cast));

/// What becomes of the twin of whoever may call a method.
const ROWS: &[Row] = &[
    (&["Requests.Issue"], requests_issue),
    (&["Tasks.Create"], tasks_create),
    (&["Tasks.Get"], tasks_get),
    (&["Tasks.Finish"], tasks_finish),
    (&["Tasks.RequireInput"], tasks_require_input),
    (&["Tasks.Watch"], tasks_watch),
    (&["Legs.Start"], legs_start),
    (&["Legs.Issue"], legs_issue),
    (&["Legs.Spawn"], legs_spawn),
    (&["Legs.Hold"], legs_hold),
    (&["Legs.End"], legs_end),
    (
        &[
            "Legs.Delegate",
            "Legs.Resolve",
            "Legs.RevokeDelegation",
            "Legs.Takeover",
        ],
        legs_handover,
    ),
    (&["Enforcement.Check"], enforcement_check),
    (&["Enforcement.Report"], enforcement_report),
    (
        &[
            "Enforcement.AcknowledgeRevocations",
            "Enforcement.WatchRevocations",
        ],
        enforcement_revocations,
    ),
    (
        &[
            "Approvals.Decide",
            "Approvals.Get",
            "Approvals.List",
            "Approvals.Watch",
        ],
        approvals,
    ),
    (&["Self.WhoAmI"], self_who_am_i),
    (
        &[
            "Operator.Audit",
            "Operator.Explain",
            "Operator.Lift",
            "Operator.ListTasks",
            "Operator.Receipt",
            "Operator.Revoke",
            "Operator.ShowTask",
            "Operator.Simulate",
            "Operator.Status",
        ],
        operator,
    ),
];

#[test]
fn a55_every_method_has_a_row() {
    let rows: BTreeSet<String> = ROWS
        .iter()
        .flat_map(|(names, _)| names.iter().map(|name| (*name).to_owned()))
        .collect();
    assert_eq!(
        rows,
        methods(),
        "a new method needs a row: what does a twin get?"
    );
}

#[test]
fn a55_twin_fails_and_original_succeeds_in_every_method() {
    if !distinct_uids("a55_twin_fails_and_original_succeeds_in_every_method") {
        return;
    }
    let mut cast = Cast::start();
    for (names, row) in ROWS {
        println!("{names:?}");
        row(&mut cast);
    }
}
