//! A checked set, sliced: each question meets only the policies whose scope could match it.
//!
//! Cedar's cost grows with every policy it walks. A policy stands in one pile of each action it
//! names: by its resource where it names one, else by its principal, else in the common pile. A
//! policy left out could not have matched nor failed: scopes are compared first, and comparing them
//! cannot fail.

use super::bounds;
use super::compile::Summary;
use super::error::PolicyError;
use super::question::{Question, Unaskable, Vocabulary};
use super::scope::Scope;
use crate::domain::policy::{Action, Permit, PolicyGeneration, PolicyInput, Refusal};
use cedar_policy::{
    Authorizer, Decision, EntityUid, Policy, PolicySet, PrincipalConstraint, ResourceConstraint,
    Response,
};
use std::collections::{BTreeMap, HashMap};

/// A checked set.
#[derive(Debug)]
pub(super) struct Set {
    generation: PolicyGeneration,
    summary: Summary,
    slices: BTreeMap<Action, Slice>,
    authorizer: Authorizer,
    #[cfg(test)]
    pub(super) whole: PolicySet,
}

/// The policies of one action.
#[derive(Debug, Default)]
struct Slice {
    common: PolicySet,
    by_principal: HashMap<EntityUid, PolicySet>,
    by_resource: HashMap<EntityUid, PolicySet>,
}

impl Set {
    pub(super) fn new(
        generation: PolicyGeneration,
        summary: Summary,
        policies: impl Iterator<Item = Policy>,
        vocabulary: &Vocabulary,
    ) -> Result<Self, PolicyError> {
        let mut slices: BTreeMap<Action, Slice> = BTreeMap::new();
        #[cfg(test)]
        let mut whole = PolicySet::new();
        for policy in policies {
            let scope = Scope::of(&policy)?;
            for action in Action::ALL {
                if let Some(policy) = scope.narrowed_to(vocabulary.action(action))? {
                    slices.entry(action).or_default().add(policy)?;
                }
            }
            #[cfg(test)]
            whole.add(policy).map_err(|it| PolicyError::built_in(&it))?;
        }
        Ok(Self {
            generation,
            summary,
            slices,
            authorizer: Authorizer::new(),
            #[cfg(test)]
            whole,
        })
    }

    pub(super) fn generation(&self) -> PolicyGeneration {
        self.generation
    }

    pub(super) fn summary(&self) -> &Summary {
        &self.summary
    }

    pub(super) fn len(&self) -> usize {
        self.summary.policies.len()
    }

    /// Answers a question, by this set alone.
    pub(super) fn decide(
        &self,
        vocabulary: &Vocabulary,
        input: &PolicyInput,
    ) -> Result<Permit, Refusal> {
        let (question, verdict) = self
            .weigh(vocabulary, input)
            .map_err(|missing| self.refuse(missing.to_string()))?;
        verdict
            .settle()
            .map(|policies| Permit::granted(self.generation, policies))
            .map_err(|why| self.refuse(why.unwrap_or_else(|| question.unpermitted(input.action))))
    }

    /// Which policies speak for a request and which against it.
    pub(super) fn explain(
        &self,
        vocabulary: &Vocabulary,
        input: &PolicyInput,
    ) -> Result<Explained, Unaskable> {
        let (question, verdict) = self.weigh(vocabulary, input)?;
        // On an error, the policies that could be evaluated decided nothing.
        let mut forbids = verdict.forbids.clone();
        forbids.retain(|_| verdict.errors.is_empty());
        forbids.sort_unstable();
        Ok(match verdict.settle() {
            Ok(policies) => Explained {
                permitted: true,
                why: format!("permitted by policy {}", quoted(&policies)),
                deciding: policies,
            },
            Err(why) => Explained {
                permitted: false,
                why: why.unwrap_or_else(|| question.unpermitted(input.action)),
                deciding: forbids,
            },
        })
    }

    fn weigh(
        &self,
        vocabulary: &Vocabulary,
        input: &PolicyInput,
    ) -> Result<(Question, Verdict), Unaskable> {
        let question = vocabulary.question(input)?;
        let mut verdict = Verdict::default();
        for pile in self.piles(input.action, &question) {
            let response = bounds::evaluating(|| {
                self.authorizer
                    .is_authorized(&question.request, pile, &question.entities)
            });
            verdict.add(&response);
        }
        Ok((question, verdict))
    }

    fn refuse(&self, explanation: String) -> Refusal {
        Refusal {
            generation: self.generation,
            explanation,
        }
    }

    fn piles(&self, action: Action, question: &Question) -> impl Iterator<Item = &PolicySet> {
        self.slices
            .get(&action)
            .into_iter()
            .flat_map(move |slice| slice.piles(&question.principal, &question.resource))
    }
}

impl Slice {
    fn add(&mut self, policy: Policy) -> Result<(), PolicyError> {
        let pile = match (policy.resource_constraint(), policy.principal_constraint()) {
            (ResourceConstraint::Eq(resource), _) => self.by_resource.entry(resource).or_default(),
            (_, PrincipalConstraint::Eq(principal)) => {
                self.by_principal.entry(principal).or_default()
            }
            _ => &mut self.common,
        };
        pile.add(policy).map_err(|it| PolicyError::built_in(&it))
    }

    fn piles(
        &self,
        principal: &EntityUid,
        resource: &EntityUid,
    ) -> impl Iterator<Item = &PolicySet> {
        [
            (!self.common.is_empty()).then_some(&self.common),
            self.by_principal.get(principal),
            self.by_resource.get(resource),
        ]
        .into_iter()
        .flatten()
    }
}

fn quoted(ids: &[String]) -> String {
    let named: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
    named.join(", ")
}

/// How a set answers one request, and by which of its policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Whether it is permitted.
    pub permitted: bool,
    /// The policies that the answer rests on, sorted: those that permit, or else those that forbid; none
    /// where nothing permits or an evaluation failed.
    pub deciding: Vec<String>,
    /// The answer in words.
    pub why: String,
}

/// What the piles said together.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    errors: Vec<String>,
    forbids: Vec<String>,
    permits: Vec<String>,
}

impl Verdict {
    pub(super) fn add(&mut self, response: &Response) {
        let found = response.diagnostics();
        self.errors.extend(found.errors().map(ToString::to_string));
        // On a deny, Cedar's reasons are the forbids that matched; on an allow, the permits.
        let reasons = found.reason().map(ToString::to_string);
        match response.decision() {
            Decision::Allow => self.permits.extend(reasons),
            Decision::Deny => self.forbids.extend(reasons),
        }
    }

    /// The policies that permit, or why not; `None` where nothing permits.
    pub(super) fn settle(mut self) -> Result<Vec<String>, Option<String>> {
        for list in [&mut self.errors, &mut self.forbids, &mut self.permits] {
            list.sort_unstable();
        }
        // INVARIANT: an evaluation that failed is a refusal, whatever else permits.
        if !self.errors.is_empty() {
            return Err(Some(self.errors.join("; ")));
        }
        if !self.forbids.is_empty() {
            return Err(Some(format!(
                "forbidden by policy {}",
                quoted(&self.forbids)
            )));
        }
        if self.permits.is_empty() {
            return Err(None);
        }
        Ok(self.permits)
    }
}
