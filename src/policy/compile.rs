//! From text to a set that can decide, or to every reason why not.

use super::bounds::{self, Part, Parts};
use super::error::{PolicyError, Problem, Problems, within};
use super::guard;
use super::question::Vocabulary;
use super::set::Set;
use crate::domain::id::Digest;
use crate::domain::policy::PolicyGeneration;
use cedar_policy::{
    Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, ValidationResult, Validator,
};
use miette::Diagnostic;
use std::collections::BTreeMap;

/// What a good set consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its policies, in the order of the text.
    pub policies: Vec<PolicyLine>,
    /// What is suspicious but no error: policies that can never apply, look-alike letters.
    pub warnings: Vec<Problem>,
    /// SHA-256 of the text.
    pub text: Digest,
}

/// One policy of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLine {
    /// Its ID: the `@id` annotation, else `policyN` with its place in the text, from 0.
    pub id: String,
    /// Whether it forbids.
    pub forbids: bool,
    /// The line where it begins, counted from 1.
    pub line: usize,
}

/// Checks a policy text as loading it would, but for `limits.policy_bytes` and `limits.policies`.
///
/// # Errors
/// See [`PolicyError`]; the problems of one stage are told at once, up to a hundred.
pub fn check(text: &str) -> Result<Summary, PolicyError> {
    let set = Engine::new()?.compile(text, usize::MAX, 0)?;
    Ok(set.summary().clone())
}

/// SHA-256 of a text.
pub(super) fn digest(text: &str) -> Digest {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let mut bytes = [0; 32];
    for (slot, byte) in bytes.iter_mut().zip(hash.as_ref()) {
        *slot = *byte;
    }
    Digest(bytes)
}

/// The schema and the names in it.
#[derive(Debug)]
pub(super) struct Engine {
    validator: Validator,
    pub(super) vocabulary: Vocabulary,
}

impl Engine {
    pub(super) fn new() -> Result<Self, PolicyError> {
        let (schema, _) =
            Schema::from_cedarschema_str(super::SCHEMA).map_err(|it| PolicyError::built_in(&it))?;
        Ok(Self {
            validator: Validator::new(schema),
            vocabulary: Vocabulary::new().map_err(|it| PolicyError::built_in(&it))?,
        })
    }

    #[cfg(any(test, feature = "prove"))]
    pub(super) fn schema(&self) -> &Schema {
        self.validator.schema()
    }

    /// The policies of a text, in its order: good Cedar that fits the schema, but not yet a set that an
    /// agent would take. A set that permits everything can be looked at too.
    #[cfg(feature = "prove")]
    pub(super) fn policies(&self, text: &str) -> Result<Vec<Policy>, PolicyError> {
        let (placed, _) = self.checked(text, &bounds::apart(text)?)?;
        Ok(placed.into_iter().map(|it| it.policy).collect())
    }

    /// Parses, names, validates and slices a text of at most `policies_max` policies.
    pub(super) fn compile(
        &self,
        text: &str,
        policies_max: usize,
        number: u64,
    ) -> Result<Set, PolicyError> {
        let parts = bounds::apart(text)?;
        if parts.policies.len() > policies_max {
            return Err(PolicyError::TooMany {
                policies: parts.policies.len(),
                policies_max,
            });
        }
        bounds::checking(|| self.compile_bounded(text, &parts, number))
    }

    fn compile_bounded(
        &self,
        text: &str,
        parts: &Parts<'_>,
        number: u64,
    ) -> Result<Set, PolicyError> {
        let (placed, warnings) = self.checked(text, parts)?;
        guard::unconditional(text, &placed)?;
        let summary = Summary {
            policies: placed.iter().map(Placed::line).collect(),
            warnings,
            text: digest(text),
        };
        let generation = PolicyGeneration {
            number,
            text: Some(summary.text),
        };
        let policies = placed.iter().map(|it| it.policy.clone());
        let set = Set::new(generation, summary, policies, &self.vocabulary)?;
        guard::strangers(text, &placed, &set, &self.vocabulary)?;
        Ok(set)
    }

    /// Parses, names and validates a text within the bounds; tells the warnings too.
    ///
    /// Cedar validates each policy by itself, so that asking for one at a time finds the same
    /// (the tests in `apart` hold it to that), without hashing the whole text for every problem.
    fn checked<'a>(
        &self,
        text: &str,
        parts: &Parts<'a>,
    ) -> Result<(Vec<Placed<'a>>, Vec<Problem>), PolicyError> {
        let placed = named(text, parsed(text, parts)?)?;
        if placed.is_empty() {
            return Err(PolicyError::Empty);
        }
        let (mut problems, mut warnings) = (Problems::default(), Problems::default());
        for policy in &placed {
            if problems.is_full() {
                break;
            }
            let result = self.validated(&policy.policy)?;
            problems.extend(policy.findings(text, result.validation_errors()));
            problems.extend(guard::literals(text, policy));
            warnings.extend(policy.findings(text, result.validation_warnings()));
        }
        problems.none()?;
        Ok((placed, warnings.told()))
    }

    fn validated(&self, policy: &Policy) -> Result<ValidationResult, PolicyError> {
        let alone = PolicySet::from_policies([policy.clone()])
            .map_err(|error| PolicyError::built_in(&error))?;
        Ok(self.validator.validate(&alone, ValidationMode::Strict))
    }
}

