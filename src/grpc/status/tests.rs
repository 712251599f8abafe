//! Every failure and refusal as callers hear it; the table is `docs/errors.md`.

use super::*;
use crate::domain::denial::Unlent;
use crate::domain::evidence::Mismatch;
use crate::domain::grant::narrow::Beyond;
use crate::domain::role::NotHeld;
use crate::domain::task::TaskState;
use std::fmt::Write as _;
use std::path::Path;

/// A word that stands for whatever must not be sent.
const HIDDEN: &str = "hidden-detail";

/// The reason after this one: without an arm for a new reason the tests do not compile.
fn next(reason: &Reason) -> Option<Reason> {
    let next = match reason {
        Reason::AmbiguousIdentity => Reason::ApprovalDecided,
        Reason::ApprovalDecided => Reason::ApprovalDiffers,
        Reason::ApprovalDiffers => Reason::ApprovalLapsed,
        Reason::ApprovalLapsed => Reason::ApprovalPause {
            retry_after: Duration::from_secs(30),
        },
        Reason::ApprovalPause { .. } => Reason::Person(HIDDEN),
        Reason::Person(_) => Reason::Alarm,
        Reason::Alarm => Reason::Budget("uses"),
        Reason::Budget(_) => Reason::CallDiffers,
        Reason::CallDiffers => Reason::Certificate,
        Reason::Certificate => Reason::CallerRow(Mismatch::Cgroup),
        Reason::CallerRow(_) => Reason::Grant,
        Reason::Grant => Reason::Handle,
        Reason::Handle => Reason::Held {
            retry_after: Duration::from_secs(2),
        },
        Reason::Held { .. } => Reason::IdRevoked,
        Reason::IdRevoked => Reason::InputRequired,
        Reason::InputRequired => Reason::Limit("limits.performers"),
        Reason::Limit(_) => Reason::Narrowing {
            child: Some(3),
            beyond: Beyond::NotAfter,
        },
        Reason::Narrowing { .. } => Reason::NoLeg,
        Reason::NoLeg => Reason::EpochRevoked,
        Reason::EpochRevoked => Reason::FeedGap,
        Reason::FeedGap => Reason::Fence,
        Reason::Fence => Reason::NotHeld(NotHeld::NoRole),
        Reason::NotHeld(NotHeld::NoRole) => {
            Reason::NotHeld(NotHeld::Evidence(Mismatch::Executable))
        }
        Reason::NotHeld(NotHeld::Evidence(_)) => Reason::NotHeld(NotHeld::NotLocal),
        Reason::NotHeld(NotHeld::NotLocal) => Reason::NotHeld(NotHeld::NotApart),
        Reason::NotHeld(NotHeld::NotApart) => Reason::NotHeld(NotHeld::Principal),
        Reason::NotHeld(NotHeld::Principal) => Reason::OutcomeDiffers,
        Reason::OutcomeDiffers => Reason::OwnerAway,
        Reason::OwnerAway => Reason::PerformerUnknown,
        Reason::PerformerUnknown => Reason::Policy(HIDDEN.to_owned()),
        Reason::Policy(_) => Reason::ReattachFirst,
        Reason::ReattachFirst => Reason::NotUsed,
        Reason::NotUsed => Reason::NotUnknown,
        Reason::NotUnknown => Reason::NotNarrower(Unlent::Acts),
        Reason::NotNarrower(_) => Reason::PrincipalDue,
        Reason::PrincipalDue => Reason::TakenOver,
        Reason::TakenOver => Reason::RepeatDiffers,
        Reason::RepeatDiffers => Reason::Spent,
        Reason::Spent => Reason::StepDiffers,
        Reason::StepDiffers => Reason::StepInFlight,
        Reason::StepInFlight => Reason::StepOutOfOrder,
        Reason::StepOutOfOrder => Reason::StepUnknown,
        Reason::StepUnknown => Reason::Terminal(TaskState::Cancelled),
        Reason::Terminal(TaskState::Cancelled) => Reason::Terminal(TaskState::Completed),
        Reason::Terminal(TaskState::Completed) => Reason::Terminal(TaskState::Expired),
        Reason::Terminal(TaskState::Expired) => Reason::Terminal(TaskState::Failed),
        // A task that has not ended is never refused as one that has.
        Reason::Terminal(TaskState::Failed | TaskState::InputRequired | TaskState::Working) => {
            Reason::TokenExpired
        }
        Reason::TokenExpired => Reason::TokenVoid,
        Reason::TokenVoid => Reason::TokenInvalid(HIDDEN),
        Reason::TokenInvalid(_) => Reason::Unknown,
        Reason::Unknown => return None,
    };
    Some(next)
}

