//! What holds of a task holds of whatever descends from it: who judges it, who lost it, and who is revoked.

use crate::consent::{World, options};
use crate::fan::{Fan, child, fanning, part, spend_op};
use crate::handover::{delegate_op, named};
use crate::job::{WORKER, assert_unknown, start_op, step_op, text};
use crate::node::distinct_uids;
use serde_json::{Value, json};

const APPROVER: &str = "spiffe://demo.test/approver";

#[test]
fn a28_who_has_a_part_in_a_task_judges_nothing_in_its_children() {
    if !distinct_uids("a28_who_has_a_part_in_a_task_judges_nothing_in_its_children") {
        return;
    }
    let mut world = World::start();
    let mut fan = Fan::of(world.job);
    let root = fan.root(&fanning(2, 1, 4));
    let children = fan.spawn(&root, "two", &[child(2), child(2)]);
    let legs = [0, 1].map(|index| fan.spend(&children[index], &part(1)));
    world.job = fan.job;
    let asked = world.ask(&step_op(&legs[0], 1));
    assert_eq!(world.seen(&asked)["state"], "open");
    // The approver gets a part in the root. Nothing names it in the child.
    let mut lent = delegate_op(&root.task, &["query"]);
    lent["to"] = APPROVER.into();
    world.job.client.ok(&lent);
    let see = json!({ "op": "approval_get", "approval_id": asked });
    assert_unknown(&world.approver.err(&see));
    let listed = world.approver.ok(&json!({ "op": "approval_list" }));
    assert_eq!(listed["approvals"], json!([]));
    // With the part that it had it is a party still: whoever had a hand in it may have left something there.
    let mut back = named("revoke_delegation", &root.task);
    back["number"] = 1.into();
    world.job.client.ok(&back);
    assert_unknown(&world.approver.err(&see));
}

/// A consent to the first step of this leg: the first person's does not count, and the second one's does.
fn refused_to_the_first_person_alone(world: &mut World, leg: &crate::job::Leg) {
    let asked = world.ask(&step_op(leg, 1));
    let own = world.decision_of(&asked, "person-1", "approve");
    let refused = world.approver.err(&own);
    assert_eq!(refused["reason"], "policy", "{refused}");
    let decided = world.decision_of(&asked, "person-2", "approve");
    assert_eq!(world.approver.ok(&decided)["state"], "approved");
}

#[test]
fn a_tree_is_judged_by_nobody_for_whose_user_its_root_is() {
    if !distinct_uids("a_tree_is_judged_by_nobody_for_whose_user_its_root_is") {
        return;
    }
    let mut options = options();
    options.policy.push_str(
        "@id(\"not-its-own-owner\") forbid (principal, action == Action::\"approve\", resource)\n\
         when { context has person && context.person.is_owner };\n",
    );
    options
        .policy
        .push_str("permit (principal, action == Action::\"vouch\", resource);\n");
    let mut world = World::with(&options);
    let mut fan = Fan::of(world.job);
    // The root is for the person who is going to be asked; what it spawns is for nobody.
    let root = fan.root_for(
        &fanning(2, 1, 4),
        Some(("https://login.demo.test", "person-1")),
    );
    let children = fan.spawn(&root, "one", &[child(2)]);
    let leg = fan.spend(&children[0], &part(1));
    world.job = fan.job;
    refused_to_the_first_person_alone(&mut world, &leg);
}

#[test]
fn a_tree_is_judged_by_nobody_for_whom_a_delegate_acts_in_it() {
    if !distinct_uids("a_tree_is_judged_by_nobody_for_whom_a_delegate_acts_in_it") {
        return;
    }
    let mut options = options();
    options.policy.push_str(
        "@id(\"no-delegate\") forbid (principal, action == Action::\"approve\", resource)\n\
         when { context has person && context.person.is_delegate };\n",
    );
    let mut world = World::with(&options);
    let mut fan = Fan::of(world.job);
    let root = fan.root(&fanning(2, 1, 4));
    let mut lent = delegate_op(&root.task, &["query"]);
    lent["to"] = WORKER.into();
    lent["principal"] = json!({ "issuer": "https://login.demo.test", "subject": "person-1" });
    fan.job.client.ok(&lent);
    let children = fan.spawn(&root, "one", &[child(2)]);
    let leg = fan.spend(&children[0], &part(1));
    world.job = fan.job;
    refused_to_the_first_person_alone(&mut world, &leg);
}

