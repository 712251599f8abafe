//! Orders, any that there can be.

use super::delegations::delegation;
use super::{digest, process};
use crate::domain::id::{DelegationNumber, StepNumber};
use crate::domain::order::{GivenOrder, Order, Word};
use crate::domain::step::Purpose;
use proptest::option::of;
use proptest::prelude::*;

fn order() -> impl Strategy<Value = Order> {
    let word = prop_oneof![Just(Word::Done), Just(Word::NotDone)];
    prop_oneof![
        delegation().prop_map(|made| Order::Delegate(Box::new(made))),
        (any::<u32>(), word).prop_map(|(step, word)| Order::Resolve(StepNumber(step), word)),
        any::<u32>().prop_map(|number| Order::TakeBack(DelegationNumber(number))),
        digest().prop_map(Order::TakeOver),
    ]
}

pub(super) fn purpose() -> impl Strategy<Value = Purpose> {
    let given = (order(), of(process())).prop_map(|(order, by)| GivenOrder { order, by });
    prop_oneof![
        Just(Purpose::Cancel),
        Just(Purpose::Update),
        any::<u32>().prop_map(|step| Purpose::Step(StepNumber(step))),
        given.prop_map(|given| Purpose::Order(Box::new(given))),
    ]
}
