//! From what the agent knows to a Cedar request and the few entities it refers to.
//!
//! Built without checking against the schema on every call, which costs as much as the decision; a
//! test checks that every question fits it.

use super::entities::{Entering, duration, entity, long, owned, person_record, uid, value};
use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::id::{Hex, PrincipalHash};
use crate::domain::policy::{Action, CallFacts, PolicyInput};
use cedar_policy::{
    Context, Entities, EntityTypeName, EntityUid, ParseErrors, Request,
    RestrictedExpression as Value,
};
use std::collections::BTreeMap;

/// A question that Cedar can answer.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) request: Request,
    pub(super) entities: Entities,
    pub(super) principal: EntityUid,
    pub(super) resource: EntityUid,
}

impl Question {
    /// What to tell the operator where no policy permits.
    pub(super) fn unpermitted(&self, action: Action) -> String {
        let (principal, resource) = (&self.principal, &self.resource);
        format!(
            "no policy permits `{}` by {principal} on {resource}",
            action.name()
        )
    }
}

/// Why a question cannot be put: a refusal.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unaskable {
    /// Something that the action needs is not known.
    #[error("`{action}` was asked without {what}")]
    Missing {
        action: &'static str,
        what: &'static str,
    },
    /// Cedar refused a value.
    #[error("a value cannot be put to policy: {0}")]
    Value(String),
}

/// The names of the schema, parsed once.
#[derive(Debug)]
pub(super) struct Vocabulary {
    actions: BTreeMap<Action, EntityUid>,
    pub(super) assurance: EntityTypeName,
    pub(super) principal: EntityTypeName,
    pub(super) task: EntityTypeName,
    pub(super) task_state: EntityTypeName,
    pub(super) tool: EntityTypeName,
    pub(super) trust_domain: EntityTypeName,
    pub(super) workload: EntityTypeName,
}

impl Vocabulary {
    pub(super) fn new() -> Result<Self, Box<ParseErrors>> {
        Self::parse().map_err(Box::new)
    }

    #[expect(
        clippy::result_large_err,
        reason = "Cedar's error, boxed by the only caller"
    )]
    fn parse() -> Result<Self, ParseErrors> {
        let action: EntityTypeName = "Action".parse()?;
        Ok(Self {
            actions: Action::ALL
                .map(|it| (it, uid(&action, it.name())))
                .into_iter()
                .collect(),
            assurance: "Assurance".parse()?,
            principal: "Principal".parse()?,
            task: "Task".parse()?,
            task_state: "TaskState".parse()?,
            tool: "Tool".parse()?,
            trust_domain: "TrustDomain".parse()?,
            workload: "Workload".parse()?,
        })
    }

    pub(super) fn action(&self, action: Action) -> &EntityUid {
        // INVARIANT: `actions` has every action, from `Action::ALL`.
        #[expect(clippy::indexing_slicing, reason = "filled with every action above")]
        &self.actions[&action]
    }

    /// Puts what is known as a question.
    pub(super) fn question(&self, input: &PolicyInput) -> Result<Question, Unaskable> {
        let missing = |what| Unaskable::Missing {
            action: input.action.name(),
            what,
        };
        let mut entities = Entering::new(self);
        let principal = match (&input.actor, principal_alone(input)) {
            (Some(actor), _) => entities.workload(actor)?,
            (None, Some(principal)) => uid(&self.principal, &Hex(&principal.0).to_string()),
            (None, None) => return Err(missing("an actor")),
        };
        let mut context = vec![("now_ms", long(input.now.0))];
        if let Some(evidence) = evidence_of_actor(input) {
            context.push(("evidence", self.evidence(evidence, input)?));
        } else if needs_evidence(input) {
            return Err(missing("evidence about the actor"));
        }
        let task = || input.task.as_ref().ok_or_else(|| missing("a task"));
        let call = || input.call.as_ref().ok_or_else(|| missing("a tool"));
        let resource = match input.action {
            Action::Cancel
            | Action::Delegate
            | Action::End
            | Action::Finish
            | Action::Query
            | Action::RequireInput
            | Action::Resolve
            | Action::Start
            | Action::TakeOver
            | Action::Update => entities.task(task()?, input)?,
            Action::Approve => {
                let performer = input.consent.performer.as_ref();
                let performer = performer.ok_or_else(|| missing("a performer"))?;
                let performer = entities.workload(performer)?;
                context.push(("performer", Value::new_entity_uid(performer)));
                if let Some(person) = &input.consent.person {
                    context.push(("person", person_record(person)?));
                }
                let task = entities.task(task()?, input)?;
                context.push(("task", Value::new_entity_uid(task)));
                entities.tool(call()?)?
            }
            Action::Create => entities.tool(call()?)?,
            Action::Grant => {
                context.push(("owner_authority", owner_authority(call()?)));
                entities.tool(call()?)?
            }
            Action::Retry | Action::SkipUnknown | Action::Spawn | Action::Step => {
                context.push(("owner_authority", owner_authority(call()?)));
                if matches!(input.action, Action::Retry | Action::Step) {
                    context.extend(entities.consented(&input.consent)?);
                }
                let task = entities.task(task()?, input)?;
                context.push(("task", Value::new_entity_uid(task)));
                entities.tool(call()?)?
            }
            Action::Vouch => {
                let issuer = input.issuer.clone().ok_or_else(|| missing("an issuer"))?;
                context.push(("issuer", Value::new_string(issuer)));
                entities.tool(call()?)?
            }
        };
        let context = Context::from_pairs(context.into_iter().map(owned)).map_err(value)?;
        let action = self.action(input.action).clone();
        Ok(Question {
            request: Request::new(principal.clone(), action, resource.clone(), context, None)
                .map_err(value)?,
            entities: entities.entered()?,
            principal,
            resource,
        })
    }

    fn evidence(&self, evidence: &Evidence, input: &PolicyInput) -> Result<Value, Unaskable> {
        let assurance = match evidence.assurance {
            Assurance::Principal => "principal",
            Assurance::Process => "process",
            Assurance::Svid => "svid",
        };
        let mut fields = vec![
            ("assurance", entity(&self.assurance, assurance)),
            ("traced", Value::new_bool(evidence.traced)),
            ("age_ms", duration(input.now.since(evidence.attested_at))),
        ];
        if let Some(uid) = evidence.uid {
            fields.push(("uid", Value::new_long(uid.into())));
        }
        if let Some(cgroup) = &evidence.cgroup {
            fields.push(("cgroup", Value::new_string(cgroup.clone())));
        }
        if let Some(executable) = &evidence.executable {
            let digest = Hex(&executable.0).to_string();
            fields.push(("executable", Value::new_string(digest)));
        }
        Value::new_record(fields.into_iter().map(owned)).map_err(value)
    }
}

