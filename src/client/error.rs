//! What can go wrong between a workload and its agent.
//!
//! Names `canonical` and `domain`. The one thing to know: [`ClientError::Denied`] is a decision and final
//! for this request; [`ClientError::Unavailable`] means that there was no decision, so it counts as a no and
//! may be asked again.

use super::hand::HandError;
use super::socket::SocketError;
use crate::canonical::CanonicalError;
use std::error::Error;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Key of the decision ID in the metadata of an `ErrorInfo`.
const DECISION_ID: &str = "decision_id";

/// What the agent said with a no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Stable machine reason, such as `held` or `unknown_task`; empty where the agent gave none.
    pub reason: String,
    /// In words.
    pub message: String,
    /// For `handfast explain`: the operator learns the true reason from it.
    pub decision_id: Option<String>,
    /// When asking again may help.
    pub retry_after: Option<Duration>,
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = match (self.reason.as_str(), self.message.as_str()) {
            ("", message) => message,
            (reason, "") => reason,
            (reason, message) => return self.fmt_said(f, &format!("{message} ({reason})")),
        };
        self.fmt_said(f, said)
    }
}

impl Denied {
    fn fmt_said(&self, f: &mut std::fmt::Formatter<'_>, said: &str) -> std::fmt::Result {
        match &self.decision_id {
            Some(id) => write!(f, "{said}; decision {id}"),
            None => f.write_str(said),
        }
    }
}

/// Why a call to the agent gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Another request was faster; load anew and ask again.
    #[error("lost a race: {0}")]
    Aborted(Box<Denied>),
    /// Arguments or a tool definition are not JSON that can be digested.
    #[error("arguments cannot be sent")]
    Arguments(#[from] CanonicalError),
    /// The agent refused: by a rule, by policy, or because of the state of the task.
    #[error("denied: {0}")]
    Denied(Box<Denied>),
    /// A hand could not be made.
    #[error("no key and certificate")]
    Hand(#[from] HandError),
    /// A bug of the agent.
    #[error("the agent failed: {0}")]
    Internal(Box<Denied>),
    /// The request is malformed.
    #[error("refused as malformed: {0}")]
    Invalid(Box<Denied>),
    /// A named limit of the agent was reached.
    #[error("limit reached: {0}")]
    Limit(Box<Denied>),
    /// The operating system gave no random bytes for a request ID.
    #[error("no randomness")]
    Randomness,
    /// The agent's answer makes no sense; its version may be another one.
    #[error("the agent's answer has no valid {0}")]
    Reply(&'static str),
    /// The feed of revocations is cut off or has not caught up: treat it as a no; ask again later.
    #[error("the feed of revocations is silent")]
    Silent,
    /// What answers at the socket is not trusted to be the agent.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The agent could not attest the calling process.
    #[error("not attested: {0}")]
    Unauthenticated(Box<Denied>),
    /// There was no decision: the agent is down, restarting or cut off. Treat it as a no; ask again later.
    #[error("UNAVAILABLE: {0}")]
    Unavailable(Box<Denied>),
}

impl ClientError {
    /// The agent's words, where it said any.
    #[must_use]
    pub fn denied(&self) -> Option<&Denied> {
        match self {
            Self::Aborted(said)
            | Self::Denied(said)
            | Self::Internal(said)
            | Self::Invalid(said)
            | Self::Limit(said)
            | Self::Unauthenticated(said)
            | Self::Unavailable(said) => Some(said),
            Self::Arguments(_)
            | Self::Hand(_)
            | Self::Randomness
            | Self::Reply(_)
            | Self::Silent
            | Self::Socket(_) => None,
        }
    }

    /// Whether the same request, with the same request ID, may be sent again.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Aborted(_)
            | Self::Limit(_)
            | Self::Silent
            | Self::Socket(_)
            | Self::Unavailable(_) => true,
            Self::Denied(said) => said.retry_after.is_some(),
            Self::Arguments(_)
            | Self::Hand(_)
            | Self::Internal(_)
            | Self::Invalid(_)
            | Self::Randomness
            | Self::Reply(_)
            | Self::Unauthenticated(_) => false,
        }
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let said = Box::new(said(&status));
        match status.code() {
            Code::PermissionDenied | Code::FailedPrecondition | Code::NotFound => {
                Self::Denied(said)
            }
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid(said),
            Code::Unauthenticated => Self::Unauthenticated(said),
            Code::ResourceExhausted => Self::Limit(said),
            Code::Aborted | Code::AlreadyExists => Self::Aborted(said),
            Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => Self::Unavailable(said),
            // A connection that breaks off in mid-call is reported as unknown.
            Code::Unknown if status.source().is_some() => Self::Unavailable(said),
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss | Code::Unimplemented => {
                Self::Internal(said)
            }
        }
    }
}

fn said(status: &Status) -> Denied {
    let details = status.get_error_details();
    let info = details.error_info();
    Denied {
        reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
        decision_id: info
            .and_then(|info| info.metadata.get(DECISION_ID))
            .filter(|id| !id.is_empty())
            .cloned(),
        retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        message: match innermost(status) {
            Some(cause) => format!("{}: {cause}", status.message()),
            None => status.message().to_owned(),
        },
    }
}

/// The cause that says most: why the connection could not be made.
fn innermost(status: &Status) -> Option<String> {
    let mut cause = status.source()?;
    loop {
        if let Some(socket) = cause.downcast_ref::<SocketError>() {
            return Some(chain(socket));
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            None => return Some(cause.to_string()),
        }
    }
}

fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::ClientError;
    use std::collections::HashMap;
    use std::time::Duration;
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt};

    #[test]
    fn reason_decision_and_delay_survive() {
        let mut details = ErrorDetails::new();
        let decision = HashMap::from([("decision_id".to_owned(), "d-1".to_owned())]);
        details
            .set_error_info("held", "handfast", decision)
            .set_retry_info(Some(Duration::from_secs(2)));
        let status =
            Status::with_error_details(Code::FailedPrecondition, "the leg is held", details);
        let error = ClientError::from(status);
        let denied = error.denied().expect("denied").clone();
        assert!(matches!(error, ClientError::Denied(_)));
        assert_eq!(denied.reason, "held");
        assert_eq!(denied.decision_id.as_deref(), Some("d-1"));
        assert_eq!(denied.retry_after, Some(Duration::from_secs(2)));
        assert!(error.may_retry());
        assert_eq!(
            error.to_string(),
            "denied: the leg is held (held); decision d-1"
        );
    }

    #[test]
    fn no_decision_is_not_a_denial() {
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled] {
            let error = ClientError::from(Status::new(code, "not now"));
            assert!(matches!(error, ClientError::Unavailable(_)), "{code:?}");
            assert!(error.may_retry());
        }
        for code in [Code::PermissionDenied, Code::FailedPrecondition] {
            let error = ClientError::from(Status::new(code, "no"));
            assert!(matches!(error, ClientError::Denied(_)), "{code:?}");
            assert!(!error.may_retry());
        }
    }
}
