//! A takeover ends a leg for good: its process never comes back, and a repeat takes no other leg.

use crate::fixture::{World, evidence, owner, permit};
use crate::handover::world;
use handfast::domain::decide::handover;
use handfast::domain::denial::Reason;
use handfast::domain::evidence::Evidence;
use handfast::domain::id::{Digest, LegNumber};
use handfast::domain::role::{AsOwnerPrincipalDue, Held};

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
    let taken = handover::take_over(world.task(), &held, request, &permit(), &world.now())?;
    Ok(world.apply(taken))
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
fn a_repeated_takeover_takes_no_other_leg() {
    let mut world = world();
    assert_eq!(take(&mut world, (103, 1)), Ok(LegNumber(1)));
    // The reply was lost; meanwhile another process has started.
    world.start(&evidence("worker", 104, 30)).unwrap();
    assert_eq!(take(&mut world, (0, 1)), Ok(LegNumber(1)));
    assert!(world.task().leg.is_some());
    assert_eq!(take(&mut world, (0, 2)), Ok(LegNumber(2)));
}
