//! Where policy permits, a task goes on past a step whose outcome nobody knows. That one is not tried again.

use crate::fanning;
use crate::fixture::{World, permit, present, tool, worker};
use crate::rules::{fresh, unknown};
use handfast::domain::decide::Presented;
use handfast::domain::decide::check::StepChecked;
use handfast::domain::decide::report::Outcome;
use handfast::domain::decide::step::StepAsked;
use handfast::domain::denial::Reason;
use handfast::domain::id::{Digest, Epoch, StepNumber};
use handfast::domain::step::StepState;
use std::time::Duration;

/// Step 2, past step 1, is used.
fn past(world: &mut World) -> Presented {
    let asked = world.issue_past(&worker(), (1, 2), (2, 2), Some(permit()));
    let StepAsked::Issue { claims, .. } = asked.unwrap() else {
        panic!("a token is due")
    };
    let second = present(*claims);
    // What is in flight now is no matter for the word on the other.
    assert!(fresh(&world.check(&tool(), &second, 2).unwrap()));
    assert_eq!(skipped(world), [StepNumber(1)]);
    second
}

fn skipped(world: &World) -> Vec<StepNumber> {
    let all = &world.task().skipped_steps;
    all.iter().map(|it| it.number).collect()
}

#[test]
fn without_policys_yes_an_unknown_step_blocks_the_next() {
    let (mut world, _) = unknown();
    let refused = world.issue_past(&worker(), (1, 2), (2, 2), None);
    assert_eq!(refused, Err(Reason::StepUnknown));
    past(&mut world);
}

#[test]
fn the_same_call_under_another_number_is_a_blind_retry_too() {
    let (mut world, _) = unknown();
    let again = world.issue_past(&worker(), (1, 2), (1, 2), Some(permit()));
    assert_eq!(again, Err(Reason::StepUnknown));
    past(&mut world);
}

#[test]
fn what_was_passed_over_is_tried_under_no_number_until_somebody_says_what_became_of_it() {
    for outcome in [Outcome::Done, Outcome::NotDone] {
        let (mut world, first) = unknown();
        let second = past(&mut world);
        world.report(&second, Outcome::Done).unwrap();
        // Whether policy would let it pass over something else or not.
        for yes in [None, Some(permit())] {
            let again = world.issue_past(&worker(), (1, 3), (1, 3), yes);
            assert_eq!(again, Err(Reason::StepUnknown));
        }
        world.report(&first, outcome).unwrap();
        world.issue(&worker(), (1, 3), (1, 4)).unwrap();
    }
}

#[test]
fn a_step_that_has_passed_another_over_does_not_become_it() {
    let (mut world, _) = unknown();
    let issue = |world: &mut World, arguments, request| {
        world.issue_past(&worker(), (1, 2), (arguments, request), Some(permit()))
    };
    issue(&mut world, 2, 2).unwrap();
    // By the same request, which may still change what it was never used for, and by a new one.
    let again = issue(&mut world, 1, 2);
    assert_eq!(again, Err(Reason::StepUnknown));
    issue(&mut world, 3, 2).unwrap();
    world.later(31_000);
    let anew = world.issue(&worker(), (1, 2), (1, 4));
    assert_eq!(anew, Err(Reason::StepUnknown));
    world.issue(&worker(), (1, 2), (3, 5)).unwrap();
}

#[test]
fn a_step_that_is_done_stays_so_where_one_with_the_same_call_was_passed_over() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let first = world.token(1);
    assert!(fresh(&world.check(&tool(), &first, 1).unwrap()));
    world.report(&first, Outcome::Done).unwrap();
    // The same call again, as another step of the program, of which nobody knows.
    let StepAsked::Issue { claims, .. } = world.issue(&worker(), (1, 2), (1, 2)).unwrap() else {
        panic!("a token is due")
    };
    assert!(fresh(&world.check(&tool(), &present(*claims), 1).unwrap()));
    world.time = world.time.after(Duration::from_secs(8));
    world
        .issue_past(&worker(), (1, 3), (2, 3), Some(permit()))
        .unwrap();
    assert_eq!(skipped(&world), [StepNumber(2)]);
    // Whoever starts over is told what became of it.
    let done = world.issue(&worker(), (1, 1), (1, 4));
    assert_eq!(done, Ok(StepAsked::Repeat(StepState::Done)));
    let unknown = world.issue(&worker(), (1, 2), (1, 5));
    assert_eq!(unknown, Err(Reason::StepUnknown));
}

#[test]
fn one_that_is_unknown_is_not_passed_over_by_another_definition_of_its_tool() {
    let (mut world, _) = unknown();
    let pending = world.lineage.task.as_mut().unwrap().pending.as_mut();
    pending.unwrap().call.definition = Some(Digest([5; 32]));
    let again = world.issue_past(&worker(), (1, 2), (1, 2), Some(permit()));
    assert_eq!(again, Err(Reason::StepUnknown));
    past(&mut world);
}

