//! What lasts longer than a certificate, a token or an agent, each beside its positive control.

use crate::fixture::{World, grant, id, owner, permit, role, task, tool, worker};
use handfast::domain::claims::Operation;
use handfast::domain::decide::create::{self, Basis, Register};
use handfast::domain::decide::end;
use handfast::domain::decide::owner::{self as ask, AskOwner};
use handfast::domain::decide::report::Outcome;
use handfast::domain::decide::step::{self, StepAsked};
use handfast::domain::denial::Reason;
use handfast::domain::id::{Digest, Jti, StepNumber, TaskId};
use handfast::domain::lineage::Lineage;
use handfast::domain::policy::Action;
use handfast::domain::role::{AsOwnerPrincipalDue, Held};
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;
use std::time::Duration;

#[test]
fn a_leg_outlives_its_certificate_by_starting_again() {
    let mut world = World::new();
    let first = world.start(&worker()).unwrap();
    world.lineage.task.as_mut().unwrap().deadline = Time(u64::MAX);
    let ends = world.task().leg.as_ref().unwrap().certificate_ends;
    world.time = Time(ends.0 - 1);
    assert!(world.issue(&worker(), (1, 1), (1, 1)).is_ok());
    world.time = ends;
    assert_eq!(
        world.issue(&worker(), (1, 1), (1, 2)),
        Err(Reason::ReattachFirst)
    );
    let again = world.start(&worker()).unwrap();
    assert_eq!(again.leg, first.leg);
    assert!(world.issue(&worker(), (1, 1), (1, 3)).is_ok());
}

#[test]
fn a_retry_stays_a_retry_when_its_own_token_is_lost() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let rows = world.rows(Some(StepNumber(1)), None);
    assert_eq!(
        step::action(&rows, world.task(), StepNumber(1), &world.now()),
        Action::Step
    );
    let token = world.token(1);
    world.check(&tool(), &token, 1).unwrap();
    world.report(&token, Outcome::NotDone).unwrap();
    // The same request again, and after the token's life another one.
    for (wait, request) in [(0, 5), (0, 5), (30_000, 6)] {
        world.later(wait);
        let rows = world.rows(Some(StepNumber(1)), None);
        let action = step::action(&rows, world.task(), StepNumber(1), &world.now());
        assert_eq!(action, Action::Retry);
        match world.issue(&worker(), (1, 1), (1, request)).unwrap() {
            StepAsked::Issue { claims, .. } => assert_eq!(claims.operation, Operation::Retry),
            asked @ (StepAsked::Pending { .. } | StepAsked::Repeat(_)) => {
                panic!("a retry is due: {asked:?}")
            }
        }
    }
}

#[test]
fn an_owner_can_cancel_again_after_the_life_of_a_token() {
    let mut world = World::new();
    let cancel = |world: &mut World| {
        let held = Held::<AsOwnerPrincipalDue>::check(world.task(), &owner()).unwrap();
        let ask = AskOwner {
            jti: Jti([7; 16]),
            certificate: Digest([8; 32]),
            certificate_ends: Time(u64::MAX),
        };
        ask::issue_cancel(&world.lineage, &held, &ask, &permit(), &world.now())
            .map(|issued| world.apply(issued))
            .map(drop)
    };
    for _ in 0..world.limits.owner_tokens_max {
        cancel(&mut world).unwrap();
    }
    assert_eq!(
        cancel(&mut world),
        Err(Reason::Limit("tasks.owner_tokens_max"))
    );
    world.later(30_000);
    assert_eq!(cancel(&mut world), Ok(()));
}

#[test]
fn a_principals_task_is_for_the_servers_own_tool() {
    let world = World::new();
    let vouched = |audience: &str| Register {
        server: role("reports", 20),
        basis: Basis::Principal {
            task: TaskId([5; 16]),
            request: Digest([2; 32]),
        },
        principal: Some(crate::fixture::PRINCIPAL),
        call: handfast::domain::grant::ToolCall {
            audience: id(audience),
            ..task().call
        },
        keep: None,
        own: grant(),
        performers: Vec::new(),
        lifetime: Duration::from_secs(60),
        name: Digest([3; 32]),
    };
    let register =
        |audience| create::register(&Lineage::default(), &vouched(audience), &[], &world.now());
    assert!(register("reports").is_ok());
    assert_eq!(register("warehouse"), Err(Reason::CallDiffers));
}

#[test]
fn a_task_ended_at_its_moment_however_late_that_is_written() {
    let mut world = World::new();
    let deadline = world.task().deadline;
    world.time = Time(deadline.0 + 1_000_000);
    let swept = end::sweep(&world.lineage, &world.now());
    assert_eq!(swept.effect, TaskState::Expired);
    assert_eq!(swept.writes.task.unwrap().ended_at, Some(deadline));
    world.time = Time(deadline.0 - 1);
    assert!(end::sweep(&world.lineage, &world.now()).writes.is_empty());
}

#[test]
fn what_one_clock_has_ended_no_other_clock_ends_again() {
    let unclaimed = Task {
        claimed_at: None,
        ..task()
    };
    for now in [unclaimed.claim_by, unclaimed.deadline] {
        assert_eq!(unclaimed.state_at(now), TaskState::Cancelled);
        assert_eq!(unclaimed.ended_by(now), Some(unclaimed.claim_by));
    }
    let claimed = task();
    assert_eq!(claimed.state_at(claimed.claim_by), TaskState::Working);
    assert_eq!(claimed.state_at(claimed.deadline), TaskState::Expired);
    let short = Task {
        deadline: Time(unclaimed.claim_by.0 - 1),
        ..unclaimed
    };
    assert_eq!(short.state_at(short.claim_by), TaskState::Expired);
}

#[test]
fn a_claim_after_the_end_revives_nothing() {
    for late in [0, 1] {
        let mut world = World::of(Task {
            claimed_at: None,
            ..task()
        });
        world.time = Time(world.task().claim_by.0 - 1 + late);
        let held = Held::<AsOwnerPrincipalDue>::check(world.task(), &owner()).unwrap();
        let ask = AskOwner {
            jti: Jti([7; 16]),
            certificate: Digest([8; 32]),
            certificate_ends: Time(u64::MAX),
        };
        let issued = ask::issue_cancel(&world.lineage, &held, &ask, &permit(), &world.now());
        world.apply(issued.unwrap());
        let state = world
            .task()
            .state_at(world.time.after(Duration::from_secs(1)));
        let alive = state == TaskState::Working;
        assert_eq!(alive, late == 0, "only a claim in time keeps it: {state:?}");
    }
}