/// Evidence about another process than the actor's must not pass for the actor's.
fn evidence_of_actor(input: &PolicyInput) -> Option<&Evidence> {
    let actor = input.actor.as_ref()?;
    input
        .evidence
        .as_ref()
        .filter(|evidence| evidence.spiffe_ids.contains(actor))
}

/// A principal without a workload asks about its own task only.
fn principal_alone(input: &PolicyInput) -> Option<PrincipalHash> {
    match input.action {
        Action::Cancel | Action::Query | Action::Update => input.task.as_ref()?.principal,
        Action::Approve
        | Action::Create
        | Action::Delegate
        | Action::End
        | Action::Finish
        | Action::Grant
        | Action::RequireInput
        | Action::Resolve
        | Action::Retry
        | Action::SkipUnknown
        | Action::Spawn
        | Action::Start
        | Action::Step
        | Action::TakeOver
        | Action::Vouch => None,
    }
}

/// Whether the actor is the caller for certain, so that its evidence is known.
///
/// An order (`delegate`, `resolve`, `take_over`) of an owner that acts for a user is asked about again when its server
/// has it carried out, and its process is not there then. An owner without a user is always the caller. A delegate may
/// have a user of its own, which the facts do not tell: of whoever is not the owner no evidence is demanded.
fn needs_evidence(input: &PolicyInput) -> bool {
    match input.action {
        Action::Delegate | Action::Resolve | Action::TakeOver => {
            let task = input.task.as_ref();
            !task.is_some_and(|task| task.principal.is_some() || task.owner != input.actor)
        }
        Action::End
        | Action::Finish
        | Action::RequireInput
        | Action::SkipUnknown
        | Action::Spawn
        | Action::Start
        | Action::Vouch => true,
        Action::Approve
        | Action::Cancel
        | Action::Create
        | Action::Grant
        | Action::Query
        | Action::Retry
        | Action::Step
        | Action::Update => false,
    }
}

fn owner_authority(call: &CallFacts) -> Value {
    Value::new_bool(call.owner_authority)
}
