//! Failures and refusals as callers hear them. Nothing else in the agent makes a `tonic::Status`.
//!
//! The one thing to know: what a caller hears follows from [`Reason::public`] alone. Whoever has no role in a
//! task hears the same of a task that exists, of one that is another's and of one that is forgotten.

#[cfg(test)]
mod tests;

use crate::domain::denial::{Kind, Public, Reason};
use crate::domain::grant::narrow::Beyond;
use crate::proto::v1;
use crate::service::Failure;
use crate::service::ports::AttestError;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// `ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "handfast";

/// `ErrorInfo.metadata` key of the ID that `handfast explain` takes.
pub const DECISION_ID: &str = "decision_id";

/// `ErrorInfo.metadata` key of the name of a limit.
pub const LIMIT: &str = "limit";

/// `ErrorInfo.metadata` key of the ID under which the log has our bug.
pub const INCIDENT: &str = "incident";

/// What a caller without a role hears.
const UNKNOWN_TASK: &str = "unknown task";

/// JSON-RPC "invalid params": what the Tasks extension demands for an unknown task.
const MCP_INVALID_PARAMS: i32 = -32602;

/// JSON-RPC "internal error": the extension has no code for a refusal.
const MCP_INTERNAL_ERROR: i32 = -32603;

/// When to ask again, where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a caller hears, before it is a `Status`.
#[derive(Debug)]
struct Told {
    code: Code,
    reason: &'static str,
    message: Cow<'static, str>,
    facts: Vec<(&'static str, String)>,
    retry_after: Option<Duration>,
    /// For the log alone.
    detail: Option<String>,
}

/// For the log alone: never sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Detail(String);

/// The answer to a call that failed.
pub(super) fn of(failure: Failure) -> Status {
    told(failure).into_status()
}

/// A call without the security header.
pub(super) fn header_missing() -> Status {
    let message = "security header missing";
    Told::new(Code::InvalidArgument, "security_header_missing", message).into_status()
}

/// `Denied` in the reply to `Check`.
pub(super) fn refused(reason: &Reason) -> v1::Refused {
    let (_, name, message) = public(reason);
    let mcp_code = match reason.public() {
        Public::UnknownTask => MCP_INVALID_PARAMS,
        Public::Named(_) => MCP_INTERNAL_ERROR,
    };
    v1::Refused {
        reason: name.to_owned(),
        mcp_code,
        mcp_message: message.into_owned(),
    }
}

impl Told {
    fn new(code: Code, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            facts: Vec::new(),
            retry_after: None,
            detail: None,
        }
    }

    fn fact(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((name, value.into()));
        self
    }

    fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    fn detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    fn into_status(self) -> Status {
        let facts: HashMap<String, String> = self
            .facts
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let mut details = ErrorDetails::with_error_info(self.reason, DOMAIN, facts);
        if self.retry_after.is_some() {
            details.set_retry_info(self.retry_after);
        }
        let mut status = Status::with_error_details(self.code, self.message, details);
        if let Some(detail) = self.detail {
            status.set_source(Arc::new(Detail(detail)));
        }
        status
    }
}

fn told(failure: Failure) -> Told {
    match failure {
        Failure::Attest(error) => unattested(error),
        Failure::Busy(limit) => Told::new(Code::ResourceExhausted, "limit", limit_reached(limit))
            .fact(LIMIT, limit)
            .retry_after(RETRY_AFTER),
        Failure::Denied {
            reason,
            decision_id,
        } => denied(&reason).fact(DECISION_ID, decision_id),
        Failure::Internal(detail) => Told::new(Code::Internal, "internal", "internal error")
            .fact(INCIDENT, incident())
            .detail(detail),
        Failure::Invalid(what) => Told::new(Code::InvalidArgument, "invalid_argument", what),
        Failure::Unavailable(detail) => {
            let message = "no decision is possible now: treat it as a no and ask again";
            Told::new(Code::Unavailable, "unavailable", message)
                .retry_after(RETRY_AFTER)
                .detail(detail)
        }
    }
}

fn unattested(error: AttestError) -> Told {
    let message = match &error {
        // What SPIRE said is for the log: it names sockets and other workloads' processes.
        AttestError::Unavailable(_) => "attestation is not available now: ask again".to_owned(),
        AttestError::Changed | AttestError::Expired | AttestError::NoIdentity => error.to_string(),
    };
    match error {
        AttestError::Changed => Told::new(Code::Unauthenticated, "process_changed", message),
        AttestError::Expired => Told::new(Code::Unauthenticated, "certificate_expired", message),
        AttestError::NoIdentity => Told::new(Code::Unauthenticated, "no_identity", message),
        AttestError::Unavailable(detail) => {
            Told::new(Code::Unavailable, "attestation_unavailable", message)
                .retry_after(RETRY_AFTER)
                .detail(detail)
        }
    }
}

fn denied(reason: &Reason) -> Told {
    let (code, name, message) = public(reason);
    let told = Told::new(code, name, message);
    match reason {
        Reason::ApprovalPause { retry_after } | Reason::Held { retry_after } => {
            told.retry_after(*retry_after)
        }
        Reason::Budget(limit) | Reason::Limit(limit) => told.fact(LIMIT, *limit),
        Reason::Alarm
        | Reason::AmbiguousIdentity
        | Reason::ApprovalDecided
        | Reason::ApprovalDiffers
        | Reason::ApprovalLapsed
        | Reason::CallDiffers
        | Reason::CallerRow(_)
        | Reason::Certificate
        | Reason::EpochRevoked
        | Reason::FeedGap
        | Reason::Fence
        | Reason::Grant
        | Reason::Handle
        | Reason::IdRevoked
        | Reason::InputRequired
        | Reason::Narrowing { .. }
        | Reason::NoLeg
        | Reason::NotHeld(_)
        | Reason::NotNarrower(_)
        | Reason::NotUnknown
        | Reason::NotUsed
        | Reason::OutcomeDiffers
        | Reason::OwnerAway
        | Reason::PerformerUnknown
        | Reason::Person(_)
        | Reason::Policy(_)
        | Reason::PrincipalDue
        | Reason::ReattachFirst
        | Reason::RepeatDiffers
        | Reason::Spent
        | Reason::StepDiffers
        | Reason::StepInFlight
        | Reason::StepOutOfOrder
        | Reason::StepUnknown
        | Reason::TakenOver
        | Reason::Terminal(_)
        | Reason::TokenExpired
        | Reason::TokenInvalid(_)
        | Reason::TokenVoid
        | Reason::Unknown => told,
    }
}

