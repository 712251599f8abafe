//! Orders of an owner that acts for a user: judged when they are given, carried out when the server has seen the
//! user, once, and by the rules of that moment.

use crate::fixture::{
    PRINCIPAL, World, evidence, id, owner, permit, present, role, server, worker,
};
use crate::handover::ask;
use crate::ordering::ordered;
use crate::rules::unknown;
use handfast::domain::claims::Operation;
use handfast::domain::decide::Presented;
use handfast::domain::decide::check::{self, OwnerChecked};
use handfast::domain::decide::handover::AskDelegate;
use handfast::domain::decide::owner::{self as issue, AskOwner, OrderAnswered};
use handfast::domain::delegation::Act;
use handfast::domain::denial::{Reason, Unlent};
use handfast::domain::evidence::Evidence;
use handfast::domain::id::{DelegationNumber, Digest, Jti, LegNumber, PrincipalHash, StepNumber};
use handfast::domain::order::{Asked, Order, Ordered, Word};
use handfast::domain::role::{AsOwner, AsOwnerPrincipalDue, AsPerformer, AsServer, Held, NotHeld};
use handfast::domain::step::StepState;
use handfast::domain::task::TaskState;
use handfast::domain::time::Time;
use std::time::Duration;

pub(crate) const DELEGATE: &str = "relief";
const OTHER: PrincipalHash = Digest([10; 32]);

pub(crate) fn relief() -> Evidence {
    evidence(DELEGATE, 160, 60)
}

pub(crate) fn offered(ask: &AskDelegate) -> Asked {
    Order::Delegate(Box::new(ask.clone()))
}

/// What the agent of the owner's node answers.
pub(crate) fn give(
    world: &mut World,
    who: &Evidence,
    order: &Asked,
) -> Result<OrderAnswered, Reason> {
    let rows = world.rows(order.step(), None);
    let rows = rows.as_of(world.time);
    let task = rows.known(&world.now())?;
    let held = Held::<AsOwnerPrincipalDue>::for_order(task, order, who)?;
    let ask = AskOwner {
        jti: Jti([7; 16]),
        certificate: Digest([8; 32]),
        certificate_ends: Time(u64::MAX),
    };
    let how = (order, &ask);
    let issued = issue::issue_order(&rows, &held, how, &permit(), &world.now())?;
    Ok(world.apply(issued))
}

pub(crate) fn token(world: &mut World, who: &Evidence, order: &Asked) -> Presented {
    match give(world, who, order).unwrap() {
        OrderAnswered::Token(claims) => present(*claims),
        OrderAnswered::Done(ordered) => panic!("{ordered:?} without a token"),
    }
}

fn became(world: &mut World, who: &Evidence, order: &Asked) -> Ordered {
    match give(world, who, order).unwrap() {
        OrderAnswered::Done(ordered) => ordered,
        OrderAnswered::Token(_) => panic!("it is not carried out"),
    }
}

/// What the server's agent answers to `Check(update)`.
pub(crate) fn carry_out(
    world: &mut World,
    token: &Presented,
    principal: Option<PrincipalHash>,
) -> Result<OwnerChecked, Reason> {
    let rows = world.rows(token.claims.step, Some(token.claims.fence));
    let rows = rows.as_of(world.time);
    let now = world.now();
    let task = rows.known(&now)?;
    let held = Held::<AsServer>::check(task, &server())?;
    let order = check::ordered(&rows, token).ok_or(Reason::Alarm)?;
    let record = check::record(&rows, token).ok_or(Reason::Alarm)?;
    let who = (&token.claims.actor, principal);
    let owner = Held::<AsOwner>::by_token(task, order.act(), record, who)?;
    let checked = check::order(&rows, (&held, &owner), (token, order), &permit(), &now)?;
    Ok(world.apply(checked))
}

/// Refuses with the wrong user, with none, and on another key, changing nothing; then carries it out, once.
pub(crate) fn only_for_its_user(world: &mut World, token: &Presented) -> Ordered {
    let before = world.task().clone();
    for principal in [Some(OTHER), None] {
        let refused = carry_out(world, token, principal);
        assert_eq!(refused, Err(Reason::NotHeld(NotHeld::Principal)));
    }
    let mut stolen = token.clone();
    stolen.certificate = Digest([66; 32]);
    let refused = carry_out(world, &stolen, Some(PRINCIPAL));
    assert_eq!(refused, Err(Reason::Certificate));
    assert_eq!(*world.task(), before);
    let OwnerChecked::Ordered(ordered, TaskState::Working) =
        carry_out(world, token, Some(PRINCIPAL)).unwrap()
    else {
        panic!("an order is carried out by its user's server")
    };
    let after = world.task().clone();
    let again = carry_out(world, token, Some(PRINCIPAL));
    assert_eq!(again, Ok(OwnerChecked::Read(TaskState::Working)));
    assert_eq!(*world.task(), after, "and only once");
    ordered
}

