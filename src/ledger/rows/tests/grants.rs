//! Grants, constraints and child grants.

use super::{digest, role, spiffe_id, time};
use crate::domain::arguments::{Number, Scalar};
use crate::domain::child::{ChildGrant, Spawned};
use crate::domain::grant::{
    ArgumentConstraint, AudienceAssurance, Authority, Grant, MemberRule, MemberRules, Permission,
    Risk, Rule,
};
use crate::domain::id::{Fence, LegNumber, TaskId};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

fn number() -> impl Strategy<Value = Number> {
    any::<f64>().prop_filter_map("finite", Number::new)
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        any::<bool>().prop_map(Scalar::Bool),
        Just(Scalar::Null),
        number().prop_map(Scalar::Number),
        ".{0,8}".prop_map(Scalar::Text),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        Just(Rule::Any),
        vec(scalar(), 0..4).prop_map(Rule::OneOf),
        ".{0,8}".prop_map(Rule::PathPrefix),
        (of(number()), of(number())).prop_map(|(min, max)| Rule::Range { min, max }),
    ]
}

fn constraint() -> impl Strategy<Value = ArgumentConstraint> {
    let members = btree_map(".{0,8}", (any::<bool>(), rule()), 0..4).prop_map(|rules| {
        let rules = rules
            .into_iter()
            .map(|(name, (required, rule))| MemberRule {
                name,
                required,
                rule,
            });
        ArgumentConstraint::Members(MemberRules::new(rules.collect()).unwrap())
    });
    prop_oneof![
        Just(ArgumentConstraint::Any),
        digest().prop_map(ArgumentConstraint::Exact),
        vec(digest(), 0..4).prop_map(ArgumentConstraint::OneOf),
        members,
    ]
}

pub(super) fn permission() -> impl Strategy<Value = Permission> {
    (spiffe_id(), ".{0,20}", constraint()).prop_map(|(audience, tool, arguments)| Permission {
        audience,
        tool,
        arguments,
    })
}

pub(super) fn grant() -> impl Strategy<Value = Grant> {
    let assurance = select(vec![AudienceAssurance::Process, AudienceAssurance::Svid]);
    let budgets = any::<(u32, u32, Option<u32>)>();
    let risk = select(Risk::ALL.to_vec());
    (
        vec(permission(), 0..4),
        of(time()),
        assurance,
        budgets,
        risk,
    )
        .prop_map(
            |(permissions, not_after, audience_assurance, budgets, risk_ceiling)| {
                let (depth_left, children_left, uses_left) = budgets;
                Grant {
                    permissions,
                    not_after,
                    audience_assurance,
                    depth_left,
                    children_left,
                    uses_left,
                    risk_ceiling,
                }
            },
        )
}

pub(super) fn authority() -> impl Strategy<Value = Authority> {
    select(vec![Authority::Asked, Authority::Own])
}

pub(super) fn child() -> impl Strategy<Value = ChildGrant> {
    let ids = any::<([u8; 16], [u8; 16], [u8; 16], u32, u64)>();
    let who = (authority(), spiffe_id(), role(), spiffe_id());
    let what = (permission(), grant());
    (ids, who, what, time(), of((time(), any::<bool>()))).prop_map(
        |(ids, who, what, made_at, over)| {
            let (id, parent, txn, leg, fence) = ids;
            let (authority, subject, spender, maker) = who;
            let (call, asked) = what;
            ChildGrant {
                id: TaskId(id),
                parent: TaskId(parent),
                txn: TaskId(txn),
                authority,
                subject,
                spender,
                call,
                asked,
                maker,
                leg: LegNumber(leg),
                fence: Fence(fence),
                made_at,
                spent_at: over.and_then(|(at, revoked)| (!revoked).then_some(at)),
                revoked_at: over.and_then(|(at, revoked)| revoked.then_some(at)),
            }
        },
    )
}

pub(super) fn spawned() -> impl Strategy<Value = Spawned> {
    let children = vec(any::<[u8; 16]>().prop_map(TaskId), 0..4);
    (any::<[u8; 16]>(), digest(), digest(), children).prop_map(
        |(parent, request, asked, children)| Spawned {
            parent: TaskId(parent),
            request,
            asked,
            children,
        },
    )
}
