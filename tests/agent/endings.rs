//! What has ended stays ended, and without the agent nothing begins.

use crate::job::{Job, Task, build, check_op, end_op, report_op, start_op, step_op, text};
use crate::node::until;
use serde_json::{Value, json};

/// The task is over for everybody, as `reason` says to those with a role.
fn assert_over(job: &mut Job, leg: &crate::job::Leg, unused: &str, reason: &str) {
    assert_eq!(
        job.worker.err(&start_op(&leg.task, "worker"))["reason"],
        reason
    );
    let refused = job.worker.err(&step_op(leg, 1));
    assert!(
        refused["reason"] == reason || refused["reason"] == "no_leg",
        "{refused}"
    );
    let denied = job.check(leg, unused);
    assert_eq!(denied["answer"], "denied", "{denied}");
    let got = job
        .server
        .ok(&json!({ "op": "get", "task_id": leg.task.id }));
    assert_eq!(got["state"], reason);
    assert_eq!(got["leg_live"], false);
}

#[test]
fn a07_nothing_resumes_after_cancel() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    job.worker
        .ok(&json!({ "op": "hold", "task_id": task.id, "leg": leg.number }));
    assert_eq!(job.worker.event()["notice"]["kind"], "holding");
    let token = job.step_token(&leg, 1);
    assert_eq!(job.owner("cancel", &task.handle)["answer"], "fresh");
    assert_eq!(job.worker.event()["notice"]["kind"], "cancelled");
    assert_over(&mut job, &leg, &token, "cancelled");
    // Told again, it acknowledges; told otherwise, the first stands.
    assert_eq!(
        job.owner("cancel", &task.handle)["task"]["state"],
        "cancelled"
    );
    let finish = json!({
        "op": "finish", "task_id": task.id, "completed": true, "request_id": "f",
    });
    assert_eq!(job.server.err(&finish)["reason"], "cancelled");
    assert_eq!(
        job.owner("query", &task.handle)["task"]["state"],
        "cancelled"
    );
}

#[test]
fn a07_nothing_resumes_after_the_operator_revokes() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    job.node
        .operator_json(&["task", "revoke", &task.id, "--why", "incident"]);
    assert_over(&mut job, &leg, &token, "cancelled");
}

#[test]
fn a08_nothing_resumes_after_complete() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let ended = job.worker.ok(&end_op(&leg, "completed"));
    assert_eq!(ended["state"], "completed");
    assert_eq!(
        job.worker.ok(&end_op(&leg, "completed"))["state"],
        "completed"
    );
    assert_over(&mut job, &leg, &token, "completed");
    assert_eq!(
        job.owner("cancel", &task.handle)["task"]["state"],
        "completed"
    );
}

#[test]
fn a08_nothing_resumes_after_failure() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let finish = |completed: bool, fence: u64| {
        json!({
            "op": "finish", "task_id": task.id, "completed": completed, "leg_fence": fence,
            "request_id": "f",
        })
    };
    assert_eq!(
        job.server.err(&finish(false, leg.fence + 7))["reason"],
        "fence"
    );
    assert_eq!(job.server.ok(&finish(false, leg.fence))["state"], "failed");
    assert_eq!(job.server.ok(&finish(false, leg.fence))["state"], "failed");
    assert_eq!(job.server.err(&finish(true, leg.fence))["reason"], "failed");
    assert_over(&mut job, &leg, &token, "failed");
}

#[test]
fn a08_nothing_resumes_after_the_deadline() {
    let mut job = Job::start();
    let mut op = job.create_op("short", crate::job::HANDLE);
    op["lifetime_ms"] = 3_000.into();
    let created = job.server.ok(&op);
    let task = Task::created(&created, crate::job::HANDLE);
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    until("the deadline", || {
        let got = job.server.ok(&json!({ "op": "get", "task_id": task.id }));
        got["state"] == "expired"
    });
    assert_over(&mut job, &leg, &token, "expired");
}

#[test]
fn no_effect_begins_after_the_commit_of_a_cancel() {
    let mut job = Job::start();
    let mut fresh_before = 0;
    for round in 0..12 {
        let task = job.create_as(&format!("7q2mZr0Yt5kW9xB3vN8s{round:04}"));
        let leg = job.start_leg(&task);
        let token = job.step_token(&leg, 1);
        let cancel = job.owner_op("cancel", &task.handle);
        // Both ways of losing: asked before and after.
        if round % 2 == 0 {
            job.tool.tell(&check_op(&leg, &token));
            job.server.tell(&cancel);
        } else {
            job.server.tell(&cancel);
            job.tool.tell(&check_op(&leg, &token));
        }
        let cancelled = job.server.answer();
        assert_eq!(cancelled["ok"]["answer"], "fresh", "{cancelled}");
        let checked = job.tool.answer()["ok"].take();
        let number = |answer: &Value| {
            let record = job.node.explain(&text(answer, "decision_id"));
            record["number"].as_u64().unwrap()
        };
        match text(&checked, "answer").as_str() {
            "fresh" => {
                fresh_before += 1;
                assert!(number(&checked) < number(&cancelled["ok"]), "{checked}");
                // Its outcome is still taken.
                assert_eq!(job.tool.ok(&report_op(&checked, "done"))["state"], "done");
            }
            "denied" => assert!(number(&checked) > number(&cancelled["ok"]), "{checked}"),
            other => panic!("{other}"),
        }
        assert_eq!(job.check(&leg, &token)["answer"], "denied");
    }
    println!("{fresh_before} of 12 were fresh before the cancel");
}

#[test]
fn without_the_agent_every_call_fails() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let query = job.owner_op("query", &task.handle);
    let create = job.create_op("second", "uQ3nV8rT1yW6zK0cF5hJ9pXb");
    assert_eq!(job.node.stop_agent(), Some(0));
    for op in [query, create, json!({ "op": "get", "task_id": task.id })] {
        assert_eq!(job.server.err(&op)["code"], "Unavailable", "{op}");
    }
    for op in [
        start_op(&task, "worker"),
        step_op(&leg, 2),
        end_op(&leg, "completed"),
    ] {
        assert_eq!(job.worker.err(&op)["code"], "Unavailable", "{op}");
    }
    assert_eq!(job.tool.err(&check_op(&leg, &token))["code"], "Unavailable");
    let issue = json!({
        "op": "issue_create", "request_id": "x", "hand": "client", "call": build(), "asked": [],
    });
    assert_eq!(job.client.err(&issue)["code"], "Unavailable");
    // Afterwards the same processes go on; the old epoch's token is dead.
    job.node.start_agent();
    let again = job.worker.ok(&start_op(&task, "worker"));
    assert_eq!(
        (&again["leg"], &again["reattached"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(job.check(&leg, &token)["answer"], "denied");
    let next = job.step_token(&leg, 1);
    assert_eq!(job.check(&leg, &next)["answer"], "fresh");
}
