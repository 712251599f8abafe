//! The agent is killed and started again: tokens end, the work does not.

use crate::crashes::verify_chain;
use crate::job::{HANDLE, Job, Leg, Task, check_op, report_op, start_op, step_op, text};
use crate::node::{Actor, Options, until};
use serde_json::{Value, json};

fn restart(job: &mut Job) {
    job.node.kill_agent();
    job.node.start_agent();
}

/// A second process of the worker's program, user and SPIFFE ID.
fn twin(job: &Job) -> Actor {
    let mut twin = job.node.actor_named("worker");
    twin.hand("worker");
    twin
}

fn reattach(job: &mut Job, leg: &Leg) -> Value {
    let started = job.worker.ok(&start_op(&leg.task, "worker"));
    assert_eq!(started["reattached"], true, "{started}");
    assert_eq!(started["leg"], leg.number);
    assert!(started["fence"].as_u64().unwrap() > leg.fence, "{started}");
    started
}

fn is_held(answer: &Value) {
    assert_eq!(answer["err"]["reason"], "held", "{answer}");
    assert!(answer["err"]["retry_after_ms"].is_u64(), "{answer}");
}

#[test]
fn invariant_13_a_restart_ends_every_token_and_not_the_work() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let done = job.step_token(&leg, 1);
    let fresh = job.check(&leg, &done);
    job.tool.ok(&report_op(&fresh, "done"));
    let used = job.step_token(&leg, 2);
    let used_fresh = job.check(&leg, &used);
    assert_eq!(used_fresh["answer"], "fresh");
    let other = job.create_as("another4task5with6bits7x");
    let other_leg = job.start_leg(&other);
    let unused = job.step_token(&other_leg, 1);
    let query = job.client.ok(&json!({
        "op": "issue_query", "request_id": "q", "hand": "client",
        "server": crate::job::SERVER, "handle": task.handle,
    }));
    let mut twin = twin(&job);
    restart(&mut job);

    // Suspended: nobody acts, and only the process that held it takes it up again.
    is_held(&twin.call(&start_op(&task, "worker")));
    assert_eq!(
        job.worker.err(&step_op(&leg, 3))["reason"],
        "reattach_first"
    );
    for (leg, token) in [(&leg, &done), (&leg, &used), (&other_leg, &unused)] {
        assert_eq!(job.check(leg, token)["answer"], "denied");
    }
    let peer = job.client_certificate();
    let old_query = job.server.ok(&json!({
        "op": "check_query", "token": query["token"], "peer": peer, "handle": task.handle,
    }));
    assert_eq!(old_query["answer"], "denied", "{old_query}");

    let started = reattach(&mut job, &leg);
    assert_eq!(started["open"], json!([{ "step": 2, "state": "unknown" }]));
    is_held(&twin.call(&start_op(&task, "worker")));
    assert_eq!(job.worker.err(&step_op(&leg, 2))["reason"], "step_unknown");
    // The report of a step from before the restart still counts.
    assert_eq!(
        job.tool.ok(&report_op(&used_fresh, "done"))["state"],
        "done"
    );
    assert_eq!(job.worker.ok(&step_op(&leg, 2))["state"], "done");
    let third = job.step_token(&leg, 3);
    assert_eq!(job.check(&leg, &third)["answer"], "fresh");

    reattach(&mut job, &other_leg);
    let again = job.step_token(&other_leg, 1);
    assert_eq!(job.check(&other_leg, &unused)["answer"], "denied");
    assert_eq!(job.check(&other_leg, &again)["answer"], "fresh");
    verify_chain(&mut job);
}

#[test]
fn invariant_13_after_the_window_another_process_goes_on() {
    let mut job = Job::with(&Options {
        config: "[tasks]\nreattach_window = \"2s\"\n".to_owned(),
        ..Options::default()
    });
    let task = job.create();
    let leg = job.start_leg(&task);
    let mut twin = twin(&job);
    restart(&mut job);
    is_held(&twin.call(&start_op(&task, "worker")));
    let mut started = Value::Null;
    until("the window's end", || {
        started = twin.call(&start_op(&task, "worker"));
        started.get("ok").is_some()
    });
    assert_eq!(started["ok"]["leg"], leg.number + 1);
    assert!(started["ok"]["fence"].as_u64().unwrap() > leg.fence);
    is_held(&job.worker.call(&start_op(&task, "worker")));
    assert_eq!(job.worker.err(&step_op(&leg, 1))["reason"], "no_leg");
}

#[test]
fn invariant_13_a_process_that_is_gone_is_not_waited_for() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let mut twin = twin(&job);
    job.node.kill_agent();
    job.worker.kill();
    job.node.start_agent();
    let started = twin.ok(&start_op(&task, "worker"));
    assert_eq!(started["leg"], leg.number + 1);
    assert_eq!(started["reattached"], false);
}

#[test]
fn invariant_13_what_had_ended_stays_ended() {
    let mut job = Job::start();
    let cancelled = job.create();
    let leg = job.start_leg(&cancelled);
    let token = job.step_token(&leg, 1);
    job.owner("cancel", &cancelled.handle);
    let completed = job.create_as("another4task5with6bits7x");
    let completed_leg = job.start_leg(&completed);
    job.worker.ok(&json!({
        "op": "end", "task_id": completed.id, "leg": completed_leg.number,
        "outcome": "completed", "request_id": "end",
    }));
    for _ in 0..2 {
        restart(&mut job);
        for (task, state) in [(&cancelled, "cancelled"), (&completed, "completed")] {
            let view = job.server.ok(&json!({ "op": "get", "task_id": task.id }));
            assert_eq!(view["state"], state);
            let start = job.worker.err(&start_op(task, "worker"));
            assert_eq!(start["reason"], state, "{start}");
        }
        assert_eq!(job.check(&leg, &token)["answer"], "denied");
    }
}

#[test]
fn a54_a_lost_reply_leaves_one_token_also_over_a_restart() {
    let mut job = Job::start();
    let task: Task = job.create_as(HANDLE);
    let leg = job.start_leg(&task);
    let lost = job.step_token(&leg, 1);
    let again = job.step_token(&leg, 1);
    assert_ne!(lost, again);
    assert_eq!(job.check(&leg, &lost)["answer"], "denied");
    let fresh = job.check(&leg, &again);
    assert_eq!(fresh["answer"], "fresh");
    let repeat = job.worker.ok(&step_op(&leg, 1));
    assert_eq!(
        (
            text(&repeat, "token").as_str(),
            text(&repeat, "state").as_str()
        ),
        ("", "running")
    );
    job.tool.ok(&report_op(&fresh, "done"));

    let lost = job.step_token(&leg, 2);
    restart(&mut job);
    assert_eq!(
        job.worker.err(&step_op(&leg, 2))["reason"],
        "reattach_first"
    );
    reattach(&mut job, &leg);
    let tokens = [lost, job.step_token(&leg, 2), job.step_token(&leg, 2)];
    let answers = tokens.each_ref().map(|token| {
        let answer = job.tool.ok(&check_op(&leg, token));
        text(&answer, "answer")
    });
    assert_eq!(answers, ["denied", "denied", "fresh"]);
}