/// A tree of two children, of which the worker has spent the first.
fn tree(fan: &mut Fan) -> (crate::job::Leg, Vec<String>, crate::job::Leg) {
    let root = fan.root(&fanning(2, 1, 4));
    let children = fan.spawn(&root, "two", &[child(2), child(2)]);
    let leg = fan.spend(&children[0], &part(1));
    (root, children, leg)
}

#[test]
fn a_takeover_takes_the_children_too() {
    let mut fan = Fan::start();
    let (root, children, leg) = tree(&mut fan);
    fan.step(&leg, 1);
    fan.job.client.ok(&named("take_over", &root.task));
    // The leg of the child is gone, no other is started, and what was cut is worth nothing.
    let step = crate::fan::step_op(&leg, 2, &crate::job::export());
    assert_eq!(fan.job.worker.err(&step)["reason"], "no_leg");
    for task in [&root.task, &leg.task] {
        let again = fan.job.worker.err(&start_op(task, "worker"));
        assert_eq!(again["reason"], "taken_over");
    }
    let spend = fan.job.worker.err(&spend_op(&children[1], &part(2)));
    assert_eq!(spend["reason"], "taken_over", "{spend}");
    // Another process of the same role goes on where it stopped.
    let mut second = fan.job.node.actor_named("worker");
    second.hand("worker");
    assert_eq!(second.ok(&start_op(&leg.task, "worker"))["leg"], 2);
    assert_eq!(second.ok(&start_op(&root.task, "worker"))["leg"], 2);
    // What was cut is worth nothing in another process's hands either.
    second.hand("spender");
    let spend = second.err(&spend_op(&children[1], &part(2)));
    assert_eq!(spend["reason"], "cancelled", "{spend}");
}

fn revoke(fan: &Fan, verb: &[&str]) -> Value {
    let mut whole = vec!["revoke"];
    whole.extend_from_slice(verb);
    whole.extend_from_slice(&["--why", "test"]);
    fan.job.node.operator_json(&whole)
}

#[test]
fn what_a_revoked_workload_cut_for_others_is_dead_and_stays_dead() {
    let mut fan = Fan::start();
    let root = fan.root(&fanning(4, 1, 6));
    let mut for_tool = child(2);
    for_tool["spender"] = crate::job::TOOL.into();
    let children = fan.spawn(&root, "three", &[for_tool.clone(), for_tool, child(2)]);
    fan.job.tool.hand("spender");
    let spend = |fan: &mut Fan, child: &str| {
        let mut op = spend_op(child, &part(1));
        op["request_id"] = format!("tool {child}").into();
        fan.job.tool.call(&op)
    };
    let token = text(&spend(&mut fan, &children[0])["ok"], "token");
    let peer = text(
        &fan.job
            .tool
            .ok(&json!({ "op": "certificate", "name": "spender" })),
        "certificate",
    );
    let created = fan.job.server.ok(&json!({
        "op": "create", "token": token, "peer": peer, "call": part(1),
        "handle": "8wT2nXy5Jr0cP7bM4kQ90001", "performers": [WORKER],
    }));
    assert_eq!(created["task_id"], children[0].as_str());
    // The maker is revoked, not the spender.
    let dry = revoke(&fan, &["spiffe-id", WORKER, "--dry-run"]);
    assert_eq!(dry["tasks"], 1, "{dry}");
    revoke(&fan, &["spiffe-id", WORKER]);
    let shown = fan.job.node.operator_json(&["task", "show", &children[0]]);
    assert_eq!(shown["summary"]["state"], "cancelled", "{shown}");
    assert_eq!(spend(&mut fan, &children[1])["err"]["reason"], "cancelled");
    revoke(&fan, &["lift", WORKER]);
    assert_eq!(spend(&mut fan, &children[1])["err"]["reason"], "cancelled");
    let own = fan.job.worker.err(&spend_op(&children[2], &part(3)));
    assert_eq!(own["reason"], "cancelled");
    // What is made from now on is good.
    let leg = fan.job.start_leg(&root.task);
    let next = fan.spawn(&leg, "next", &[child(0)]);
    fan.job.worker.ok(&spend_op(&next[0], &part(4)));
}
