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
use crate::domain::policy::{Action, Permit, PolicyGeneration, PolicyInput, Refusal};
use cedar_policy::{
    ActionConstraint, Authorizer, Decision, EntityUid, Policy, PolicySet, PrincipalConstraint,
    ResourceConstraint, Response, pst,
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
            let constraint = policy.action_constraint();
            let bare = without_list(&policy);
            for action in Action::ALL {
                if admits(&constraint, vocabulary.action(action)) {
                    let slice = slices.entry(action).or_default();
                    slice.add(bare.clone())?;
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

fn admits(constraint: &ActionConstraint, action: &EntityUid) -> bool {
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(only) => only == action,
        // The schema has no groups of actions, so membership is equality.
        ActionConstraint::In(several) => several.contains(action),
    }
}

/// The policy as its piles have it: a list of actions is not asked about again in a pile of one of them. Cedar
/// would make a set of the list and search it at every question, at the price of a short condition.
fn without_list(policy: &Policy) -> Policy {
    let rewritten = || {
        let mut body = policy.to_pst().ok()?.body().clone();
        body.action = pst::ActionConstraint::Any;
        let policy = pst::Policy::Static(body.try_into().ok()?);
        Policy::from_pst(policy).ok()
    };
    match policy.action_constraint() {
        ActionConstraint::Any | ActionConstraint::Eq(_) => policy.clone(),
        // Where Cedar cannot rewrite what it took (a function with too many arguments), the list stays.
        ActionConstraint::In(_) => rewritten().unwrap_or_else(|| policy.clone()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(actions: &str, condition: &str) -> Policy {
        let scope =
            format!("principal is Workload in TrustDomain::\"a.test\", {actions}, resource");
        let text = format!("@id(\"why\")\n@note\nforbid ({scope}) when {{ {condition} }};");
        text.parse().unwrap()
    }

    /// Every construct that Cedar has.
    const CONDITIONS: [&str; 12] = [
        "true } unless { principal == resource } when { context has a } unless { false",
        "if context.a then !(!context.b) else -(context.n) < -9223372036854775808",
        "context.a && (context.b && context.c) && context.d || context.e || (context.f || true)",
        "context.n + 1 - (2 - 3) * 4 * 5 <= 9223372036854775807 && context.n != 0 && context.n >= 1",
        "resource.name like \"a\\*b*\\u{1F511}\\\"\\\\*\" && resource.name != \"\"",
        "context has a.b.c && context.a[\"b c\"].d == {\"x y\": [1, [true, \"s\"]], z: {}}",
        "[principal, resource].contains(principal) && [1, 2].containsAll([1]) && ![1].containsAny([2])",
        "principal in resource && principal in [resource, Workload::\"spiffe://a.test/\\\"w\"]",
        "principal is Workload && resource is Tool in TrustDomain::\"a.test\" && ![].isEmpty()",
        "ip(\"10.0.0.1\").isInRange(ip(\"10.0.0.0/8\")) && decimal(\"1.5\").lessThan(decimal(\"2.0\"))",
        "datetime(\"2026-01-01\").offset(duration(\"1h\")) < datetime(\"2026-01-02\")",
        "principal.hasTag(\"a\") && principal.getTag(context.b) == action",
    ];

    #[test]
    fn without_its_list_a_policy_is_as_if_it_were_written_so() {
        let list = "action in [Action::\"step\", Action::\"retry\"]";
        for condition in CONDITIONS {
            let rewritten = without_list(&policy(list, condition));
            let written = policy("action", condition);
            let json = |policy: &Policy| policy.to_json().unwrap();
            assert_eq!(rewritten.id(), written.id());
            assert_eq!(json(&rewritten), json(&written));
            assert_eq!(rewritten, written);
        }
    }

    #[test]
    fn a_policy_that_cedar_cannot_rewrite_keeps_its_list() {
        let list = "action in [Action::\"step\", Action::\"retry\"]";
        let odd = policy(list, "true || ip(\"::1\", \"x\").isIpv4()");
        assert_eq!(without_list(&odd), odd);
    }
}
