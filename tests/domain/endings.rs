//! How steps settle and tasks end, each beside its positive control.

use crate::fixture::{
    PRINCIPAL, START, World, id, owner_claims, permit, present, process, second_worker, server,
    task, tool, worker,
};
use handfast::domain::claims::Operation;
use handfast::domain::decide::check::{self, OwnerChecked, StepChecked};
use handfast::domain::decide::end::{self, Ending, LegEnding};
use handfast::domain::decide::report::Outcome;
use handfast::domain::decide::step::StepAsked;
use handfast::domain::denial::Reason;
use handfast::domain::id::{ApprovalId, Digest, Fence, Jti, LegNumber, StepNumber};
use handfast::domain::input::Input;
use handfast::domain::lineage::Lineage;
use handfast::domain::role::{AsOwner, AsPerformer, AsServer, Held};
use handfast::domain::step::{Purpose, StepState, TokenRecord};
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;

#[test]
fn a_step_keeps_its_call_once_a_token_of_it_was_used() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    world.token(1);
    world.later(30_000);
    let StepAsked::Issue { claims, .. } = world.issue(&worker(), (1, 1), (2, 2)).unwrap() else {
        panic!("an unused step may change its call")
    };
    let token = present(*claims);
    world.check(&tool(), &token, 2).unwrap();
    world.report(&token, Outcome::NotDone).unwrap();
    assert_eq!(
        world.issue(&worker(), (1, 1), (1, 3)),
        Err(Reason::StepDiffers)
    );
    assert!(world.issue(&worker(), (1, 1), (2, 3)).is_ok());
}

#[test]
fn the_first_reported_outcome_wins() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let token = world.token(1);
    assert_eq!(world.report(&token, Outcome::Done), Err(Reason::NotUsed));
    world.check(&tool(), &token, 1).unwrap();
    assert_eq!(
        world.report(&token, Outcome::Unknown).unwrap(),
        StepState::Unknown
    );
    assert_eq!(
        world.report(&token, Outcome::Done).unwrap(),
        StepState::Done
    );
    assert_eq!(
        world.report(&token, Outcome::Done).unwrap(),
        StepState::Done
    );
    assert_eq!(
        world.report(&token, Outcome::NotDone),
        Err(Reason::OutcomeDiffers)
    );
}

#[test]
fn a_missing_report_becomes_unknown_after_act_by_and_grace() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let token = world.token(1);
    world.check(&tool(), &token, 1).unwrap();
    world.later(6_999);
    assert_eq!(
        world.check(&tool(), &token, 1).unwrap(),
        StepChecked::Repeat(StepState::Used)
    );
    world.later(1);
    assert_eq!(
        world.check(&tool(), &token, 1).unwrap(),
        StepChecked::Repeat(StepState::Unknown)
    );
}

#[test]
fn completed_waits_for_a_running_step_and_yielded_does_not() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let token = world.token(1);
    world.check(&tool(), &token, 1).unwrap();
    let held = Held::<AsPerformer>::check(world.task(), &worker()).unwrap();
    let end = |world: &World, ending| {
        end::end(
            world.task(),
            &held,
            (LegNumber(1), ending),
            &permit(),
            &world.now(),
        )
    };
    let completed = LegEnding::Task(Ending::Completed);
    assert_eq!(end(&world, completed), Err(Reason::StepInFlight));
    assert!(end(&world, LegEnding::Yielded).is_ok());
    world.report(&token, Outcome::Done).unwrap();
    assert_eq!(end(&world, completed).unwrap().effect, TaskState::Completed);
}

#[test]
fn finish_needs_the_fence_while_a_leg_lives() {
    let mut world = World::new();
    let held = Held::<AsServer>::check(world.task(), &server()).unwrap();
    let finish = |world: &World, fence| {
        end::finish(
            world.task(),
            &held,
            (Ending::Completed, fence),
            &permit(),
            &world.now(),
        )
    };
    assert!(finish(&world, None).is_ok());
    let started = world.start(&worker()).unwrap();
    assert_eq!(finish(&world, None), Err(Reason::Fence));
    assert_eq!(
        finish(&world, Some(Fence(started.fence.0 - 1))),
        Err(Reason::Fence)
    );
    assert!(finish(&world, Some(started.fence)).is_ok());
}

