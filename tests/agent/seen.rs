//! An owner that is not there: nothing of its tasks begins until it is back.

use crate::handover::{World, delegate_op};
use crate::job::{HANDLE, SERVER, assert_unknown, report_op, start_op, step_op, text};
use crate::node::{Actor, until};
use serde_json::{Value, json};

/// So short that an owner that says nothing for a moment is away.
const CONFIG: &str = "[tasks]\nowner_seen_max = \"1500ms\"\n";

/// Asks the same until it is answered like that.
fn until_away(actor: &mut Actor, op: &Value) -> Value {
    let mut last = Value::Null;
    until("the owner to be away", || {
        let mut answer = actor.call(op);
        last = answer.get_mut("err").map(Value::take).unwrap_or_default();
        last["reason"] == "owner_away"
    });
    last
}

/// The owner asks about its task, and then the worker for this, until it is in time.
fn until_back(world: &mut World, op: &Value) -> Value {
    let mut done = Value::Null;
    until("the owner to be back", || {
        world.job.owner("query", HANDLE);
        let mut answer = world.job.worker.call(op);
        done = answer.get_mut("ok").map(Value::take).unwrap_or_default();
        if done.is_null() {
            assert_eq!(answer["err"]["reason"], "owner_away", "{answer}");
        }
        !done.is_null()
    });
    done
}

#[test]
fn a74_nothing_begins_on_the_agent_while_the_owner_is_away() {
    let mut world = World::with(CONFIG);
    let task = world.job.create();
    world.job.client.ok(&delegate_op(&task, &["query"]));
    let start = start_op(&task, "worker");
    let started = until_back(&mut world, &start);
    let hand = json!({ "op": "certificate", "name": "worker" });
    let leg = crate::job::Leg {
        task: task.clone(),
        number: started["leg"].as_u64().unwrap(),
        fence: started["fence"].as_u64().unwrap(),
        certificate: text(&world.job.worker.ok(&hand), "certificate"),
    };
    let first = step_op(&leg, 1);
    let issued = until_back(&mut world, &first);
    let checked = world.job.check(&leg, &text(&issued, "token"));
    assert_eq!(checked["answer"], "fresh", "{checked}");
    world.job.tool.ok(&report_op(&checked, "done"));
    // The next does not begin.
    let second = step_op(&leg, 2);
    let refused = until_away(&mut world.job.worker, &second);
    let away = world.job.node.explain(&text(&refused, "decision_id"));
    assert!(away.to_string().contains("owner_seen_max"), "{away}");
    // Nor does the leg, and nobody else is a sign of the owner: its delegate, a stranger, its server.
    until_away(&mut world.job.worker, &start);
    let query = |hand: &str| {
        json!({
            "op": "issue_query", "request_id": "query", "hand": hand, "server": SERVER,
            "handle": HANDLE,
        })
    };
    world.relief.ok(&query("relief"));
    let mut thief = world.job.node.actor_named("thief");
    thief.hand("thief");
    assert_unknown(&thief.err(&query("thief")));
    let get = json!({ "op": "get", "task_id": task.id });
    assert_eq!(world.job.server.ok(&get)["state"], "working");
    for op in [&start, &second] {
        assert_eq!(world.job.worker.err(op)["reason"], "owner_away");
    }
    // The owner is back: the same leg, the same step.
    let again = until_back(&mut world, &start);
    assert_eq!(again["leg"], started["leg"]);
    let issued = until_back(&mut world, &second);
    assert!(!text(&issued, "token").is_empty(), "{issued}");
}
