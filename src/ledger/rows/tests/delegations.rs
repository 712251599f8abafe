//! Delegations, any that there can be.

use super::grants::permission;
use super::{digest, role, time};
use crate::domain::delegation::{Act, Delegation};
use crate::domain::id::DelegationNumber;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

pub(super) fn delegation() -> impl Strategy<Value = Delegation> {
    let acts = proptest::sample::subsequence(Act::ALL.to_vec(), 0..=Act::ALL.len());
    let numbers = any::<(u32, Option<u32>)>();
    let times = (time(), time(), of(time()));
    let permissions = of(vec(permission(), 0..3));
    (
        numbers,
        role(),
        of(digest()),
        acts,
        permissions,
        times,
        (digest(), digest()),
    )
        .prop_map(
            |((number, from), to, principal, acts, permissions, times, (request, asked))| {
                let (not_after, made_at, ended_at) = times;
                Delegation {
                    number: DelegationNumber(number),
                    to,
                    principal,
                    acts: acts.into_iter().collect(),
                    permissions,
                    not_after,
                    from: from.map(DelegationNumber),
                    made_at,
                    ended_at,
                    request,
                    asked,
                }
            },
        )
}
