//! A small universe of grants: every kind of constraint, budgets at their edges, requests of every kind.
//!
//! The one thing to know: [`CALLS`] is every call that there is in it, so that "permits nothing more" can be
//! tried and not only sampled. `make long` runs each property with a million cases.

use crate::fixture::{START, id};
use handfast::domain::arguments::{Argument, Arguments, Number, Scalar, Witnesses};
use handfast::domain::grant::narrow::ChildTerms;
use handfast::domain::grant::{
    ArgumentConstraint, AudienceAssurance, Grant, MemberRule, MemberRules, Permission, Risk, Rule,
    SeenCall, ToolCall, ToolRisks, is_path,
};
use handfast::domain::id::Digest;
use handfast::domain::time::Time;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::sync::LazyLock;
use std::time::Duration;

const AUDIENCES: [&str; 2] = ["warehouse", "mailer"];
const TOOLS: [&str; 2] = ["export", "send"];
const NAMES: [&str; 2] = ["into", "rows"];
pub(crate) const PATHS: [&str; 10] = [
    "/",
    "/a",
    "/a/b",
    "/a/b/c",
    "/ab",
    "a",
    "/a/../b",
    "/a//b",
    "/a/%2e%2e/b",
    "/a\\b",
];

/// When the parent's task ends.
pub(crate) const ENDS: Time = Time(START.0 + 1_000_000);

pub(crate) fn number(value: f64) -> Number {
    Number::new(value).unwrap()
}

fn numbers() -> [Number; 4] {
    [-1.0, 0.0, 5.0, 9_007_199_254_740_992.0].map(number)
}

/// Every value that a member has in this universe.
pub(crate) fn scalars() -> Vec<Scalar> {
    let texts = PATHS.iter().map(|text| Scalar::Text((*text).to_owned()));
    let numbers = numbers().map(Scalar::Number);
    let others = [Scalar::Null, Scalar::Bool(true)];
    texts.chain(numbers).chain(others).collect()
}

fn digest(number: usize) -> Digest {
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    Digest(digest)
}

/// Every arguments object with at most two members, a composite one among them, and what is no object.
pub(crate) static DOCUMENTS: LazyLock<Vec<Arguments>> = LazyLock::new(documents);

/// The same, shown.
pub(crate) static SHOWN: LazyLock<Witnesses> =
    LazyLock::new(|| DOCUMENTS.iter().cloned().collect());

/// Every call.
pub(crate) static CALLS: LazyLock<Vec<SeenCall>> = LazyLock::new(calls);

fn documents() -> Vec<Arguments> {
    let values: Vec<Option<Argument>> = [None, Some(Argument::Composite)]
        .into_iter()
        .chain(scalars().into_iter().map(|it| Some(Argument::Scalar(it))))
        .collect();
    let mut documents = vec![Arguments::other(digest(0))];
    for into in &values {
        for rows in &values {
            let members = NAMES.iter().zip([into, rows]);
            let members =
                members.filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
            let number = digest(documents.len());
            documents.push(Arguments::object(number, members.collect()));
        }
    }
    documents
}

fn calls() -> Vec<SeenCall> {
    let mut calls = Vec::new();
    for audience in AUDIENCES {
        for tool in TOOLS {
            calls.extend(DOCUMENTS.iter().map(|arguments| SeenCall {
                call: ToolCall {
                    audience: id(audience),
                    tool: tool.to_owned(),
                    arguments: arguments.digest(),
                    definition: None,
                },
                arguments: arguments.clone(),
            }));
        }
    }
    calls
}

/// One tool of each risk.
pub(crate) fn risks() -> ToolRisks {
    let row = |audience: &str, tool: &str, risk| (id(audience), tool.to_owned(), risk);
    // `send` at `mailer` has none: critical.
    [
        row("warehouse", "export", Risk::Low),
        row("warehouse", "send", Risk::Medium),
        row("mailer", "export", Risk::High),
    ]
    .into_iter()
    .collect()
}

/// What may be a prefix: the others are refused before they come to the rules.
fn prefixes() -> Vec<&'static str> {
    PATHS.into_iter().filter(|path| is_path(path)).collect()
}

pub(crate) fn rule() -> impl Strategy<Value = Rule> {
    let end = || of(select(numbers().to_vec()));
    prop_oneof![
        Just(Rule::Any),
        subsequence(scalars(), 0..4).prop_map(Rule::OneOf),
        select(prefixes()).prop_map(|path| Rule::PathPrefix(path.to_owned())),
        (end(), end()).prop_map(|(min, max)| Rule::Range { min, max }),
    ]
}

