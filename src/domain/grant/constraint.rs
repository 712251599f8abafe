//! Which arguments a permission admits, and when one constraint lies within another (N2).

use super::path;
use crate::domain::arguments::{Argument, Arguments, Number, Scalar, Witnesses};
use crate::domain::id::Digest;

/// Which arguments a permission admits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArgumentConstraint {
    /// Any arguments; policy still sees the tool.
    Any,
    /// Exactly the arguments with this digest (SHA-256 of RFC 8785).
    Exact(Digest),
    /// An object with these members at most.
    Members(MemberRules),
    /// The arguments with one of these digests.
    OneOf(Vec<Digest>),
}

/// What each member of an arguments object may be. Closed: a member without a rule is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberRules(Vec<MemberRule>);

/// What one member may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberRule {
    /// The member's name.
    pub name: String,
    /// Whether an object without it is refused.
    pub required: bool,
    /// What its value may be.
    pub rule: Rule,
}

/// What a member's value may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Anything.
    Any,
    /// One of these.
    OneOf(Vec<Scalar>),
    /// A string: this path or one below it, by segments. What could be read as another path is refused.
    PathPrefix(String),
    /// A number from `min` to `max`, both included; an absent end is open.
    Range {
        /// The least.
        min: Option<Number>,
        /// The greatest.
        max: Option<Number>,
    },
}

impl MemberRules {
    /// Rules by name; `None` if a name occurs twice.
    #[must_use]
    pub fn new(mut rules: Vec<MemberRule>) -> Option<Self> {
        rules.sort_by(|a, b| a.name.cmp(&b.name));
        let twice = rules
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.name == b.name));
        (!twice).then_some(Self(rules))
    }

    /// The rules in the order of their names.
    #[must_use]
    pub fn rules(&self) -> &[MemberRule] {
        &self.0
    }

    fn of(&self, name: &str) -> Option<&MemberRule> {
        let at = self.0.binary_search_by(|rule| rule.name.as_str().cmp(name));
        self.0.get(at.ok()?)
    }

    fn admits(&self, arguments: &Arguments) -> bool {
        // Not an object, or not at hand: nobody knows what it holds.
        let Some(members) = arguments.members() else {
            return false;
        };
        let present = |name: &str| members.iter().any(|(member, _)| member == name);
        members.iter().all(|(name, value)| {
            self.of(name)
                .is_some_and(|member| member.rule.admits(value))
        }) && self
            .0
            .iter()
            .all(|member| !member.required || present(&member.name))
    }

    fn within(&self, parent: &Self) -> bool {
        let narrower = |child: &MemberRule| {
            parent
                .of(&child.name)
                .is_some_and(|member| child.rule.within(&member.rule))
        };
        let required = |name: &str| self.of(name).is_some_and(|member| member.required);
        self.0.iter().all(narrower)
            && parent
                .0
                .iter()
                .all(|member| !member.required || required(&member.name))
    }
}

impl ArgumentConstraint {
    /// Whether these arguments are admitted. A constraint that needs values refuses where there are none.
    #[must_use]
    pub fn admits(&self, arguments: &Arguments) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(only) => *only == arguments.digest(),
            Self::Members(rules) => rules.admits(arguments),
            Self::OneOf(digests) => digests.contains(&arguments.digest()),
        }
    }

    /// Whether everything that this admits is admitted by `parent` too.
    ///
    /// Never says so wrongly. A digest lies within rules about members only if the arguments behind it are
    /// shown in `witnesses`; rules about members lie within no list of digests.
    #[must_use]
    pub fn within(&self, parent: &Self, witnesses: &Witnesses) -> bool {
        match (self, parent) {
            (_, Self::Any) => true,
            (Self::Members(child), Self::Members(parent)) => child.within(parent),
            (Self::Any, Self::Exact(_) | Self::Members(_) | Self::OneOf(_))
            | (Self::Members(_), Self::Exact(_) | Self::OneOf(_)) => false,
            (Self::Exact(only), _) => parent.admits_shown(*only, witnesses),
            (Self::OneOf(digests), _) => digests
                .iter()
                .all(|digest| parent.admits_shown(*digest, witnesses)),
        }
    }

    fn admits_shown(&self, digest: Digest, witnesses: &Witnesses) -> bool {
        self.admits(&Arguments::unseen(digest))
            || witnesses.of(digest).is_some_and(|shown| self.admits(shown))
    }
}

impl Rule {
    /// Whether this value is admitted.
    #[must_use]
    pub fn admits(&self, value: &Argument) -> bool {
        match (self, value) {
            (Self::Any, _) => true,
            (_, Argument::Composite) => false,
            (_, Argument::Scalar(value)) => self.admits_scalar(value),
        }
    }

    fn admits_scalar(&self, value: &Scalar) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(values) => values.contains(value),
            Self::PathPrefix(prefix) => match value {
                Scalar::Text(text) => path::below(text, prefix),
                Scalar::Bool(_) | Scalar::Null | Scalar::Number(_) => false,
            },
            Self::Range { min, max } => match value {
                Scalar::Number(number) => {
                    min.is_none_or(|min| min <= *number) && max.is_none_or(|max| *number <= max)
                }
                Scalar::Bool(_) | Scalar::Null | Scalar::Text(_) => false,
            },
        }
    }

    /// Whether everything that this admits is admitted by `parent` too.
    #[must_use]
    pub fn within(&self, parent: &Self) -> bool {
        match (self, parent) {
            (_, Self::Any) => true,
            (Self::Any, _) | (Self::PathPrefix(_), Self::OneOf(_) | Self::Range { .. }) => false,
            (Self::OneOf(values), _) => values.iter().all(|value| parent.admits_scalar(value)),
            (Self::PathPrefix(child), Self::PathPrefix(parent)) => path::below(child, parent),
            (
                Self::Range { min, max },
                Self::Range {
                    min: least,
                    max: greatest,
                },
            ) => {
                // Every end that the parent has, the child has too, and it lies inside.
                least.is_none_or(|least| min.is_some_and(|min| least <= min))
                    && greatest.is_none_or(|greatest| max.is_some_and(|max| max <= greatest))
            }
            (Self::Range { min, max }, Self::OneOf(_) | Self::PathPrefix(_)) => match (min, max) {
                (Some(min), Some(max)) if min == max => parent.admits_scalar(&Scalar::Number(*min)),
                _ => false,
            },
        }
    }
}
