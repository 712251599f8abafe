//! Of several delegations that one role has, which counts: for what is asked, and never less than what its owner gave.

use crate::fixture::{World, call, evidence, id, owner, permit, role};
use crate::handover::{ask, delegate, world};
use crate::ordering::{ordered, taken_over};
use handfast::domain::decide::end::{self, LegEnding};
use handfast::domain::decide::handover::AskDelegate;
use handfast::domain::decide::leg;
use handfast::domain::delegation::Act;
use handfast::domain::denial::Reason;
use handfast::domain::evidence::{Evidence, Required};
use handfast::domain::grant::{ArgumentConstraint, Permission};
use handfast::domain::id::{DelegationNumber, Digest, LegNumber};
use handfast::domain::order::Order;
use handfast::domain::role::{AsOwner, AsOwnerPrincipalDue, AsPerformer, Held, Role};

fn relief() -> Evidence {
    evidence("relief", 160, 60)
}

fn third() -> Evidence {
    evidence("third", 170, 70)
}

/// Only the call with the arguments 1.
fn one_call(ask: AskDelegate) -> AskDelegate {
    let permission = Permission {
        audience: id("warehouse"),
        tool: "export".to_owned(),
        arguments: ArgumentConstraint::Exact(call(1).arguments),
    };
    AskDelegate {
        permissions: Some(vec![permission]),
        ..ask
    }
}

fn to_the_third(ask: AskDelegate) -> AskDelegate {
    AskDelegate {
        to: role("third", 70),
        ..ask
    }
}

fn leg_is_under(world: &World) -> u32 {
    let leg = world.task().leg.as_ref().unwrap();
    leg.delegation.unwrap().0
}

fn yielded(world: &mut World, who: &Evidence) {
    let held = Held::<AsPerformer>::check(world.task(), who).unwrap();
    let how = (world.task().legs, LegEnding::Yielded);
    let ended = end::end(world.task(), &held, how, &permit(), &world.now());
    world.apply(ended.unwrap());
}

fn take_back(world: &mut World, who: &Evidence, number: u32) -> Result<(), Reason> {
    let number = DelegationNumber(number);
    let asked = Order::RevokeDelegation(number);
    let held = Held::<AsOwnerPrincipalDue>::for_order(world.task(), &asked, who)?;
    let revoked = ordered(&world.lineage, &held, &asked, &world.now())?;
    world.apply(revoked);
    Ok(())
}

#[test]
fn of_several_delegations_the_newest_counts_wider_or_not() {
    let perform = |request| ask([Act::Perform], request);
    let narrow_and_wide = [one_call(perform(1)), perform(2)];
    let wide_and_narrow = [perform(1), one_call(perform(2))];
    for (asks, lends) in [(narrow_and_wide, true), (wide_and_narrow, false)] {
        let mut world = world();
        for ask in &asks {
            delegate(&mut world, &owner(), ask).unwrap();
        }
        world.start(&relief()).unwrap();
        assert_eq!(leg_is_under(&world), 2);
        let other = world.issue(&relief(), (1, 1), (2, 1));
        assert_eq!(other.is_ok(), lends);
        yielded(&mut world, &relief());
        // Once the newest is over, the one before it counts again.
        take_back(&mut world, &owner(), 2).unwrap();
        world.start(&relief()).unwrap();
        assert_eq!(leg_is_under(&world), 1);
        let other = world.issue(&relief(), (2, 1), (2, 2));
        assert_eq!(other.is_ok(), !lends);
    }
}

#[test]
fn a_leg_stays_under_the_delegation_that_it_was_started_under() {
    let mut world = world();
    let narrow = one_call(ask([Act::Perform], 1));
    delegate(&mut world, &owner(), &narrow).unwrap();
    world.start(&relief()).unwrap();
    delegate(&mut world, &owner(), &ask([Act::Perform], 2)).unwrap();
    assert!(world.start(&relief()).unwrap().reattached);
    assert_eq!(leg_is_under(&world), 1);
    let other = world.issue(&relief(), (1, 1), (2, 1));
    assert_eq!(other, Err(Reason::Grant));
    // A new leg is under the newest.
    yielded(&mut world, &relief());
    world.start(&relief()).unwrap();
    assert_eq!(leg_is_under(&world), 2);
    world.issue(&relief(), (2, 1), (2, 1)).unwrap();
}

/// Whether this process still has the leg: by the rules of a step, and by those of re-attestation.
fn has_the_leg(world: &World, who: &Evidence) -> bool {
    let task = world.task();
    let held = Held::<AsPerformer>::check(task, who).unwrap();
    let by_step = held.leg_holder(task).is_some();
    let leg = task.leg.as_ref().unwrap();
    let by_attestation = Held::<AsPerformer>::of_leg(task, leg, who).is_ok();
    assert_eq!(by_step, by_attestation);
    by_step
}

#[test]
fn a_leg_is_over_with_its_role_whatever_else_its_process_fills() {
    let mut world = world();
    // The same ID by a delegation that asks for less, and lends less.
    let unit = Required {
        cgroup: Some("/unit".to_owned()),
        ..Required::default()
    };
    let laxer = AskDelegate {
        to: Role {
            required: unit,
            ..role("worker", 30)
        },
        ..one_call(ask([Act::Perform], 1))
    };
    let in_unit = |uid| Evidence {
        cgroup: Some("/unit".to_owned()),
        ..evidence("worker", 103, uid)
    };
    world.start(&in_unit(30)).unwrap();
    delegate(&mut world, &owner(), &laxer).unwrap();
    assert!(has_the_leg(&world, &in_unit(30)));
    world.issue(&in_unit(30), (1, 1), (2, 1)).unwrap();
    // It fills the delegate's role still, and is no performer any more.
    assert!(!has_the_leg(&world, &in_unit(31)));
    for arguments in [1, 2] {
        let step = world.issue(&in_unit(31), (1, 1), (arguments, 1));
        assert_eq!(step, Err(Reason::NoLeg));
    }
    // What it may have is a leg of its own, once that one is gone.
    let lost = leg::lose(world.task(), LegNumber(1));
    world.apply(lost);
    world.start(&in_unit(31)).unwrap();
    assert_eq!(leg_is_under(&world), 1);
    let wider = world.issue(&in_unit(31), (2, 2), (2, 2));
    assert_eq!(wider, Err(Reason::Grant));
}

