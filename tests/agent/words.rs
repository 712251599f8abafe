//! What only the owner may say, and what a message from a queue is worth.

use crate::handover::{World, named};
use crate::job::{Leg, SERVER, Task, assert_unknown, check_op, report_op, start_op, step_op, text};
use crate::node::{Options, until};
use serde_json::{Value, json};

pub(crate) const SHORT: &str = "[tokens]\nact_by = \"200ms\"\nact_by_grace = \"100ms\"\n";

/// A step whose effect happened and was never reported.
fn unknown_step(world: &mut World) -> (Task, Leg) {
    let task = world.job.create();
    let leg = unknown_step_of(world, &task);
    (task, leg)
}

/// The same of this task.
pub(crate) fn unknown_step_of(world: &mut World, task: &Task) -> Leg {
    let leg = world.job.start_leg(task);
    let token = world.job.step_token(&leg, 1);
    assert_eq!(world.job.check(&leg, &token)["answer"], "fresh");
    world.job.tool.kill();
    world.job.tool = world.job.node.actor_named("tool");
    until("the effect to be unknown", || {
        let mut retry = step_op(&leg, 1);
        retry["request_id"] = "retry".into();
        world.job.worker.call(&retry)["err"]["reason"] == "step_unknown"
    });
    leg
}

pub(crate) fn resolve(task: &Task, done: bool) -> Value {
    let mut op = named("resolve", task);
    op["step"] = 1.into();
    op["done"] = done.into();
    op
}

#[test]
fn a30_an_effect_said_to_have_happened_is_never_tried_again() {
    let mut world = World::with(SHORT);
    let (task, leg) = unknown_step(&mut world);
    // Nobody but the owner may say so.
    for actor in ["server", "tool", "thief", "worker"] {
        let mut actor = world.job.node.actor_named(actor);
        assert_unknown(&actor.err(&resolve(&task, true)));
    }
    assert_eq!(world.job.client.ok(&resolve(&task, true))["state"], "done");
    assert_eq!(world.job.client.ok(&resolve(&task, true))["state"], "done");
    assert_eq!(
        world.job.client.err(&resolve(&task, false))["reason"],
        "outcome_differs"
    );
    for retry in 0..100 {
        let mut op = step_op(&leg, 1);
        op["request_id"] = format!("retry {retry}").into();
        let again = world.job.worker.ok(&op);
        assert_eq!(
            (&again["token"], &again["state"]),
            (&json!(""), &json!("done"))
        );
    }
    world.job.step_token(&leg, 2);
}

#[test]
fn a30_an_effect_said_not_to_have_happened_is_tried_once() {
    let mut world = World::with(SHORT);
    let (task, leg) = unknown_step(&mut world);
    assert_eq!(
        world.job.client.ok(&resolve(&task, false))["state"],
        "not_done"
    );
    let mut effects = 0;
    for retry in 0..100 {
        let mut op = step_op(&leg, 1);
        op["request_id"] = format!("again {retry}").into();
        let issued = world.job.worker.call(&op);
        let Some(token) = issued["ok"]["token"].as_str().filter(|it| !it.is_empty()) else {
            continue;
        };
        let checked = world.job.tool.ok(&check_op(&leg, token));
        if checked["answer"] == "fresh" {
            effects += 1;
            world.job.tool.ok(&report_op(&checked, "done"));
        }
    }
    assert_eq!(effects, 1);
}

