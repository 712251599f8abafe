//! The entities of one question: tasks, tools and workloads, as Cedar wants them.

use super::question::{Unaskable, Vocabulary};
use crate::domain::id::{Hex, SpiffeId};
use crate::domain::policy::{
    BudgetFacts, CallFacts, Consent, LineFacts, PersonFacts, PolicyInput, TaskFacts,
};
use crate::domain::task::TaskState;
use cedar_policy::{
    Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression as Value,
};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

type Attributes = HashMap<String, Value>;

/// The entities of one question, each once.
#[derive(Debug)]
pub(super) struct Entering<'a> {
    names: &'a Vocabulary,
    entities: Vec<Entity>,
    workloads: Vec<SpiffeId>,
}

impl<'a> Entering<'a> {
    pub(super) fn new(names: &'a Vocabulary) -> Self {
        Self {
            names,
            entities: Vec::new(),
            workloads: Vec::new(),
        }
    }

    /// All of them.
    pub(super) fn entered(self) -> Result<Entities, Unaskable> {
        // The same closure as by `from_entities`, which prepares for cycles of any size, for half of its price.
        Entities::empty()
            .add_entities(self.entities, None)
            .map_err(value)
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

    pub(super) fn workload(&mut self, id: &SpiffeId) -> Result<EntityUid, Unaskable> {
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
    pub(super) fn consented(
        &mut self,
        consent: &Consent,
    ) -> Result<Vec<(&'static str, Value)>, Unaskable> {
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

    pub(super) fn tool(&mut self, call: &CallFacts) -> Result<EntityUid, Unaskable> {
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

    pub(super) fn task(
        &mut self,
        facts: &TaskFacts,
        input: &PolicyInput,
    ) -> Result<EntityUid, Unaskable> {
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
            ("lineage", lineage(&facts.line)?),
            ("budget", budget(&facts.budget)?),
        ];
        let delegates = facts.delegates.iter().map(|id| self.workload(id));
        let delegates: Vec<EntityUid> = delegates.collect::<Result<_, _>>()?;
        let delegates = delegates.into_iter().map(Value::new_entity_uid);
        attributes.push(("delegates", Value::new_set(delegates)));
        if let Some(leg) = facts.leg {
            attributes.push(("leg", Value::new_long(leg.into())));
        }
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

pub(super) fn person_record(person: &PersonFacts) -> Result<Value, Unaskable> {
    let fields = [
        ("issuer", Value::new_string(person.issuer.clone())),
        ("is_owner", Value::new_bool(person.is_owner)),
        ("is_delegate", Value::new_bool(person.is_delegate)),
    ];
    Value::new_record(fields.into_iter().map(owned)).map_err(value)
}

fn lineage(line: &LineFacts) -> Result<Value, Unaskable> {
    let mut fields = vec![
        ("root", Value::new_string(line.root.to_string())),
        ("depth", Value::new_long(line.depth.into())),
    ];
    if let Some(parent) = line.parent {
        fields.push(("parent", Value::new_string(parent.to_string())));
    }
    Value::new_record(fields.into_iter().map(owned)).map_err(value)
}

fn budget(budget: &BudgetFacts) -> Result<Value, Unaskable> {
    let mut fields = vec![
        ("depth_left", Value::new_long(budget.depth_left.into())),
        (
            "children_left",
            Value::new_long(budget.children_left.into()),
        ),
    ];
    if let Some(uses) = budget.uses_left {
        fields.push(("uses_left", Value::new_long(uses.into())));
    }
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

pub(super) fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

pub(super) fn entity(kind: &EntityTypeName, id: &str) -> Value {
    Value::new_entity_uid(uid(kind, id))
}

/// Cedar counts in `i64`; what is beyond is as late as can be.
pub(super) fn long(number: u64) -> Value {
    Value::new_long(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn duration(duration: Duration) -> Value {
    long(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn owned<V>((name, value): (&str, V)) -> (String, V) {
    (name.to_owned(), value)
}

pub(super) fn value(error: impl std::error::Error) -> Unaskable {
    Unaskable::Value(error.to_string())
}
