//! A delegation never holds more than its giver has, whatever is asked; and it ends with what it stands on.

use crate::fixture::{START, World, evidence, id, owner, role, task, worker};
use crate::ordering::{delegated, ordered, taken_over};
use handfast::domain::arguments::Witnesses;
use handfast::domain::decide::handover::AskDelegate;
use handfast::domain::decide::step::StepAsked;
use handfast::domain::delegation::{Act, Delegation};
use handfast::domain::denial::{Reason, Unlent};
use handfast::domain::evidence::Evidence;
use handfast::domain::grant::{ArgumentConstraint, Permission};
use handfast::domain::id::{DelegationNumber, Digest, LegNumber};
use handfast::domain::lineage::Transition;
use handfast::domain::order::Order;
use handfast::domain::role::{AsOwner, AsOwnerPrincipalDue, AsPerformer, Held, NotHeld, Owner};
use handfast::domain::task::Task;
use handfast::domain::time::Time;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::BTreeSet;

const DELEGATE: &str = "relief";

pub(crate) fn world() -> World {
    World::of(Task {
        owner: Owner {
            principal: None,
            ..task().owner
        },
        ..task()
    })
}

fn permission(tool: &str, arguments: ArgumentConstraint) -> Permission {
    Permission {
        audience: id("warehouse"),
        tool: tool.to_owned(),
        arguments,
    }
}

fn take_over(
    world: &World,
    held: &Held<AsOwnerPrincipalDue>,
) -> Result<Transition<LegNumber>, Reason> {
    let request = Digest([9; 32]);
    let asked = Order::Takeover(request, ());
    let taken = ordered(&world.lineage, held, &asked, &world.now())?;
    Ok(taken.map(|taken| taken_over(&taken)))
}

pub(crate) fn ask(acts: impl IntoIterator<Item = Act>, request: u8) -> AskDelegate {
    AskDelegate {
        to: role(DELEGATE, 60),
        principal: None,
        acts: acts.into_iter().collect(),
        permissions: None,
        not_after: None,
        request: Digest([request; 32]),
        asked: Digest([request; 32]),
        witnesses: Witnesses::default(),
    }
}

pub(crate) fn delegate(
    world: &mut World,
    who: &Evidence,
    ask: &AskDelegate,
) -> Result<Delegation, Reason> {
    let rows = world.lineage.as_of(world.time).into_owned();
    let task = rows.known(&world.now())?;
    let held = Held::<AsOwnerPrincipalDue>::for_act(task, Act::Delegate, who)?;
    let asked = Order::Delegate(Box::new(ask.clone()));
    let made = ordered(&rows, &held, &asked, &world.now())?;
    Ok(delegated(world.apply(made)))
}

fn asks() -> impl Strategy<Value = AskDelegate> {
    let acts = subsequence(Act::ALL.to_vec(), 0..=Act::ALL.len());
    let constraint = select(vec![
        ArgumentConstraint::Any,
        ArgumentConstraint::Exact(Digest([1; 32])),
        ArgumentConstraint::Exact(Digest([2; 32])),
    ]);
    let tool = select(vec!["export", "delete"]);
    let lent = vec((tool, constraint), 0..3);
    let lent = proptest::option::of(lent);
    let end = proptest::option::of(0_u64..8_000_000);
    (acts, lent, end, any::<u8>()).prop_map(|(acts, lent, end, request)| AskDelegate {
        permissions: lent.map(|lent| {
            lent.into_iter()
                .map(|(tool, arguments)| permission(tool, arguments))
                .collect()
        }),
        not_after: end.map(Time),
        ..ask(acts, request)
    })
}

/// Everything that a delegation lends, in full.
fn lent<'a>(task: &'a Task, it: &'a Delegation) -> &'a [Permission] {
    it.permissions.as_deref().unwrap_or(&task.asked.permissions)
}

fn within(task: &Task, child: &Delegation, parent: Option<&Delegation>) -> bool {
    let (acts, ends, permissions) = match parent {
        Some(parent) => (parent.acts.clone(), parent.not_after, lent(task, parent)),
        None => (
            BTreeSet::from(Act::ALL),
            task.deadline,
            task.asked.permissions.as_slice(),
        ),
    };
    child.acts.is_subset(&acts)
        && child.not_after <= ends
        && lent(task, child)
            .iter()
            .all(|permission| permission.within(permissions, &Witnesses::default()))
}

proptest! {
    #[test]
    fn nothing_that_is_handed_over_exceeds_what_its_giver_has(asked in vec(asks(), 1..6)) {
        let mut world = world();
        let relief = evidence(DELEGATE, 160, 60);
        for (index, ask) in asked.iter().enumerate() {
            // Turns by turns the owner hands over and the delegate hands on.
            let who = if index % 2 == 0 { owner() } else { relief.clone() };
            let before = world.task().clone();
            if delegate(&mut world, &who, ask).is_err() {
                prop_assert_eq!(world.task(), &before, "a refusal changes nothing");
            }
        }
        let task = world.task();
        for it in &task.delegations {
            let parent = it.from.map(|number| task.delegation(number).unwrap());
            prop_assert!(within(task, it, parent), "{:?}", it);
            prop_assert!(!it.acts.is_empty());
            if let Some(parent) = parent {
                prop_assert!(parent.acts.contains(&Act::Delegate));
            }
        }
    }
}

