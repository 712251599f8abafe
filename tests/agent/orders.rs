//! An owner that acts for a user hands over, takes back, takes over and settles through its server: the agent on its
//! node cannot see the user, the server can. The order is carried out where the server checks it as an `update`.

use crate::handover::{RELIEF, World, delegate_op, named};
use crate::job::{Task, assert_unknown, start_op, step_op, text};
use crate::node::Options;
use crate::policy::commit;
use crate::principals::{for_user, task_of_user_1, user, vouching};
use crate::words::{SHORT, resolve, unknown_step_of};
use serde_json::{Value, json};

fn world(config: &str) -> (World, Task) {
    let mut world = World::of(Options {
        config: config.to_owned(),
        ..vouching()
    });
    let task = task_of_user_1(&mut world.job);
    (world, task)
}

/// The order by the client, which acts for a user: it shows its hand.
fn given(world: &mut World, op: &Value) -> Value {
    let mut op = op.clone();
    op["hand"] = "client".into();
    world.job.client.ok(&op)
}

/// What the server asks when a request of this user brings the token.
fn check(world: &mut World, issued: &Value, task: &Task, subject: Option<&str>) -> Value {
    let peer = world.job.client_certificate();
    let op = json!({
        "op": "check_update", "token": issued["token"], "peer": peer, "handle": task.handle,
    });
    for_user(op, subject.map(user))
}

/// Refused for another user, for none, on another key and by anybody but the server; carried out once. The audit says
/// of each what was ordered.
fn p01_carried_out_for_user_1_alone(
    world: &mut World,
    issued: &Value,
    (task, facts): (&Task, &Value),
) {
    let tells = |audit: &Value| {
        for (name, fact) in facts.as_object().unwrap() {
            assert_eq!(audit["facts"][name], *fact, "{audit}");
        }
        assert!(audit["facts"]["fence"].is_string(), "{audit}");
    };
    for subject in [Some("user-2"), None] {
        let op = check(world, issued, task, subject);
        let denied = world.job.server.ok(&op);
        assert_eq!(denied["reason"], "unknown_task", "{denied}");
        let truth = world.job.node.explain(&text(&denied, "decision_id"));
        assert_eq!(truth["reason"], "other_principal");
        for (name, fact) in facts.as_object().unwrap() {
            assert_eq!(truth["facts"][name], *fact, "{truth}");
        }
    }
    let right = check(world, issued, task, Some("user-1"));
    let mut stolen = right.clone();
    let other = world
        .relief
        .ok(&json!({ "op": "certificate", "name": "relief" }));
    stolen["peer"] = other["certificate"].clone();
    assert_eq!(world.job.server.ok(&stolen)["reason"], "wrong_key");
    for actor in ["tool", "thief", "worker"] {
        let mut actor = world.job.node.actor_named(actor);
        assert_eq!(actor.ok(&right)["reason"], "unknown_task");
    }
    for operation in ["check_query", "check_cancel"] {
        let mut other = right.clone();
        other["op"] = operation.into();
        assert_eq!(world.job.server.ok(&other)["reason"], "token_invalid");
    }
    let carried_out = world.job.server.ok(&right);
    // Acknowledge it, and take nothing.
    assert_eq!(carried_out["answer"], "read", "{carried_out}");
    let audit = world.job.node.explain(&text(&carried_out, "decision_id"));
    assert_eq!(audit["operation"], "Enforcement.Check(update)");
    tells(&audit);
    tells(&world.job.node.explain(&text(issued, "decision_id")));
    assert_eq!(world.job.server.ok(&right)["answer"], "read", "a repeat");
}

#[test]
fn p01_a_task_of_a_user_is_handed_over_and_taken_back_through_its_server() {
    let (mut world, task) = world("");
    let order = delegate_op(&task, &["perform"]);
    // Without a hand there is nothing that a token could be bound to.
    assert_eq!(world.job.client.err(&order)["reason"], "principal_due");
    let issued = given(&mut world, &order);
    assert!(
        issued["number"].is_null(),
        "nothing is granted yet: {issued}"
    );
    assert_unknown(&world.relief.err(&start_op(&task, "relief")));
    let facts = json!({ "order": "delegate", "to": RELIEF, "acts": "perform" });
    p01_carried_out_for_user_1_alone(&mut world, &issued, (&task, &facts));
    let granted = given(&mut world, &order);
    assert_eq!(granted["number"], 1, "{granted}");
    // Another wish under the same name is no repeat.
    let mut other = order.clone();
    other["acts"] = json!(["query"]);
    other["hand"] = "client".into();
    assert_eq!(world.job.client.err(&other)["reason"], "repeat_differs");

    let leg = world.start_relief(&task);
    world
        .relief
        .ok(&json!({ "op": "hold", "task_id": task.id, "leg": leg.number }));
    assert_eq!(world.relief.event()["notice"]["kind"], "holding");
    let mut back = named("revoke_delegation", &task);
    back["number"] = 1.into();
    let issued = given(&mut world, &back);
    world.relief.ok(&step_op(&leg, 1));
    let facts = json!({ "order": "revoke_delegation", "delegation": "1" });
    p01_carried_out_for_user_1_alone(&mut world, &issued, (&task, &facts));
    assert_eq!(world.relief.event()["notice"]["kind"], "revoked");
    assert_unknown(&world.relief.err(&start_op(&task, "relief")));
}

