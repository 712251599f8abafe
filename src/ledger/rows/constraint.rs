//! Stored form of argument constraints.

use super::{Row, RowError, digest, due, rows, wire, wires};
use crate::domain::arguments::{Number, Scalar};
use crate::domain::grant::{ArgumentConstraint, MemberRule, MemberRules, Rule};
use crate::domain::id::Digest;

impl Row for Scalar {
    type Wire = wire::Scalar;

    fn to_wire(&self) -> Self::Wire {
        let mut wire = wire::Scalar::default();
        match self {
            Self::Bool(value) => wire.bool = Some(*value),
            Self::Null => {}
            Self::Number(value) => wire.number = Some(value.as_f64()),
            Self::Text(value) => wire.text = Some(value.clone()),
        }
        wire
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        match (wire.bool, wire.number, wire.text) {
            (None, None, None) => Ok(Self::Null),
            (Some(value), None, None) => Ok(Self::Bool(value)),
            (None, Some(value), None) => number(value).map(Self::Number),
            (None, None, Some(value)) => Ok(Self::Text(value)),
            _ => Err(RowError::Field("values")),
        }
    }
}

fn number(value: f64) -> Result<Number, RowError> {
    due(Number::new(value), "number")
}

impl Row for MemberRule {
    type Wire = wire::MemberRule;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            name,
            required,
            rule,
        } = self;
        let mut wire = wire::MemberRule {
            name: name.clone(),
            required: *required,
            ..wire::MemberRule::default()
        };
        match rule {
            Rule::Any => wire.rule = 1,
            Rule::OneOf(values) => {
                wire.rule = 2;
                wire.values = wires(values);
            }
            Rule::PathPrefix(prefix) => {
                wire.rule = 3;
                wire.prefix.clone_from(prefix);
            }
            Rule::Range { min, max } => {
                wire.rule = 4;
                wire.min = min.map(Number::as_f64);
                wire.max = max.map(Number::as_f64);
            }
        }
        wire
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            name: wire.name,
            required: wire.required,
            rule: match wire.rule {
                1 => Rule::Any,
                2 => Rule::OneOf(rows(wire.values)?),
                3 => Rule::PathPrefix(wire.prefix),
                4 => Rule::Range {
                    min: wire.min.map(number).transpose()?,
                    max: wire.max.map(number).transpose()?,
                },
                _ => return Err(RowError::Field("rule")),
            },
        })
    }
}

/// Puts a constraint into the permission that it belongs to.
pub(super) fn put(constraint: &ArgumentConstraint, wire: &mut wire::Permission) {
    match constraint {
        ArgumentConstraint::Any => {}
        ArgumentConstraint::Exact(only) => wire.exact = Some(only.0.to_vec()),
        ArgumentConstraint::Members(rules) => {
            let rules = wires(rules.rules());
            wire.members = Some(wire::MemberRules { rules });
        }
        ArgumentConstraint::OneOf(digests) => {
            let digests = digests.iter().map(|digest| digest.0.to_vec()).collect();
            wire.one_of = Some(wire::Digests { digests });
        }
    }
}

/// The constraint of a permission.
pub(super) fn of(
    exact: Option<Vec<u8>>,
    one_of: Option<wire::Digests>,
    members: Option<wire::MemberRules>,
) -> Result<ArgumentConstraint, RowError> {
    match (exact, one_of, members) {
        (None, None, None) => Ok(ArgumentConstraint::Any),
        (Some(exact), None, None) => digest(&exact, "exact").map(ArgumentConstraint::Exact),
        (None, Some(wire::Digests { digests }), None) => digests
            .iter()
            .map(|bytes| digest(bytes, "one_of"))
            .collect::<Result<Vec<Digest>, RowError>>()
            .map(ArgumentConstraint::OneOf),
        (None, None, Some(wire::MemberRules { rules })) => {
            let rules = MemberRules::new(rows(rules)?);
            due(rules, "members").map(ArgumentConstraint::Members)
        }
        _ => Err(RowError::Field("arguments")),
    }
}
