//! Revocation by scope: what is in it stops at once and for good, and everybody else goes on.

use crate::handover::delegate_op;
use crate::job::{
    Job, Leg, Task, WORKER, assert_unknown, build, check_op, start_op, step_op, text,
};
use crate::node::{Actor, Options, until};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A second server and a second worker beside those of the main job.
const OTHER_SERVER: &str = "spiffe://demo.test/archive";
const OTHER_WORKER: &str = "spiffe://demo.test/night";

/// Another handle for every task.
fn handle(name: &str) -> String {
    format!("7q2mZr0Yt5kW9xB3vN8s{name:0>8}")
}

/// A task in the hands of a worker, with a token that is not used.
struct Work {
    leg: Leg,
    token: String,
}

fn work(job: &mut Job, name: &str) -> Work {
    let task = job.create_as(&handle(name));
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    Work { leg, token }
}

fn revoke(job: &Job, verb: &[&str]) -> Value {
    let mut whole = vec!["revoke"];
    whole.extend_from_slice(verb);
    whole.extend_from_slice(&["--why", "test"]);
    job.node.operator_json(&whole)
}

/// Nothing that was there acts any more, whoever asks.
fn assert_stopped(job: &mut Job, work: &Work) {
    assert_eq!(job.check(&work.leg, &work.token)["answer"], "denied");
    let again = job.worker.err(&step_op(&work.leg, 1));
    assert_eq!(again["code"], "FailedPrecondition", "{again}");
    let state = job
        .server
        .ok(&json!({ "op": "get", "task_id": work.leg.task.id }));
    assert_eq!(
        (&state["state"], &state["leg_live"]),
        (&json!("cancelled"), &json!(false))
    );
}

fn assert_goes_on(job: &mut Job, work: &Work) {
    assert_eq!(job.check(&work.leg, &work.token)["answer"], "fresh");
}

#[test]
fn a_task_is_revoked_and_another_goes_on() {
    let mut job = Job::start();
    let (victim, other) = (work(&mut job, "victim"), work(&mut job, "other"));
    let done = revoke(&job, &["task", &victim.leg.task.id]);
    assert_eq!(done["state"], "cancelled");
    assert_stopped(&mut job, &victim);
    assert_goes_on(&mut job, &other);
}

#[test]
fn the_tree_of_a_task_is_revoked_by_its_root() {
    let mut job = Job::start();
    let (victim, other) = (work(&mut job, "victim"), work(&mut job, "other"));
    let done = revoke(&job, &["tree", &victim.leg.task.id]);
    assert_eq!(done["state"], "cancelled");
    assert_stopped(&mut job, &victim);
    assert_goes_on(&mut job, &other);
}

fn with_more_roles() -> Job {
    let mut options = Options::default();
    write!(
        options.policy,
        "\n@id(\"users\") permit (principal == Workload::\"{OTHER_SERVER}\", \
         action == Action::\"vouch\", resource);\n"
    )
    .unwrap();
    for (uid, name) in [(30_011, "archive"), (30_012, "night")] {
        let role = crate::node::Role::new(name, uid, crate::node::Row::Uid);
        options.roles.push(role);
    }
    Job::with(&options)
}

/// A task of the other server, for either worker, which rests on no owner's workload.
fn archived(archive: &mut Actor, night: &mut Actor) -> Work {
    let mut call = build();
    call["audience"] = OTHER_SERVER.into();
    let created = archive.ok(&json!({
        "op": "create", "request_id": "archive", "call": call, "handle": handle("archive"),
        "principal": { "issuer": "https://login.demo.test", "subject": "ada" },
        "own": [{ "audience": crate::job::TOOL, "tool": "export" }],
        "performers": [OTHER_WORKER, WORKER],
    }));
    let task = Task::created(&created, &handle("archive"));
    let hand = night.ok(&json!({ "op": "hand", "name": "night" }));
    let started = night.ok(&start_op(&task, "night"));
    let leg = Leg {
        task,
        number: started["leg"].as_u64().unwrap(),
        fence: started["fence"].as_u64().unwrap(),
        certificate: text(&hand, "certificate"),
    };
    let token = text(&night.ok(&step_op(&leg, 1)), "token");
    Work { leg, token }
}

