//! The request of a case: what policy would be told, with the ordinary for what is left out.
//!
//! A new fact for policy gets its key here, so that cases can speak of it.

use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::id::{Digest, SpiffeId, TaskId};
use crate::domain::policy::{
    Action, BudgetFacts, CallFacts, Consent, LineFacts, PersonFacts, PolicyInput, TaskFacts,
};
use crate::domain::task::TaskState;
use crate::domain::time::Time;
use serde::Deserialize;

/// The time of a case that names none: any time will do.
const NOW_MS: u64 = 1_800_000_000_000;

/// The age of a task, and what is left of it, where a case says neither.
const AGE_MS: u64 = 60_000;
const LEFT_MS: i64 = 3_600_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    action: String,
    /// SPIFFE ID of who acts; absent for a principal alone.
    actor: Option<String>,
    now_ms: Option<u64>,
    issuer: Option<String>,
    evidence: Option<RequestEvidence>,
    task: Option<RequestTask>,
    tool: Option<RequestTool>,
    /// At a step: a person has consented, through `approver`, where there is one.
    #[serde(default)]
    approved: bool,
    approver: Option<String>,
    /// At `approve`: who asks.
    performer: Option<String>,
    person: Option<RequestPerson>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestPerson {
    issuer: String,
    #[serde(default)]
    is_owner: bool,
    #[serde(default)]
    is_delegate: bool,
}

