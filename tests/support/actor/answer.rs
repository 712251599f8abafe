//! Replies as JSON. States are in lower case without their prefix; an absent message is `null`.

use crate::ask::to_hex;
use handfast::proto::v1::{self, check_response::Answer};
use serde_json::{Value, json};
use std::error::Error;
use tonic::Status;
use tonic_types::StatusExt;

/// Why there is no reply: the agent's error, or a mistake in the operation (code `actor`).
pub(crate) enum Failure {
    Own(String),
    Agent(Box<Status>),
}

impl Failure {
    pub(crate) fn own(message: String) -> Self {
        Self::Own(message)
    }

    pub(crate) fn of(error: impl Error) -> Self {
        Self::Own(error.to_string())
    }

    pub(crate) fn json(&self) -> Value {
        let status = match self {
            Self::Own(message) => return json!({ "code": "actor", "message": message }),
            Self::Agent(status) => status,
        };
        let details = status.get_error_details();
        let info = details.error_info();
        let retry = details.retry_info().and_then(|retry| retry.retry_delay);
        json!({
            "code": format!("{:?}", status.code()),
            "message": status.message(),
            "reason": info.map(|info| info.reason.clone()),
            "domain": info.map(|info| info.domain.clone()),
            "decision_id": info.and_then(|info| info.metadata.get("decision_id").cloned()),
            "retry_after_ms": retry.map(|delay| u64::try_from(delay.as_millis()).ok()),
            "details_bytes": status.details().len(),
        })
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Agent(Box::new(status))
    }
}

fn task_state(state: i32) -> String {
    let state = v1::TaskState::try_from(state).unwrap_or_default();
    plain(state.as_str_name(), "TASK_STATE_")
}

pub(crate) fn step_state(state: i32) -> String {
    let state = v1::StepState::try_from(state).unwrap_or_default();
    plain(state.as_str_name(), "STEP_STATE_")
}

