//! Replies: from what the service answers to messages. Every enumeration is matched whole.

use crate::domain::claims::Subject;
use crate::domain::decide::check::FreshStep;
use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::id::{Jti, SpiffeId, StepNumber};
use crate::domain::input::Input;
use crate::domain::step::StepState;
use crate::domain::task::TaskState;
use crate::domain::time::Time;
use crate::grpc::status;
use crate::proto::v1;
use crate::service::ports::Observed;
use crate::service::{
    Became, CheckAnswer, HoldKind, IssuedStep, IssuedToken, LegStarted, RegisteredTask, ServerView,
    TaskView, WhoAmI,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use std::time::Duration;

/// Milliseconds since the Unix epoch.
pub(in crate::grpc) fn at_ms(time: Time) -> u64 {
    time.0
}

/// Whole milliseconds.
pub(in crate::grpc) fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A task's state.
pub(in crate::grpc) fn task_state(state: TaskState) -> i32 {
    let state = match state {
        TaskState::Cancelled => v1::TaskState::Cancelled,
        TaskState::Completed => v1::TaskState::Completed,
        TaskState::Expired => v1::TaskState::Expired,
        TaskState::Failed => v1::TaskState::Failed,
        TaskState::InputRequired => v1::TaskState::InputRequired,
        TaskState::Working => v1::TaskState::Working,
    };
    state.into()
}

/// A step's state.
pub(in crate::grpc) fn step_state(state: StepState) -> i32 {
    let state = match state {
        StepState::Issued => v1::StepState::Issued,
        StepState::Used => v1::StepState::Running,
        StepState::Done => v1::StepState::Done,
        StepState::NotDone => v1::StepState::NotDone,
        StepState::Unknown => v1::StepState::Unknown,
        StepState::Void => v1::StepState::Void,
    };
    state.into()
}

/// What a worker hears.
pub(in crate::grpc) fn hold_kind(kind: HoldKind) -> i32 {
    use v1::hold_event::Kind;
    let kind = match kind {
        HoldKind::Cancelled => Kind::Cancelled,
        HoldKind::DeadlineNear => Kind::DeadlineNear,
        HoldKind::Draining => Kind::Draining,
        HoldKind::Fenced => Kind::Fenced,
        HoldKind::Finished => Kind::Finished,
        HoldKind::Holding => Kind::Holding,
        HoldKind::PolicyChanged => Kind::PolicyChanged,
        HoldKind::Revoked => Kind::Revoked,
    };
    kind.into()
}

/// How strongly somebody was identified.
pub(in crate::grpc) fn assurance(assurance: Assurance) -> &'static str {
    match assurance {
        Assurance::Principal => "principal",
        Assurance::Process => "process",
        Assurance::Svid => "svid",
    }
}

