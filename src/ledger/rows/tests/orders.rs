//! Orders, any that there can be.

use super::delegations::delegation;
use super::digest;
use crate::domain::id::{DelegationNumber, Fence, LegNumber, StepNumber};
use crate::domain::order::{Order, Word};
use crate::domain::step::Purpose;
use proptest::prelude::*;

fn order() -> impl Strategy<Value = Order> {
    let word = prop_oneof![Just(Word::Done), Just(Word::NotDone)];
    prop_oneof![
        delegation().prop_map(|made| Order::Delegate(Box::new(made))),
        (any::<u32>(), any::<u64>(), word).prop_map(|(step, fence, word)| Order::Resolve(
            StepNumber(step),
            Fence(fence),
            word
        )),
        any::<u32>().prop_map(|number| Order::RevokeDelegation(DelegationNumber(number))),
        (digest(), any::<u32>())
            .prop_map(|(request, leg)| Order::Takeover(request, LegNumber(leg))),
    ]
}

pub(super) fn purpose() -> impl Strategy<Value = Purpose> {
    prop_oneof![
        Just(Purpose::Cancel),
        Just(Purpose::Update),
        any::<u32>().prop_map(|step| Purpose::Step(StepNumber(step))),
        order().prop_map(|order| Purpose::Order(Box::new(order))),
    ]
}
