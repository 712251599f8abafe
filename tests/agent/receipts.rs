//! Receipts claim no more than was told and acknowledged, and a feed that cannot be resumed says so.

use crate::fan::{Fan, child, fanning, part, step_op};
use crate::feed::news;
use crate::job::{Job, TOOL, export, report_op, text};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;

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
    let mark = &opened["mark"];
    let ahead = json!({
        "op": "watch_revocations", "after": sequence + 1_000_000, "mark": mark,
    });
    let refused = job.server.err(&ahead);
    assert_eq!(text(&refused, "reason"), "feed_gap", "{refused}");
    job.server
        .ok(&json!({ "op": "watch_revocations", "after": sequence, "mark": mark }));
    assert_eq!(news(&mut job.server)["sequence"], opened["sequence"]);
}

#[test]
fn an_effect_where_nobody_watches_is_in_the_receipt() {
    let mut job = Job::start();
    let wait = |job: &Job, scope: &str, id: &str| {
        let verb = ["revoke", scope, id, "--why", "test", "--wait", "1"];
        let output = job.node.operator(&verb);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), said["receipt"].clone())
    };
    let unwatched = json!({
        "points": 1, "stopped": 0, "slowest_ms": 0, "silent": [format!("{TOOL} (not watching)")],
    });
    for (scope, handle) in [
        ("task", "7q2mZr0Yt5kW9xB3vN8s0011"),
        ("tree", "7q2mZr0Yt5kW9xB3vN8s0012"),
    ] {
        let task = job.create_as(handle);
        let leg = job.start_leg(&task);
        let token = job.step_token(&leg, 1);
        assert_eq!(job.check(&leg, &token)["answer"], "fresh");
        let receipt = wait(&job, scope, &task.id);
        assert_eq!(receipt, (Some(2), unwatched.clone()), "{scope}");
        // Asked for once more, it is that of the first time.
        assert_eq!(wait(&job, scope, &task.id), receipt, "{scope}");
    }
    // No effect: the token was not used, or what it was for is over.
    for (handle, used) in [
        ("7q2mZr0Yt5kW9xB3vN8s0013", false),
        ("7q2mZr0Yt5kW9xB3vN8s0014", true),
    ] {
        let task = job.create_as(handle);
        let leg = job.start_leg(&task);
        let token = job.step_token(&leg, 1);
        if used {
            let checked = job.check(&leg, &token);
            job.tool.ok(&report_op(&checked, "done"));
        }
        let (code, receipt) = wait(&job, "task", &task.id);
        assert_eq!((code, &receipt["points"]), (Some(0), &json!(0)), "{handle}");
    }
    // Whoever watches is asked, and nobody else.
    let task = job.create_as("7q2mZr0Yt5kW9xB3vN8s0015");
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    assert_eq!(job.check(&leg, &token)["answer"], "fresh");
    job.tool.ok(&watch());
    assert_eq!(news(&mut job.tool)["event"], "opened");
    let (code, receipt) = wait(&job, "task", &task.id);
    let asked = json!([format!("{TOOL} pid {}", job.tool.pid())]);
    assert_eq!((code, &receipt["silent"]), (Some(2), &asked));
}

#[test]
fn a_restored_ledger_that_has_caught_up_is_still_another_history() {
    let mut job = Job::start();
    let task = job.create();
    job.node.stop_agent();
    let (ledger, backup) = (job.node.path("data"), job.node.path("backup"));
    copy(&ledger, &backup);
    job.node.start_agent();
    job.server.ok(&watch());
    assert_eq!(news(&mut job.server)["event"], "opened");
    let second = job.create_as("7q2mZr0Yt5kW9xB3vN8s0002");
    job.node
        .operator_json(&["revoke", "task", &second.id, "--why", "test"]);
    let heard = news(&mut job.server);
    assert_eq!(heard["task_id"], json!(second.id));
    job.node.kill_agent();
    std::fs::remove_dir_all(&ledger).unwrap();
    copy(&backup, &ledger);
    job.node.start_agent();
    // The restored one ends the task, and then comes as far as the other had.
    job.node
        .operator_json(&["revoke", "task", &task.id, "--why", "test"]);
    for number in 3..9 {
        job.create_as(&format!("7q2mZr0Yt5kW9xB3vN8s000{number}"));
    }
    let resume = json!({
        "op": "watch_revocations", "after": heard["sequence"], "mark": heard["mark"],
    });
    let refused = job.server.err(&resume);
    assert_eq!(text(&refused, "reason"), "feed_gap", "{refused}");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