/// The SPIFFE IDs in full.
pub(in crate::grpc) fn spiffe_ids(ids: &[SpiffeId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// `Requests.Issue`.
pub(in crate::grpc) fn issued(issued: &IssuedToken) -> v1::IssueResponse {
    v1::IssueResponse {
        token: issued
            .token
            .as_ref()
            .map(|token| token.expose_secret().to_owned())
            .unwrap_or_default(),
        expires_at_ms: at_ms(issued.expires_at),
        repeat: issued.token.is_none(),
        decision_id: issued.decision_id.clone(),
    }
}

/// `Tasks.Create`.
pub(in crate::grpc) fn registered(task: &RegisteredTask) -> v1::CreateResponse {
    let registered = &task.registered;
    v1::CreateResponse {
        task_id: registered.task.to_string(),
        work_reference: task.work_reference.expose_secret().to_owned(),
        state: task_state(registered.state),
        deadline_ms: at_ms(registered.deadline),
        claim_by_ms: at_ms(registered.claim_by),
        repeat: registered.repeat,
        decision_id: task.decision_id.clone(),
    }
}

/// `Tasks.Get`.
pub(in crate::grpc) fn server_view((view, decision_id): (ServerView, String)) -> v1::GetResponse {
    v1::GetResponse {
        state: task_state(view.state),
        deadline_ms: at_ms(view.deadline),
        leg_live: view.leg_live,
        leg: view.legs,
        last_step: view.last_step,
        inputs: inputs(&view.inputs),
        decision_id,
    }
}

/// What a task waits for.
pub(in crate::grpc) fn inputs(inputs: &[Input]) -> Vec<v1::Input> {
    use v1::input::Input as Wire;
    let input = |input: &Input| {
        let input = match input {
            Input::Approval { id, .. } => Wire::ApprovalId(id.to_string()),
            Input::Server(key) => Wire::Key(key.clone()),
        };
        v1::Input { input: Some(input) }
    };
    inputs.iter().map(input).collect()
}

/// `Legs.Start`.
pub(in crate::grpc) fn leg_started(leg: LegStarted, lease_idle: Duration) -> v1::StartResponse {
    let started = leg.started;
    v1::StartResponse {
        task_id: leg.task.to_string(),
        leg: started.leg.0,
        fence: started.fence.0,
        reattached: started.reattached,
        last_step: started.last_step.0,
        open: open_steps(&started.open),
        deadline_ms: at_ms(started.deadline),
        lease_idle_ms: duration_ms(lease_idle),
        decision_id: leg.decision_id,
    }
}

/// Steps that are not done.
pub(in crate::grpc) fn open_steps(open: &[(StepNumber, StepState)]) -> Vec<v1::OpenStep> {
    let step = |(number, state): &(StepNumber, StepState)| v1::OpenStep {
        step: number.0,
        state: step_state(*state),
    };
    open.iter().map(step).collect()
}

/// `Legs.Issue`.
pub(in crate::grpc) fn step_issued(issued: IssuedStep) -> v1::IssueStepResponse {
    let (token, expires_at_ms, idempotency_key) = match &issued.token {
        None => (String::new(), 0, Vec::new()),
        Some(token) => {
            let text = token.token.as_ref().map(ExposeSecret::expose_secret);
            (
                text.unwrap_or_default().to_owned(),
                at_ms(token.expires_at),
                issued.idempotency_key.0.to_vec(),
            )
        }
    };
    let (state, pending_approval) = match issued.became {
        Became::Step(state) => (step_state(state), None),
        Became::PendingApproval { id, decide_by } => (
            v1::StepState::PendingApproval.into(),
            Some(v1::PendingApproval {
                approval_id: id.to_string(),
                decide_by_ms: at_ms(decide_by),
            }),
        ),
    };
    v1::IssueStepResponse {
        token,
        expires_at_ms,
        fence: issued.fence.0,
        idempotency_key,
        state,
        pending_approval,
        decision_id: issued.decision_id,
    }
}

/// `Enforcement.Check`. A no is a reply like the others.
pub(in crate::grpc) fn check_answer(
    (answer, decision_id): (CheckAnswer, String),
) -> v1::CheckResponse {
    use v1::check_response::Answer;
    let answer = match answer {
        CheckAnswer::Denied(reason) => Answer::Denied(status::refused(&reason)),
        CheckAnswer::Fresh { act_by, task, step } => Answer::Fresh(v1::Fresh {
            act_by_ms: at_ms(act_by),
            task: Some(task_facts(&task)),
            step: step.map(|(step, jti)| step_facts(&step, jti)),
        }),
        CheckAnswer::Read(task) => Answer::Read(v1::Read {
            task: Some(task_facts(&task)),
        }),
        CheckAnswer::Repeat(state, task) => Answer::Repeat(v1::Repeat {
            state: step_state(state),
            task: Some(task_facts(&task)),
        }),
    };
    v1::CheckResponse {
        answer: Some(answer),
        decision_id,
    }
}

fn task_facts(task: &TaskView) -> v1::TaskFacts {
    v1::TaskFacts {
        task_id: task.id.to_string(),
        state: task_state(task.state),
        owner: task
            .owner
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        server: task.server.to_string(),
        ancestors: task.ancestors.iter().map(ToString::to_string).collect(),
        assurance: assurance(task.assurance).to_owned(),
    }
}

fn step_facts(step: &FreshStep, jti: Jti) -> v1::StepFacts {
    v1::StepFacts {
        step: step.step.0,
        fence: step.fence.0,
        idempotency_key: step.idempotency_key.0.to_vec(),
        performer: step.performer.to_string(),
        subject: subject(&step.subject),
        jti: jti.0.to_vec(),
    }
}

/// Spelled as in the token's `sub`.
fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Principal(hash) => {
            format!("urn:handfast:principal:{}", URL_SAFE_NO_PAD.encode(hash.0))
        }
        Subject::Workload(id) => id.to_string(),
    }
}

/// `Self.WhoAmI`.
pub(in crate::grpc) fn who_am_i(who: WhoAmI) -> v1::WhoAmIResponse {
    let WhoAmI {
        evidence,
        observed,
        selectors,
        hints,
    } = who;
    let Observed {
        pid,
        uid,
        gid,
        cgroup,
        executable_path,
    } = observed;
    let learned = |evidence: &Evidence| assurance(evidence.assurance).to_owned();
    v1::WhoAmIResponse {
        assurance: evidence.as_ref().map(learned).unwrap_or_default(),
        spiffe_ids: evidence
            .map(|evidence| spiffe_ids(&evidence.spiffe_ids))
            .unwrap_or_default(),
        pid,
        uid,
        gid,
        cgroup: cgroup.unwrap_or_default(),
        executable: executable_path.unwrap_or_default(),
        selectors,
        hints,
    }
}