/// What was learned about the actor, where it is the caller.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestEvidence {
    assurance: Option<String>,
    uid: Option<u32>,
    cgroup: Option<String>,
    /// SHA-256 in lower-case hexadecimal.
    executable: Option<String>,
    #[serde(default)]
    traced: bool,
    #[serde(default)]
    age_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestTask {
    /// 32 lower-case hexadecimal digits.
    id: Option<String>,
    state: Option<String>,
    owner: Option<String>,
    /// 64 lower-case hexadecimal digits.
    owner_principal: Option<String>,
    server: String,
    tool: String,
    age_ms: Option<u64>,
    /// How long until its deadline; negative once that has passed.
    ends_in_ms: Option<i64>,
    #[serde(default)]
    last_step: u32,
    #[serde(default)]
    legs: u32,
    leg: Option<u32>,
    /// Task IDs; without a root the task is one itself.
    root: Option<String>,
    parent: Option<String>,
    #[serde(default)]
    depth: u32,
    #[serde(default)]
    depth_left: u32,
    #[serde(default)]
    children_left: u32,
    uses_left: Option<u32>,
    #[serde(default)]
    delegates: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestTool {
    audience: String,
    name: String,
    /// Whether the owner lends the authority, and not the server its own.
    owner_authority: Option<bool>,
}

/// What policy would be told.
pub(super) fn input(request: Request) -> Result<PolicyInput, String> {
    let now = Time(request.now_ms.unwrap_or(NOW_MS));
    let action = Action::parse(&request.action).ok_or_else(|| {
        let known = Action::ALL.map(Action::name).join(" ");
        format!("`action` is `{}`; it is one of: {known}", request.action)
    })?;
    let actor = request
        .actor
        .map(|id| spiffe_id("actor", &id))
        .transpose()?;
    let evidence = match (request.evidence, &actor) {
        (Some(evidence), Some(actor)) => Some(evidence_of(evidence, actor, now)?),
        (Some(_), None) => return Err("`evidence` needs an `actor`".to_owned()),
        (None, _) => None,
    };
    let person = request.person.map(|person| PersonFacts {
        issuer: person.issuer,
        is_owner: person.is_owner,
        is_delegate: person.is_delegate,
    });
    let workload = |key, id: Option<String>| id.map(|id| spiffe_id(key, &id)).transpose();
    Ok(PolicyInput {
        action,
        actor,
        evidence,
        task: request.task.map(|task| facts(task, now)).transpose()?,
        call: request.tool.map(call).transpose()?,
        issuer: request.issuer,
        consent: Consent {
            approved: request.approved,
            approver: workload("approver", request.approver)?,
            person,
            performer: workload("performer", request.performer)?,
        },
        now,
    })
}

fn evidence_of(given: RequestEvidence, actor: &SpiffeId, now: Time) -> Result<Evidence, String> {
    Ok(Evidence {
        spiffe_ids: vec![actor.clone()],
        assurance: match given.assurance.as_deref() {
            None | Some("process") => Assurance::Process,
            Some("principal") => Assurance::Principal,
            Some("svid") => Assurance::Svid,
            Some(other) => {
                let known = "principal process svid";
                return Err(format!(
                    "`evidence.assurance` is `{other}`; it is one of: {known}"
                ));
            }
        },
        process: None,
        uid: given.uid,
        cgroup: given.cgroup,
        executable: given
            .executable
            .map(|digest| hex("evidence.executable", &digest))
            .transpose()?,
        releases: Vec::new(),
        traced: given.traced,
        attested_at: Time(now.0.saturating_sub(given.age_ms)),
    })
}

fn facts(task: RequestTask, now: Time) -> Result<TaskFacts, String> {
    let id = task_id("task.id", task.id.as_deref())?.unwrap_or(TaskId([0; 16]));
    let left = task.ends_in_ms.unwrap_or(LEFT_MS);
    let age = task.age_ms.unwrap_or(AGE_MS);
    Ok(TaskFacts {
        id,
        state: state(task.state.as_deref())?,
        owner: task
            .owner
            .map(|id| spiffe_id("task.owner", &id))
            .transpose()?,
        principal: task
            .owner_principal
            .map(|digest| hex("task.owner_principal", &digest))
            .transpose()?,
        server: spiffe_id("task.server", &task.server)?,
        tool: task.tool,
        created_at: Time(now.0.saturating_sub(age)),
        deadline: Time(now.0.saturating_add_signed(left)),
        last_step: task.last_step,
        legs: task.legs,
        leg: task.leg,
        line: LineFacts {
            root: task_id("task.root", task.root.as_deref())?.unwrap_or(id),
            parent: task_id("task.parent", task.parent.as_deref())?,
            depth: task.depth,
        },
        budget: BudgetFacts {
            depth_left: task.depth_left,
            children_left: task.children_left,
            uses_left: task.uses_left,
        },
        delegates: task
            .delegates
            .iter()
            .map(|id| spiffe_id("task.delegates", id))
            .collect::<Result<_, _>>()?,
    })
}

fn task_id(key: &str, text: Option<&str>) -> Result<Option<TaskId>, String> {
    let parsed = |text| {
        TaskId::parse(text).ok_or_else(|| not(key, text, "32 lower-case hexadecimal digits"))
    };
    text.map(parsed).transpose()
}

fn state(name: Option<&str>) -> Result<TaskState, String> {
    match name {
        Some("cancelled") => Ok(TaskState::Cancelled),
        Some("completed") => Ok(TaskState::Completed),
        Some("expired") => Ok(TaskState::Expired),
        Some("failed") => Ok(TaskState::Failed),
        Some("input_required") => Ok(TaskState::InputRequired),
        None | Some("working") => Ok(TaskState::Working),
        Some(other) => Err(not("task.state", other, "a state of the schema")),
    }
}

fn call(tool: RequestTool) -> Result<CallFacts, String> {
    Ok(CallFacts {
        audience: spiffe_id("tool.audience", &tool.audience)?,
        tool: tool.name,
        owner_authority: tool.owner_authority.unwrap_or(true),
    })
}

fn spiffe_id(key: &str, text: &str) -> Result<SpiffeId, String> {
    SpiffeId::new(text).map_err(|error| format!("`{key}` is `{text}`: {error}"))
}

fn hex(key: &str, text: &str) -> Result<Digest, String> {
    Digest::parse(text).ok_or_else(|| not(key, text, "64 lower-case hexadecimal digits"))
}

fn not(key: &str, text: &str, wanted: &str) -> String {
    format!("`{key}` is `{text}`, not {wanted}")
}