fn revoked_id(job: &Job, id: &str) {
    let done = revoke(job, &["spiffe-id", id]);
    assert!(done["sequence"].as_u64().unwrap() > 0, "{done}");
}

#[test]
fn a33_a_revoked_worker_has_no_leg_and_gets_none() {
    let mut job = with_more_roles();
    let mut archive = job.node.actor_named("archive");
    let mut night = job.node.actor_named("night");
    let victim = work(&mut job, "victim");
    let other = archived(&mut archive, &mut night);
    job.worker.ok(&json!({
        "op": "hold", "task_id": victim.leg.task.id, "leg": victim.leg.number,
    }));
    assert_eq!(job.worker.event()["notice"]["kind"], "holding");
    revoked_id(&job, WORKER);
    assert_eq!(job.check(&victim.leg, &victim.token)["answer"], "denied");
    assert_eq!(job.worker.event()["notice"]["kind"], "revoked");
    for op in [
        step_op(&victim.leg, 1),
        start_op(&victim.leg.task, "worker"),
    ] {
        assert_eq!(job.worker.err(&op)["reason"], "id_revoked");
    }
    // The task itself lives: nobody but its worker was revoked.
    let task = job
        .server
        .ok(&json!({ "op": "get", "task_id": victim.leg.task.id }));
    assert_eq!(
        (&task["state"], &task["leg_live"]),
        (&json!("working"), &json!(false))
    );
    let answer = job.tool.ok(&check_op(&other.leg, &other.token));
    assert_eq!(
        answer["answer"], "fresh",
        "another worker goes on: {answer}"
    );
}

#[test]
fn a74_an_owner_that_is_revoked_by_id_takes_its_tasks_with_it() {
    let mut job = with_more_roles();
    let mut archive = job.node.actor_named("archive");
    let mut night = job.node.actor_named("night");
    let victim = work(&mut job, "victim");
    let other = archived(&mut archive, &mut night);
    let unused = job.create_op("unused", &handle("unused"));
    let query = job.owner_op("query", &victim.leg.task.handle);
    revoked_id(&job, "spiffe://demo.test/client");
    assert_stopped(&mut job, &victim);
    let ask = json!({
        "op": "issue_create", "request_id": "new", "hand": "client", "call": build(), "asked": [],
    });
    assert_eq!(job.client.err(&ask)["reason"], "id_revoked");
    assert_eq!(job.server.err(&unused)["reason"], "token_void");
    assert_eq!(job.server.ok(&query)["answer"], "denied");
    let answer = job.tool.ok(&check_op(&other.leg, &other.token));
    assert_eq!(
        answer["answer"], "fresh",
        "a task of nobody revoked goes on: {answer}"
    );
}

#[test]
fn a_revoked_server_or_tool_does_nothing() {
    let mut job = with_more_roles();
    let mut archive = job.node.actor_named("archive");
    let mut night = job.node.actor_named("night");
    let victim = work(&mut job, "victim");
    let other = archived(&mut archive, &mut night);
    revoked_id(&job, OTHER_SERVER);
    let get = json!({ "op": "get", "task_id": other.leg.task.id });
    assert_eq!(archive.err(&get)["reason"], "id_revoked");
    let denied = job.tool.ok(&check_op(&other.leg, &other.token));
    assert_eq!(denied["answer"], "denied");
    assert_goes_on(&mut job, &victim);
    let victim = work(&mut job, "second");
    revoked_id(&job, crate::job::TOOL);
    let denied = job.check(&victim.leg, &victim.token);
    assert_eq!(
        (&denied["answer"], &denied["reason"]),
        (&json!("denied"), &json!("id_revoked"))
    );
}

