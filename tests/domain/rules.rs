//! The invariants that are decided without any edge, each beside its positive control.

use crate::fixture::{World, grant, id, permit, second_worker, server, tool, twin, worker};
use handfast::domain::claims::{Operation, Subject};
use handfast::domain::decide::Presented;
use handfast::domain::decide::check::StepChecked;
use handfast::domain::decide::end::{self, Ending};
use handfast::domain::decide::leg;
use handfast::domain::decide::report::Outcome;
use handfast::domain::decide::step::StepAsked;
use handfast::domain::denial::Reason;
use handfast::domain::grant::Grant;
use handfast::domain::id::{Digest, Epoch, Fence, Jti, LegNumber};
use handfast::domain::role::{AsServer, Held};
use handfast::domain::step::StepState;
use handfast::domain::task::TaskState;
use handfast::domain::time::Time;

pub(crate) fn fresh(answer: &StepChecked) -> bool {
    matches!(answer, StepChecked::Fresh(_))
}

#[test]
fn invariant_04_a_token_is_fresh_once_and_a_repeat_says_what_became_of_it() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let token = world.token(1);
    assert!(fresh(&world.check(&tool(), &token, 1).unwrap()));
    for _ in 0..1_000 {
        assert_eq!(
            world.check(&tool(), &token, 1).unwrap(),
            StepChecked::Repeat(StepState::Used)
        );
    }
    assert_eq!(
        world.report(&token, Outcome::Done).unwrap(),
        StepState::Done
    );
    assert_eq!(
        world.check(&tool(), &token, 1).unwrap(),
        StepChecked::Repeat(StepState::Done)
    );
}

#[test]
fn invariant_03_a_token_works_on_its_key_for_its_call_at_its_audience_and_time_only() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let token = world.token(1);
    let mut other_key = token.clone();
    other_key.certificate = Digest([66; 32]);
    assert_eq!(
        world.check(&tool(), &other_key, 1),
        Err(Reason::Certificate)
    );
    assert_eq!(world.check(&tool(), &token, 2), Err(Reason::CallDiffers));
    assert!(
        world.check(&worker(), &token, 1).is_err(),
        "the caller is not the audience"
    );
    let mut late = world.clone();
    late.later(30_000);
    assert_eq!(late.check(&tool(), &token, 1), Err(Reason::TokenExpired));
    world.later(29_999);
    assert!(
        fresh(&world.check(&tool(), &token, 1).unwrap()),
        "refused calls burned nothing"
    );
}

#[test]
fn invariant_05_a_signature_without_a_row_is_an_alarm() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let token = world.token(1);
    let mut minted = token.clone();
    minted.claims.jti = Jti([99; 16]);
    assert_eq!(world.check(&tool(), &minted, 1), Err(Reason::Alarm));
    let mut minted = token.clone();
    minted.claims.fence = Fence(77);
    assert_eq!(world.check(&tool(), &minted, 1), Err(Reason::Alarm));
    assert!(fresh(&world.check(&tool(), &token, 1).unwrap()));
}

#[test]
fn invariant_06_one_leg_at_a_time_and_the_fence_only_grows() {
    let mut world = World::new();
    let first = world.start(&worker()).unwrap();
    assert!(matches!(
        world.start(&second_worker()),
        Err(Reason::Held { .. })
    ));
    assert!(matches!(world.start(&twin()), Err(Reason::NotHeld(_))));
    let again = world.start(&worker()).unwrap();
    assert!(again.reattached && again.leg == first.leg && again.fence > first.fence);
    let lost = leg::lose(world.task(), first.leg);
    world.apply(lost);
    let second = world.start(&second_worker()).unwrap();
    assert_eq!(second.leg, LegNumber(2));
    assert!(second.fence > again.fence && !second.reattached);
}

#[test]
fn invariant_07_terminal_states_absorb() {
    for ending in [Ending::Completed, Ending::Failed] {
        let mut world = World::new();
        let started = world.start(&worker()).unwrap();
        let token = world.token(1);
        let held = Held::<AsServer>::check(world.task(), &server()).unwrap();
        let how = (ending, Some(started.fence));
        let finished = end::finish(world.task(), &held, how, &permit(), &world.now()).unwrap();
        let state = world.apply(finished);
        assert_eq!(
            world.check(&tool(), &token, 1),
            Err(Reason::Terminal(state))
        );
        assert_eq!(world.start(&worker()), Err(Reason::Terminal(state)));
        assert_eq!(
            world.issue(&worker(), (1, 2), (1, 2)),
            Err(Reason::Terminal(state))
        );
        let revoked = end::revoke(world.task(), &world.now());
        assert!(revoked.writes.is_empty() && revoked.effect == state);
    }
}

#[test]
fn a_deadline_and_a_missed_claim_end_a_task_at_their_moment_unwritten() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let token = world.token(1);
    world.time = world.task().deadline;
    assert_eq!(
        world.start(&worker()),
        Err(Reason::Terminal(TaskState::Expired))
    );
    assert!(world.check(&tool(), &token, 1).is_err());
    let mut unclaimed = World::new();
    unclaimed.lineage.task.as_mut().unwrap().claimed_at = None;
    unclaimed.time = Time(unclaimed.task().claim_by.0 - 1);
    assert!(unclaimed.start(&worker()).is_ok());
    unclaimed.time = unclaimed.task().claim_by;
    assert_eq!(
        unclaimed.start(&worker()),
        Err(Reason::Terminal(TaskState::Cancelled))
    );
}

