//! Tokens that were copied, repeated, lost, or carried to somebody else.

use crate::job::{Job, TOOL, build, check_op, export, report_op, step_op, text};
use crate::node::{Options, Role, Row};
use serde_json::{Value, json};

#[test]
fn a03_token_on_another_connection_is_refused() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    // The same process with another key, its twin, and a thief: none has the leg's key.
    let own = job.worker.hand("other");
    let foreign = job.node.actor_named("thief").hand("own");
    for peer in [own, foreign] {
        let mut op = check_op(&leg, &token);
        op["peer"] = peer.into();
        let denied = job.tool.ok(&op);
        assert_eq!(denied["answer"], "denied");
        assert_eq!(denied["reason"], "wrong_key", "{denied}");
    }
    assert_eq!(job.check(&leg, &token)["answer"], "fresh");
}

#[test]
fn a03_query_token_on_another_connection_is_refused() {
    let mut job = Job::start();
    let task = job.create();
    let rightful = job.owner_op("query", &task.handle);
    let mut copied = rightful.clone();
    copied["peer"] = job.node.actor_named("thief").hand("own").into();
    let denied = job.server.ok(&copied);
    assert_eq!(denied["answer"], "denied", "{denied}");
    assert_eq!(denied["reason"], "wrong_key", "{denied}");
    assert_eq!(job.server.ok(&rightful)["answer"], "read");
}

/// How many of a burst's answers are of each kind.
fn count(burst: &Value, answer: &str) -> usize {
    let answers = burst["answers"].as_array().unwrap();
    let counted = answers.iter().filter(|one| one["ok"]["answer"] == answer);
    counted.count()
}

#[test]
fn a05_one_token_a_thousand_times_is_one_effect() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let (mut left, mut repeats, mut effects) = (1000, 0, Vec::new());
    while left > 0 {
        let burst = job.tool.ok(&json!({
            "op": "burst", "times": left, "connections": 8, "request": check_op(&leg, &token),
        }));
        let answers = burst["answers"].as_array().unwrap();
        let fresh = answers.iter().filter(|one| one["ok"]["answer"] == "fresh");
        effects.extend(fresh.map(|one| one["ok"].clone()));
        repeats += count(&burst, "repeat");
        assert_eq!(count(&burst, "denied"), 0);
        // A busy agent may decide nothing; whoever asked then asks again.
        let undecided = |one: &&Value| one["err"]["code"] == "Unavailable";
        left = answers.iter().filter(undecided).count();
    }
    assert_eq!((effects.len(), repeats), (1, 999));
    // Each step has its own effect.
    job.tool.ok(&report_op(&effects[0], "done"));
    let next = job.step_token(&leg, 2);
    assert_eq!(job.check(&leg, &next)["answer"], "fresh");
}

#[test]
fn a05_one_request_many_times_has_one_live_token() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let burst = job.worker.ok(&json!({
        "op": "burst", "times": 200, "connections": 8, "request": step_op(&leg, 1),
    }));
    let answers = burst["answers"].as_array().unwrap();
    let checks: Vec<Value> = answers
        .iter()
        .filter_map(|one| one["ok"]["token"].as_str())
        .map(|token| check_op(&leg, token))
        .collect();
    assert!(!checks.is_empty(), "{burst}");
    let burst = job
        .tool
        .ok(&json!({ "op": "burst", "connections": 8, "requests": checks }));
    assert_eq!(count(&burst, "fresh"), 1, "{burst}");
}

#[test]
fn a38_token_for_one_tool_is_nothing_at_another() {
    let mut options = Options::default();
    options.roles.push(Role::new("other", 30_006, Row::Uid));
    let mut job = Job::with(&options);
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let mut other = job.node.actor_named("other");
    // The worker carries it to the other tool, which states itself, or pretends to be the first.
    let mut itself = check_op(&leg, &token);
    itself["call"]["audience"] = "spiffe://demo.test/other".into();
    for op in [itself, check_op(&leg, &token)] {
        let denied = other.ok(&op);
        assert_eq!(denied["reason"], "unknown_task", "{denied}");
    }
    // The first tool carries it to the other one: it has no key of the leg.
    let mut replayed = check_op(&leg, &token);
    replayed["peer"] = job.tool.hand("own").into();
    assert_eq!(other.ok(&replayed)["answer"], "denied");
    // Another tool name or other arguments at the right audience.
    let mut renamed = check_op(&leg, &token);
    renamed["call"]["tool"] = "drop".into();
    let mut changed = check_op(&leg, &token);
    changed["call"]["arguments"] = json!({ "table": "wages" });
    for op in [renamed, changed] {
        assert_eq!(job.tool.ok(&op)["answer"], "denied", "{op}");
    }
    assert_eq!(job.check(&leg, &token)["answer"], "fresh");
}