#[test]
fn what_died_by_a_revoked_id_stays_dead_after_it_is_lifted() {
    let mut job = Job::start();
    let before = work(&mut job, "before");
    revoked_id(&job, "spiffe://demo.test/client");
    let first = revoke(&job, &["spiffe-id", WORKER]);
    let again = revoke(&job, &["spiffe-id", WORKER]);
    assert_eq!(
        again["sequence"], first["sequence"],
        "revoked already: nothing more to tell anybody"
    );
    for id in ["spiffe://demo.test/client", WORKER] {
        revoke(&job, &["lift", id]);
    }
    assert_stopped(&mut job, &before);
    let after = work(&mut job, "after");
    assert_goes_on(&mut job, &after);
}

#[test]
fn everything_before_a_time_is_revoked() {
    let mut job = Job::start();
    let victim = work(&mut job, "victim");
    let unused = job.create_op("unused", &handle("unused"));
    // The next millisecond: what is made from then on is not in the scope.
    let now = || {
        u64::try_from(
            std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .unwrap()
                .as_millis(),
        )
    };
    let cut = now().unwrap() + 1;
    until("the next millisecond", || now().unwrap() > cut);
    let other = work(&mut job, "other");
    revoke(&job, &["before", &cut.to_string()]);
    assert_stopped(&mut job, &victim);
    assert_eq!(job.server.err(&unused)["reason"], "token_void");
    assert_goes_on(&mut job, &other);
    let ahead = (now().unwrap() + 3_600_000).to_string();
    let refused = job
        .node
        .operator(&["revoke", "before", &ahead, "--why", "test"]);
    assert!(!refused.status.success(), "the future cannot be revoked");
}

#[test]
fn a43_a_revoked_epoch_ends_every_token_and_its_legs_are_taken_up_again() {
    let mut job = Job::start();
    let running = work(&mut job, "running");
    let query = job.owner_op("query", &running.leg.task.handle);
    let create = job.create_op("unused", &handle("unused"));
    job.worker.ok(&json!({
        "op": "hold", "task_id": running.leg.task.id, "leg": running.leg.number,
    }));
    assert_eq!(job.worker.event()["notice"]["kind"], "holding");
    let ahead = job
        .node
        .operator(&["revoke", "epoch", "2", "--why", "test"]);
    assert!(!ahead.status.success(), "it has not begun");
    revoke(&job, &["epoch", "1"]);
    assert_eq!(job.check(&running.leg, &running.token)["answer"], "denied");
    assert_eq!(job.server.ok(&query)["answer"], "denied");
    assert_eq!(job.server.err(&create)["code"], "PermissionDenied");
    assert_eq!(job.worker.event()["notice"]["kind"], "fenced");
    let late = job.worker.err(&step_op(&running.leg, 1));
    assert_eq!(late["reason"], "reattach_first");
    // The work goes on: the same process takes the same leg up, in an epoch with another key.
    let started = job.worker.ok(&start_op(&running.leg.task, "worker"));
    assert_eq!(
        (&started["leg"], &started["reattached"]),
        (&json!(1), &json!(true))
    );
    let again = text(&job.worker.ok(&step_op(&running.leg, 1)), "token");
    assert_eq!(job.check(&running.leg, &again)["answer"], "fresh");
    // Counted on: no later start is an epoch that was before.
    job.node.stop_agent();
    job.node.start_agent();
    let ahead = job
        .node
        .operator(&["revoke", "epoch", "4", "--why", "test"]);
    assert!(!ahead.status.success());
    revoke(&job, &["epoch", "3"]);
}