fn reasons() -> Vec<Reason> {
    let mut reasons: Vec<_> =
        std::iter::successors(Some(Reason::AmbiguousIdentity), next).collect();
    reasons.sort_by_key(Reason::name);
    reasons
}

/// As [`next`], for what fails before or beside the rules.
fn next_failure(failure: &Failure) -> Option<Failure> {
    let next = match failure {
        Failure::Invalid(_) => Failure::Attest(AttestError::NoIdentity),
        Failure::Attest(AttestError::NoIdentity) => Failure::Attest(AttestError::Changed),
        Failure::Attest(AttestError::Changed) => Failure::Attest(AttestError::Expired),
        Failure::Attest(AttestError::Expired) => {
            Failure::Attest(AttestError::Unavailable(HIDDEN.to_owned()))
        }
        Failure::Attest(AttestError::Unavailable(_)) => Failure::Busy("limits.legs"),
        Failure::Busy(_) => Failure::Unavailable(HIDDEN.to_owned()),
        Failure::Unavailable(_) => Failure::Internal(HIDDEN.to_owned()),
        Failure::Internal(_) => return None,
        Failure::Denied { .. } => panic!("has a list of its own"),
    };
    Some(next)
}

fn failures() -> impl Iterator<Item = Failure> {
    let first = Failure::Invalid("step: is counted from 1".to_owned());
    std::iter::successors(Some(first), next_failure)
}

fn deny(reason: Reason) -> Status {
    of(Failure::Denied {
        reason,
        decision_id: "0123456789abcdef".to_owned(),
    })
}

fn reason_of(status: &Status) -> String {
    let info = status.get_details_error_info().expect("each error has one");
    assert_eq!(info.domain, DOMAIN);
    info.reason
}

fn row(table: &mut String, cells: &[&str]) {
    writeln!(table, "| {} |", cells.join(" | ")).expect("a string takes everything");
}

fn retry(status: &Status) -> String {
    match status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
    {
        Some(delay) => format!("after {} s", delay.as_secs()),
        None => String::new(),
    }
}

fn page() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         <!-- Printed by a test: UPDATE_DOCS=1 cargo test --lib grpc::status -->\n\n\
         Every error carries `google.rpc.ErrorInfo` with `domain` = `handfast`, a stable `reason` and, where a\n\
         decision was taken, `metadata.decision_id`, which `handfast explain` opens for the operator. `RetryInfo`\n\
         is there where asking again may help.\n\n\
         What is refused before a request is read has no `ErrorInfo`: `INTERNAL` where the bytes are no message,\n\
         `OUT_OF_RANGE` where there are too many, `UNIMPLEMENTED` for an unknown method, `DEADLINE_EXCEEDED` after\n\
         `timeouts.request`. Nothing was decided then.\n\n\
         ## No decision\n\n\
         The caller, the request or the agent was not fit for a decision. `Enforcement.Check` answers the same:\n\
         treat it as a no.\n\n",
    );
    row(&mut page, &["reason", "code", "retry", "message"]);
    row(&mut page, &["---", "---", "---", "---"]);
    let mut statuses: Vec<Status> = failures().map(of).collect();
    statuses.push(header_missing());
    statuses.sort_by_key(reason_of);
    for status in &statuses {
        row(
            &mut page,
            &[
                &format!("`{}`", reason_of(status)),
                &format!("`{}`", code_name(status.code())),
                &retry(status),
                status.message(),
            ],
        );
    }
    page.push_str(
        "\n## A no\n\n\
         `Enforcement.Check` gives it as the reply `denied`, with a JSON-RPC code that an MCP server can pass on;\n\
         every other method as an error. The true reason is in the audit record; whoever has no role in a task\n\
         hears the same of a task that exists, of one that is another's and of one that is forgotten.\n\n",
    );
    row(
        &mut page,
        &[
            "true reason",
            "reason told",
            "code",
            "retry",
            "at `Check`",
            "message",
        ],
    );
    row(&mut page, &["---", "---", "---", "---", "---", "---"]);
    for reason in reasons() {
        let told = refused(&reason);
        let status = deny(reason.clone());
        row(
            &mut page,
            &[
                &format!("`{}`", reason.name()),
                &format!("`{}`", told.reason),
                &format!("`{}`", code_name(status.code())),
                &retry(&status),
                &format!("`{}`", told.mcp_code),
                status.message(),
            ],
        );
    }
    page
}