pub(crate) fn constraint() -> impl Strategy<Value = ArgumentConstraint> {
    let members = btree_map(select(NAMES.to_vec()), (any::<bool>(), rule()), 0..=2);
    let members = members.prop_map(|rules| {
        let rules = rules
            .into_iter()
            .map(|(name, (required, rule))| MemberRule {
                name: name.to_owned(),
                required,
                rule,
            });
        ArgumentConstraint::Members(MemberRules::new(rules.collect()).unwrap())
    });
    let digests = || (0..DOCUMENTS.len()).prop_map(digest);
    prop_oneof![
        Just(ArgumentConstraint::Any),
        digests().prop_map(ArgumentConstraint::Exact),
        vec(digests(), 0..3).prop_map(ArgumentConstraint::OneOf),
        members,
    ]
}

pub(crate) fn permission() -> impl Strategy<Value = Permission> {
    let (audience, tool) = (select(AUDIENCES.to_vec()), select(TOOLS.to_vec()));
    (audience, tool, constraint()).prop_map(|(audience, tool, arguments)| Permission {
        audience: id(audience),
        tool: tool.to_owned(),
        arguments,
    })
}

/// Counts near which something could go wrong.
pub(crate) fn count() -> impl Strategy<Value = u32> {
    select(vec![0, 1, 2, 3, u32::MAX - 1, u32::MAX])
}

fn end() -> impl Strategy<Value = Option<Time>> {
    let near = |ms| START.after(Duration::from_millis(ms));
    select(vec![
        None,
        Some(Time(0)),
        Some(near(10)),
        Some(near(20)),
        Some(ENDS),
        Some(Time(ENDS.0 + 1)),
        Some(Time(u64::MAX)),
    ])
}

fn assurance() -> impl Strategy<Value = AudienceAssurance> {
    select(vec![AudienceAssurance::Process, AudienceAssurance::Svid])
}

pub(crate) fn grant() -> impl Strategy<Value = Grant> {
    let budgets = (count(), count(), of(count()), select(Risk::ALL.to_vec()));
    (vec(permission(), 0..4), end(), assurance(), budgets).prop_map(
        |(permissions, not_after, audience_assurance, budgets)| {
            let (depth_left, children_left, uses_left, risk_ceiling) = budgets;
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

/// Requests of every kind: what nobody would ask for, too. Half of the time every argument is shown.
pub(crate) fn terms() -> impl Strategy<Value = ChildTerms> {
    (asked(), any::<bool>()).prop_map(|(terms, shown)| showing(terms, shown))
}

fn asked() -> impl Strategy<Value = ChildTerms> {
    let what = (permission(), vec(permission(), 0..3));
    let risk = of(select(Risk::ALL.to_vec()));
    let budgets = (count(), count(), of(count()), risk);
    (what, end(), assurance(), budgets).prop_map(
        |((call, permissions), not_after, audience_assurance, budgets)| {
            let (depth, children, uses, risk_ceiling) = budgets;
            ChildTerms {
                call,
                permissions,
                not_after,
                audience_assurance,
                depth,
                children,
                uses,
                risk_ceiling,
                witnesses: Witnesses::default(),
            }
        },
    )
}

/// The request with the arguments behind every digest that it names, if they are shown: nobody looks for others.
fn showing(mut terms: ChildTerms, shown: bool) -> ChildTerms {
    if shown {
        let permissions = terms.permissions.iter().chain([&terms.call]);
        let named = permissions.flat_map(|permission| match &permission.arguments {
            ArgumentConstraint::Exact(digest) => std::slice::from_ref(digest),
            ArgumentConstraint::OneOf(digests) => digests,
            ArgumentConstraint::Any | ArgumentConstraint::Members(_) => &[],
        });
        let behind = named.filter_map(|digest| SHOWN.of(*digest)).cloned();
        terms.witnesses = behind.collect();
    }
    terms
}

/// A parent, and a request made of what it has, so that many are granted.
pub(crate) fn family() -> impl Strategy<Value = (Grant, ChildTerms)> {
    (
        grant(),
        asked(),
        any::<[bool; 5]>(),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(parent, mut terms, modest, which)| {
            let [permissions, budgets, end, risk, shown] = modest;
            if permissions && !parent.permissions.is_empty() {
                terms.call = which.get(&parent.permissions).clone();
                terms.permissions = vec![terms.call.clone()];
            }
            if budgets {
                terms.depth = parent.depth_left.saturating_sub(1);
                terms.children = parent.children_left.saturating_sub(1);
                terms.uses = parent.uses_left;
            }
            if end {
                terms.not_after = None;
            }
            if risk {
                terms.risk_ceiling = None;
            }
            (parent, showing(terms, shown))
        })
}
