//! What a set must not be, beyond what the schema can say.

use super::compile::Placed;
use super::error::{PolicyError, Problem};
use super::question::Vocabulary;
use super::set::Set;
use super::tokens::Tokens;
use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::id::{SpiffeId, TaskId, TrustDomain};
use crate::domain::policy::{
    Action, BudgetFacts, CallFacts, Consent, LineFacts, PolicyInput, TaskFacts,
};
use crate::domain::task::TaskState;
use crate::domain::time::Time;
use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};
use std::collections::BTreeMap;

/// The annotation that says that permitting everything is meant.
const ALLOW_EVERYTHING: &str = "allow_everything";

/// Names of workloads, trust domains, tools and tasks that can never match: a mistyped `forbid`
/// would fail open. Each is told once, where the policy first has it.
pub(super) fn literals(text: &str, placed: &Placed<'_>) -> impl Iterator<Item = Problem> {
    let literals = placed.policy.entity_literals().into_iter();
    let mut bad: BTreeMap<EntityUid, String> = literals
        .filter_map(|literal| well_formed(&literal).err().map(|why| (literal, why)))
        .collect();
    let mut found = Vec::with_capacity(bad.len());
    if !bad.is_empty() {
        for (within, literal) in spelled(placed.part.text) {
            found.extend(bad.remove(&literal).map(|why| (within, literal, why)));
        }
    }
    // None is left; but should the two ever differ, it is still a problem of the policy.
    found.extend(bad.into_iter().map(|(literal, why)| (0, literal, why)));
    found.into_iter().map(|(within, literal, why)| {
        let message = format!("`{literal}` can never match: {why}");
        placed.problem(text, within, message)
    })
}

/// Every entity that a policy names, in the order of its text, and where: in bytes from its beginning.
fn spelled(policy: &str) -> impl Iterator<Item = (usize, EntityUid)> {
    let mut path = String::new();
    let mut begin = 0;
    Tokens::of(policy).filter_map(move |(offset, token)| {
        let in_path = path.ends_with("::");
        if token == ":" {
            path.push_str(token);
            return None;
        }
        if !in_path {
            path.clear();
            begin = offset;
        }
        path.push_str(token);
        let is_named = in_path && token.starts_with('"');
        let named = is_named.then(|| entity(&path)).flatten()?;
        Some((begin, named))
    })
}

/// The entity that Cedar takes a name for; escapes and all are its own to read.
fn entity(name: &str) -> Option<EntityUid> {
    let policy = format!("permit(principal=={name},action,resource);");
    let policy = Policy::parse(None, policy).ok()?;
    policy.entity_literals().into_iter().next()
}

fn well_formed(literal: &EntityUid) -> Result<(), String> {
    let id = literal.id().unescaped();
    match literal.type_name().basename() {
        "Principal" => {
            let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let good = id.len() == 64 && id.bytes().all(hex);
            good.then_some(())
                .ok_or_else(|| "a principal is 64 lower-case hexadecimal digits".to_owned())
        }
        "Task" => TaskId::parse(id)
            .map(|_| ())
            .ok_or_else(|| "a task is 32 lower-case hexadecimal digits".to_owned()),
        "Tool" => match id.split_once('#') {
            Some((audience, tool)) if !tool.is_empty() => spiffe_id(audience),
            _ => Err("a tool is `<SPIFFE ID>#<name>`".to_owned()),
        },
        "TrustDomain" => match TrustDomain::new(id) {
            Ok(domain) if domain.as_str() == id => Ok(()),
            Ok(domain) => Err(format!("a trust domain is a bare name, here `{domain}`")),
            Err(error) => Err(error.to_string()),
        },
        "Workload" => spiffe_id(id),
        _ => Ok(()),
    }
}

fn spiffe_id(id: &str) -> Result<(), String> {
    match SpiffeId::new(id) {
        Ok(parsed) if parsed.to_string() == id => Ok(()),
        Ok(parsed) => Err(format!("the SPIFFE ID is spelled `{parsed}`")),
        Err(error) => Err(error.to_string()),
    }
}