/// Code, name and sentence of a refusal, as far as its caller may know them.
fn public(reason: &Reason) -> (Code, &'static str, Cow<'static, str>) {
    match reason.public() {
        Public::UnknownTask => (
            Code::PermissionDenied,
            Reason::Unknown.name(),
            UNKNOWN_TASK.into(),
        ),
        Public::Named(kind) => (code(kind), reason.name(), sentence(reason)),
    }
}

fn code(kind: Kind) -> Code {
    match kind {
        Kind::Limit => Code::ResourceExhausted,
        Kind::Permission | Kind::Token => Code::PermissionDenied,
        Kind::State => Code::FailedPrecondition,
    }
}

/// What a caller may hear in words: nothing of other callers, of policy, or of why a token is not good.
fn sentence(reason: &Reason) -> Cow<'static, str> {
    let text = match reason {
        Reason::Alarm | Reason::TokenInvalid(_) => "the token is not good here",
        Reason::AmbiguousIdentity => {
            "the calling process has several SPIFFE IDs: one needs a `[[workload]]` row"
        }
        Reason::ApprovalDecided => "a decision was made before",
        Reason::ApprovalDiffers => "the digest is not that of this request for approval",
        Reason::ApprovalLapsed => "the request for approval is over",
        Reason::ApprovalPause { .. } => "earlier requests for approval came to nothing: wait",
        Reason::Budget(budget) => return budget_spent(budget),
        Reason::CallDiffers => "the call is not the one that the token was issued for",
        Reason::CallerRow(_) => "the calling process does not meet its `[[workload]]` row",
        Reason::Certificate => "the token is bound to another key than this connection's",
        Reason::EpochRevoked => "the epoch was revoked: ask again in a moment",
        Reason::FeedGap => {
            "the agent cannot tell what ended since: stop everything, subscribe from now on"
        }
        Reason::Fence => "the fence is not that of the last start",
        Reason::Grant => "neither the owner's grant nor the server's own permits this call",
        Reason::Handle => "the handle cannot be the name of this task",
        Reason::Held { .. } => "another process holds the leg",
        Reason::IdRevoked => "every SPIFFE ID of the calling process is revoked here",
        Reason::InputRequired => "the task waits for an answer: no new step before it is there",
        Reason::Limit(limit) => return limit_reached(limit),
        Reason::Narrowing { child, beyond } => return asks_for_more(*child, *beyond),
        Reason::NoLeg => "the calling process has no such leg: start one",
        Reason::NotHeld(_) | Reason::Unknown => UNKNOWN_TASK,
        Reason::NotNarrower(unlent) => unlent.says(),
        Reason::NotUnknown => "the outcome of this step is known, or still open",
        Reason::NotUsed => "the token was not used: there is nothing to report",
        Reason::OwnerAway => "the task's owner was not seen for too long",
        Reason::OutcomeDiffers => "another outcome was reported first",
        Reason::PerformerUnknown => {
            "a performer needs a `[[workload]]` row with a user or a cgroup"
        }
        Reason::Person(_) => "the ID token does not stand for a person's decision about this",
        Reason::Policy(_) => "policy does not permit this",
        Reason::PrincipalDue => "the task is a user's: only its server can see who that is",
        Reason::ReattachFirst => {
            "the agent was restarted or its epoch was revoked: start again to take the leg up"
        }
        Reason::RepeatDiffers => "the request was made before, for something else",
        Reason::Spent => "the child grant was spent before",
        Reason::StepDiffers => "the step was used for another call",
        Reason::StepInFlight => "a step is in flight",
        Reason::StepOutOfOrder => "the step is neither an earlier one nor the next",
        Reason::StepUnknown => {
            "the outcome of an earlier step is unknown: its audience must report it, or the owner settle it"
        }
        Reason::TakenOver => "the task was taken over from this process",
        Reason::Terminal(_) => "the task has ended",
        Reason::TokenExpired => "the token has expired",
        Reason::TokenVoid => "the token was overtaken, or died with its leg",
    };
    text.into()
}

fn budget_spent(budget: &str) -> Cow<'static, str> {
    format!("nothing is left of the grant's `{budget}`").into()
}

fn asks_for_more(child: Option<usize>, beyond: Beyond) -> Cow<'static, str> {
    let field = beyond.name();
    let more = if matches!(beyond, Beyond::NotAfter) {
        "past, or later"
    } else {
        "more"
    };
    match child {
        Some(index) => format!("children[{index}].{field}: {more} than its parent has").into(),
        None => format!("{field}: {more} than the child grant has").into(),
    }
}

fn limit_reached(limit: &str) -> Cow<'static, str> {
    format!("the limit `{limit}` is reached").into()
}

/// Names a bug in answer and log.
fn incident() -> String {
    static INCIDENTS: AtomicU64 = AtomicU64::new(1);
    format!("{:08x}", INCIDENTS.fetch_add(1, Ordering::Relaxed))
}

/// The name of a code as the gRPC specification spells it.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