#[test]
fn a44_the_blast_radius_of_a_worker_is_its_tasks_times_their_permissions() {
    let mut job = with_more_roles();
    let ask = |job: &Job| {
        let shown = job
            .node
            .operator_json(&["revoke", "spiffe-id", WORKER, "--dry-run"]);
        (
            shown["reachable"].clone(),
            shown["legs"].clone(),
            shown["tokens"].clone(),
        )
    };
    assert_eq!(ask(&job), (json!(0), json!(0), json!(0)));
    let first = work(&mut job, "first");
    let _second = job.create_as(&handle("second"));
    assert_eq!(ask(&job), (json!(2), json!(1), json!(1)));
    // What it reaches is what it gets: the one call that each grant names, and nothing else.
    let mut other = step_op(&first.leg, 1);
    other["call"]["tool"] = "drop_table".into();
    assert_eq!(job.worker.err(&other)["reason"], "grant");
    // What is lent to it is within its reach too, and what it has anyway is not counted twice.
    let night = "spiffe://demo.test/night";
    let reach = |job: &Job| {
        let verb = ["revoke", "spiffe-id", night, "--dry-run"];
        job.node.operator_json(&verb)["reachable"].clone()
    };
    assert_eq!(reach(&job), 0);
    for (to, request) in [(night, "night"), (WORKER, "worker")] {
        let mut lent = delegate_op(&first.leg.task, &["perform"]);
        lent["to"] = to.into();
        lent["request_id"] = request.into();
        job.client.ok(&lent);
    }
    assert_eq!((reach(&job), ask(&job).0), (json!(1), json!(2)));
    revoked_id(&job, WORKER);
    assert_eq!(ask(&job).1, json!(0));
}

#[test]
fn a_dry_run_names_what_would_stop_and_changes_nothing() {
    let mut job = Job::start();
    let running = work(&mut job, "running");
    let id = running.leg.task.id.clone();
    let tasks = job.node.operator_json(&["task", "list", "--all"]);
    let shown = job.node.operator_json(&["task", "show", &id]);
    for scope in [
        ["task", id.as_str()],
        ["tree", &id],
        ["spiffe-id", "spiffe://demo.test/client"],
        ["spiffe-id", WORKER],
        ["epoch", "1"],
        ["before", "1000"],
    ] {
        let stops = job
            .node
            .operator_json(&["revoke", scope[0], scope[1], "--dry-run"]);
        let (tasks, legs) = match scope {
            ["before", _] => (0, 0),
            ["epoch", _] | ["spiffe-id", WORKER] => (0, 1),
            _ => (1, 1),
        };
        assert_eq!(
            (&stops["tasks"], &stops["legs"]),
            (&json!(tasks), &json!(legs)),
            "{scope:?}"
        );
        assert_eq!(stops["tokens"], json!(legs), "{scope:?}");
        let named = if legs == 1 { json!([id]) } else { json!([]) };
        assert_eq!(stops["task_ids"], named, "{scope:?}");
        let record = job.node.explain(&text(&stops, "decision_id"));
        assert_eq!(record["operation"], "Operator.Revoke(dry_run)");
    }
    assert_eq!(job.node.operator_json(&["task", "list", "--all"]), tasks);
    assert_eq!(job.node.operator_json(&["task", "show", &id]), shown);
    assert_goes_on(&mut job, &running);
}

#[test]
fn a_revocation_outlives_a_crash_right_after_its_answer() {
    let mut job = Job::start();
    let victim = work(&mut job, "victim");
    let task = work(&mut job, "task");
    revoke(&job, &["task", &task.leg.task.id]);
    revoked_id(&job, "spiffe://demo.test/client");
    job.node.kill_agent();
    job.node.start_agent();
    for work in [&victim, &task] {
        let state = json!({ "op": "get", "task_id": work.leg.task.id });
        assert_eq!(job.server.ok(&state)["state"], "cancelled");
        let start = job.worker.err(&start_op(&work.leg.task, "worker"));
        assert_eq!(start["reason"], "cancelled");
    }
    let ask = json!({
        "op": "issue_create", "request_id": "new", "hand": "client", "call": build(), "asked": [],
    });
    assert_eq!(job.client.err(&ask)["reason"], "id_revoked");
    // The agent still serves whoever was not revoked.
    assert_unknown(
        &job.server
            .err(&json!({ "op": "get", "task_id": "00".repeat(16) })),
    );
}
