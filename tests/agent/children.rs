//! Child grants that nobody has spent, as an operator sees and ends them.

use crate::fan::{Fan, child, fanning, part, spawn_op, spend_op};
use crate::job::{WORKER, assert_unknown, text};
use crate::node::{Options, Role, Row};
use serde_json::{Value, json};

fn revoke(fan: &Fan, verb: &[&str]) -> Value {
    fan.job
        .node
        .operator_json(&[&["revoke"][..], verb].concat())
}

#[test]
fn a_child_that_nobody_has_spent_is_revoked_by_its_id() {
    let mut fan = Fan::start();
    let root = fan.root(&fanning(4, 1, 8));
    let children = fan.spawn(&root, "four", &[child(1), child(1), child(1), child(1)]);
    // For the second its spender has a token already.
    let early = fan.create_op(&children[1], &part(2));
    let asked = |fan: &Fan| revoke(fan, &["task", &children[0], "--dry-run"]);
    let before = asked(&fan);
    let counted = (&before["children"], &before["tasks"], &before["task_ids"]);
    assert_eq!(counted, (&json!(1), &json!(0), &json!([children[0]])));
    for child in &children[..2] {
        let done = revoke(&fan, &["task", child, "--why", "test", "--wait", "5"]);
        assert_eq!(done["state"], "cancelled", "{done}");
        let record = fan.job.node.explain(&text(&done, "decision_id"));
        assert_eq!(record["operation"], "Operator.Revoke");
        assert_eq!(record["task_id"], json!(child));
        let facts = &record["facts"];
        let who = (&facts["spender"], &facts["parent"], &facts["why"]);
        assert_eq!(who, (&json!(WORKER), &json!(root.task.id), &json!("test")));
    }
    assert_eq!(asked(&fan)["children"], 0, "it is worth nothing any more");
    let cannot_be_spent = |fan: &mut Fan| {
        let worker = &mut fan.job.worker;
        for (child, number) in [(&children[0], 1), (&children[1], 2)] {
            // Neither anew nor by the same request as before.
            let refused = worker.err(&spend_op(child, &part(number)));
            assert_eq!(refused["reason"], "cancelled", "{refused}");
        }
    };
    cannot_be_spent(&mut fan);
    assert_eq!(fan.job.server.err(&early)["reason"], "cancelled");
    // Its sibling is as it was.
    let leg = fan.spend(&children[2], &part(3));
    fan.step(&leg, 1);
    fan.job.node.kill_agent();
    fan.job.node.start_agent();
    cannot_be_spent(&mut fan);
    fan.job.worker.ok(&spend_op(&children[3], &part(4)));
}

#[test]
fn a_thousand_children_are_made_in_one_commit_and_not_one_more() {
    let mut fan = Fan::start();
    let root = fan.root(&fanning(1_500, 1, 1_500));
    let children = |count| vec![child(1); count];
    let too_many = spawn_op(&root, "too many", &children(1_001));
    let refused = fan.job.worker.err(&too_many);
    assert!(
        text(&refused, "message").contains("limits.children_per_spawn"),
        "{refused}"
    );
    let made = fan.spawn(&root, "a thousand", &children(1_000));
    assert_eq!(made.len(), 1_000);
    let records = || {
        let audit = ["audit", "tail", "--limit", "200"];
        let audit = fan.job.node.operator_json(&audit).to_string();
        audit.matches("\"children\":\"1000\"").count()
    };
    crate::node::until("one record of all of them", || records() == 1);
    // The first and the last of them are worth as much as one that was made alone.
    for (index, number) in [(0, 1), (999, 2)] {
        let leg = fan.spend(&made[index], &part(number));
        fan.step(&leg, 1);
    }
}

#[test]
fn the_tree_of_an_unspent_child_is_that_of_its_parent() {
    let mut fan = Fan::start();
    let root = fan.root(&fanning(1, 1, 2));
    let other = fan.root(&fanning(1, 1, 2));
    let children = fan.spawn(&root, "one", &[child(1)]);
    let dry = revoke(&fan, &["tree", &children[0], "--dry-run"]);
    assert_eq!((&dry["tasks"], &dry["children"]), (&json!(1), &json!(1)));
    revoke(&fan, &["tree", &children[0], "--why", "test"]);
    let get = |leg: &crate::job::Leg| json!({ "op": "get", "task_id": leg.task.id });
    assert_eq!(fan.job.server.ok(&get(&root))["state"], "cancelled");
    assert_eq!(fan.job.server.ok(&get(&other))["state"], "working");
    // What was never made is still unknown: nothing random is all zeros.
    let never_made = "00".repeat(16);
    let never = ["revoke", "tree", &never_made, "--why", "test"];
    assert_eq!(fan.job.node.operator(&never).status.code(), Some(1));
}

#[test]
fn the_audit_of_a_spawn_says_who_may_spend_which_child() {
    const HELPER: &str = "spiffe://demo.test/helper";
    let mut options = Options {
        config: "[limits]\nchildren_named = 2\n".to_owned(),
        ..Options::default()
    };
    options.roles.push(Role::new("helper", 30_006, Row::Uid));
    let mut fan = Fan::with(&options);
    let root = fan.root(&fanning(5, 1, 8));
    let mut helpers = child(1);
    helpers["spender"] = HELPER.into();
    let spawn = |fan: &mut Fan, name: &str, children: &[Value]| {
        let spawned = fan.job.worker.ok(&spawn_op(&root, name, children));
        let record = fan.job.node.explain(&text(&spawned, "decision_id"));
        (spawned["children"].clone(), record["facts"].clone())
    };
    let two = [child(1), helpers];
    let (ids, facts) = spawn(&mut fan, "two", &two);
    let id = |ids: &Value, at: usize| ids[at].as_str().unwrap().to_owned();
    let said = format!("{} {WORKER}, {} {HELPER}", id(&ids, 0), id(&ids, 1));
    assert_eq!(facts["granted"], json!(said));
    // A repeat grants nothing, and says so.
    let (again, facts) = spawn(&mut fan, "two", &two);
    assert_eq!((again, facts.get("granted")), (ids, None));
    // Of more than the limit the rest are counted.
    let (ids, facts) = spawn(&mut fan, "three", &[child(1), child(1), child(1)]);
    let said = format!(
        "{} {WORKER}, {} {WORKER}, and 1 more",
        id(&ids, 0),
        id(&ids, 1)
    );
    assert_eq!(facts["granted"], json!(said));
    let mut helper = fan.job.node.actor_named("helper");
    helper.hand("spender");
    assert_unknown(&helper.err(&spend_op(&id(&ids, 2), &part(1))));
}