/// Refuses a `permit` without any condition, unless it says that it is meant.
pub(super) fn unconditional(text: &str, policies: &[Placed<'_>]) -> Result<(), PolicyError> {
    match policies
        .iter()
        .find(|it| is_unconditional(&it.policy) && !is_meant(&it.policy))
    {
        Some(placed) => Err(permits_everything(text, placed, "has no condition")),
        None => Ok(()),
    }
}

fn is_unconditional(policy: &Policy) -> bool {
    policy.effect() == Effect::Permit
        && matches!(policy.principal_constraint(), PrincipalConstraint::Any)
        && matches!(policy.action_constraint(), ActionConstraint::Any)
        && matches!(policy.resource_constraint(), ResourceConstraint::Any)
        && !policy.has_non_scope_constraint()
}

fn is_meant(policy: &Policy) -> bool {
    policy.annotation(ALLOW_EVERYTHING) == Some("true")
}

fn permits_everything(text: &str, placed: &Placed<'_>, why: &str) -> PolicyError {
    let mut problem = placed.problem(text, 0, why);
    problem.help = Some(format!(
        "if that is meant, annotate it with `@{ALLOW_EVERYTHING}(\"true\")`"
    ));
    PolicyError::PermitsEverything {
        problem: Box::new(problem),
    }
}

/// Refuses a set that permits every action to a traced stranger, however that is spelled.
pub(super) fn strangers(
    text: &str,
    policies: &[Placed<'_>],
    set: &Set,
    vocabulary: &Vocabulary,
) -> Result<(), PolicyError> {
    let mut by: Vec<String> = Vec::new();
    for action in Action::ALL {
        let Some(input) = stranger(action) else {
            return Err(PolicyError::BuiltIn("no stranger".to_owned()));
        };
        let Ok(permit) = set.decide(vocabulary, &input) else {
            return Ok(());
        };
        by.extend_from_slice(permit.policies());
    }
    let mut blamed = policies.iter().filter(|placed| {
        let id: &str = placed.policy.id().as_ref();
        by.iter().any(|name| name == id)
    });
    match blamed.next() {
        Some(first) if !is_meant(&first.policy) && !blamed.any(|it| is_meant(&it.policy)) => {
            let why = "permits every action to an unknown, traced workload on a stranger's task";
            Err(permits_everything(text, first, why))
        }
        _ => Ok(()),
    }
}

/// A workload nobody knows, traced, weakly identified, with a task and a tool of others.
fn stranger(action: Action) -> Option<PolicyInput> {
    let id = |name: &str| SpiffeId::new(format!("spiffe://{name}.invalid/{name}")).ok();
    let now = Time(86_400_000);
    let actor = id("stranger")?;
    Some(PolicyInput {
        action,
        evidence: Some(Evidence {
            spiffe_ids: vec![actor.clone()],
            assurance: Assurance::Svid,
            process: None,
            uid: None,
            cgroup: None,
            executable: None,
            releases: Vec::new(),
            traced: true,
            attested_at: now,
        }),
        actor: Some(actor),
        task: Some(TaskFacts {
            id: TaskId([0; 16]),
            state: TaskState::Working,
            owner: Some(id("owner")?),
            principal: None,
            server: id("server")?,
            tool: "tool".to_owned(),
            created_at: now,
            deadline: now,
            last_step: 0,
            legs: 0,
            leg: None,
            line: LineFacts {
                root: TaskId([0; 16]),
                parent: None,
                depth: 0,
            },
            budget: BudgetFacts::default(),
            delegates: Vec::new(),
        }),
        call: Some(CallFacts {
            audience: id("audience")?,
            tool: "tool".to_owned(),
            owner_authority: true,
        }),
        issuer: Some("https://issuer.invalid".to_owned()),
        consent: Consent {
            performer: Some(id("performer")?),
            ..Consent::default()
        },
        now,
    })
}