fn plain(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

pub(crate) fn state(state: i32, decision_id: &str) -> Value {
    json!({ "state": task_state(state), "decision_id": decision_id })
}

pub(crate) fn issued(reply: &v1::IssueResponse) -> Value {
    json!({
        "token": reply.token, "expires_at_ms": reply.expires_at_ms, "repeat": reply.repeat,
        "decision_id": reply.decision_id,
    })
}

pub(crate) fn created(reply: &v1::CreateResponse) -> Value {
    json!({
        "task_id": reply.task_id, "work_reference": reply.work_reference,
        "state": task_state(reply.state), "deadline_ms": reply.deadline_ms,
        "claim_by_ms": reply.claim_by_ms, "repeat": reply.repeat,
        "decision_id": reply.decision_id,
    })
}

pub(crate) fn got(reply: &v1::GetResponse) -> Value {
    json!({
        "state": task_state(reply.state), "deadline_ms": reply.deadline_ms,
        "leg_live": reply.leg_live, "leg": reply.leg, "last_step": reply.last_step,
        "inputs": inputs(&reply.inputs), "decision_id": reply.decision_id,
    })
}

pub(crate) fn started(reply: &v1::StartResponse) -> Value {
    let open = reply
        .open
        .iter()
        .map(|open| json!({ "step": open.step, "state": step_state(open.state) }));
    json!({
        "task_id": reply.task_id, "leg": reply.leg, "fence": reply.fence,
        "reattached": reply.reattached, "last_step": reply.last_step,
        "open": open.collect::<Vec<_>>(), "deadline_ms": reply.deadline_ms,
        "lease_idle_ms": reply.lease_idle_ms, "decision_id": reply.decision_id,
    })
}

pub(crate) fn step_issued(reply: &v1::IssueStepResponse) -> Value {
    json!({
        "token": reply.token, "expires_at_ms": reply.expires_at_ms, "fence": reply.fence,
        "idempotency_key": to_hex(&reply.idempotency_key), "state": step_state(reply.state),
        "approval_id": reply.pending_approval.as_ref().map(|pending| &pending.approval_id),
        "decision_id": reply.decision_id,
    })
}

pub(crate) fn spawned(reply: &v1::SpawnResponse) -> Value {
    json!({
        "children": reply.children, "repeat": reply.repeat, "decision_id": reply.decision_id,
    })
}

pub(crate) fn event(event: &v1::HoldEvent) -> Value {
    json!({ "kind": plain(event.kind().as_str_name(), "KIND_"), "at_ms": event.at_ms })
}

/// What a task waits for: `{"key":…}` or `{"approval":…}` each.
fn inputs(inputs: &[v1::Input]) -> Value {
    use v1::input::Input;
    let input = |input: &v1::Input| match &input.input {
        Some(Input::Key(key)) => json!({ "key": key }),
        Some(Input::ApprovalId(id)) => json!({ "approval": id }),
        None => Value::Null,
    };
    inputs.iter().map(input).collect()
}

pub(crate) fn approval_state(state: i32) -> String {
    let state = v1::ApprovalState::try_from(state).unwrap_or_default();
    plain(state.as_str_name(), "APPROVAL_STATE_")
}

pub(crate) fn approval(approval: &v1::Approval) -> Value {
    json!({
        "approval_id": approval.approval_id, "state": approval_state(approval.state),
        "digest": to_hex(&approval.digest), "task_id": approval.task_id, "step": approval.step,
        "owner": approval.owner, "server": approval.server, "performer": approval.performer,
        "audience": approval.audience, "tool": approval.tool, "text": approval.text,
        "decide_by_ms": approval.decide_by_ms, "use_by_ms": approval.use_by_ms,
    })
}

pub(crate) fn task_event(event: &v1::TaskEvent) -> Value {
    json!({ "state": task_state(event.state), "inputs": inputs(&event.inputs) })
}

fn task(facts: Option<v1::TaskFacts>) -> Value {
    facts.map_or(Value::Null, |facts| {
        json!({
            "task_id": facts.task_id, "state": task_state(facts.state), "owner": facts.owner,
            "server": facts.server, "assurance": facts.assurance,
        })
    })
}

fn step(facts: Option<v1::StepFacts>) -> Value {
    facts.map_or(Value::Null, |facts| {
        json!({
            "step": facts.step, "fence": facts.fence,
            "idempotency_key": to_hex(&facts.idempotency_key), "performer": facts.performer,
            "subject": facts.subject, "jti": to_hex(&facts.jti),
        })
    })
}

/// `answer` names which it is: `fresh`, `read`, `repeat` or `denied`.
pub(crate) fn checked(reply: v1::CheckResponse) -> Result<Value, Failure> {
    let mut answer = match reply.answer {
        Some(Answer::Fresh(fresh)) => json!({
            "answer": "fresh", "act_by_ms": fresh.act_by_ms, "task": task(fresh.task),
            "step": step(fresh.step),
        }),
        Some(Answer::Read(read)) => json!({ "answer": "read", "task": task(read.task) }),
        Some(Answer::Repeat(repeat)) => json!({
            "answer": "repeat", "state": step_state(repeat.state), "task": task(repeat.task),
        }),
        Some(Answer::Denied(refused)) => json!({
            "answer": "denied", "reason": refused.reason, "mcp_code": refused.mcp_code,
            "mcp_message": refused.mcp_message,
        }),
        None => return Err(Failure::own("no answer in the reply".to_owned())),
    };
    if let Some(members) = answer.as_object_mut() {
        members.insert("decision_id".to_owned(), reply.decision_id.into());
    }
    Ok(answer)
}

pub(crate) fn who(reply: &v1::WhoAmIResponse) -> Value {
    json!({
        "spiffe_ids": reply.spiffe_ids, "assurance": reply.assurance, "pid": reply.pid,
        "uid": reply.uid, "gid": reply.gid, "cgroup": reply.cgroup,
        "executable": reply.executable, "selectors": reply.selectors, "hints": reply.hints,
    })
}

/// `event` names which it is: `opened`, `task`, `scope` or `heartbeat`.
pub(crate) fn revocation(event: &v1::RevocationEvent) -> Value {
    use v1::revocation_event::Event;
    use v1::revoked_scope::Scope;
    let (sequence, mark) = (event.sequence, to_hex(&event.mark));
    match &event.event {
        Some(Event::Opened(opened)) => json!({
            "event": "opened", "subscription": opened.subscription, "sequence": sequence,
            "mark": mark,
        }),
        Some(Event::Task(ended)) => json!({
            "event": "task", "task_id": ended.task_id, "state": task_state(ended.state),
            "sequence": sequence, "mark": mark,
        }),
        Some(Event::Scope(revoked)) => {
            let scope = match &revoked.scope {
                Some(Scope::SpiffeId(id)) => json!({ "spiffe_id": id }),
                Some(Scope::Epoch(epoch)) => json!({ "epoch": epoch }),
                Some(Scope::BeforeMs(ms)) => json!({ "before_ms": ms }),
                None => Value::Null,
            };
            json!({ "event": "scope", "scope": scope, "sequence": sequence, "mark": mark })
        }
        Some(Event::Heartbeat(_)) => {
            json!({ "event": "heartbeat", "sequence": sequence, "mark": mark })
        }
        None => Value::Null,
    }
}
