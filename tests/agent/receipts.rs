//! Receipts claim no more than was told and acknowledged, and a feed that cannot be resumed says so.

use crate::fan::{Fan, child, fanning, part, step_op};
use crate::job::{Job, export, text};
use crate::node::Actor;
use serde_json::{Value, json};

fn news(actor: &mut Actor) -> Value {
    loop {
        let notice = actor.event()["notice"].clone();
        if notice["event"] != "heartbeat" {
            return notice;
        }
    }
}

fn watch() -> Value {
    json!({ "op": "watch_revocations" })
}

#[test]
fn the_end_of_a_tree_is_told_to_every_point_at_once_and_its_receipt_waits_for_each() {
    let mut fan = Fan::start();
    let root = fan.root(&fanning(2, 1, 9));
    let children = fan.spawn(&root, "spawn", &[child(1)]);
    let leg = fan.spend(&children[0], &part(1));
    fan.job.worker.ok(&step_op(&leg, 1, &export()));
    // The tool was never asked for in the root, only in its child.
    for actor in [&mut fan.job.tool, &mut fan.job.server] {
        actor.ok(&watch());
        assert_eq!(news(actor)["event"], "opened");
    }
    let verb = [
        "revoke",
        "tree",
        &root.task.id,
        "--why",
        "test",
        "--wait",
        "1",
    ];
    let silent = fan.job.node.operator(&verb);
    assert_eq!(silent.status.code(), Some(2));
    let said: Value = serde_json::from_slice(&silent.stdout).unwrap();
    assert_eq!(said["receipt"]["points"], 2, "{said}");
    assert_eq!(news(&mut fan.job.tool)["task_id"], json!(root.task.id));
    // Asked for once more, the receipt is that of the first time.
    let again = fan.job.node.operator(&verb);
    assert_eq!(again.status.code(), Some(2));
    let said: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(said["receipt"]["points"], 2, "{said}");
}

#[test]
fn what_was_not_told_is_not_acknowledged() {
    let mut job = Job::start();
    let task = job.create();
    job.server.ok(&watch());
    let opened = news(&mut job.server);
    // Of everything that there will ever be.
    job.server.ok(&json!({
        "op": "acknowledge", "subscription": opened["subscription"], "sequence": u64::MAX,
    }));
    let verb = ["revoke", "task", &task.id, "--why", "test", "--wait", "1"];
    let silent = job.node.operator(&verb);
    assert_eq!(silent.status.code(), Some(2), "{silent:?}");
    let told = news(&mut job.server);
    job.server.ok(&json!({
        "op": "acknowledge", "subscription": opened["subscription"], "sequence": told["sequence"],
    }));
    let verb = ["revoke", "task", &task.id, "--why", "test", "--wait", "30"];
    let done = job.node.operator_json(&verb);
    assert_eq!(done["receipt"]["stopped"], 1, "{done}");
}

#[test]
fn what_ended_in_another_run_is_no_receipt() {
    let mut job = Job::start();
    let task = job.create();
    let verb = ["revoke", "task", &task.id, "--why", "test", "--wait", "1"];
    assert!(job.node.operator(&verb).status.success());
    job.node.kill_agent();
    job.node.start_agent();
    let unknown = job.node.operator(&verb);
    assert_eq!(unknown.status.code(), Some(2));
    let said: Value = serde_json::from_slice(&unknown.stdout).unwrap();
    assert_eq!(said["receipt"], Value::Null, "{said}");
}

#[test]
fn a_feed_is_not_resumed_where_this_ledger_has_never_been() {
    let mut job = Job::start();
    job.server.ok(&watch());
    let opened = news(&mut job.server);
    let sequence = opened["sequence"].as_u64().unwrap();
    let ahead = json!({ "op": "watch_revocations", "after": sequence + 1_000_000 });
    let refused = job.server.err(&ahead);
    assert_eq!(text(&refused, "reason"), "feed_gap", "{refused}");
    job.server
        .ok(&json!({ "op": "watch_revocations", "after": sequence }));
    assert_eq!(news(&mut job.server)["sequence"], opened["sequence"]);
}
