//! What the audit chain records: one event for every state change, token and refusal (invariant 15).

use super::evidence::{Assurance, ProcessKey};
use super::id::{Digest, RecordNumber, SpiffeId, TaskId};
use super::policy::PolicyGeneration;
use super::time::Time;

/// Who a decision was about, as far as it was learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerFacts {
    /// Every SPIFFE ID that SPIRE named.
    pub spiffe_ids: Vec<SpiffeId>,
    /// How strongly it was identified.
    pub assurance: Option<Assurance>,
    /// The process.
    pub process: Option<ProcessKey>,
    /// Effective user ID.
    pub uid: Option<u32>,
    /// Cgroup path.
    pub cgroup: Option<String>,
    /// Digest of the executable.
    pub executable: Option<Digest>,
}

/// How a decision came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was allowed.
    Allowed,
    /// It was refused, for this reason (its stable name) and with this explanation for the operator.
    Denied {
        /// [`super::denial::Reason::name`].
        reason: String,
        /// Evidence seen and what would change the answer.
        explanation: String,
    },
}

/// One audit record, before the ledger numbers and chains it.
///
/// It names every input of the decision, or its digest, so that the decision can be performed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Time,
    /// The method or internal cause: `Legs.Start`, `leg.lost`.
    pub operation: String,
    /// How it came out.
    pub verdict: Verdict,
    /// The task, where one was found.
    pub task: Option<TaskId>,
    /// The caller.
    pub caller: CallerFacts,
    /// Which policy set was asked.
    pub policy: PolicyGeneration,
    /// Which policies determined the answer.
    pub policies: Vec<String>,
    /// Further inputs and results: closed set of names, never a secret or a name in clear.
    pub facts: Vec<(&'static str, String)>,
    /// How many equal events this one stands for; at least 1.
    pub count: u64,
}

/// An event as it stands in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainedEvent {
    /// Its number.
    pub number: RecordNumber,
    /// Hash of the record before it.
    pub previous: Digest,
    /// SHA-256 of this record's bytes, which include `previous`.
    pub hash: Digest,
    /// What happened.
    pub event: Event,
}