#[test]
fn a_shared_account_inherits_nothing() {
    let mut world = world();
    let relief = evidence(DELEGATE, 160, 60);
    let no_role = |world: &World, who: &Evidence| {
        let task = world.task();
        assert!(Held::<AsPerformer>::check(task, who).is_err());
        for act in Act::ALL {
            assert!(Held::<AsOwnerPrincipalDue>::for_act(task, act, who).is_err());
        }
    };
    no_role(&world, &relief);
    delegate(&mut world, &owner(), &ask([Act::Perform], 1)).unwrap();
    Held::<AsPerformer>::check(world.task(), &relief).unwrap();
    // The same SPIFFE ID under another user, and another ID of the same user.
    no_role(&world, &evidence(DELEGATE, 161, 61));
    no_role(&world, &evidence("other", 162, 60));
}

#[test]
fn each_act_is_handed_over_for_itself() {
    let relief = evidence(DELEGATE, 160, 60);
    for given in Act::ALL {
        let mut world = world();
        delegate(&mut world, &owner(), &ask([given], 1)).unwrap();
        for act in Act::ALL {
            let held = Held::<AsOwnerPrincipalDue>::for_act(world.task(), act, &relief);
            assert_eq!(held.is_ok(), act == given, "{given:?} {act:?}");
            let checked = Held::<AsOwner>::for_act(world.task(), act, Some(&id(DELEGATE)), None);
            assert_eq!(checked.is_ok(), act == given, "{given:?} {act:?}");
        }
        let performs = Held::<AsPerformer>::check(world.task(), &relief).is_ok();
        assert_eq!(performs, given == Act::Perform);
    }
}

#[test]
fn a_delegate_comes_with_its_own_user_or_with_none() {
    let mut world = world();
    let user = Digest([7; 32]);
    let ask = AskDelegate {
        principal: Some(user),
        ..ask([Act::Query], 1)
    };
    delegate(&mut world, &owner(), &ask).unwrap();
    let check = |principal| {
        Held::<AsOwner>::for_act(world.task(), Act::Query, Some(&id(DELEGATE)), principal)
            .map(|_| ())
    };
    assert_eq!(check(Some(user)), Ok(()));
    assert_eq!(check(None), Err(NotHeld::Principal));
    assert_eq!(check(Some(Digest([8; 32]))), Err(NotHeld::Principal));
}

#[test]
fn what_runs_out_takes_its_leg_and_what_was_made_on_its_strength() {
    let mut world = world();
    let relief = evidence(DELEGATE, 160, 60);
    let end = Time(START.0 + 10_000);
    let first = AskDelegate {
        not_after: Some(end),
        ..ask([Act::Perform, Act::Delegate], 1)
    };
    delegate(&mut world, &owner(), &first).unwrap();
    let second = AskDelegate {
        to: role("third", 70),
        ..ask([Act::Perform], 2)
    };
    delegate(&mut world, &relief, &second).unwrap();
    world.start(&evidence("third", 170, 70)).unwrap();
    assert!(
        world
            .lineage
            .as_of(Time(end.0 - 1))
            .task
            .as_ref()
            .unwrap()
            .leg
            .is_some()
    );
    let over = world.lineage.as_of(end).into_owned().task.unwrap();
    assert_eq!(over.leg, None);
    assert!(over.delegations.iter().all(|it| it.ended_at == Some(end)));
    assert!(Held::<AsPerformer>::check(&over, &evidence("third", 170, 70)).is_err());
    Held::<AsPerformer>::check(&over, &worker()).unwrap();
}

#[test]
fn an_owner_that_acts_for_a_user_hands_nothing_over_here() {
    let mut world = World::new();
    let refused = delegate(&mut world, &owner(), &ask([Act::Query], 1));
    assert_eq!(refused, Err(Reason::PrincipalDue));
    let held = Held::<AsOwnerPrincipalDue>::check(world.task(), &owner()).unwrap();
    let taken = take_over(&world, &held);
    assert_eq!(taken.unwrap_err(), Reason::PrincipalDue);
}

#[test]
fn the_owners_own_id_is_not_handed_to() {
    let mut world = world();
    let ask = AskDelegate {
        to: role("assistant", 99),
        ..ask([Act::Query], 1)
    };
    let refused = delegate(&mut world, &owner(), &ask);
    assert_eq!(refused, Err(Reason::NotNarrower(Unlent::Owner)));
}