#[test]
fn a_leg_is_under_one_id_whatever_others_its_process_has_or_gets() {
    let both = Evidence {
        spiffe_ids: vec![id("worker"), id("helper")],
        ..evidence("worker", 103, 30)
    };
    let only = |name| Evidence {
        spiffe_ids: vec![id(name)],
        ..both.clone()
    };
    for (first, other) in [("worker", "helper"), ("helper", "worker")] {
        let mut world = world();
        let task = world.lineage.task.as_mut().unwrap();
        task.performers = vec![role("worker", 30), role("helper", 30)];
        world.start(&only(first)).unwrap();
        assert!(has_the_leg(&world, &only(first)));
        assert!(has_the_leg(&world, &both), "{first} and {other}");
        assert!(!has_the_leg(&world, &only(other)));
    }
}

#[test]
fn each_act_is_by_a_delegation_that_has_it() {
    let mut world = world();
    delegate(&mut world, &owner(), &ask([Act::Perform], 1)).unwrap();
    delegate(&mut world, &owner(), &ask([Act::Query], 2)).unwrap();
    let task = world.task();
    let performs = Held::<AsPerformer>::check(task, &relief()).unwrap();
    assert_eq!(performs.delegation, Some(DelegationNumber(1)));
    let reads = Held::<AsOwnerPrincipalDue>::for_act(task, Act::Query, &relief()).unwrap();
    assert_eq!(reads.delegation, Some(DelegationNumber(2)));
    let nothing = Held::<AsOwnerPrincipalDue>::for_act(task, Act::Cancel, &relief());
    assert!(nothing.is_err());
}

#[test]
fn what_is_handed_on_does_not_replace_what_the_owner_gave() {
    for given in [true, false] {
        let mut world = world();
        let on = ask([Act::Delegate, Act::Perform], 1);
        delegate(&mut world, &owner(), &on).unwrap();
        if given {
            let owners = to_the_third(ask([Act::Perform], 2));
            delegate(&mut world, &owner(), &owners).unwrap();
        }
        for request in [3, 4] {
            let less = to_the_third(one_call(ask([Act::Perform], request)));
            delegate(&mut world, &relief(), &less).unwrap();
        }
        world.start(&third()).unwrap();
        let newest = world.task().delegations.last().unwrap().number.0;
        assert_eq!(leg_is_under(&world), if given { 2 } else { newest });
        let other = world.issue(&third(), (1, 1), (2, 1));
        assert_eq!(other.is_ok(), given);
    }
}

#[test]
fn a_delegate_takes_back_what_it_made_whichever_of_its_own_counts_now() {
    let mut world = world();
    let both = [Act::Delegate, Act::Query];
    delegate(&mut world, &owner(), &ask(both, 1)).unwrap();
    let on = to_the_third(ask(both, 2));
    delegate(&mut world, &relief(), &on).unwrap();
    delegate(&mut world, &owner(), &ask(both, 3)).unwrap();
    // Not its own, of the owner, nor of somebody else.
    for (who, number) in [(relief(), 1), (relief(), 3), (third(), 2), (third(), 1)] {
        let refused = take_back(&mut world, &who, number);
        assert_eq!(refused, Err(Reason::Unknown), "{number}");
    }
    assert!(
        world
            .task()
            .delegations
            .iter()
            .all(|it| it.ended_at.is_none())
    );
    take_back(&mut world, &relief(), 2).unwrap();
    assert!(world.task().delegations[1].ended_at.is_some());
    // What stood on one that is over is over with it, and nobody's to take back.
    take_back(&mut world, &owner(), 1).unwrap();
    assert_eq!(take_back(&mut world, &relief(), 2), Err(Reason::Unknown));
}

#[test]
fn an_order_is_given_by_a_delegation_that_needs_no_user() {
    let user = Digest([7; 32]);
    let for_a_user = AskDelegate {
        principal: Some(user),
        ..ask([Act::Takeover, Act::Query], 2)
    };
    for alone in [true, false] {
        let mut world = world();
        if alone {
            let without = ask([Act::Takeover, Act::Query], 1);
            delegate(&mut world, &owner(), &without).unwrap();
        }
        delegate(&mut world, &owner(), &for_a_user).unwrap();
        world.start(&evidence("worker", 104, 30)).unwrap();
        let held = Held::<AsOwnerPrincipalDue>::for_act(world.task(), Act::Takeover, &relief());
        let request = Digest([9; 32]);
        let asked = Order::Takeover(request, ());
        let taken = ordered(&world.lineage, &held.unwrap(), &asked, &world.now());
        let expected = if alone {
            Ok(LegNumber(1))
        } else {
            Err(Reason::PrincipalDue)
        };
        assert_eq!(taken.map(|taken| taken_over(&taken.effect)), expected);
        // At the server each user has the delegation that names it, and nobody's names no user.
        for (principal, found) in [(Some(user), true), (None, alone)] {
            let task = world.task();
            let reads = Held::<AsOwner>::for_act(task, Act::Query, Some(&id("relief")), principal);
            assert_eq!(reads.is_ok(), found);
        }
    }
}
