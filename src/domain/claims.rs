//! What a continuation token says, as the rules see it. The `token` room turns it into a JWS.

use super::id::Thumbprint;
use super::id::{Digest, Epoch, Fence, Jti, NameHash, PrincipalHash, SpiffeId, StepNumber, TaskId};
use super::time::Time;

/// The operation a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Cancel the task.
    Cancel,
    /// Create the task.
    Create,
    /// Read the task.
    Query,
    /// Carry out a step again that was found not done.
    Retry,
    /// Carry out a step.
    Step,
    /// Answer what the task waits for.
    Update,
}

impl Operation {
    /// The operation's name in the token.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Create => "create",
            Self::Query => "query",
            Self::Retry => "retry",
            Self::Step => "step",
            Self::Update => "update",
        }
    }

    /// Parses what [`Operation::name`] writes.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::Cancel,
            Self::Create,
            Self::Query,
            Self::Retry,
            Self::Step,
            Self::Update,
        ]
        .into_iter()
        .find(|operation| operation.name() == name)
    }
}

/// On whose authority a token acts (`sub`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An owner without an SVID: `urn:handfast:principal:` and the keyed digest.
    Principal(PrincipalHash),
    /// A workload.
    Workload(SpiffeId),
}

/// Everything that a continuation token states, issuer and signature aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    /// On whose authority.
    pub subject: Subject,
    /// The acting workload (`act.sub`, RFC 8693 §4.1).
    pub actor: SpiffeId,
    /// The one audience.
    pub audience: SpiffeId,
    /// When it was issued.
    pub issued_at: Time,
    /// When it ends; exclusive.
    pub expires_at: Time,
    /// Its identifier.
    pub jti: Jti,
    /// Root of the task tree.
    pub txn: TaskId,
    /// The task.
    pub task: TaskId,
    /// Thumbprint of the bound certificate (`cnf.x5t#S256`, RFC 8705 §3.1).
    pub certificate: Thumbprint,
    /// What it is good for.
    pub operation: Operation,
    /// The tool, for create, step and retry.
    pub tool: Option<String>,
    /// Digest of the canonical arguments, for create, step and retry.
    pub arguments: Option<Digest>,
    /// Digest of the tool's definition, where it has one.
    pub definition: Option<Digest>,
    /// Keyed digest of the task's handle; absent in a create token.
    pub name: Option<NameHash>,
    /// Names the token record; zero for query, which has none.
    pub fence: Fence,
    /// The step, for step and retry, and for an order about one.
    pub step: Option<StepNumber>,
    /// The signing epoch.
    pub epoch: Epoch,
}