#[test]
fn a_refused_delegation_says_what_is_wrong_with_it() {
    let mut world = world();
    let good = ask([Act::Query], 1);
    let past = AskDelegate {
        not_after: Some(world.now().time),
        ..good.clone()
    };
    let nothing = AskDelegate {
        acts: BTreeSet::new(),
        ..good.clone()
    };
    let late = AskDelegate {
        not_after: Some(Time(u64::MAX)),
        ..good.clone()
    };
    for (ask, why) in [
        (past, Unlent::Past),
        (nothing, Unlent::NoActs),
        (late, Unlent::NotAfter),
    ] {
        let refused = delegate(&mut world, &owner(), &ask);
        assert_eq!(refused, Err(Reason::NotNarrower(why)));
    }
    assert!(delegate(&mut world, &owner(), &good).is_ok());
}

#[test]
fn both_sides_of_the_limit_of_delegations() {
    let mut world = world();
    world.limits.delegations_max = 2;
    for request in [1, 2] {
        delegate(&mut world, &owner(), &ask([Act::Query], request)).unwrap();
    }
    let refused = delegate(&mut world, &owner(), &ask([Act::Query], 3));
    assert_eq!(refused, Err(Reason::Limit("tasks.delegations_max")));
    // A repeat is no further one.
    let again = delegate(&mut world, &owner(), &ask([Act::Query], 2)).unwrap();
    assert_eq!(again.number, DelegationNumber(2));
}

#[test]
fn a_delegate_that_acts_for_a_user_orders_nothing_here_either() {
    let mut world = world();
    let relief = evidence(DELEGATE, 160, 60);
    let acts = [Act::Delegate, Act::Takeover];
    let of_a_user = AskDelegate {
        principal: Some(Digest([7; 32])),
        ..ask(acts, 1)
    };
    delegate(&mut world, &owner(), &of_a_user).unwrap();
    let on = AskDelegate {
        to: role("third", 70),
        ..ask([Act::Takeover], 2)
    };
    assert_eq!(
        delegate(&mut world, &relief, &on),
        Err(Reason::PrincipalDue)
    );
    world.start(&worker()).unwrap();
    let held = Held::<AsOwnerPrincipalDue>::for_act(world.task(), Act::Takeover, &relief).unwrap();
    let taken = take_over(&world, &held);
    assert_eq!(taken.unwrap_err(), Reason::PrincipalDue);
    // The same without a user behind it.
    let third = AskDelegate {
        to: role("third", 70),
        ..ask(acts, 3)
    };
    delegate(&mut world, &owner(), &third).unwrap();
    let third = evidence("third", 170, 70);
    let held = Held::<AsOwnerPrincipalDue>::for_act(world.task(), Act::Takeover, &third).unwrap();
    take_over(&world, &held).unwrap();
}

#[test]
fn a_repeated_delegation_that_asks_for_something_else_is_refused() {
    let mut world = world();
    delegate(&mut world, &owner(), &ask([Act::Query], 1)).unwrap();
    let other = AskDelegate {
        asked: Digest([8; 32]),
        ..ask([Act::Cancel], 1)
    };
    let refused = delegate(&mut world, &owner(), &other);
    assert_eq!(refused, Err(Reason::RepeatDiffers));
    assert_eq!(world.task().delegations.len(), 1);
}

#[test]
fn delegates_leave_their_owner_a_place_and_what_is_over_makes_room() {
    let mut world = world();
    world.limits.delegations_max = 4;
    delegate(&mut world, &owner(), &ask([Act::Delegate, Act::Query], 1)).unwrap();
    let relief = evidence(DELEGATE, 160, 60);
    let mut made = 0;
    for request in 2..9 {
        let on = AskDelegate {
            to: role("third", 70),
            ..ask([Act::Query], request)
        };
        match delegate(&mut world, &relief, &on) {
            Ok(_) => made += 1,
            Err(reason) => assert_eq!(reason, Reason::Limit("tasks.delegations_max")),
        }
    }
    assert_eq!(made, 2);
    let own = delegate(&mut world, &owner(), &ask([Act::Cancel], 20)).unwrap();
    assert_eq!(own.number, DelegationNumber(4));
    // Full: one that is over makes room, and its number is not given again.
    let held = Held::<AsOwnerPrincipalDue>::check(world.task(), &owner()).unwrap();
    let asked = Order::RevokeDelegation(own.number);
    let revoked = ordered(&world.lineage, &held, &asked, &world.now());
    world.apply(revoked.unwrap());
    let next = delegate(&mut world, &owner(), &ask([Act::Cancel], 21)).unwrap();
    assert_eq!(next.number, DelegationNumber(5));
    assert!(world.task().delegation(own.number).is_none());
}

#[test]
fn a_token_under_a_delegation_ends_with_it() {
    let mut world = world();
    let relief = evidence(DELEGATE, 160, 60);
    let end = Time(START.0 + 10_000);
    let lent = AskDelegate {
        not_after: Some(end),
        ..ask([Act::Perform], 1)
    };
    delegate(&mut world, &owner(), &lent).unwrap();
    world.start(&relief).unwrap();
    let StepAsked::Issue { claims, .. } = world.issue(&relief, (1, 1), (1, 1)).unwrap() else {
        panic!("no token")
    };
    assert_eq!(claims.expires_at, end);
}
