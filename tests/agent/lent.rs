//! What a delegate cannot make of what it was lent, and what a takeover leaves behind.

use crate::fan::{child, fanning, spawn_op};
use crate::handover::{RELIEF, World, delegate_op, named};
use crate::job::{SERVER, Task, WORKER, build, export, start_op, step_op};
use serde_json::json;

const HANDLE: &str = "uQ3nV8rT1yW6zK0cF5hJ9pXb";

/// A task of the client that may fan out.
fn fanning_task(world: &mut World) -> Task {
    let token = world.job.client.ok(&json!({
        "op": "issue_create", "request_id": HANDLE, "hand": "client", "call": build(),
        "asked": fanning(2, 1, 9), "performers": [WORKER],
    }));
    let peer = world.job.client_certificate();
    let created = world.job.server.ok(&json!({
        "op": "create", "token": token["token"], "peer": peer, "call": build(),
        "handle": HANDLE,
    }));
    Task::created(&created, HANDLE)
}

#[test]
fn a_delegate_makes_no_child_that_has_what_it_was_not_lent() {
    let mut world = World::start();
    let task = fanning_task(&mut world);
    let mut lent = delegate_op(&task, &["perform"]);
    lent["permissions"] = json!([export()]);
    world.job.client.ok(&lent);
    let leg = world.start_relief(&task);
    // Its own step may not drop the constraint on arguments, and neither may a child of it.
    let mut other = step_op(&leg, 1);
    other["call"]["arguments"] = json!({ "table": "salaries" });
    assert_eq!(world.relief.err(&other)["reason"], "grant");
    let mut mine = child(1);
    mine["spender"] = RELIEF.into();
    for child in [mine, child(1)] {
        let spawn = spawn_op(&leg, "spawn", &[child]);
        assert_eq!(world.relief.err(&spawn)["reason"], "grant");
    }
    world.job.client.ok(&named("take_over", &task));
    // Whom the task names may.
    let leg = world.job.start_leg(&task);
    world.job.worker.ok(&spawn_op(&leg, "spawn", &[child(1)]));
}

#[test]
fn a_process_that_lost_its_leg_stays_barred_after_another_has_lost_one() {
    let mut world = World::start();
    let task = world.job.create();
    world.job.start_leg(&task);
    world.job.client.ok(&named("take_over", &task));
    let mut second = world.job.node.actor_named("worker");
    second.hand("worker");
    second.ok(&start_op(&task, "worker"));
    assert_eq!(world.job.client.ok(&named("take_over", &task))["leg"], 2);
    for barred in [&mut world.job.worker, &mut second] {
        assert_eq!(
            barred.err(&start_op(&task, "worker"))["reason"],
            "taken_over"
        );
    }
    let mut third = world.job.node.actor_named("worker");
    third.hand("worker");
    assert_eq!(third.ok(&start_op(&task, "worker"))["leg"], 3);
}

#[test]
fn what_a_revoked_delegate_has_and_handed_on_is_over() {
    let mut world = World::start();
    let task = world.job.create();
    let mut lent = delegate_op(&task, &["delegate", "query"]);
    world.job.client.ok(&lent);
    lent["to"] = "spiffe://demo.test/thief".into();
    lent["acts"] = json!(["query"]);
    world.relief.ok(&lent);
    let mut third = world.job.node.actor_named("thief");
    third.hand("own");
    let query = json!({
        "op": "issue_query", "request_id": "q", "hand": "own", "server": SERVER,
        "handle": task.handle,
    });
    third.ok(&query);
    let verb = ["revoke", "spiffe-id", RELIEF, "--why", "test"];
    world.job.node.operator_json(&verb);
    crate::job::assert_unknown(&third.err(&query));
    assert_eq!(world.job.owner("query", &task.handle)["answer"], "read");
}
