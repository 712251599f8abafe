//! A server asks its owner something: the task waits, shows it, and goes on with the answer.

use crate::job::{HANDLE, Job, Task, report_op, step_op, text};
use serde_json::{Value, json};

fn require_op(task: &Task, keys: &[&str], fence: Option<u64>) -> Value {
    json!({ "op": "require_input", "task_id": task.id, "keys": keys, "leg_fence": fence })
}

fn notice(job: &mut Job) -> Value {
    job.server.event()["notice"].take()
}

#[test]
fn a_task_waits_for_its_owner_and_goes_on_with_the_answer() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    job.server.ok(&json!({ "op": "watch", "task_id": task.id }));
    assert_eq!(
        notice(&mut job),
        json!({ "state": "working", "inputs": [] })
    );
    // A step in flight goes on.
    let token = job.step_token(&leg, 1);
    let op = require_op(&task, &["amount", "reason"], Some(leg.fence));
    assert_eq!(job.server.ok(&op)["state"], "input_required");
    let waits = json!([{ "key": "amount" }, { "key": "reason" }]);
    let told = json!({ "state": "input_required", "inputs": waits });
    assert_eq!(notice(&mut job), told);
    let fresh = job.check(&leg, &token);
    assert_eq!(fresh["answer"], "fresh");
    job.tool.ok(&report_op(&fresh, "done"));
    // A new one waits, and so does whoever asks about the task.
    assert_eq!(
        job.worker.err(&step_op(&leg, 2))["reason"],
        "input_required"
    );
    assert_eq!(
        job.owner("query", HANDLE)["task"]["state"],
        "input_required"
    );
    // The same again is no news.
    assert_eq!(job.server.ok(&op)["state"], "input_required");
    let answer = job.owner_op("update", HANDLE);
    assert_eq!(job.server.ok(&answer)["answer"], "fresh");
    assert_eq!(
        notice(&mut job),
        json!({ "state": "working", "inputs": [] })
    );
    // The token is spent: acknowledged, and nothing is taken. Nor is an answer that nobody asked for.
    assert_eq!(job.server.ok(&answer)["answer"], "read");
    assert_eq!(job.owner("update", HANDLE)["answer"], "read");
    job.worker.ok(&step_op(&leg, 2));
    // The watch ends with the task.
    job.owner("cancel", HANDLE);
    assert_eq!(notice(&mut job)["state"], "cancelled");
    assert_eq!(notice(&mut job), json!({ "ended": true }));
    assert_eq!(job.server.err(&op)["reason"], "cancelled");
    let late = json!({
        "op": "issue_update", "request_id": "u", "hand": "client",
        "server": crate::job::SERVER, "handle": HANDLE,
    });
    assert_eq!(job.client.err(&late)["reason"], "cancelled");
}

#[test]
fn an_update_token_ends_no_task_and_a_cancel_token_answers_nothing() {
    let mut job = Job::start();
    let task = job.create();
    job.server.ok(&require_op(&task, &["amount"], None));
    for (token_of, presented_as) in [("update", "cancel"), ("cancel", "update")] {
        let mut op = job.owner_op(token_of, HANDLE);
        op["op"] = format!("check_{presented_as}").into();
        let denied = job.server.ok(&op);
        assert_eq!(denied["reason"], "token_invalid", "{denied}");
    }
    let get = json!({ "op": "get", "task_id": task.id });
    assert_eq!(job.server.ok(&get)["state"], "input_required");
    assert_eq!(job.owner("update", HANDLE)["answer"], "fresh");
}

#[test]
fn input_is_required_with_the_live_fence_and_by_names_that_fit() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    for fence in [None, Some(leg.fence + 1)] {
        let op = require_op(&task, &["amount"], fence);
        assert_eq!(job.server.err(&op)["reason"], "fence");
    }
    let long = "x".repeat(129);
    for (keys, says) in [
        (vec![], "keys: is required"),
        (vec!["a b"], "keys[0]: holds a character"),
        (vec!["a", ""], "keys[1]: is required"),
        (vec![long.as_str()], "keys[0]: longer than 128 bytes"),
        (vec!["x"; 17], "keys: greater than 16"),
    ] {
        let refused = job.server.err(&require_op(&task, &keys, Some(leg.fence)));
        assert!(text(&refused, "message").contains(says), "{refused}");
    }
    let many = |from: u32| (from..from + 9).map(|n| format!("key-{n}"));
    let op = |keys: Vec<String>| {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        require_op(&task, &keys, Some(leg.fence))
    };
    job.server.ok(&op(many(0).collect()));
    assert_eq!(job.server.err(&op(many(9).collect()))["reason"], "limit");
    job.server.ok(&op(many(9).take(7).collect()));
}
