//! A task is handed over to one named role, narrower and for a time, and taken back. Nobody inherits.

use crate::job::{
    Job, Leg, SERVER, TOOL, Task, assert_unknown, export, report_op, start_op, step_op, text,
};
use crate::last_effect::now_ms;
use crate::node::{Actor, Options, Role, Row, distinct_uids, until};
use serde_json::{Value, json};

pub(crate) const RELIEF: &str = "spiffe://demo.test/relief";

/// The main job, and a workload that the owner may name.
pub(crate) struct World {
    pub(crate) job: Job,
    pub(crate) relief: Actor,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    pub(crate) fn with(config: &str) -> Self {
        Self::of(Options {
            config: config.to_owned(),
            ..Options::default()
        })
    }

    pub(crate) fn of(mut options: Options) -> Self {
        options.roles.push(Role::new("relief", 30_006, Row::Uid));
        let job = Job::with(&options);
        let mut relief = job.node.actor_named("relief");
        relief.hand("relief");
        Self { job, relief }
    }

    fn delegate(&mut self, task: &Task, acts: &[&str]) -> Value {
        self.job.client.ok(&delegate_op(task, acts))
    }

    pub(crate) fn start_relief(&mut self, task: &Task) -> Leg {
        let started = self.relief.ok(&start_op(task, "relief"));
        let certificate = self
            .relief
            .ok(&json!({ "op": "certificate", "name": "relief" }));
        Leg {
            task: task.clone(),
            number: started["leg"].as_u64().unwrap(),
            fence: started["fence"].as_u64().unwrap(),
            certificate: text(&certificate, "certificate"),
        }
    }
}

pub(crate) fn named(op: &str, task: &Task) -> Value {
    json!({ "op": op, "server": SERVER, "handle": task.handle })
}

pub(crate) fn delegate_op(task: &Task, acts: &[&str]) -> Value {
    let mut op = named("delegate", task);
    op["to"] = RELIEF.into();
    op["acts"] = json!(acts);
    op["request_id"] = format!("delegate {}", acts.join(" ")).into();
    op
}

/// What an owner asks for, and its server checks.
fn owner_act(world: &mut World, act: &str, task: &Task) -> Result<Value, Value> {
    let ask = json!({
        "op": format!("issue_{act}"), "request_id": act, "hand": "relief", "server": SERVER,
        "handle": task.handle,
    });
    let issued = world.relief.call(&ask);
    let Some(token) = issued["ok"]["token"].as_str() else {
        return Err(issued["err"].clone());
    };
    let peer = world
        .relief
        .ok(&json!({ "op": "certificate", "name": "relief" }));
    Ok(world.job.server.ok(&json!({
        "op": format!("check_{act}"), "token": token, "peer": peer["certificate"],
        "handle": task.handle,
    })))
}

#[test]
fn a_task_is_carried_out_by_whom_its_owner_named_and_by_nobody_else() {
    let mut world = World::start();
    let task = world.job.create();
    assert_unknown(&world.relief.err(&start_op(&task, "relief")));
    let mut op = delegate_op(&task, &["perform"]);
    op["permissions"] = json!([export()]);
    let made = world.job.client.ok(&op);
    assert_eq!((&made["number"], &made["to"]), (&json!(1), &json!(RELIEF)));
    // A repeat of the request is the same delegation.
    assert_eq!(world.job.client.ok(&op)["number"], 1);
    let leg = world.start_relief(&task);
    let token = text(&world.relief.ok(&step_op(&leg, 1)), "token");
    let fresh = world.job.check(&leg, &token);
    assert_eq!(fresh["answer"], "fresh");
    assert_eq!(fresh["step"]["subject"], "spiffe://demo.test/client");
    world.job.tool.ok(&report_op(&fresh, "done"));
    // Other arguments lie within the owner's grant, and not within what was handed over.
    let mut other = step_op(&leg, 2);
    other["call"]["arguments"] = json!({ "table": "salaries" });
    assert_eq!(world.relief.err(&other)["reason"], "grant");
    // It was named to carry the task out, not to look at it or end it.
    for act in ["query", "cancel", "update"] {
        assert_unknown(&owner_act(&mut world, act, &task).unwrap_err());
    }
    assert_unknown(&world.relief.err(&delegate_op(&task, &["perform"])));
    let shown = world.job.node.operator_json(&["task", "show", &task.id]);
    let requirements = shown["requirements"].to_string();
    assert!(
        requirements.contains("delegate spiffe://demo.test/relief for perform"),
        "{shown}"
    );
    let lent = format!("lent export at {TOOL} with the arguments of SHA-256 ");
    assert!(requirements.contains(&lent), "{shown}");
}