#[test]
fn p01_a_leg_of_a_users_task_is_taken_over_through_its_server() {
    let (mut world, task) = world("");
    let leg = world.job.start_leg(&task);
    world
        .job
        .worker
        .ok(&json!({ "op": "hold", "task_id": task.id, "leg": leg.number }));
    assert_eq!(world.job.worker.event()["notice"]["kind"], "holding");
    let mut take = named("take_over", &task);
    take["request_id"] = "mine".into();
    let issued = given(&mut world, &take);
    let facts = json!({ "order": "takeover" });
    p01_carried_out_for_user_1_alone(&mut world, &issued, (&task, &facts));
    assert_eq!(world.job.worker.event()["notice"]["kind"], "fenced");
    assert_eq!(given(&mut world, &take)["leg"], leg.number);
    let again = world.job.worker.err(&start_op(&task, "worker"));
    assert_eq!(again["reason"], "taken_over");
    let mut other = world.job.node.actor_named("worker");
    other.hand("worker");
    assert_eq!(other.ok(&start_op(&task, "worker"))["leg"], 2);
}

#[test]
fn a30_a_user_settles_an_unknown_effect_through_its_server() {
    let (mut world, task) = world(SHORT);
    unknown_step_of(&mut world, &task);
    let issued = given(&mut world, &resolve(&task, true));
    let facts = json!({ "order": "resolve", "step": "1", "outcome": "done" });
    p01_carried_out_for_user_1_alone(&mut world, &issued, (&task, &facts));
    let settled = given(&mut world, &resolve(&task, true));
    assert_eq!(settled["state"], "done");
    let mut other = resolve(&task, false);
    other["hand"] = "client".into();
    assert_eq!(world.job.client.err(&other)["reason"], "outcome_differs");
}

#[test]
fn an_order_of_a_user_is_worth_nothing_once_its_task_has_ended() {
    let (mut world, task) = world("");
    let issued = given(&mut world, &delegate_op(&task, &["perform"]));
    let cancel = world.job.owner_op("cancel", &task.handle);
    let cancelled = world.job.server.ok(&for_user(cancel, Some(user("user-1"))));
    assert_eq!(cancelled["answer"], "fresh");
    let late = check(&mut world, &issued, &task, Some("user-1"));
    assert_eq!(world.job.server.ok(&late)["reason"], "cancelled");
    // That comes first, also of what asks for too much.
    let mut wide = delegate_op(&task, &["perform"]);
    wide["not_after_ms"] = u64::MAX.into();
    wide["request_id"] = "wide".into();
    wide["hand"] = "client".into();
    assert_eq!(world.job.client.err(&wide)["reason"], "cancelled");
    assert_unknown(&world.relief.err(&start_op(&task, "relief")));
}

#[test]
fn what_a_user_orders_is_refused_at_once_where_it_asks_for_too_much() {
    let (mut world, task) = world("");
    let mut late = delegate_op(&task, &["perform"]);
    late["not_after_ms"] = u64::MAX.into();
    late["hand"] = "client".into();
    assert_eq!(world.job.client.err(&late)["reason"], "not_narrower");
    // Nobody but the owner's workload orders anything, whatever it shows.
    for actor in ["worker", "server", "tool", "thief"] {
        let mut actor = world.job.node.actor_named(actor);
        actor.hand("own");
        let mut order = delegate_op(&task, &["perform"]);
        order["hand"] = "own".into();
        assert_unknown(&actor.err(&order));
    }
    let issued = given(&mut world, &delegate_op(&task, &["perform"]));
    assert!(issued["token"].is_string());
}

#[test]
fn an_order_answers_nothing_that_the_task_waits_for() {
    let (mut world, task) = world("");
    let waits = json!({
        "op": "require_input", "task_id": task.id, "keys": ["amount"], "request_id": "amount",
    });
    assert_eq!(world.job.server.ok(&waits)["state"], "input_required");
    let issued = given(&mut world, &delegate_op(&task, &["query"]));
    let order = check(&mut world, &issued, &task, Some("user-1"));
    let acknowledged = world.job.server.ok(&order);
    assert_eq!(acknowledged["answer"], "read");
    assert_eq!(acknowledged["task"]["state"], "input_required");
    let answer = world.job.owner_op("update", &task.handle);
    let taken = world.job.server.ok(&for_user(answer, Some(user("user-1"))));
    assert_eq!(taken["answer"], "fresh", "{taken}");
    assert_eq!(taken["task"]["state"], "working");
}

#[test]
fn a32_a_policy_that_is_tightened_stops_an_order_that_was_given_before() {
    let (mut world, task) = world("");
    let issued = given(&mut world, &delegate_op(&task, &["perform"]));
    let order = check(&mut world, &issued, &task, Some("user-1"));
    let no_delegates =
        "@id(\"no-delegates\") forbid (principal, action == Action::\"delegate\", resource);\n";
    let policy = vouching().policy;
    commit(&world.job.node, &format!("{policy}{no_delegates}"), 1);
    let denied = world.job.server.ok(&order);
    assert_eq!(denied["answer"], "denied", "{denied}");
    let truth = world.job.node.explain(&text(&denied, "decision_id"));
    assert_eq!(truth["reason"], "policy", "{truth}");
    assert_unknown(&world.relief.err(&start_op(&task, "relief")));
    // Nothing was burned: permitted again, it is carried out.
    commit(&world.job.node, &policy, 2);
    assert_eq!(world.job.server.ok(&order)["answer"], "read");
    world.start_relief(&task);
}
