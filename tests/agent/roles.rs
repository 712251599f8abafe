//! A leg is in one role of its process: it ends with that role, also where the process fills another.

use crate::job::{Job, TOOL, Task, WORKER, build, start_op, step_op, text};
use crate::node::{Options, Role, Row, until};
use crate::remote::{entitle, entries};
use serde_json::json;

const HELPER: &str = "spiffe://demo.test/helper";
const HANDLE: &str = "7q2mZr0Yt5kW9xB3vN8sTWO1";

/// A task that either workload may carry out.
fn task_of_two(job: &mut Job) -> Task {
    let issued = job.client.ok(&json!({
        "op": "issue_create", "request_id": "two", "hand": "client", "call": build(),
        "asked": [{ "audience": TOOL, "tool": "export" }], "performers": [WORKER, HELPER],
    }));
    let created = job.client_certificate();
    let created = job.server.ok(&json!({
        "op": "create", "token": issued["token"], "peer": created, "call": build(), "handle": HANDLE,
    }));
    Task::created(&created, HANDLE)
}

#[test]
fn a_leg_ends_with_the_id_that_it_was_started_under_and_the_other_starts_its_own() {
    let mut options = Options::default();
    let worker = options.roles.iter().find(|role| role.name == "worker");
    let uid = worker.unwrap().uid;
    options.roles.push(Role::new("helper", uid, Row::Uid));
    let mut job = Job::with(&options);
    entitle(&job, HELPER, &job.node.path("bin/worker"));
    let task = task_of_two(&mut job);
    let leg = job.start_leg(&task);
    let held_by = |job: &Job| {
        let shown = job.node.operator_json(&["task", "show", &task.id]);
        text(&shown["summary"], "held_by")
    };
    assert!(held_by(&job).starts_with(WORKER));
    let hold = json!({ "op": "hold", "task_id": task.id, "leg": leg.number });
    job.worker.ok(&hold);
    assert_eq!(job.worker.event()["notice"]["kind"], "holding");
    let token = job.step_token(&leg, 1);
    assert_eq!(job.check(&leg, &token)["answer"], "fresh");
    // Its first ID is withdrawn; the other would do as well, and is not what the leg was given to.
    entries(&job, |text| {
        text.replace(&format!("\"{WORKER}\""), "\"spiffe://demo.test/nobody\"")
    });
    assert_eq!(job.worker.event()["notice"]["kind"], "revoked");
    assert_eq!(job.worker.err(&step_op(&leg, 1))["reason"], "no_leg");
    let started = job.worker.ok(&start_op(&task, "worker"));
    assert_eq!(
        (&started["leg"], &started["reattached"]),
        (&json!(2), &json!(false))
    );
    until("the helper's leg", || held_by(&job).starts_with(HELPER));
}