#[test]
fn the_table_of_errors_is_in_the_docs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().expect("is in a folder")).expect("can be made");
        std::fs::write(&path, page()).expect("can be written");
    }
    let docs = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        docs == page(),
        "docs/errors.md is stale: run this test with UPDATE_DOCS=1"
    );
}

#[test]
fn each_kind_has_its_code() {
    let codes = [
        (Reason::Limit("a.b"), Code::ResourceExhausted),
        (Reason::Grant, Code::PermissionDenied),
        (Reason::NoLeg, Code::FailedPrecondition),
        (Reason::TokenVoid, Code::PermissionDenied),
        (Reason::Unknown, Code::PermissionDenied),
    ];
    for (reason, code) in codes {
        assert_eq!(deny(reason).code(), code);
    }
    let codes: Vec<Code> = failures().map(|failure| of(failure).code()).collect();
    let expected = [
        Code::InvalidArgument,
        Code::Unauthenticated,
        Code::Unauthenticated,
        Code::Unauthenticated,
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Unavailable,
        Code::Internal,
    ];
    assert_eq!(codes, expected);
}

#[test]
fn unknown_foreign_and_forgotten_are_told_alike() {
    let unknown = deny(Reason::Unknown);
    assert_eq!(unknown.message(), "unknown task");
    for reason in reasons() {
        if reason.public() != Public::UnknownTask {
            continue;
        }
        let status = deny(reason.clone());
        assert_eq!(status.code(), unknown.code(), "{reason:?}");
        assert_eq!(status.message(), unknown.message(), "{reason:?}");
        assert_eq!(status.details(), unknown.details(), "{reason:?}");
        assert_eq!(refused(&reason), refused(&Reason::Unknown), "{reason:?}");
    }
    assert_eq!(refused(&Reason::Unknown).mcp_code, -32602);
    assert_eq!(refused(&Reason::TokenVoid).mcp_code, -32603);
}

#[test]
fn nothing_of_policy_spire_or_the_ledger_is_sent() {
    let denials = reasons().into_iter().map(deny);
    for status in failures().map(of).chain(denials) {
        let sent = status.clone().into_http::<()>();
        let headers = format!("{:?}", sent.headers());
        assert!(!headers.contains(HIDDEN), "{headers}");
        let details = String::from_utf8_lossy(status.details()).into_owned();
        assert!(!details.contains(HIDDEN), "{details}");
    }
    for reason in reasons() {
        assert!(!refused(&reason).mcp_message.contains(HIDDEN), "{reason:?}");
    }
}

#[test]
fn a_bug_has_an_id_in_answer_and_log() {
    let (first, second) = (
        of(Failure::Internal(HIDDEN.to_owned())),
        of(Failure::Internal(HIDDEN.to_owned())),
    );
    let id = |status: &Status| {
        let info = status.get_details_error_info().expect("has one");
        info.metadata.get(INCIDENT).cloned().expect("has an ID")
    };
    assert_ne!(id(&first), id(&second));
    let source = std::error::Error::source(&first).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some(HIDDEN));
}

#[test]
fn a_held_leg_says_when_to_ask_again() {
    let held = Reason::Held {
        retry_after: Duration::from_millis(1500),
    };
    let info = deny(held).get_details_retry_info().expect("has one");
    assert_eq!(info.retry_delay, Some(Duration::from_millis(1500)));
    let limit = deny(Reason::Limit("tasks.steps_max"));
    let info = limit.get_details_error_info().expect("has one");
    assert_eq!(
        info.metadata.get(LIMIT).map(String::as_str),
        Some("tasks.steps_max")
    );
}