#[test]
fn an_owner_with_a_user_hands_over_and_takes_back_through_its_server() {
    let mut world = World::new();
    let order = offered(&ask([Act::Perform], 1));
    let first = token(&mut world, &owner(), &order);
    assert!(Held::<AsPerformer>::check(world.task(), &relief()).is_err());
    let Ordered::Delegated(made) = only_for_its_user(&mut world, &first) else {
        panic!("a delegation is due")
    };
    assert_eq!(made.number, DelegationNumber(1));
    Held::<AsPerformer>::check(world.task(), &relief()).unwrap();
    // Asked again, the agent shows what was granted.
    let order = offered(&ask([Act::Perform], 1));
    let shown = became(&mut world, &owner(), &order);
    assert_eq!(shown, Ordered::Delegated(made));

    let leg = world.start(&relief()).unwrap().leg;
    let order = Order::RevokeDelegation(DelegationNumber(1));
    let back = token(&mut world, &owner(), &order);
    assert!(world.task().leg.is_some(), "nothing has happened yet");
    let ended = only_for_its_user(&mut world, &back);
    assert_eq!(ended, Ordered::DelegationRevoked(Some(leg)));
    assert_eq!(
        became(&mut world, &owner(), &order),
        Ordered::DelegationRevoked(None)
    );
    assert!(Held::<AsPerformer>::check(world.task(), &relief()).is_err());
}

#[test]
fn an_owner_with_a_user_takes_a_leg_through_its_server() {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let order = Order::Takeover(Digest([9; 32]), ());
    let taking = token(&mut world, &owner(), &order);
    assert!(world.task().leg.is_some());
    let taken = only_for_its_user(&mut world, &taking);
    assert_eq!(taken, Ordered::TakenOver(LegNumber(1)));
    assert_eq!(world.start(&worker()).unwrap_err(), Reason::TakenOver);
    // Another process starts; a repeat of the order does not take its leg too.
    world.start(&crate::fixture::second_worker()).unwrap();
    let again = became(&mut world, &owner(), &order);
    assert_eq!(again, Ordered::TakenOver(LegNumber(1)));
    assert!(world.task().leg.is_some());
}

#[test]
fn an_owner_with_a_user_settles_an_unknown_step_through_its_server() {
    for (word, state) in [
        (Word::Done, StepState::Done),
        (Word::NotDone, StepState::NotDone),
    ] {
        let (mut world, _) = unknown();
        world.later(100_000);
        let order = Order::Resolve(StepNumber(1), (), word);
        let settling = token(&mut world, &owner(), &order);
        assert_eq!(settling.claims.step, Some(StepNumber(1)));
        let settled = only_for_its_user(&mut world, &settling);
        assert_eq!(settled, Ordered::Resolved(state));
        assert_eq!(
            became(&mut world, &owner(), &order),
            Ordered::Resolved(state)
        );
    }
}

#[test]
fn what_asks_for_too_much_is_refused_when_it_is_given() {
    let mut world = World::new();
    let late = AskDelegate {
        not_after: Some(Time(u64::MAX)),
        ..ask([Act::Query], 1)
    };
    let refused = give(&mut world, &owner(), &offered(&late));
    assert_eq!(refused, Err(Reason::NotNarrower(Unlent::NotAfter)));
    let nothing = give(&mut world, &owner(), &Order::Takeover(Digest([9; 32]), ()));
    assert_eq!(nothing, Err(Reason::NoLeg));
    let nobody = give(
        &mut world,
        &owner(),
        &Order::RevokeDelegation(DelegationNumber(3)),
    );
    assert_eq!(nobody, Err(Reason::Unknown));
    let order = Order::Resolve(StepNumber(1), (), Word::Done);
    assert_eq!(give(&mut world, &owner(), &order), Err(Reason::Unknown));
    assert!(world.records.is_empty(), "no token was made");
    // Nobody else orders anything.
    for stranger in [worker(), server(), relief()] {
        let order = offered(&ask([Act::Query], 1));
        assert!(give(&mut world, &stranger, &order).is_err());
        let order = Order::Takeover(Digest([9; 32]), ());
        assert!(give(&mut world, &stranger, &order).is_err());
    }
}

