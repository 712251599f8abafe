//! A task is as its whole line makes it: a dead or missing ancestor is a dead child.

use crate::fixture::{START, World, id, task, worker};
use handfast::domain::decide::end;
use handfast::domain::denial::Reason;
use handfast::domain::id::TaskId;
use handfast::domain::input::Input;
use handfast::domain::lineage::{DEPTH_MAX, Lineage};
use handfast::domain::role::{AsPerformer, Held};
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;
use std::borrow::Cow;
use std::time::Duration;

fn ancestor(number: u8, parent: Option<u8>) -> Task {
    Task {
        id: TaskId([number; 16]),
        parent: parent.map(|parent| TaskId([parent; 16])),
        ..task()
    }
}

/// A task with a living parent and grandparent.
fn grandchild() -> World {
    let mut world = World::of(Task {
        parent: Some(TaskId([20; 16])),
        ..task()
    });
    world.lineage.ancestors = vec![ancestor(20, Some(21)), ancestor(21, None)];
    world
}

fn state(lineage: &Lineage, now: Time) -> TaskState {
    lineage.as_of(now).task.as_ref().unwrap().state_at(now)
}

#[test]
fn a_task_with_living_ancestors_is_as_its_row_says() {
    let world = grandchild();
    assert!(matches!(world.lineage.as_of(world.time), Cow::Borrowed(_)));
    assert_eq!(state(&world.lineage, world.time), TaskState::Working);
}

#[test]
fn a_dead_ancestor_is_a_dead_child_from_its_moment_on() {
    for ended in [
        TaskState::Cancelled,
        TaskState::Completed,
        TaskState::Expired,
        TaskState::Failed,
    ] {
        for which in [0, 1] {
            let mut world = grandchild();
            let at = START.after(Duration::from_secs(1));
            world.later(5_000);
            world.lineage.ancestors[which].state = ended;
            world.lineage.ancestors[which].ended_at = Some(at);
            let seen = world.lineage.as_of(world.time).into_owned().task.unwrap();
            assert_eq!(seen.state, TaskState::Cancelled);
            assert_eq!(seen.ended_at, Some(at));
        }
    }
}

#[test]
fn an_ancestor_dies_by_the_clock_too() {
    let mut world = grandchild();
    let deadline = START.after(Duration::from_secs(60));
    world.lineage.ancestors[1].deadline = deadline;
    let before = Time(deadline.0 - 1);
    assert_eq!(state(&world.lineage, before), TaskState::Working);
    assert_eq!(state(&world.lineage, deadline), TaskState::Cancelled);
}

#[test]
fn a_child_that_its_line_ended_does_not_end_again_by_its_own_clock() {
    let mut world = grandchild();
    let (ended, deadline) = (Time(START.0 + 1_000), world.task().deadline);
    world.lineage.ancestors[0].state = TaskState::Failed;
    world.lineage.ancestors[0].ended_at = Some(ended);
    for now in [ended, deadline, Time(deadline.0 + 1)] {
        let seen = world.lineage.as_of(now).into_owned().task.unwrap();
        assert_eq!(seen.state_at(now), TaskState::Cancelled);
        assert_eq!(seen.ended_by(now), Some(ended));
    }
    // The reverse: its own deadline came first, and its parent's end changes nothing of it.
    world.lineage.ancestors[0].ended_at = Some(Time(deadline.0 + 1));
    let now = Time(deadline.0 + 2);
    let seen = world.lineage.as_of(now).into_owned().task.unwrap();
    assert_eq!(seen.state_at(now), TaskState::Expired);
    assert_eq!(seen.ended_by(now), Some(deadline));
}

#[test]
fn a_missing_ancestor_is_a_dead_one() {
    let mut world = grandchild();
    world.lineage.ancestors.pop();
    assert_eq!(state(&world.lineage, world.time), TaskState::Cancelled);
    world.lineage.ancestors.clear();
    assert_eq!(state(&world.lineage, world.time), TaskState::Cancelled);
}

#[test]
fn a_line_longer_than_any_may_be_is_dead() {
    let mut world = grandchild();
    let longest = u8::try_from(DEPTH_MAX).unwrap();
    world.lineage.ancestors = (1..=longest)
        .map(|number| ancestor(100 + number, Some(101 + number)))
        .collect();
    assert_eq!(state(&world.lineage, world.time), TaskState::Cancelled);
    world.lineage.ancestors.last_mut().unwrap().parent = None;
    assert_eq!(state(&world.lineage, world.time), TaskState::Working);
}

#[test]
fn a_leg_of_a_dead_line_is_gone_and_nobody_starts_another() {
    let mut world = grandchild();
    world.start(&worker()).unwrap();
    world.lineage.ancestors[1].state = TaskState::Cancelled;
    let seen = world.lineage.as_of(world.time).into_owned();
    let task = seen.known(&world.now()).unwrap();
    assert_eq!(task.leg, None);
    // The performer learns that it is over, as from a task that was itself cancelled.
    Held::<AsPerformer>::check(task, &worker()).unwrap();
    let mut dead = World {
        lineage: seen.clone(),
        ..world
    };
    assert_eq!(
        dead.start(&worker()),
        Err(Reason::Terminal(TaskState::Cancelled))
    );
}

#[test]
fn a_sweep_writes_down_what_the_line_decided() {
    let mut world = grandchild();
    assert!(end::sweep(&world.lineage, &world.now()).writes.is_empty());
    world.lineage.ancestors[0].state = TaskState::Cancelled;
    world.lineage.ancestors[0].ended_at = Some(START);
    world.later(1_000);
    let swept = end::sweep(&world.lineage, &world.now());
    assert_eq!(swept.effect, TaskState::Cancelled);
    world.apply(swept);
    assert_eq!(world.task().state, TaskState::Cancelled);
    assert_eq!(world.task().ended_at, Some(START));
    assert!(end::sweep(&world.lineage, &world.now()).writes.is_empty());
}

#[test]
fn a_task_that_waits_for_an_answer_is_alive_but_takes_no_new_step() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let waits = |world: &mut World, inputs| world.lineage.task.as_mut().unwrap().inputs = inputs;
    waits(&mut world, vec![Input::Server("amount".to_owned())]);
    assert_eq!(
        world.issue(&worker(), (1, 1), (1, 1)),
        Err(Reason::InputRequired)
    );
    waits(&mut world, Vec::new());
    world.issue(&worker(), (1, 1), (1, 1)).unwrap();
    assert_eq!(
        world.task().owner.workload.as_ref().unwrap().spiffe_id,
        id("assistant")
    );
}
