//! Orders that come to be carried out after something else has happened, and what they leave of the owner's tokens.

use crate::fixture::{PRINCIPAL, World, evidence, owner, permit, present, role, tool, worker};
use crate::handover::ask;
use crate::ordering::ordered;
use crate::orders::{DELEGATE, carry_out, give, offered, only_for_its_user, relief, token};
use crate::rules::unknown;
use handfast::domain::decide::handover::AskDelegate;
use handfast::domain::decide::owner::{self as issue, AskOwner};
use handfast::domain::decide::report::Outcome;
use handfast::domain::decide::step::StepAsked;
use handfast::domain::delegation::Act;
use handfast::domain::denial::Reason;
use handfast::domain::evidence::Evidence;
use handfast::domain::id::{DelegationNumber, Digest, Jti, StepNumber};
use handfast::domain::order::{Order, Ordered, Word};
use handfast::domain::role::{AsOwnerPrincipalDue, Held, NotHeld};
use handfast::domain::step::StepState;
use handfast::domain::time::Time;
use std::time::Duration;

#[test]
fn a30_a_late_word_on_one_attempt_settles_no_other() {
    let (mut world, first) = unknown();
    world.later(100_000);
    let order = Order::Resolve(StepNumber(1), (), Word::NotDone);
    let late = token(&mut world, &owner(), &order);
    // Its tool says the same, it is tried again, and again nobody knows.
    world.report(&first, Outcome::NotDone).unwrap();
    let StepAsked::Issue { claims, .. } = world.issue(&worker(), (1, 1), (1, 7)).unwrap() else {
        panic!("a retry is due")
    };
    let second = present(*claims);
    world.check(&tool(), &second, 1).unwrap();
    world.later(8_000);
    let refused = carry_out(&mut world, &late, Some(PRINCIPAL));
    assert_eq!(refused, Err(Reason::TokenVoid));
    let again = world.issue(&worker(), (1, 1), (1, 8));
    assert_eq!(again, Err(Reason::StepUnknown));
    // The word on this attempt settles it.
    let timely = token(&mut world, &owner(), &order);
    let settled = only_for_its_user(&mut world, &timely);
    assert_eq!(settled, Ordered::Resolved(StepState::NotDone));
}

/// A delegate that acts for a user, with these acts.
fn with_a_user(acts: impl IntoIterator<Item = Act>) -> World {
    let mut world = crate::handover::world();
    let of_a_user = AskDelegate {
        principal: Some(PRINCIPAL),
        ..ask(acts, 1)
    };
    crate::handover::delegate(&mut world, &owner(), &of_a_user).unwrap();
    world
}

#[test]
fn a_token_works_by_the_very_delegation_that_it_was_issued_by() {
    let mut world = with_a_user([Act::Takeover]);
    world.start(&worker()).unwrap();
    let order = Order::Takeover(Digest([9; 32]), ());
    let taking = token(&mut world, &relief(), &order);
    let held = Held::<AsOwnerPrincipalDue>::check(world.task(), &owner()).unwrap();
    let back = Order::RevokeDelegation(DelegationNumber(1));
    let back = ordered(&world.lineage, &held, &back, &world.now()).unwrap();
    world.apply(back);
    // To the same ID and user, and it must show more: the old hand never did.
    let tighter = AskDelegate {
        to: role(DELEGATE, 61),
        principal: Some(PRINCIPAL),
        ..ask([Act::Takeover], 2)
    };
    crate::handover::delegate(&mut world, &owner(), &tighter).unwrap();
    let refused = carry_out(&mut world, &taking, Some(PRINCIPAL));
    assert_eq!(refused, Err(Reason::NotHeld(NotHeld::NoRole)));
    assert!(world.task().leg.is_some());
    let tighter = evidence(DELEGATE, 161, 61);
    let taking = token(&mut world, &tighter, &order);
    only_for_its_user(&mut world, &taking);
    assert!(world.task().leg.is_none());
}

