//! A valid SVID and a stolen name: neither of them is a role.

use crate::job::{Job, report_op};
use serde_json::json;

#[test]
fn one_task_from_create_to_complete() {
    let mut job = Job::start();
    let task = job.create();
    assert_eq!(job.owner("query", &task.handle)["task"]["state"], "working");
    let leg = job.start_leg(&task);
    let held = job
        .worker
        .ok(&json!({ "op": "hold", "task_id": task.id, "leg": leg.number }));
    assert_eq!(job.worker.event()["stream"], held["stream"]);
    let token = job.step_token(&leg, 1);
    let fresh = job.check(&leg, &token);
    assert_eq!(fresh["answer"], "fresh", "{fresh}");
    assert_eq!(job.check(&leg, &token)["answer"], "repeat");
    assert_eq!(job.tool.ok(&report_op(&fresh, "done"))["state"], "done");
    let got = job.server.ok(&json!({ "op": "get", "task_id": task.id }));
    assert_eq!(got["leg_live"], true, "{got}");
    let ended = job.worker.ok(&json!({
        "op": "end", "task_id": task.id, "leg": leg.number, "outcome": "completed",
        "request_id": "end",
    }));
    assert_eq!(ended["state"], "completed");
    assert_eq!(job.worker.event()["notice"]["kind"], "finished");
    assert_eq!(
        job.owner("query", &task.handle)["task"]["state"],
        "completed"
    );
    assert_eq!(job.node.stop_agent(), Some(0), "{}", job.node.log());
}
