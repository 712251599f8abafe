//! A role may demand a release: then a task outlives the deploy of its worker, and not that of something else.

use crate::handover::{World, delegate_op};
use crate::job::{Job, Leg, Task, assert_unknown, export, report_op, start_op, step_op, text};
use crate::node::{Options, Role, Row, program_of, until};
use handfast::domain::id::Hex;
use serde_json::json;

/// SHA-256 of a build, as the configuration writes it.
fn digest(build: &str) -> String {
    Hex(&handfast::canonical::sha256(&program_of(build)).0).to_string()
}

/// A relief that must be of a release of two builds.
fn world() -> World {
    let builds = [digest("first"), digest("second")];
    let mut options = Options {
        config: format!("[[release]]\nname = \"relief\"\nexecutables_s256 = {builds:?}\n"),
        ..Options::default()
    };
    options
        .roles
        .push(Role::new("relief", 30_006, Row::Release));
    let job = Job::with(&options);
    job.node.deploy("relief", "first");
    let mut relief = job.node.actor_named("relief");
    relief.hand("relief");
    World { job, relief }
}

/// Ends the relief, and starts it again from another build.
fn deploy(world: &mut World, build: &str) {
    world.relief.kill();
    world.job.node.deploy("relief", build);
    world.relief = world.job.node.actor_named("relief");
    world.relief.hand("relief");
}

/// Starts a leg, as soon as that of the process before is over.
fn start(world: &mut World, task: &Task) -> Leg {
    until("the end of the leg before", || {
        world.relief.call(&start_op(task, "relief"))["err"]["reason"] != "held"
    });
    world.start_relief(task)
}

#[test]
fn a_delegate_goes_on_after_a_deploy_of_its_release_and_after_no_other() {
    let mut world = world();
    let task = world.job.create();
    let mut lent = delegate_op(&task, &["perform"]);
    lent["permissions"] = json!([export()]);
    world.job.client.ok(&lent);
    for (build, number) in [("first", 1), ("second", 2)] {
        deploy(&mut world, build);
        let leg = start(&mut world, &task);
        assert_eq!(leg.number, number);
        let token = text(&world.relief.ok(&step_op(&leg, number)), "token");
        let fresh = world.job.check(&leg, &token);
        assert_eq!(fresh["answer"], "fresh");
        world.job.tool.ok(&report_op(&fresh, "done"));
    }
    // The same SPIFFE ID, user and path, and another program.
    deploy(&mut world, "other");
    let denied = world.relief.err(&start_op(&task, "relief"));
    assert_unknown(&denied);
    let why = world.job.node.explain(&text(&denied, "decision_id"));
    let explained = why["explanation"].to_string();
    assert!(explained.contains("belongs to no such release"), "{why}");
    deploy(&mut world, "second");
    assert_eq!(start(&mut world, &task).number, 3);
}
