//! Grants in words, for people.

use crate::domain::arguments::{Number, Scalar};
use crate::domain::grant::{ArgumentConstraint, Grant, MemberRule, Permission, Rule};
use crate::domain::id::Hex;

/// Every permission of a grant, and its budgets where it has any.
pub(crate) fn grant(grant: &Grant) -> Vec<String> {
    let mut lines: Vec<String> = grant.permissions.iter().map(permission).collect();
    if !lines.is_empty() {
        lines.extend(budgets(grant));
    }
    lines
}

fn budgets(grant: &Grant) -> Option<String> {
    let mut parts = Vec::new();
    if grant.depth_left > 0 || grant.children_left > 0 {
        let (children, depth) = (grant.children_left, grant.depth_left);
        parts.push(format!("{children} children within {depth} generations"));
    }
    parts.extend(grant.uses_left.map(|uses| format!("{uses} steps")));
    if grant.risk_ceiling != crate::domain::grant::Risk::default() {
        parts.push(format!("risk up to {}", grant.risk_ceiling.name()));
    }
    (!parts.is_empty()).then(|| format!("left: {}", parts.join(", ")))
}

/// One permission.
pub(crate) fn permission(permission: &Permission) -> String {
    let Permission {
        audience,
        tool,
        arguments,
    } = permission;
    let call = format!("{tool} at {audience}");
    match arguments {
        ArgumentConstraint::Any => call,
        ArgumentConstraint::Exact(digest) => {
            format!("{call} with the arguments of SHA-256 {}", Hex(&digest.0))
        }
        ArgumentConstraint::OneOf(digests) => {
            let digests: Vec<String> = digests.iter().map(|it| Hex(&it.0).to_string()).collect();
            let digests = digests.join(" or ");
            format!("{call} with the arguments of SHA-256 {digests}")
        }
        ArgumentConstraint::Members(members) => {
            let rules: Vec<String> = members.rules().iter().map(member).collect();
            format!("{call} with at most the members {}", rules.join(", "))
        }
    }
}

fn member(member: &MemberRule) -> String {
    let MemberRule {
        name,
        required,
        rule,
    } = member;
    let due = if *required { " (required)" } else { "" };
    let rule = match rule {
        Rule::Any => "anything".to_owned(),
        Rule::OneOf(values) => {
            let values: Vec<String> = values.iter().map(scalar).collect();
            values.join(" or ")
        }
        Rule::PathPrefix(prefix) => format!("{prefix:?} or below"),
        Rule::Range { min, max } => format!("{} to {}", end(*min), end(*max)),
    };
    format!("{name:?}{due}: {rule}")
}

/// Escaped: a constraint's text is not the operator's own.
fn scalar(value: &Scalar) -> String {
    match value {
        Scalar::Bool(value) => value.to_string(),
        Scalar::Null => "null".to_owned(),
        Scalar::Number(number) => number.as_f64().to_string(),
        Scalar::Text(text) => format!("{text:?}"),
    }
}

fn end(number: Option<Number>) -> String {
    number.map_or_else(|| "any".to_owned(), |number| number.as_f64().to_string())
}