#[test]
fn an_order_is_judged_again_when_it_is_carried_out() {
    // The task has ended.
    let mut world = World::new();
    let order = offered(&ask([Act::Query], 1));
    let giving = token(&mut world, &owner(), &order);
    let mut ended = world.task().clone();
    ended.state = TaskState::Cancelled;
    ended.ended_at = Some(world.time);
    world.lineage.task = Some(ended);
    let refused = carry_out(&mut world, &giving, Some(PRINCIPAL));
    assert_eq!(refused, Err(Reason::Terminal(TaskState::Cancelled)));

    // Another leg lives than the one that was there: its process has done nothing.
    let mut world = World::new();
    world.start(&worker()).unwrap();
    let order = Order::Takeover(Digest([9; 32]), ());
    let taking = token(&mut world, &owner(), &order);
    let mut idle = world.task().clone();
    idle.leg = None;
    world.lineage.task = Some(idle);
    let refused = carry_out(&mut world, &taking, Some(PRINCIPAL));
    assert_eq!(refused, Err(Reason::NoLeg));
    world.start(&crate::fixture::second_worker()).unwrap();
    let refused = carry_out(&mut world, &taking, Some(PRINCIPAL));
    assert_eq!(refused, Err(Reason::TokenVoid));
    let now = Order::Takeover(Digest([10; 32]), ());
    let taking = token(&mut world, &owner(), &now);
    carry_out(&mut world, &taking, Some(PRINCIPAL)).unwrap();

    // Its end has come, or the token's.
    let mut world = World::new();
    let soon = AskDelegate {
        not_after: Some(world.time.after(Duration::from_secs(1))),
        ..ask([Act::Query], 1)
    };
    let order = offered(&soon);
    let giving = token(&mut world, &owner(), &order);
    world.later(1_000);
    let refused = carry_out(&mut world, &giving, Some(PRINCIPAL));
    assert_eq!(refused, Err(Reason::NotNarrower(Unlent::Past)));
    world.later(60_000);
    let refused = carry_out(&mut world, &giving, Some(PRINCIPAL));
    assert_eq!(refused, Err(Reason::TokenExpired));
}

#[test]
fn an_order_is_no_answer_and_an_answer_no_order() {
    let mut world = World::new();
    let order = offered(&ask([Act::Query], 1));
    let giving = token(&mut world, &owner(), &order);
    assert_eq!(giving.claims.operation, Operation::Update);
    let rows = world.rows(None, Some(giving.claims.fence));
    let now = world.now();
    let held = Held::<AsServer>::check(world.task(), &server()).unwrap();
    let by = Held::<AsOwner>::with_principal(world.task(), Some(&id("assistant")), Some(PRINCIPAL));
    let by = by.unwrap();
    let roles = (&held, &by);
    for judged in [
        check::update(&rows, roles, Some(&giving), &permit(), &now),
        check::cancel(&rows, roles, Some(&giving), &permit(), &now),
        check::query(world.task(), roles, Some(&giving), &permit(), &now),
    ] {
        assert_eq!(judged.unwrap_err(), Reason::TokenInvalid("operation"));
    }
    // Without its record it is an alarm, as every token is.
    let nothing = world.rows(None, None);
    assert!(check::ordered(&nothing, &giving).is_none());
    let judged = check::update(&nothing, roles, Some(&giving), &permit(), &now);
    assert_eq!(judged.unwrap_err(), Reason::Alarm);
    only_for_its_user(&mut world, &giving);
}

#[test]
fn a_delegate_with_a_user_of_its_own_orders_for_that_user_alone() {
    let mut world = crate::handover::world();
    let of_a_user = AskDelegate {
        principal: Some(PRINCIPAL),
        ..ask([Act::Delegate, Act::Query], 1)
    };
    crate::handover::delegate(&mut world, &owner(), &of_a_user).unwrap();
    let on = AskDelegate {
        to: role("third", 70),
        ..ask([Act::Query], 2)
    };
    let order = offered(&on);
    let giving = token(&mut world, &relief(), &order);
    let Ordered::Delegated(made) = only_for_its_user(&mut world, &giving) else {
        panic!("a delegation is due")
    };
    assert_eq!(made.from, Some(DelegationNumber(1)));

    // What it has not got it cannot order, and what it was given ends with its own.
    let taking = give(&mut world, &relief(), &Order::Takeover(Digest([9; 32]), ()));
    assert!(matches!(taking, Err(Reason::NotHeld(_))), "{taking:?}");
    let more = AskDelegate {
        to: role("third", 70),
        ..ask([Act::Query], 3)
    };
    let order = offered(&more);
    let giving = token(&mut world, &relief(), &order);
    let held = Held::<AsOwnerPrincipalDue>::check(world.task(), &owner()).unwrap();
    let number = DelegationNumber(1);
    let back = ordered(
        &world.lineage,
        &held,
        &Order::RevokeDelegation(number),
        &world.now(),
    );
    world.apply(back.unwrap());
    let refused = carry_out(&mut world, &giving, Some(PRINCIPAL));
    assert!(matches!(refused, Err(Reason::NotHeld(_))), "{refused:?}");
}
