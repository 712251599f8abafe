//! The invariants that are decided without any edge, each beside its positive control.

use crate::fixture::{
    PRINCIPAL, World, call, grant, id, owner_claims, permit, present, process, role, second_worker,
    server, task, tool, twin, worker,
};
use handfast::domain::claims::{Operation, Subject};
use handfast::domain::decide::check::{self, OwnerChecked, StepChecked};
use handfast::domain::decide::create::{self, Basis, Register};
use handfast::domain::decide::end::{self, Ending, LegEnding};
use handfast::domain::decide::leg;
use handfast::domain::decide::report::Outcome;
use handfast::domain::decide::step::StepAsked;
use handfast::domain::denial::Reason;
use handfast::domain::grant::{Grant, Permission};
use handfast::domain::id::{Digest, Epoch, Fence, Jti, LegNumber, TaskId};
use handfast::domain::lineage::{CreateTerms, Lineage};
use handfast::domain::role::{AsOwner, AsPerformer, AsServer, Held};
use handfast::domain::step::{Purpose, StepState, TokenRecord};
use handfast::domain::task::TaskState;
use handfast::domain::time::Time;
use std::time::Duration;

fn fresh(answer: &StepChecked) -> bool {
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
        StepAsked::Repeat(_) => panic!("a first step is no repeat"),
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

#[test]
fn a_used_step_is_unknown_after_a_restart_until_its_audience_reports() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let token = world.token(1);
    world.check(&tool(), &token, 1).unwrap();
    world.epoch = Epoch(2);
    world.start(&worker()).unwrap();
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
        StepAsked::Repeat(state) => panic!("a retry is due, not {state:?}"),
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

fn terms() -> CreateTerms {
    CreateTerms {
        task: TaskId([5; 16]),
        owner: role("assistant", 10),
        server: id("reports"),
        call: task().call,
        asked: grant(),
        performers: vec![role("worker", 30)],
        lifetime: Duration::from_secs(60),
        jti: Jti([7; 16]),
        certificate: Digest([8; 32]),
        issued_at: crate::fixture::START,
        expires_at: Time(crate::fixture::START.0 + 30_000),
        epoch: Epoch(1),
        request: Digest([2; 32]),
        used_at: None,
    }
}

fn registration(world: &World) -> Register {
    Register {
        server: role("reports", 20),
        basis: Basis::Token(present(owner_claims(world, Operation::Create, Fence(1)))),
        principal: Some(PRINCIPAL),
        call: task().call,
        keep: None,
        own: Grant::default(),
        performers: Vec::new(),
        lifetime: Duration::from_secs(3600),
        name: Digest([3; 32]),
    }
}

#[test]
fn a60_owner_call_and_grant_come_from_the_create_token() {
    let world = World::new();
    let lineage = Lineage {
        id: Some(TaskId([5; 16])),
        terms: Some(terms()),
        ..Lineage::default()
    };
    let ask = registration(&world);
    let made = create::register(&lineage, &ask, &[], &world.now()).unwrap();
    let row = made.writes.task.unwrap();
    assert_eq!(row.owner.workload, Some(role("assistant", 10)));
    assert_eq!(
        (row.call, row.asked, row.own),
        (task().call, grant(), Grant::default())
    );
    assert_eq!(made.writes.terms.unwrap().used_at, Some(world.time));

    let wider = Permission {
        tool: "delete".to_owned(),
        ..grant().permissions[0].clone()
    };
    let ask = Register {
        keep: Some(vec![wider]),
        ..registration(&world)
    };
    assert_eq!(
        create::register(&lineage, &ask, &[], &world.now()),
        Err(Reason::Grant)
    );
    let ask = Register {
        call: call(2),
        ..registration(&world)
    };
    assert_eq!(
        create::register(&lineage, &ask, &[], &world.now()),
        Err(Reason::CallDiffers)
    );
    let ask = Register {
        performers: vec![role("thief", 1)],
        ..registration(&world)
    };
    assert_eq!(
        create::register(&lineage, &ask, &[], &world.now()),
        Err(Reason::Grant)
    );
}

#[test]
fn a61_a_name_belongs_to_one_task_and_a_repeat_returns_it() {
    let world = World::new();
    let squatted = Lineage {
        id: Some(TaskId([5; 16])),
        terms: Some(terms()),
        named: Some(TaskId([6; 16])),
        ..Lineage::default()
    };
    let ask = registration(&world);
    assert_eq!(
        create::register(&squatted, &ask, &[], &world.now()),
        Err(Reason::Handle)
    );
    let mut unclaimed = task();
    unclaimed.claimed_at = None;
    let used = Lineage {
        id: Some(TaskId([5; 16])),
        terms: Some(CreateTerms {
            used_at: Some(world.time),
            ..terms()
        }),
        task: Some(unclaimed),
        ..Lineage::default()
    };
    let same = create::register(&used, &ask, &[], &world.now()).unwrap();
    assert!(same.effect.repeat && same.writes.is_empty());
    let renamed = Register {
        name: Digest([4; 32]),
        ..registration(&world)
    };
    let moved = create::register(&used, &renamed, &[], &world.now()).unwrap();
    assert_eq!(moved.writes.bind, Some(Digest([4; 32])));
    assert_eq!(moved.writes.release, Some(Digest([3; 32])));
    let claimed = Lineage {
        task: Some(task()),
        ..used
    };
    assert_eq!(
        create::register(&claimed, &renamed, &[], &world.now()),
        Err(Reason::Handle)
    );
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
