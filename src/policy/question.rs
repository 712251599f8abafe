//! From what the agent knows to a Cedar request and the few entities it refers to.
//!
//! Built without checking against the schema on every call, which costs as much as the decision; a
//! test checks that every question fits it.

use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::id::{Hex, PrincipalHash, SpiffeId};
use crate::domain::policy::{Action, CallFacts, Consent, PersonFacts, PolicyInput, TaskFacts};
use crate::domain::task::TaskState;
use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, ParseErrors, Request,
    RestrictedExpression as Value,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

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
    assurance: EntityTypeName,
    principal: EntityTypeName,
    task: EntityTypeName,
    task_state: EntityTypeName,
    tool: EntityTypeName,
    trust_domain: EntityTypeName,
    workload: EntityTypeName,
}

type Attributes = HashMap<String, Value>;

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
        } else if needs_evidence(input.action) {
            return Err(missing("evidence about the actor"));
        }
        let task = || input.task.as_ref().ok_or_else(|| missing("a task"));
        let call = || input.call.as_ref().ok_or_else(|| missing("a tool"));
        let resource = match input.action {
            Action::Cancel
            | Action::End
            | Action::Finish
            | Action::Query
            | Action::RequireInput
            | Action::Start
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
                let call = call()?;
                context.push(("owner_authority", Value::new_bool(call.owner_authority)));
                entities.tool(call)?
            }
            Action::Retry | Action::Spawn | Action::Step => {
                let call = call()?;
                context.push(("owner_authority", Value::new_bool(call.owner_authority)));
                if input.action != Action::Spawn {
                    context.extend(entities.consented(&input.consent)?);
                }
                let task = entities.task(task()?, input)?;
                context.push(("task", Value::new_entity_uid(task)));
                entities.tool(call)?
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
            entities: Entities::from_entities(entities.entities, None).map_err(value)?,
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
        | Action::End
        | Action::Finish
        | Action::Grant
        | Action::RequireInput
        | Action::Retry
        | Action::Spawn
        | Action::Start
        | Action::Step
        | Action::Vouch => None,
    }
}

/// Whether the actor is always the caller, so that its evidence is known.
fn needs_evidence(action: Action) -> bool {
    match action {
        Action::End
        | Action::Finish
        | Action::RequireInput
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

/// The entities of one question, each once.
#[derive(Debug)]
struct Entering<'a> {
    names: &'a Vocabulary,
    entities: Vec<Entity>,
    workloads: Vec<SpiffeId>,
}

impl<'a> Entering<'a> {
    fn new(names: &'a Vocabulary) -> Self {
        Self {
            names,
            entities: Vec::new(),
            workloads: Vec::new(),
        }
    }

    fn enter(
        &mut self,
        uid: &EntityUid,
        attributes: Vec<(&str, Value)>,
        parents: HashSet<EntityUid>,
    ) -> Result<(), Unaskable> {
        let attributes: Attributes = attributes.into_iter().map(owned).collect();
        let entity = Entity::new(uid.clone(), attributes, parents).map_err(value)?;
        self.entities.push(entity);
        Ok(())
    }

    fn workload(&mut self, id: &SpiffeId) -> Result<EntityUid, Unaskable> {
        let workload = uid(&self.names.workload, &id.to_string());
        if !self.workloads.contains(id) {
            let domain = uid(&self.names.trust_domain, id.trust_domain_name());
            let attributes = vec![
                ("trust_domain", Value::new_entity_uid(domain.clone())),
                ("path", Value::new_string(id.path().to_owned())),
            ];
            self.enter(&workload, attributes, HashSet::from([domain]))?;
            self.workloads.push(id.clone());
        }
        Ok(workload)
    }

    /// What a step's policy sees of a person's consent.
    fn consented(&mut self, consent: &Consent) -> Result<Vec<(&'static str, Value)>, Unaskable> {
        let mut facts = vec![("approved", Value::new_bool(consent.approved))];
        if let Some(approval) = self.approval(consent)? {
            facts.push(("approval", approval));
        }
        Ok(facts)
    }

    /// Through whom there is consent, and whose.
    fn approval(&mut self, consent: &Consent) -> Result<Option<Value>, Unaskable> {
        let (true, Some(approver), Some(person)) =
            (consent.approved, &consent.approver, &consent.person)
        else {
            return Ok(None);
        };
        let approver = Value::new_entity_uid(self.workload(approver)?);
        let fields = [("approver", approver), ("person", person_record(person)?)];
        let approval = Value::new_record(fields.into_iter().map(owned));
        approval.map(Some).map_err(value)
    }

    fn tool(&mut self, call: &CallFacts) -> Result<EntityUid, Unaskable> {
        // A SPIFFE ID has no `#` (SPIFFE-ID §2), so the first one always ends the audience.
        let name = format!("{}#{}", call.audience, call.tool);
        let tool = uid(&self.names.tool, &name);
        let audience = self.workload(&call.audience)?;
        let attributes = vec![
            ("audience", Value::new_entity_uid(audience)),
            ("name", Value::new_string(call.tool.clone())),
        ];
        self.enter(&tool, attributes, HashSet::new())?;
        Ok(tool)
    }

    fn task(&mut self, facts: &TaskFacts, input: &PolicyInput) -> Result<EntityUid, Unaskable> {
        let task = uid(&self.names.task, &facts.id.to_string());
        let server = self.workload(&facts.server)?;
        let state = entity(&self.names.task_state, state_name(facts.state));
        let mut attributes = vec![
            ("state", state),
            ("server", Value::new_entity_uid(server)),
            ("tool", Value::new_string(facts.tool.clone())),
            ("created_ms", long(facts.created_at.0)),
            ("deadline_ms", long(facts.deadline.0)),
            ("age_ms", duration(input.now.since(facts.created_at))),
            ("last_step", Value::new_long(facts.last_step.into())),
            ("legs", Value::new_long(facts.legs.into())),
        ];
        if let Some(owner) = &facts.owner {
            let owner = self.workload(owner)?;
            attributes.push(("owner", Value::new_entity_uid(owner)));
        }
        if let Some(principal) = &facts.principal {
            let digest = Hex(&principal.0).to_string();
            attributes.push(("owner_principal", entity(&self.names.principal, &digest)));
        }
        self.enter(&task, attributes, HashSet::new())?;
        Ok(task)
    }
}

fn person_record(person: &PersonFacts) -> Result<Value, Unaskable> {
    let fields = [
        ("issuer", Value::new_string(person.issuer.clone())),
        ("is_owner", Value::new_bool(person.is_owner)),
    ];
    Value::new_record(fields.into_iter().map(owned)).map_err(value)
}

fn state_name(state: TaskState) -> &'static str {
    match state {
        TaskState::Cancelled => "cancelled",
        TaskState::Completed => "completed",
        TaskState::Expired => "expired",
        TaskState::Failed => "failed",
        TaskState::InputRequired => "input_required",
        TaskState::Working => "working",
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn entity(kind: &EntityTypeName, id: &str) -> Value {
    Value::new_entity_uid(uid(kind, id))
}

/// Cedar counts in `i64`; what is beyond is as late as can be.
fn long(number: u64) -> Value {
    Value::new_long(i64::try_from(number).unwrap_or(i64::MAX))
}

fn duration(duration: Duration) -> Value {
    long(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn owned<V>((name, value): (&str, V)) -> (String, V) {
    (name.to_owned(), value)
}

fn value(error: impl std::error::Error) -> Unaskable {
    Unaskable::Value(error.to_string())
}
