//! From text to a set that can decide, or to every reason why not.

use super::bounds;
use super::error::{PolicyError, Problem};
use super::guard;
use super::question::Vocabulary;
use super::set::Set;
use crate::domain::id::Digest;
use crate::domain::policy::PolicyGeneration;
use cedar_policy::{
    Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, ValidationResult, Validator,
};
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

/// Checks a policy text as loading it would, but for the limits on its size.
///
/// # Errors
/// See [`PolicyError`]; the problems of one stage are told at once, up to a hundred.
pub fn check(text: &str) -> Result<Summary, PolicyError> {
    let set = Engine::new()?.compile(text, 0)?;
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
        bounds::check(text)?;
        let (placed, _) = self.checked(text)?;
        Ok(placed.into_iter().map(|it| it.policy).collect())
    }

    /// Parses, names, validates and slices a text.
    pub(super) fn compile(&self, text: &str, number: u64) -> Result<Set, PolicyError> {
        bounds::check(text)?;
        bounds::checking(|| self.compile_bounded(text, number))
    }

    fn compile_bounded(&self, text: &str, number: u64) -> Result<Set, PolicyError> {
        let (placed, warnings) = self.checked(text)?;
        guard::unconditional(text, &placed)?;
        let summary = Summary {
            policies: placed.iter().map(|it| it.line(text)).collect(),
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
    fn checked(&self, text: &str) -> Result<(Vec<Placed>, Vec<Problem>), PolicyError> {
        let parsed: PolicySet = text
            .parse()
            .map_err(|errors| PolicyError::invalid(Problem::parsing(text, &errors)))?;
        let (placed, problems) = name(text, &parsed);
        if !problems.is_empty() {
            return Err(PolicyError::invalid(problems));
        }
        if placed.is_empty() {
            return Err(PolicyError::Empty);
        }
        let whole = PolicySet::from_policies(placed.iter().map(|it| it.policy.clone()))
            .map_err(|it| PolicyError::built_in(&it))?;
        let result = self.validator.validate(&whole, ValidationMode::Strict);
        let mut problems = errors(text, &result);
        problems.extend(placed.iter().flat_map(|it| guard::literals(text, it)));
        if !problems.is_empty() {
            problems.sort_by_key(|problem| (problem.line, problem.column));
            return Err(PolicyError::invalid(problems));
        }
        let warnings = warnings(text, &result);
        Ok((placed, warnings))
    }
}

/// A policy, its ID settled, and where its text begins.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) policy: Policy,
    pub(super) offset: usize,
}

impl Placed {
    fn line(&self, text: &str) -> PolicyLine {
        PolicyLine {
            id: self.policy.id().to_string(),
            forbids: self.policy.effect() == Effect::Forbid,
            line: Problem::at(text, self.offset, "").line,
        }
    }

    /// A problem with this policy, told where it begins.
    pub(super) fn problem(&self, text: &str, message: impl Into<String>) -> Problem {
        Problem {
            policy: Some(self.policy.id().to_string()),
            ..Problem::at(text, self.offset, message)
        }
    }
}

/// Gives every policy the ID of its annotation, and finds its place in the text.
fn name(text: &str, parsed: &PolicySet) -> (Vec<Placed>, Vec<Problem>) {
    let mut problems = Vec::new();
    for template in parsed.templates() {
        let offset = text.find(&template.to_cedar()).unwrap_or_default();
        let message = "templates are not taken: nothing links them";
        problems.push(Problem::at(text, offset, message));
    }
    let mut in_order: Vec<(usize, &Policy)> = parsed
        .policies()
        .map(|policy| (place(policy.id()), policy))
        .collect();
    in_order.sort_by_key(|(place, _)| *place);
    let mut placed: Vec<Placed> = Vec::with_capacity(in_order.len());
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut from = 0;
    for (_, policy) in in_order {
        let source = policy.to_cedar().unwrap_or_default();
        let found = text.get(from..).and_then(|rest| rest.find(&source));
        let offset = found.map_or(from, |found| found.saturating_add(from));
        from = offset.saturating_add(source.len());
        let id = match policy.annotation("id") {
            Some(id) if well_formed(id) => id.to_owned(),
            Some(id) => {
                let message =
                    format!("`@id` is `{id}`; it takes 1 to 128 of A-Z a-z 0-9 . _ : / -");
                problems.push(Problem::at(text, offset, message));
                continue;
            }
            None => policy.id().to_string(),
        };
        if let Some(line) = lines.get(&id) {
            let message = format!("the ID `{id}` is that of the policy in line {line}");
            problems.push(Problem::at(text, offset, message));
            continue;
        }
        lines.insert(id.clone(), Problem::at(text, offset, "").line);
        let policy = policy.new_id(PolicyId::new(id));
        placed.push(Placed { policy, offset });
    }
    (placed, problems)
}

/// The place in the text that Cedar numbered a policy by.
fn place(id: &PolicyId) -> usize {
    let id: &str = id.as_ref();
    id.strip_prefix("policy")
        .and_then(|number| number.parse().ok())
        .unwrap_or(usize::MAX)
}

/// IDs go into audit records and logs as they are.
fn well_formed(id: &str) -> bool {
    const LENGTH_MAX: usize = 128;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    (1..=LENGTH_MAX).contains(&id.len()) && id.bytes().all(plain)
}

fn errors(text: &str, result: &ValidationResult) -> Vec<Problem> {
    Problem::told(result.validation_errors(), |error| {
        Problem::of(text, error, Some(error.policy_id()))
    })
}

fn warnings(text: &str, result: &ValidationResult) -> Vec<Problem> {
    Problem::told(result.validation_warnings(), |warning| {
        Problem::of(text, warning, Some(warning.policy_id()))
    })
}