#[test]
fn a_tool_that_changed_its_definition_is_the_same_tool() {
    let (mut world, _) = unknown();
    let second = past(&mut world);
    world.report(&second, Outcome::Done).unwrap();
    let skipped = &mut world.lineage.task.as_mut().unwrap().skipped_steps;
    skipped[0].call.definition = Some(Digest([5; 32]));
    let again = world.issue(&worker(), (1, 3), (1, 3));
    assert_eq!(again, Err(Reason::StepUnknown));
}

#[test]
fn a_step_that_was_passed_over_is_unknown_still_and_never_tried_blindly() {
    let (mut world, _) = unknown();
    past(&mut world);
    // Neither with policy's yes nor without: that is to another step.
    for yes in [None, Some(permit())] {
        let again = world.issue_past(&worker(), (1, 1), (1, 3), yes);
        assert_eq!(again, Err(Reason::StepUnknown));
    }
    world.epoch = Epoch(3);
    let started = world.start(&worker()).unwrap();
    let open = [
        (StepNumber(1), StepState::Unknown),
        (StepNumber(2), StepState::Unknown),
    ];
    assert_eq!(started.open, open);
}

#[test]
fn a_late_report_of_a_step_that_was_passed_over_settles_it_and_no_other() {
    for (outcome, state) in [
        (Outcome::Done, StepState::Done),
        (Outcome::NotDone, StepState::NotDone),
    ] {
        let (mut world, first) = unknown();
        past(&mut world);
        let in_flight = world.task().pending.clone();
        assert!(in_flight.is_some());
        assert_eq!(world.report(&first, outcome).unwrap(), state);
        assert_eq!(world.task().pending, in_flight);
        assert!(world.task().skipped_steps.is_empty());
        let again = world.issue(&worker(), (1, 1), (1, 4));
        match outcome {
            Outcome::Done => assert_eq!(again, Ok(StepAsked::Repeat(StepState::Done))),
            // Step 2 is in flight.
            Outcome::NotDone | Outcome::Unknown => assert_eq!(again, Err(Reason::StepInFlight)),
        }
    }
}

#[test]
fn the_used_token_of_a_step_that_was_passed_over_is_no_second_effect() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let first = world.token(1);
    assert!(fresh(&world.check(&tool(), &first, 1).unwrap()));
    world.time = world.time.after(Duration::from_secs(8));
    past(&mut world);
    let again = world.check(&tool(), &first, 1).unwrap();
    assert_eq!(again, StepChecked::Repeat(StepState::Unknown));
}

#[test]
fn both_sides_of_the_limit_of_steps_passed_over() {
    let (mut world, _) = unknown();
    world.limits.open_steps_max = 0;
    let refused = world.issue_past(&worker(), (1, 2), (2, 2), Some(permit()));
    assert_eq!(refused, Err(Reason::Limit("tasks.open_steps_max")));
    world.limits.open_steps_max = 1;
    past(&mut world);
}

/// A parent of which one step is used, and a moment at which nobody knows how that ended.
fn parent_of_an_unknown_step() -> (World, Presented) {
    let mut world = fanning::parent(2, 1, None);
    let first = world.token(1);
    assert!(fresh(&world.check(&tool(), &first, 1).unwrap()));
    world.time = world.time.after(Duration::from_secs(8));
    (world, first)
}

#[test]
fn no_child_is_made_while_nobody_knows_how_a_step_ended() {
    let child = fanning::ask(1, vec![(fanning::terms(0, 0, None), None)]);
    let spawned = |world: &World| fanning::spawn(world, &child).map(|made| made.effect.repeat);
    for passed in [false, true] {
        let (mut world, first) = parent_of_an_unknown_step();
        if passed {
            past(&mut world);
        }
        // With policy's yes or without: that is to another step, not to the same call by another task.
        assert_eq!(spawned(&world), Err(Reason::StepUnknown), "{passed}");
        world.report(&first, Outcome::NotDone).unwrap();
        assert_eq!(spawned(&world), Ok(false), "{passed}");
    }
}

#[test]
fn children_that_were_made_are_answered_again_whatever_became_of_a_step() {
    let child = fanning::ask(1, vec![(fanning::terms(0, 0, None), None)]);
    let mut world = fanning::parent(2, 1, None);
    let made = fanning::spawn(&world, &child).unwrap();
    let row = made.writes.spawned.clone();
    let ids = world.apply(made).ids;
    let first = world.token(1);
    assert!(fresh(&world.check(&tool(), &first, 1).unwrap()));
    world.time = world.time.after(Duration::from_secs(8));
    let another = fanning::ask(2, vec![(fanning::terms(0, 0, None), None)]);
    let refused = fanning::spawn(&world, &another);
    assert_eq!(refused.unwrap_err(), Reason::StepUnknown);
    world.lineage.spawned = row;
    let again = fanning::spawn(&world, &child).unwrap();
    assert!(again.writes.is_empty() && again.effect.repeat);
    assert_eq!(again.effect.ids, ids);
}
