//! A child's grant lies within its parent's: rules N1 to N5, N7 and N10, for any request.

use crate::fixture::{START, limits};
use crate::universe::{
    CALLS, DOCUMENTS, ENDS, SHOWN, constraint, family, grant, risks, rule, scalars, terms,
};
use handfast::domain::arguments::Argument;
use handfast::domain::arguments::Witnesses;
use handfast::domain::grant::Grant;
use handfast::domain::grant::narrow::{Beyond, ChildTerms};
use handfast::domain::id::{Epoch, SpiffeId};
use handfast::domain::limits::Limits;
use handfast::domain::lineage::Now;
use proptest::prelude::*;
use std::sync::LazyLock;

static LIMITS: LazyLock<Limits> = LazyLock::new(|| Limits {
    tool_risks: risks(),
    ..limits()
});

fn now() -> Now<'static> {
    Now {
        time: START,
        epoch: Epoch(1),
        limits: &LIMITS,
    }
}

fn narrow(parent: &Grant, terms: &ChildTerms) -> Result<Grant, Beyond> {
    parent.narrow(terms, ENDS, &LIMITS.tool_risks)
}

/// The parent as it is for its children: it ends with its task.
fn ending(parent: &Grant) -> Grant {
    Grant {
        not_after: Some(parent.not_after.map_or(ENDS, |end| end.min(ENDS))),
        ..parent.clone()
    }
}

/// How many calls the child permits and the parent does not.
fn excess(child: &Grant, parent: &Grant) -> usize {
    let now = now();
    let beyond = |call: &&_| child.permits(call, &now) && !parent.permits(call, &now);
    CALLS.iter().filter(beyond).count()
}

proptest! {
    #[test]
    fn n01_a_child_permits_no_call_that_its_parent_refuses((parent, terms) in family()) {
        if let Ok(child) = narrow(&parent, &terms) {
            prop_assert_eq!(excess(&child, &parent), 0);
            prop_assert!(terms.call.within(&parent.permissions, &terms.witnesses));
        }
    }

    #[test]
    fn n02_what_lies_within_admits_nothing_more(child in constraint(), parent in constraint()) {
        for witnesses in [&*SHOWN, &Witnesses::default()] {
            if child.within(&parent, witnesses) {
                let beyond = DOCUMENTS.iter().find(|it| child.admits(it) && !parent.admits(it));
                prop_assert_eq!(beyond, None);
            }
        }
    }

    #[test]
    fn n02_a_constraint_that_needs_values_refuses_a_digest(constraint in constraint()) {
        for shown in DOCUMENTS.iter() {
            let unseen = handfast::domain::arguments::Arguments::unseen(shown.digest());
            // Never more than with the values at hand.
            prop_assert!(!constraint.admits(&unseen) || constraint.admits(shown));
        }
    }

    #[test]
    fn n03_every_audience_of_a_child_is_its_parents((parent, terms) in family()) {
        if let Ok(child) = narrow(&parent, &terms) {
            let known = |audience: &SpiffeId| parent.permissions.iter().any(|it| it.audience == *audience);
            prop_assert!(known(&terms.call.audience));
            prop_assert!(child.permissions.iter().all(|it| known(&it.audience)));
            prop_assert!(child.audience_assurance >= parent.audience_assurance);
        }
    }

    #[test]
    fn n04_a_child_ends_no_later_than_its_parent((parent, terms) in family()) {
        let latest = ending(&parent).not_after;
        match narrow(&parent, &terms) {
            Ok(child) => prop_assert!(child.not_after.is_some() && child.not_after <= latest),
            Err(beyond) => {
                // And only a later end is refused as one.
                let later = terms.not_after > latest;
                prop_assert!(beyond != Beyond::NotAfter || later);
            }
        }
    }

    #[test]
    fn n05_each_generation_is_one_less((parent, terms) in family()) {
        let below = parent.depth_left.checked_sub(1);
        match narrow(&parent, &terms) {
            Ok(child) => prop_assert!(below.is_some_and(|below| child.depth_left <= below)),
            Err(beyond) => prop_assert!(
                below.is_some_and(|below| terms.depth <= below) || beyond == Beyond::Depth
            ),
        }
    }

    #[test]
    fn n07_risk_never_rises((parent, terms) in family()) {
        if let Ok(child) = narrow(&parent, &terms) {
            prop_assert!(child.risk_ceiling <= parent.risk_ceiling);
            let call = LIMITS.tool_risks.of(&terms.call.audience, &terms.call.tool);
            prop_assert!(call <= parent.risk_ceiling);
        }
    }

    #[test]
    fn n10_whatever_is_asked_what_is_given_lies_within(parent in grant(), terms in terms()) {
        if let Ok(child) = narrow(&parent, &terms) {
            prop_assert_eq!(child.within(&ending(&parent), &terms.witnesses), Ok(()));
        }
    }

    #[test]
    fn n10_the_order_is_reflexive(grant in grant()) {
        // A digest under itself needs nobody to show the arguments.
        prop_assert_eq!(grant.within(&grant, &Witnesses::default()), Ok(()));
    }

    #[test]
    fn n10_the_order_is_transitive(a in grant(), b in grant(), c in grant()) {
        let (ab, bc) = (a.within(&b, &SHOWN), b.within(&c, &SHOWN));
        if ab.is_ok() && bc.is_ok() {
            prop_assert_eq!(excess(&a, &c), 0);
            prop_assert!(a.depth_left <= c.depth_left && a.risk_ceiling <= c.risk_ceiling);
        }
    }

    #[test]
    fn n10_what_lies_within_each_other_is_the_same((a, terms) in family(), b in grant()) {
        let b = narrow(&a, &terms).unwrap_or(b);
        if a.within(&b, &SHOWN).is_ok() && b.within(&a, &SHOWN).is_ok() {
            prop_assert_eq!((excess(&a, &b), excess(&b, &a)), (0, 0));
            prop_assert_eq!(a.not_after, b.not_after);
            prop_assert_eq!((a.depth_left, a.children_left), (b.depth_left, b.children_left));
            prop_assert_eq!((a.uses_left, a.risk_ceiling), (b.uses_left, b.risk_ceiling));
        }
    }
}

/// Every rule of a universe against every other, and every value.
#[test]
fn n02_rules_are_compared_as_their_values_are() {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut draw = || rule().new_tree(&mut runner).unwrap().current();
    let rules: Vec<_> = (0..400).map(|_| draw()).collect();
    let values: Vec<Argument> = scalars()
        .into_iter()
        .map(Argument::Scalar)
        .chain([Argument::Composite])
        .collect();
    let (mut within, mut apart) = (0_u32, 0_u32);
    for child in &rules {
        for parent in &rules {
            if child.within(parent) {
                within += 1;
                let beyond = values
                    .iter()
                    .find(|it| child.admits(it) && !parent.admits(it));
                assert_eq!(beyond, None, "{child:?} in {parent:?}");
            } else {
                apart += 1;
            }
        }
    }
    assert!(within > 1_000 && apart > 1_000, "{within} {apart}");
}

/// The properties above are about something: many requests of the universe are granted, and many are not.
#[test]
fn the_universe_has_both_answers() {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut granted = 0;
    for _ in 0..2_000 {
        let (parent, terms) = family().new_tree(&mut runner).unwrap().current();
        granted += u32::from(narrow(&parent, &terms).is_ok());
    }
    assert!((50..1_900).contains(&granted), "{granted}");
}