#[test]
fn a_task_goes_on_past_an_unknown_effect_where_policy_says_so_and_never_repeats_it() {
    let permits = "permit (principal, action == Action::\"skip_unknown\", resource)\n\
        when { resource.name == \"export\" && context.owner_authority };";
    for skips in [false, true] {
        let mut options = Options {
            config: SHORT.to_owned(),
            ..Options::default()
        };
        if skips {
            options.policy.push_str(permits);
        }
        let mut world = World::of(options);
        let (task, leg) = unknown_step(&mut world);
        let mut next = step_op(&leg, 2);
        next["request_id"] = "blind".into();
        assert_eq!(world.job.worker.err(&next)["reason"], "step_unknown");
        next["skip_unknown"] = true.into();
        next["request_id"] = "same".into();
        let same = world.job.worker.err(&next);
        let reason = if skips { "step_unknown" } else { "policy" };
        assert_eq!(same["reason"], reason, "the same call is a blind retry");
        next["call"]["arguments"] = json!({ "table": "orders" });
        next["request_id"] = "on".into();
        if !skips {
            assert_eq!(world.job.worker.err(&next)["reason"], "policy");
            assert_eq!(world.job.client.ok(&resolve(&task, true))["state"], "done");
            world.job.step_token(&leg, 2);
            continue;
        }
        let issued = world.job.worker.ok(&next);
        let why = world.job.node.explain(&text(&issued, "decision_id"));
        assert_eq!(why["facts"]["skipped_step"], "1", "{why}");
        let mut check = check_op(&leg, &text(&issued, "token"));
        check["call"] = next["call"].clone();
        let fresh = world.job.tool.ok(&check);
        world.job.tool.ok(&report_op(&fresh, "done"));
        let mut first = step_op(&leg, 1);
        first["request_id"] = "first".into();
        first["skip_unknown"] = true.into();
        assert_eq!(world.job.worker.err(&first)["reason"], "step_unknown");
        // The owner's word still counts, and a retry of what did not happen still works.
        let said = world.job.client.ok(&resolve(&task, false));
        assert_eq!(said["state"], "not_done");
        let again = world.job.worker.ok(&first);
        assert_eq!(
            world.job.check(&leg, &text(&again, "token"))["answer"],
            "fresh"
        );
    }
}

#[test]
fn an_outcome_that_is_known_or_open_is_not_the_owners_to_say() {
    let mut world = World::start();
    let task = world.job.create();
    let leg = world.job.start_leg(&task);
    assert_unknown(&world.job.client.err(&resolve(&task, true)));
    let token = world.job.step_token(&leg, 1);
    assert_eq!(
        world.job.client.err(&resolve(&task, true))["reason"],
        "not_unknown"
    );
    let fresh = world.job.check(&leg, &token);
    assert_eq!(
        world.job.client.err(&resolve(&task, true))["reason"],
        "not_unknown"
    );
    world.job.tool.ok(&report_op(&fresh, "not_done"));
    assert_eq!(
        world.job.client.err(&resolve(&task, true))["reason"],
        "outcome_differs"
    );
}

#[test]
fn a49_only_the_owner_cancels() {
    let mut world = World::start();
    let task = world.job.create();
    world.job.start_leg(&task);
    for actor in ["worker", "server", "tool", "thief", "relief"] {
        let mut actor = world.job.node.actor_named(actor);
        actor.hand("own");
        assert_unknown(&actor.err(&json!({
            "op": "issue_cancel", "request_id": "c", "hand": "own", "server": SERVER,
            "handle": task.handle,
        })));
    }
    let view = world
        .job
        .server
        .ok(&json!({ "op": "get", "task_id": task.id }));
    assert_eq!(view["state"], "working");
    assert_eq!(world.job.owner("cancel", &task.handle)["answer"], "fresh");
}

#[test]
fn a52_a_poisoned_message_gives_its_reader_nothing() {
    let mut world = World::start();
    let other = world.job.create_as("uQ3nV8rT1yW6zK0cF5hJ9pXb");
    let task = world.job.create();
    let (theirs, ours) = (&other.work_reference, &task.work_reference);
    let half_of_each: String = theirs
        .chars()
        .take(40)
        .chain(ours.chars().skip(40))
        .collect();
    let poisoned = [
        task.handle.clone(),
        other.handle.clone(),
        task.id.clone(),
        half_of_each,
        "7q2mZr0Yt5kW9xB3vN8sLd4h".repeat(4),
        String::from("\u{202e}{}"),
    ];
    for message in poisoned {
        let mut op = start_op(&task, "worker");
        op["work_reference"] = message.into();
        let refused = world.job.worker.err(&op);
        assert!(
            refused["reason"] == "unknown_task" || refused["code"] == "InvalidArgument",
            "{refused}"
        );
    }
    // A genuine reference in the wrong hands is a name, too.
    assert_unknown(&world.relief.err(&start_op(&task, "relief")));
    world.job.start_leg(&task);
}
