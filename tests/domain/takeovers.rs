//! A takeover ends a leg for good: its process never comes back, and a repeat takes no other leg.

use crate::fixture::{World, evidence, owner, permit, role, task};
use crate::handover::{ask, delegate, world};
use crate::ordering::{ordered, taken_over};
use handfast::domain::barred::Barred;
use handfast::domain::decide::handover::AskDelegate;
use handfast::domain::decide::owner::{AskOwner, issue_cancel, issue_query, issue_update};
use handfast::domain::delegation::Act;
use handfast::domain::denial::Reason;
use handfast::domain::evidence::Evidence;
use handfast::domain::id::{DelegationNumber, Digest, Jti, LegNumber, TaskId};
use handfast::domain::lineage::Lineage;
use handfast::domain::order::Order;
use handfast::domain::role::{AsOwnerPrincipalDue, Held};
use handfast::domain::task::Task;
use handfast::domain::time::Time;

/// A worker's process, the younger the higher its number.
fn aged(pid: i32) -> Evidence {
    let mut worker = evidence("worker", pid, 30);
    let process = worker.process.as_mut().unwrap();
    process.start_ticks = u64::try_from(pid).unwrap();
    worker
}

fn take(world: &mut World, (pid, request): (i32, u8)) -> Result<LegNumber, Reason> {
    let held = Held::<AsOwnerPrincipalDue>::check(world.task(), &owner()).unwrap();
    if pid > 0 {
        world.start(&aged(pid))?;
    }
    let request = Digest([request; 32]);
    let asked = Order::Takeover(request, ());
    let taken = ordered(&world.lineage, &held, &asked, &world.now())?;
    Ok(taken_over(&world.apply(taken)))
}

#[test]
fn however_often_a_task_is_taken_over_nobody_comes_back() {
    let mut world = world();
    world.limits.takeovers_max = 2;
    for pid in 103..110 {
        let request = u8::try_from(pid).unwrap();
        take(&mut world, (pid, request)).unwrap();
        for lost in 103..=pid {
            let again = world.start(&aged(lost));
            assert_eq!(again.map(drop), Err(Reason::TakenOver), "{lost}");
        }
    }
    assert!(world.task().takeovers.0.len() <= 2);
}

#[test]
fn delegates_take_over_no_more_than_can_be_kept_apart_and_leave_the_owner_its_own() {
    for (most, half) in [(1, 1), (2, 1), (16, 8)] {
        let mut world = world();
        world.limits.takeovers_max = most;
        delegate(&mut world, &owner(), &ask([Act::Takeover], 1)).unwrap();
        let by = |world: &mut World, who: &Evidence, pid: u8| {
            world.start(&aged(pid.into())).unwrap();
            let request = Digest([pid; 32]);
            let asked = Order::Takeover(request, ());
            let held = Held::<AsOwnerPrincipalDue>::for_order(world.task(), &asked, who).unwrap();
            let taken = ordered(&world.lineage, &held, &asked, &world.now())?;
            world.apply(taken);
            Ok(())
        };
        for pid in 0..half {
            by(&mut world, &lost(), 103 + pid).unwrap();
        }
        let refused = by(&mut world, &lost(), 150);
        assert_eq!(refused, Err(Reason::Limit("tasks.takeovers_max")));
        // Nobody else was barred by it: the process that has the leg goes on, and an older one may start.
        let leg = world.task().leg.as_ref().unwrap();
        assert!(!world.lineage.bars(&leg.holder));
        assert!(!world.lineage.bars(&aged(90).process.unwrap()));
        // The owner takes over as often as it likes.
        let mine = Order::Takeover(Digest([200; 32]), ());
        let held = Held::<AsOwnerPrincipalDue>::check(world.task(), &owner()).unwrap();
        let taken = ordered(&world.lineage, &held, &mine, &world.now()).unwrap();
        world.apply(taken);
        assert!(world.task().leg.is_none());
    }
}

#[test]
fn a_repeated_takeover_takes_no_other_leg() {
    let mut world = world();
    assert_eq!(take(&mut world, (103, 1)), Ok(LegNumber(1)));
    // The reply was lost; meanwhile another process has started.
    world.start(&evidence("worker", 104, 30)).unwrap();
    assert_eq!(take(&mut world, (0, 1)), Ok(LegNumber(1)));
    assert!(world.task().leg.is_some());
    assert_eq!(take(&mut world, (0, 2)), Ok(LegNumber(2)));
}

