//! A text taken apart against the whole text: the same policies, the same findings at the same places.

use super::bounds;
use super::compile::{check, parsed};
use super::differential::ENGINE;
use super::error::Problem;
use super::{DEFAULT_POLICY, GUARD_RAILS};
use cedar_policy::{Effect, PolicySet, ValidationMode, Validator};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;

/// What a text may be confused by, and what makes it whole again.
const FRAGMENTS: [&str; 34] = [
    "permit(principal,action,resource);",
    "forbid(principal,action,resource);",
    "permit(principal,action,resource)",
    "forbid(principal,action,resource)when{resource.tool==\"",
    "forbid(principal,action,resource)unless{resource.tool like \"\\*",
    "@why(\"",
    "\")permit(principal,action,resource);",
    "\"};",
    "\"}\n;",
    "\";\"",
    "\"",
    "\\",
    "\\\"",
    "\\\\",
    "\\u{22}",
    "'",
    "//",
    "// ; \"\n",
    "/",
    "/*",
    "*/",
    "/**/",
    "#",
    ";",
    "\r",
    "\n",
    "\r\n",
    "\t\u{b}\u{c} ",
    "\u{85}",
    "\u{a0}\u{2028}",
    "\u{200b}",
    "\u{feff}",
    "\0",
    "é",
];

/// What each policy does, in the order of the text; `None` where the text is no set.
fn whole(text: &str) -> Option<Vec<Effect>> {
    let set: PolicySet = text.parse().ok()?;
    let mut policies: Vec<_> = set.policies().collect();
    policies.sort_by_key(|policy| {
        let id: &str = policy.id().as_ref();
        let number = id.strip_prefix("policy").map(str::parse::<usize>);
        number.expect("a default ID").expect("a number")
    });
    Some(policies.iter().map(|policy| policy.effect()).collect())
}

fn apart(text: &str) -> Option<Vec<Effect>> {
    let parts = bounds::apart(text).expect("a short text");
    let placed = parsed(text, &parts).ok()?;
    Some(placed.iter().map(|it| it.policy.effect()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_text_has_the_policies_that_cedar_sees_in_the_whole(
        fragments in prop::collection::vec(select(&FRAGMENTS[..]), 1..6),
    ) {
        let text = fragments.concat();
        prop_assert_eq!(apart(&text), whole(&text));
    }

    /// Good policies with anything between them: most such texts are good.
    #[test]
    fn a_good_text_has_the_policies_that_cedar_sees_in_the_whole(
        between in prop::collection::vec(select(&FRAGMENTS[16..]), 4),
    ) {
        let text = format!(
            "{}permit(principal,action,resource){}; // {}\n{0}forbid(principal,action,resource)\
             when{{resource.tool==\"{2}\"}};{}",
            between[0], between[1], between[2], between[3]
        );
        prop_assert_eq!(apart(&text), whole(&text));
    }
}

type Finding = (usize, usize, String);

/// What Cedar finds in a text as a whole: problems and warnings.
fn found(text: &str) -> [BTreeSet<Finding>; 2] {
    let set: PolicySet = text.parse().expect("a policy set");
    let result = Validator::new(ENGINE.schema().clone()).validate(&set, ValidationMode::Strict);
    let told = |problem: Problem| {
        let rest = problem.message.strip_prefix("for policy `policy");
        let bare = rest
            .and_then(|rest| rest.split_once(' '))
            .map(|(_, bare)| bare.to_owned());
        (
            problem.line,
            problem.column,
            bare.unwrap_or(problem.message),
        )
    };
    let errors = result
        .validation_errors()
        .map(|it| Problem::of(text, 0, it));
    let warnings = result
        .validation_warnings()
        .map(|it| Problem::of(text, 0, it));
    [errors.map(told).collect(), warnings.map(told).collect()]
}

/// What loading tells of it.
fn told(text: &str) -> [BTreeSet<Finding>; 2] {
    let plain = |it: &Problem| (it.line, it.column, it.message.clone());
    match check(text) {
        Ok(summary) => [
            BTreeSet::new(),
            summary.warnings.iter().map(plain).collect(),
        ],
        Err(error) => {
            let problems = error.problems().iter().map(plain);
            let cedars = problems.filter(|(.., message)| !message.contains("can never match"));
            [cedars.collect(), BTreeSet::new()]
        }
    }
}

#[test]
fn each_policy_by_itself_is_found_to_be_what_it_is_among_the_others() {
    let mut with_problems = 0;
    for (from, to) in [
        ("", ""),
        ("resource.", "resource.é_"),
        ("context.", "context.no_"),
        ("Action::\"s", "Action::\"z"),
        ("TaskState::\"", "TaskState::\"\u{202e}"),
        ("Workload", "Task"),
        ("&&", "||"),
        ("==", "<"),
        ("when {", "when { /* */ false && "),
        ("when {", "when { resource == \"аb\" && "),
        ("when {", "when { 1 == 2 && "),
    ] {
        for text in [DEFAULT_POLICY, GUARD_RAILS] {
            let text = text.replace(from, to);
            let Ok(_) = text.parse::<PolicySet>() else {
                continue;
            };
            let [problems, warnings] = found(&text);
            assert!(problems.len() < 100 && warnings.len() < 100, "{from}");
            with_problems += usize::from(!problems.is_empty());
            let [told_problems, told_warnings] = told(&text);
            assert_eq!(told_problems, problems, "{from} → {to}");
            if problems.is_empty() {
                assert_eq!(told_warnings, warnings, "{from} → {to}");
            }
        }
    }
    assert!(with_problems > 8, "{with_problems}");
}