#[test]
fn a38_step_outside_the_grant_gets_no_token() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    for (member, value) in [("tool", "drop"), ("audience", "spiffe://demo.test/other")] {
        let mut op = step_op(&leg, 1);
        op["call"][member] = value.into();
        assert_eq!(job.worker.err(&op)["reason"], "grant", "{op}");
    }
    job.step_token(&leg, 1);
}

#[test]
fn a54_lost_reply_is_asked_again_with_the_same_request() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let first = job.worker.ok(&step_op(&leg, 1));
    let second = job.worker.ok(&step_op(&leg, 1));
    assert_ne!(first["token"], second["token"]);
    assert_eq!(first["idempotency_key"], second["idempotency_key"]);
    assert!(first["fence"].as_u64() < second["fence"].as_u64());
    let void = job.check(&leg, &text(&first, "token"));
    assert_eq!(void["reason"], "token_void", "{void}");
    let fresh = job.check(&leg, &text(&second, "token"));
    assert_eq!(fresh["answer"], "fresh", "{fresh}");
    let running = job.worker.ok(&step_op(&leg, 1));
    assert_eq!(
        (&running["token"], &running["state"]),
        (&json!(""), &json!("running"))
    );
    job.tool.ok(&report_op(&fresh, "done"));
    assert_eq!(job.worker.ok(&step_op(&leg, 1))["state"], "done");
}

#[test]
fn a54_lost_create_token_is_asked_again() {
    let mut job = Job::start();
    let lost = job.create_token("one");
    let again = job.create_token("one");
    assert_ne!(lost, again);
    let peer = job.client_certificate();
    let create = |token: &str| {
        json!({
            "op": "create", "token": token, "peer": peer, "call": build(),
            "handle": crate::job::HANDLE,
        })
    };
    assert_eq!(job.server.err(&create(&lost))["reason"], "token_void");
    let created = job.server.ok(&create(&again));
    // The server's reply is lost: it asks again, and the client may too.
    let repeated = job.server.ok(&create(&again));
    assert_eq!(repeated["repeat"], true);
    assert_eq!(created["task_id"], repeated["task_id"]);
    assert_eq!(created["work_reference"], repeated["work_reference"]);
    let known = job.client.ok(&json!({
        "op": "issue_create", "request_id": "one", "hand": "client", "call": build(),
        "asked": [{ "audience": TOOL, "tool": "export" }], "performers": [],
    }));
    assert_eq!(
        (&known["repeat"], &known["token"]),
        (&json!(true), &json!(""))
    );
}

#[test]
fn a56_third_party_at_check_burns_and_learns_nothing() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let mut thief = job.node.actor_named("thief");
    // Also the worker itself is not the audience.
    for third in [&mut thief, &mut job.worker] {
        let denied = third.ok(&check_op(&leg, &token));
        assert_eq!(denied["reason"], "unknown_task", "{denied}");
        let mut members: Vec<&String> = denied.as_object().unwrap().keys().collect();
        members.sort();
        assert_eq!(
            members,
            ["answer", "decision_id", "mcp_code", "mcp_message", "reason"]
        );
    }
    let fresh = job.check(&leg, &token);
    assert_eq!(fresh["answer"], "fresh");
    // Nor can it report on an effect that was not its own.
    crate::job::assert_unknown(&thief.err(&report_op(&fresh, "not_done")));
    assert_eq!(job.tool.ok(&report_op(&fresh, "done"))["state"], "done");
    assert_eq!(export()["audience"], TOOL);
}