#[test]
fn a_twin_of_a_delegate_is_nobody() {
    if !distinct_uids("a_twin_of_a_delegate_is_nobody") {
        return;
    }
    let mut world = World::start();
    let task = world.job.create();
    world.delegate(&task, &["perform", "query"]);
    let mut twin = world.job.node.actor(&world.job.node.role("relief").twin());
    twin.hand("relief");
    assert_unknown(&twin.err(&start_op(&task, "relief")));
    world.start_relief(&task);
}

#[test]
fn reading_and_ending_are_handed_over_one_by_one() {
    let mut world = World::start();
    let task = world.job.create();
    world.delegate(&task, &["query"]);
    assert_eq!(
        owner_act(&mut world, "query", &task).unwrap()["answer"],
        "read"
    );
    assert_unknown(&owner_act(&mut world, "cancel", &task).unwrap_err());
    assert_unknown(&world.relief.err(&start_op(&task, "relief")));
    world.delegate(&task, &["cancel"]);
    assert_eq!(
        owner_act(&mut world, "cancel", &task).unwrap()["answer"],
        "fresh"
    );
    assert_eq!(
        world.job.owner("query", &task.handle)["task"]["state"],
        "cancelled"
    );
}

#[test]
fn what_is_taken_back_ends_at_once_with_its_leg_and_its_tokens() {
    let mut world = World::start();
    let task = world.job.create();
    let made = world.delegate(&task, &["perform", "query"]);
    let leg = world.start_relief(&task);
    world
        .relief
        .ok(&json!({ "op": "hold", "task_id": task.id, "leg": leg.number }));
    assert_eq!(world.relief.event()["notice"]["kind"], "holding");
    let token = text(&world.relief.ok(&step_op(&leg, 1)), "token");
    let query = world.relief.ok(&json!({
        "op": "issue_query", "request_id": "q", "hand": "relief", "server": SERVER,
        "handle": task.handle,
    }));
    let mut revoke = named("revoke_delegation", &task);
    revoke["number"] = made["number"].clone();
    world.job.client.ok(&revoke);
    assert_eq!(world.relief.event()["notice"]["kind"], "revoked");
    assert_eq!(world.job.check(&leg, &token)["answer"], "denied");
    let peer = world
        .relief
        .ok(&json!({ "op": "certificate", "name": "relief" }));
    let denied = world.job.server.ok(&json!({
        "op": "check_query", "token": query["token"], "peer": peer["certificate"],
        "handle": task.handle,
    }));
    assert_eq!(denied["answer"], "denied", "{denied}");
    assert_unknown(&world.relief.err(&start_op(&task, "relief")));
    // The performer that the task names goes on.
    world.job.start_leg(&task);
}

#[test]
fn a_delegation_ends_with_its_time() {
    let mut world = World::start();
    let task = world.job.create();
    let leg_before = {
        let mut op = delegate_op(&task, &["perform"]);
        let until = now_ms() + 2_000;
        op["not_after_ms"] = until.into();
        world.job.client.ok(&op);
        world.start_relief(&task)
    };
    until("the end of the delegation", || {
        world.relief.call(&step_op(&leg_before, 1))["err"]["reason"] == "unknown_task"
    });
    assert_unknown(&world.relief.err(&start_op(&task, "relief")));
    world.job.start_leg(&task);
}