#[test]
fn whoever_lost_its_leg_has_no_order_carried_out_that_it_gave_before() {
    let mut world = with_a_user([Act::Delegate, Act::Perform, Act::Query]);
    let on = |request| {
        offered(&AskDelegate {
            to: role("third", 70),
            ..ask([Act::Query], request)
        })
    };
    let leg = world.start(&relief()).unwrap().leg;
    let giving = token(&mut world, &relief(), &on(2));
    let held = Held::<AsOwnerPrincipalDue>::check(world.task(), &owner()).unwrap();
    let take = Order::Takeover(Digest([9; 32]), ());
    let taken = ordered(&world.lineage, &held, &take, &world.now()).unwrap();
    assert_eq!(world.apply(taken), Ordered::TakenOver(leg));
    let refused = carry_out(&mut world, &giving, Some(PRINCIPAL));
    assert_eq!(refused, Err(Reason::TakenOver));
    // Another process of the same account has lost nothing.
    let giving = token(&mut world, &evidence(DELEGATE, 161, 60), &on(3));
    only_for_its_user(&mut world, &giving);
}

fn asked() -> AskOwner {
    AskOwner {
        jti: Jti([7; 16]),
        certificate: Digest([8; 32]),
        certificate_ends: Time(u64::MAX),
    }
}

fn cancel(world: &World) -> Result<(), Reason> {
    let held = Held::<AsOwnerPrincipalDue>::check(world.task(), &owner()).unwrap();
    issue::issue_cancel(&world.lineage, &held, &asked(), &permit(), &world.now()).map(drop)
}

fn limit() -> Reason {
    Reason::Limit("tasks.owner_tokens_max")
}

/// Gives orders to hand over until no more may be given; how many were.
fn hand_over_all(world: &mut World, who: &Evidence, first: u8) -> usize {
    for given in 0.. {
        let order = offered(&AskDelegate {
            to: role("third", 70),
            ..ask([Act::Query], first.checked_add(given).unwrap())
        });
        match give(world, who, &order) {
            Ok(_) => {}
            Err(refused) => {
                assert_eq!(refused, limit());
                return given.into();
            }
        }
    }
    unreachable!("there is a limit")
}

#[test]
fn whatever_a_user_hands_over_it_can_cancel_and_take_back() {
    for most in [4, 5, 30, 256] {
        let mut world = World::new();
        world.limits.owner_tokens_max = most;
        let given = hand_over_all(&mut world, &owner(), 0);
        assert!(given > 0 && given <= world.limits.delegations_max);
        cancel(&world).unwrap();
        world.start(&worker()).unwrap();
        let take = Order::Takeover(Digest([9; 32]), ());
        give(&mut world, &owner(), &take).unwrap();
    }
}

#[test]
fn no_more_orders_to_hand_over_are_kept_than_there_may_be_delegations() {
    for most in [4, 5, 30, 256] {
        let mut world = with_a_user([Act::Delegate, Act::Query]);
        world.limits.owner_tokens_max = most;
        let by_delegate = hand_over_all(&mut world, &relief(), 10);
        let by_owner = hand_over_all(&mut world, &owner(), 100);
        let given = by_delegate.checked_add(by_owner).unwrap();
        assert!(given > 0 && given <= world.limits.delegations_max);
    }
}

#[test]
fn whatever_a_delegate_asks_for_the_owner_can_do_what_it_could() {
    for most in [4, 5, 256] {
        let mut world = with_a_user([Act::Cancel, Act::Perform, Act::Update]);
        world.limits.owner_tokens_max = most;
        world.start(&relief()).unwrap();
        let refused = loop {
            let held = Held::<AsOwnerPrincipalDue>::for_act(world.task(), Act::Update, &relief());
            let (held, now) = (held.unwrap(), world.now());
            match issue::issue_update(&world.lineage, &held, &asked(), &permit(), &now) {
                Ok(issued) => drop(world.apply(issued)),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused, limit());
        cancel(&world).unwrap();
        let back = Order::RevokeDelegation(DelegationNumber(1));
        let take = Order::Takeover(Digest([9; 32]), ());
        let on = offered(&ask([Act::Query], 2));
        for order in [back, take, on] {
            let mut world = world.clone();
            give(&mut world, &owner(), &order).unwrap();
        }
    }
}

#[test]
fn whatever_a_user_orders_its_server_has_seen_it() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    world.limits.owner_seen_max = Duration::from_secs(3_600);
    world.later(1_800_000);
    let order = Order::Takeover(Digest([9; 32]), ());
    let taking = token(&mut world, &owner(), &order);
    let before = world.task().owner_seen_at;
    only_for_its_user(&mut world, &taking);
    assert!(world.task().owner_seen_at > before);
}