/// Holds what we took for white space and comments to Cedar's word.
fn silent(text: &str, silence: &[Part<'_>]) -> Result<(), PolicyError> {
    let nothing =
        |part: &str| part.is_empty() || part.parse().is_ok_and(|set: PolicySet| set.is_empty());
    let problems = silence
        .iter()
        .filter(|part| !nothing(part.text))
        .map(|part| Problem::at(text, part.offset, "neither a policy nor a comment"));
    Problems::of(problems).none()
}

/// Parses every policy of a text.
pub(super) fn parsed<'a>(text: &str, parts: &Parts<'a>) -> Result<Vec<Placed<'a>>, PolicyError> {
    silent(text, &parts.silence)?;
    let mut problems = Problems::default();
    let mut placed = Vec::with_capacity(parts.policies.len());
    for (number, &part) in parts.policies.iter().enumerate() {
        if problems.is_full() {
            break;
        }
        let id = PolicyId::new(format!("policy{number}"));
        match Policy::parse(Some(id), part.text) {
            Ok(policy) => placed.push(Placed { policy, part }),
            Err(errors) => {
                let told = errors.iter().map(|it| Problem::of(text, part.offset, it));
                problems.extend(told);
            }
        }
    }
    problems.none()?;
    Ok(placed)
}

/// Gives every policy the ID of its annotation.
fn named<'a>(text: &str, placed: Vec<Placed<'a>>) -> Result<Vec<Placed<'a>>, PolicyError> {
    let mut problems = Problems::default();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut named = Vec::with_capacity(placed.len());
    for Placed { policy, part } in placed {
        if problems.is_full() {
            break;
        }
        let id = match policy.annotation("id") {
            Some(id) if well_formed(id) => id.to_owned(),
            Some(id) => {
                let message =
                    format!("`@id` is `{id}`; it takes 1 to 128 of A-Z a-z 0-9 . _ : / -");
                problems.extend([Problem::at(text, part.offset, message)]);
                continue;
            }
            None => policy.id().to_string(),
        };
        if let Some(line) = lines.get(&id) {
            let message = format!("the ID `{id}` is that of the policy in line {line}");
            problems.extend([Problem::at(text, part.offset, message)]);
            continue;
        }
        let policy = policy.new_id(PolicyId::new(&id));
        lines.insert(id, part.line);
        named.push(Placed { policy, part });
    }
    problems.none()?;
    Ok(named)
}

/// A policy and where it is written.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    pub(super) policy: Policy,
    pub(super) part: Part<'a>,
}

impl Placed<'_> {
    fn line(&self) -> PolicyLine {
        PolicyLine {
            id: self.policy.id().to_string(),
            forbids: self.policy.effect() == Effect::Forbid,
            line: self.part.line,
        }
    }

    /// A problem with this policy, `within` bytes from where it begins.
    pub(super) fn problem(&self, text: &str, within: usize, message: impl Into<String>) -> Problem {
        let offset = self.part.offset.saturating_add(within);
        Problem {
            policy: Some(self.policy.id().to_string()),
            ..Problem::at(text, offset, message)
        }
    }

    /// What the validator found, in the order of the text; Cedar's own is chance.
    fn findings<'a, T: Diagnostic + 'a>(
        &self,
        text: &str,
        found: impl Iterator<Item = &'a T>,
    ) -> impl Iterator<Item = Problem> {
        let mut found: Vec<&T> = found.collect();
        found.sort_by_cached_key(|it| (within(*it), it.to_string()));
        found.into_iter().map(|it| self.finding(text, it))
    }

    fn finding(&self, text: &str, found: &dyn Diagnostic) -> Problem {
        let id = self.policy.id().to_string();
        let mut problem = Problem::of(text, self.part.offset, found);
        // Cedar says it in two ways.
        let named = [
            format!("for policy `{id}`, "),
            format!("for policy `{id}`: "),
        ];
        let bare = |prefix: &String| problem.message.strip_prefix(prefix.as_str());
        if let Some(message) = named.iter().find_map(bare) {
            problem.message = message.into();
        }
        problem.policy = Some(id);
        problem
    }
}

/// IDs go into audit records and logs as they are.
fn well_formed(id: &str) -> bool {
    const LENGTH_MAX: usize = 128;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    (1..=LENGTH_MAX).contains(&id.len()) && id.bytes().all(plain)
}