#[test]
fn nobody_hands_on_more_than_it_has() {
    let mut world = World::start();
    let task = world.job.create();
    let refused = |world: &mut World, op: &Value, reason: &str| {
        assert_eq!(world.job.client.err(op)["reason"], reason, "{op}");
    };
    let mut wide = delegate_op(&task, &["perform"]);
    wide["permissions"] = json!([{ "audience": TOOL, "tool": "delete" }]);
    refused(&mut world, &wide, "not_narrower");
    let mut late = delegate_op(&task, &["perform"]);
    late["not_after_ms"] = u64::MAX.into();
    refused(&mut world, &late, "not_narrower");
    refused(&mut world, &delegate_op(&task, &[]), "not_narrower");
    let mut nobody = delegate_op(&task, &["perform"]);
    nobody["to"] = "spiffe://demo.test/unheard-of".into();
    refused(&mut world, &nobody, "performer_unknown");
    let mut wildcard = delegate_op(&task, &["perform"]);
    wildcard["to"] = "spiffe://demo.test/*".into();
    assert_eq!(world.job.client.err(&wildcard)["code"], "InvalidArgument");
    // Neither the worker nor the server hands anything over: the owner's grant does not say so.
    for actor in ["worker", "server", "tool", "thief"] {
        let mut actor = world.job.node.actor_named(actor);
        assert_unknown(&actor.err(&delegate_op(&task, &["perform"])));
    }
    // A delegate that may hand on, hands on what it has.
    let mut op = delegate_op(&task, &["delegate", "query"]);
    op["permissions"] = json!([export()]);
    world.job.client.ok(&op);
    let mut on = delegate_op(&task, &["query"]);
    on["to"] = "spiffe://demo.test/thief".into();
    let made = world.relief.ok(&on);
    assert_eq!(made["from"], 1);
    let mut more = on.clone();
    more["acts"] = json!(["cancel"]);
    more["request_id"] = "more".into();
    assert_eq!(world.relief.err(&more)["reason"], "not_narrower");
    let mut wider = on.clone();
    wider["request_id"] = "wider".into();
    wider["permissions"] = json!([{ "audience": TOOL, "tool": "export" }]);
    assert_eq!(world.relief.err(&wider)["reason"], "not_narrower");
    // What was made on its strength ends with it.
    let mut thief = world.job.node.actor_named("thief");
    thief.hand("own");
    let query = json!({
        "op": "issue_query", "request_id": "q", "hand": "own", "server": SERVER,
        "handle": task.handle,
    });
    thief.ok(&query);
    let mut revoke = named("revoke_delegation", &task);
    revoke["number"] = 1.into();
    world.job.client.ok(&revoke);
    assert_unknown(&thief.err(&query));
}

#[test]
fn a_takeover_ends_the_leg_and_bars_its_process() {
    let mut world = World::start();
    let task = world.job.create();
    assert_eq!(
        world.job.client.err(&named("take_over", &task))["reason"],
        "no_leg"
    );
    let leg = world.job.start_leg(&task);
    world
        .job
        .worker
        .ok(&json!({ "op": "hold", "task_id": task.id, "leg": leg.number }));
    assert_eq!(world.job.worker.event()["notice"]["kind"], "holding");
    let token = world.job.step_token(&leg, 1);
    for actor in ["server", "tool", "thief"] {
        let mut actor = world.job.node.actor_named(actor);
        assert_unknown(&actor.err(&named("take_over", &task)));
    }
    assert_eq!(
        world.job.client.ok(&named("take_over", &task))["leg"],
        leg.number
    );
    assert_eq!(world.job.worker.event()["notice"]["kind"], "fenced");
    assert_eq!(world.job.check(&leg, &token)["answer"], "denied");
    assert_eq!(
        world.job.worker.err(&start_op(&task, "worker"))["reason"],
        "taken_over"
    );
    // Another process of the same role is another hand.
    let mut other = world.job.node.actor_named("worker");
    other.hand("worker");
    assert_eq!(other.ok(&start_op(&task, "worker"))["leg"], 2);
}