#[test]
fn invariant_08_a_step_is_under_the_owners_grant_or_the_servers_own() {
    let subject_of = |world: &mut World| match world.issue(&worker(), (1, 1), (1, 1)).unwrap() {
        StepAsked::Issue { claims, .. } => (claims.subject, claims.actor),
        StepAsked::Pending { .. } | StepAsked::Repeat(_) => panic!("a first step is no repeat"),
    };
    let mut asked = World::new();
    asked.start(&worker()).unwrap();
    let (subject, actor) = subject_of(&mut asked);
    assert_eq!(
        (subject, actor),
        (Subject::Workload(id("assistant")), id("worker"))
    );

    let mut own = World::new();
    let row = own.lineage.task.as_mut().unwrap();
    (row.asked, row.own) = (Grant::default(), grant());
    own.start(&worker()).unwrap();
    assert_eq!(subject_of(&mut own).0, Subject::Workload(id("reports")));

    let mut neither = World::new();
    neither.lineage.task.as_mut().unwrap().asked = Grant::default();
    neither.start(&worker()).unwrap();
    assert_eq!(neither.issue(&worker(), (1, 1), (1, 1)), Err(Reason::Grant));
}

#[test]
fn invariant_13_a_restart_ends_every_token_but_not_the_work() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let unused = world.token(1);
    world.epoch = Epoch(2);
    assert_eq!(
        world.check(&tool(), &unused, 1),
        Err(Reason::TokenInvalid("epoch"))
    );
    assert_eq!(
        world.issue(&worker(), (1, 1), (1, 1)),
        Err(Reason::ReattachFirst)
    );
    assert!(matches!(
        world.start(&second_worker()),
        Err(Reason::Held { .. })
    ));
    let again = world.start(&worker()).unwrap();
    assert!(again.reattached && again.leg == LegNumber(1));
    assert_eq!(
        again.open,
        vec![(handfast::domain::id::StepNumber(1), StepState::Void)]
    );
    let token = world.token(1);
    assert!(fresh(&world.check(&tool(), &token, 1).unwrap()));
}

/// A world in which step 1 was used, and nobody knows what became of it; and its token.
pub(crate) fn unknown() -> (World, Presented) {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let token = world.token(1);
    world.check(&tool(), &token, 1).unwrap();
    world.epoch = Epoch(2);
    world.start(&worker()).unwrap();
    (world, token)
}

#[test]
fn a_used_step_is_unknown_after_a_restart_until_its_audience_reports() {
    let (mut world, token) = unknown();
    assert_eq!(
        world.issue(&worker(), (1, 1), (1, 2)),
        Err(Reason::StepUnknown)
    );
    assert_eq!(
        world.issue(&worker(), (1, 2), (1, 2)),
        Err(Reason::StepUnknown)
    );
    assert_eq!(
        world.report(&token, Outcome::NotDone).unwrap(),
        StepState::NotDone
    );
    let before = world.records.len();
    match world.issue(&worker(), (1, 1), (1, 3)).unwrap() {
        StepAsked::Issue {
            claims,
            idempotency_key,
        } => {
            assert_eq!(claims.operation, Operation::Retry);
            assert_eq!(idempotency_key, Digest([1; 32]), "equal over retries");
        }
        asked @ (StepAsked::Pending { .. } | StepAsked::Repeat(_)) => {
            panic!("a retry is due: {asked:?}")
        }
    }
    assert_eq!(world.records.len(), before + 1);
}

#[test]
fn a54_a_lost_reply_voids_the_old_token_and_never_leaves_two() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let lost = world.token(1);
    let second = world.token(1);
    assert_eq!(
        world.issue(&worker(), (1, 1), (1, 2)),
        Err(Reason::StepInFlight)
    );
    assert_eq!(world.check(&tool(), &lost, 1), Err(Reason::TokenVoid));
    assert!(fresh(&world.check(&tool(), &second, 1).unwrap()));
    assert_eq!(
        world.issue(&worker(), (1, 1), (1, 1)).unwrap(),
        StepAsked::Repeat(StepState::Used)
    );
}

#[test]
fn at_most_one_step_is_in_flight_and_numbers_have_no_gaps() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    assert_eq!(
        world.issue(&worker(), (1, 2), (1, 1)),
        Err(Reason::StepOutOfOrder)
    );
    assert_eq!(
        world.issue(&worker(), (1, 0), (1, 1)),
        Err(Reason::StepOutOfOrder)
    );
    let token = world.token(1);
    assert_eq!(
        world.issue(&worker(), (1, 2), (1, 2)),
        Err(Reason::StepInFlight)
    );
    world.check(&tool(), &token, 1).unwrap();
    assert_eq!(
        world.issue(&worker(), (1, 2), (1, 2)),
        Err(Reason::StepInFlight)
    );
    world.report(&token, Outcome::Done).unwrap();
    assert!(world.issue(&worker(), (1, 2), (1, 2)).is_ok());
}
