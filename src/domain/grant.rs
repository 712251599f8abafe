//! What may be done under a task: pairs of audience and tool, each with an argument constraint.

use super::evidence::Assurance;
use super::id::{Digest, SpiffeId};
use super::time::Time;

/// One audience, one tool, and what its arguments may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// SPIFFE ID of the tool's workload.
    pub audience: SpiffeId,
    /// Tool or method name, as the audience spells it.
    pub tool: String,
    /// Which arguments are admitted.
    pub arguments: ArgumentConstraint,
}

/// Which arguments a permission admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArgumentConstraint {
    /// Any arguments; policy still sees the tool.
    Any,
    /// Exactly the arguments with this digest (SHA-256 of RFC 8785).
    Exact(Digest),
}

impl ArgumentConstraint {
    /// Whether arguments with this digest are admitted.
    #[must_use]
    pub fn admits(self, arguments: Digest) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(only) => only == arguments,
        }
    }
}

/// A set of permissions with an end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// What is permitted; may be empty.
    pub permissions: Vec<Permission>,
    /// Nothing is permitted at or after this time; `None` means the task's deadline.
    pub not_after: Option<Time>,
    /// The least assurance at which an audience may check a step under this grant.
    pub audience_assurance: AudienceAssurance,
}

/// The least assurance demanded of an audience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AudienceAssurance {
    /// The audience must be a pinned process on this node.
    Process,
    /// An X.509-SVID over mTLS is enough.
    #[default]
    Svid,
}

impl From<AudienceAssurance> for Assurance {
    fn from(value: AudienceAssurance) -> Self {
        match value {
            AudienceAssurance::Process => Self::Process,
            AudienceAssurance::Svid => Self::Svid,
        }
    }
}

impl Grant {
    /// Whether this grant permits the call now.
    #[must_use]
    pub fn permits(&self, call: &ToolCall, now: Time) -> bool {
        !self.not_after.is_some_and(|end| now.reached(end))
            && self.permissions.iter().any(|permission| {
                permission.audience == call.audience
                    && permission.tool == call.tool
                    && permission.arguments.admits(call.arguments)
            })
    }
}

/// One call of one tool, its arguments and definition named by digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// SPIFFE ID of the server or tool.
    pub audience: SpiffeId,
    /// Tool or method name.
    pub tool: String,
    /// SHA-256 of the RFC 8785 form of the arguments.
    pub arguments: Digest,
    /// SHA-256 of the RFC 8785 form of the tool's `tools/list` object without `_meta`; `None` for tools
    /// that are not MCP.
    pub definition: Option<Digest>,
}
