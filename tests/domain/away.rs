//! A task whose owner is gone begins nothing, until the owner is back.

use crate::fixture::{World, evidence, owner, permit, tool, worker};
use handfast::domain::decide::owner::{self as ask, AskOwner};
use handfast::domain::delegation::Act;
use handfast::domain::denial::Reason;
use handfast::domain::evidence::Evidence;
use handfast::domain::id::{Digest, Jti};
use handfast::domain::role::{AsOwnerPrincipalDue, Held};
use std::time::Duration;

const AWAY: Duration = Duration::from_secs(1_600);

/// The owner is a workload alone: that of a user is seen by the server, at `Check`.
fn world() -> World {
    let mut world = crate::handover::world();
    world.limits.owner_seen_max = AWAY;
    world
}

fn asks(world: &mut World, who: &Evidence) {
    let held = Held::<AsOwnerPrincipalDue>::for_act(world.task(), Act::Query, who).unwrap();
    let query = AskOwner {
        jti: Jti([9; 16]),
        certificate: Digest([8; 32]),
        certificate_ends: world.time.after(Duration::from_secs(3600)),
    };
    let asked = ask::issue_query(&world.lineage, &held, &query, &permit(), &world.now());
    world.apply(asked.unwrap());
}

#[test]
fn a74_a_task_whose_owner_is_gone_begins_nothing_until_it_is_back() {
    let mut world = world();
    world.start(&worker()).unwrap();
    let token = world.token(1);
    world.time = world
        .time
        .after(AWAY.saturating_sub(Duration::from_millis(1)));
    world.start(&worker()).unwrap();
    world.time = world.time.after(Duration::from_millis(1));
    assert_eq!(world.start(&worker()).map(drop), Err(Reason::OwnerAway));
    let refused = world.issue(&worker(), (1, 1), (1, 2));
    assert_eq!(refused, Err(Reason::OwnerAway));
    // What was issued before is dead by its own time.
    assert!(world.check(&tool(), &token, 1).is_err());
    asks(&mut world, &owner());
    world.start(&worker()).unwrap();
    world.token(1);
}

#[test]
fn polling_costs_a_row_only_now_and_then() {
    let mut world = world();
    let seen = world.task().owner_seen_at;
    world.time = world
        .time
        .after((AWAY / 16).saturating_sub(Duration::from_millis(1)));
    asks(&mut world, &owner());
    assert_eq!(world.task().owner_seen_at, seen);
    world.time = world.time.after(Duration::from_millis(1));
    asks(&mut world, &owner());
    assert_eq!(world.task().owner_seen_at, world.time);
}

#[test]
fn a74_a_delegate_is_no_sign_of_the_owner() {
    let mut world = world();
    let lent = crate::handover::ask([Act::Query, Act::Perform], 1);
    crate::handover::delegate(&mut world, &owner(), &lent).unwrap();
    world.time = world.time.after(AWAY);
    let relief = evidence("relief", 160, 60);
    asks(&mut world, &relief);
    assert_eq!(world.start(&relief).map(drop), Err(Reason::OwnerAway));
    asks(&mut world, &owner());
    world.start(&relief).unwrap();
}

#[test]
fn a74_a_gateway_that_asks_is_no_sign_of_its_user() {
    let mut world = World::new();
    world.limits.owner_seen_max = AWAY;
    world.time = world.time.after(AWAY);
    asks(&mut world, &owner());
    assert_eq!(world.start(&worker()).map(drop), Err(Reason::OwnerAway));
}
