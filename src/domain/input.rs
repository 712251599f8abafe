//! What a task waits for before its next step: answers that its server asked for, or a person's consent.

use super::id::ApprovalId;
use super::time::Time;

/// One thing that a task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A person's decision about one step.
    Approval {
        /// Which.
        id: ApprovalId,
        /// Nobody can decide any more at or after this time.
        until: Time,
    },
    /// An answer of the owner. The name is the server's own, for its client.
    Server(String),
}

impl Input {
    /// Whether it still can be answered.
    #[must_use]
    pub fn is_open(&self, now: Time) -> bool {
        match self {
            Self::Approval { until, .. } => !now.reached(*until),
            Self::Server(_) => true,
        }
    }
}