#[test]
fn a07_cancel_is_conditional_on_nothing_but_not_terminal() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let step = world.token(1);
    world.records.push(TokenRecord {
        task: world.task().id,
        fence: Fence(50),
        jti: Jti([7; 16]),
        purpose: Purpose::Cancel,
        delegation: None,
        process: None,
        audience: id("reports"),
        certificate: Digest([8; 32]),
        expires_at: Time(world.time.0 + 10_000),
        used_at: None,
    });
    let token = present(owner_claims(&world, Operation::Cancel, Fence(50)));
    let cancel = |world: &World| {
        let held = Held::<AsServer>::check(world.task(), &server()).unwrap();
        let assistant = id("assistant");
        let owner =
            Held::<AsOwner>::with_principal(world.task(), Some(&assistant), Some(PRINCIPAL))
                .unwrap();
        let rows = world.rows(None, Some(Fence(50)));
        check::cancel(
            &rows,
            (&held, &owner),
            Some(&token),
            &permit(),
            &world.now(),
        )
    };
    let done = cancel(&world).unwrap();
    assert_eq!(world.apply(done), OwnerChecked::Cancelled);
    assert_eq!(
        world.check(&tool(), &step, 1),
        Err(Reason::Terminal(TaskState::Cancelled))
    );
    assert_eq!(
        world.start(&worker()),
        Err(Reason::Terminal(TaskState::Cancelled))
    );
    let again = cancel(&world).unwrap();
    assert!(again.writes.is_empty());
    assert_eq!(again.effect, OwnerChecked::Ended(TaskState::Cancelled));
}

#[test]
fn a_leg_belongs_to_a_process_and_not_to_its_account() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    assert_eq!(
        world.issue(&second_worker(), (1, 1), (1, 1)),
        Err(Reason::NoLeg)
    );
    let held = Held::<AsPerformer>::check(world.task(), &second_worker()).unwrap();
    assert!(held.leg_holder(world.task()).is_none());
    let mut recycled = worker();
    recycled.process = Some(handfast::domain::evidence::ProcessKey {
        pidfd_inode: 999,
        ..process(103)
    });
    assert_eq!(world.issue(&recycled, (1, 1), (1, 1)), Err(Reason::NoLeg));
}

#[test]
fn retention_over_a_task_answers_like_one_that_never_was() {
    let mut world = World::new();
    let ended = end::revoke(world.task(), &world.now());
    world.apply(ended);
    assert!(world.lineage.known(&world.now()).is_ok());
    world.later(u64::try_from(world.limits.retention.as_millis()).unwrap());
    assert_eq!(
        world.lineage.known(&world.now()).unwrap_err(),
        Reason::Unknown
    );
    assert_eq!(
        Lineage::default().known(&world.now()).unwrap_err(),
        Reason::Unknown
    );
}

#[test]
fn a_yield_says_what_the_task_waits_for_now() {
    let until = Time(START.0 + 1_000);
    let id = ApprovalId {
        task: task().id,
        step: StepNumber(1),
        serial: [1; 12],
    };
    for (now, state) in [
        (Time(until.0 - 1), TaskState::InputRequired),
        (until, TaskState::Working),
    ] {
        let mut world = World::of(Task {
            state: TaskState::InputRequired,
            inputs: vec![Input::Approval { id, until }],
            ..task()
        });
        world.start(&worker()).unwrap();
        world.time = now;
        let held = Held::<AsPerformer>::check(world.task(), &worker()).unwrap();
        let yielded = (LegNumber(1), LegEnding::Yielded);
        let ended = end::end(world.task(), &held, yielded, &permit(), &world.now()).unwrap();
        assert_eq!(ended.effect, state, "what has lapsed is not waited for");
    }
}