/// The process of the delegate that loses a leg, and another one of the same account.
fn lost() -> Evidence {
    evidence("relief", 160, 60)
}

fn other() -> Evidence {
    evidence("relief", 161, 60)
}

/// What a delegate may be told besides handing on: what came of taking back the newest delegation, of taking over the
/// leg that is up, and of its three tokens.
fn orders(world: &World, who: &Evidence) -> [Result<(), Reason>; 5] {
    let held = |act| Held::<AsOwnerPrincipalDue>::for_act(world.task(), act, who).unwrap();
    let (rows, now) = (&world.lineage, world.now());
    let newest = world.task().delegations.last().unwrap().number;
    let token = AskOwner {
        jti: Jti([7; 16]),
        certificate: Digest([8; 32]),
        certificate_ends: Time(u64::MAX),
    };
    let back = Order::RevokeDelegation(newest);
    let take = Order::Takeover(Digest([77; 32]), ());
    [
        ordered(rows, &held(Act::Delegate), &back, &now).map(drop),
        ordered(rows, &held(Act::Takeover), &take, &now).map(drop),
        issue_update(rows, &held(Act::Update), &token, &permit(), &now).map(drop),
        issue_query(rows, &held(Act::Query), &token, &permit(), &now).map(drop),
        issue_cancel(rows, &held(Act::Cancel), &token, &permit(), &now).map(drop),
    ]
}

fn on_to_the_third(request: u8) -> AskDelegate {
    AskDelegate {
        to: role("third", 70),
        ..ask([Act::Perform], request)
    }
}

/// The barred process reads and cancels, and gives no order; another one of the same account gives every one.
fn the_lost_one_gives_no_orders(world: &mut World) {
    world.start(&evidence("worker", 104, 30)).unwrap();
    let refused = delegate(world, &lost(), &on_to_the_third(3));
    assert_eq!(refused, Err(Reason::TakenOver));
    delegate(world, &other(), &on_to_the_third(4)).unwrap();
    let no = Err(Reason::TakenOver);
    assert_eq!(
        orders(world, &lost()),
        [no.clone(), no.clone(), no, Ok(()), Ok(())]
    );
    assert_eq!(orders(world, &other()), [const { Ok(()) }; 5]);
}

#[test]
fn whoever_lost_its_leg_gives_no_orders_as_a_delegate_either() {
    let mut world = world();
    delegate(&mut world, &owner(), &ask(Act::ALL, 1)).unwrap();
    // What it handed on before goes on; a repeat of that is no order that it may give.
    delegate(&mut world, &lost(), &on_to_the_third(2)).unwrap();
    world.start(&lost()).unwrap();
    assert_eq!(take(&mut world, (0, 1)), Ok(LegNumber(1)));
    let again = delegate(&mut world, &lost(), &on_to_the_third(2));
    assert_eq!(again, Err(Reason::TakenOver));
    assert_eq!(
        world
            .task()
            .delegation(DelegationNumber(2))
            .unwrap()
            .ended_at,
        None
    );
    the_lost_one_gives_no_orders(&mut world);
}

#[test]
fn whoever_lost_a_leg_further_up_gives_no_orders_below_either() {
    for last in [21, 22] {
        let mut world = below(last, &lost());
        delegate(&mut world, &owner(), &ask(Act::ALL, 1)).unwrap();
        the_lost_one_gives_no_orders(&mut world);
    }
}

#[test]
fn an_owner_is_nobodys_delegate_whatever_its_process_lost() {
    let mut world = below(21, &owner());
    delegate(&mut world, &owner(), &ask(Act::ALL, 1)).unwrap();
    world.start(&evidence("worker", 104, 30)).unwrap();
    assert_eq!(orders(&world, &owner()), [const { Ok(()) }; 5]);
}

/// A task below one, or two, of which the last was taken over from this process.
fn below(last: u8, whom: &Evidence) -> World {
    let above = |number: u8| Task {
        id: TaskId([number; 16]),
        parent: (number < last).then_some(TaskId([last; 16])),
        ..task()
    };
    let mut ancestors: Vec<Task> = (21..=last).map(above).collect();
    ancestors.last_mut().unwrap().takeovers.0.push(Barred {
        process: whom.process.unwrap(),
        leg: LegNumber(1),
        request: Digest([1; 32]),
        and_older: false,
    });
    let mut world = world();
    world.lineage = Lineage {
        ancestors,
        task: Some(Task {
            parent: Some(TaskId([21; 16])),
            ..world.task().clone()
        }),
        ..world.lineage
    };
    world
}
