//! What a command is answered, in the words that the real rules and the oracle share.

use handfast::domain::approval::ApprovalState;
use handfast::domain::denial::{Public, Reason};
use handfast::domain::step::StepState;
use handfast::domain::task::TaskState;

/// The class of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// So many children.
    Children { count: usize, repeat: bool },
    /// A person's decision is noted, and the request is in this state.
    Consent(ApprovalState),
    /// The effect may begin.
    Fresh,
    /// The delegation with this place in the task.
    Handed(usize),
    /// The task that a child grant was cut for.
    Made { repeat: bool },
    /// Nobody was asked; nothing to say.
    Nothing,
    /// The token or its step was used before, or the outcome is noted.
    Outcome(StepState),
    /// A person is asked first.
    Pending,
    /// No, and this is why.
    Refused(&'static str),
    /// What was given is taken back.
    Revoked,
    /// A leg, new or taken up again.
    Started { reattached: bool },
    /// The task is in this state now.
    State(TaskState),
    /// A leg is taken away.
    TakenOver,
    /// A token for a step, or for carrying it out again.
    Token { retry: bool },
    /// "unknown task".
    Unknown,
}

impl From<Reason> for Answer {
    fn from(reason: Reason) -> Self {
        match reason.public() {
            Public::UnknownTask => Self::Unknown,
            Public::Named(_) => Self::Refused(reason.name()),
        }
    }
}

/// What the oracle lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Exactly this.
    Only(Answer),
    /// A refusal, for one of these reasons: all of them are true.
    Refused(Vec<&'static str>),
}

impl Expected {
    pub(super) fn admits(&self, answer: Answer) -> bool {
        match (self, answer) {
            (Self::Only(only), answer) => *only == answer,
            (Self::Refused(reasons), Answer::Refused(reason)) => reasons.contains(&reason),
            (Self::Refused(_), _) => false,
        }
    }
}
