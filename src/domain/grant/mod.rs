//! What may be done under a task: pairs of audience and tool, each with an argument constraint, until a time,
//! within budgets and below a risk.
//!
//! Read this file for what a grant permits, [`constraint`] for arguments, [`narrow`] for when one grant lies
//! within another and how a child's is cut out of its parent's.

pub mod constraint;
pub mod narrow;
mod path;
pub mod risk;

pub use constraint::{ArgumentConstraint, MemberRule, MemberRules, Rule};
pub use path::is_path;
pub use risk::{Risk, ToolRisks};

use super::arguments::Arguments;
use super::evidence::Assurance;
use super::id::{Digest, SpiffeId};
use super::lineage::Now;
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

impl Permission {
    /// Whether this call is one that is permitted.
    #[must_use]
    pub fn admits(&self, call: &SeenCall) -> bool {
        self.audience == call.call.audience
            && self.tool == call.call.tool
            && self.arguments.admits(&call.arguments)
    }
}

/// A set of permissions with an end and budgets. The default permits nothing and may have no children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// What is permitted; may be empty.
    pub permissions: Vec<Permission>,
    /// Nothing is permitted at or after this time; `None` means the task's deadline.
    pub not_after: Option<Time>,
    /// The least assurance at which an audience may check a step under this grant.
    pub audience_assurance: AudienceAssurance,
    /// How many generations may still follow.
    pub depth_left: u32,
    /// How many children may still be made under it, by this task and its descendants together.
    pub children_left: u32,
    /// How many steps may still be begun under it; `None` leaves it to `tasks.steps_max`. A retry begins
    /// nothing.
    pub uses_left: Option<u32>,
    /// No tool above this risk may be called.
    pub risk_ceiling: Risk,
}

/// Which of a task's two grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Authority {
    /// What the owner asked for, on the owner's authority.
    Asked,
    /// What the server added, on its own.
    Own,
}

/// The least assurance demanded of an audience. Ordered from lax to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AudienceAssurance {
    /// An X.509-SVID over mTLS is enough.
    #[default]
    Svid,
    /// The audience must be a pinned process on this node.
    Process,
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
    /// Whether this grant permits the call now. What is left of its budgets is another question: a step that
    /// was begun may be carried out and tried again.
    #[must_use]
    pub fn permits(&self, call: &SeenCall, now: &Now<'_>) -> bool {
        !self.not_after.is_some_and(|end| now.time.reached(end))
            && now
                .limits
                .tool_risks
                .of(&call.call.audience, &call.call.tool)
                <= self.risk_ceiling
            && self
                .permissions
                .iter()
                .any(|permission| permission.admits(call))
    }

    /// Begins a step: one use less.
    ///
    /// # Errors
    /// [`Exhausted`] where none is left.
    pub fn spend_use(&mut self) -> Result<(), Exhausted> {
        if let Some(left) = self.uses_left {
            self.uses_left = Some(left.checked_sub(1).ok_or(Exhausted)?);
        }
        Ok(())
    }
}

/// Nothing is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

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

impl ToolCall {
    /// Whether it has the same effect as another: the same arguments to the same tool, whatever its definition.
    #[must_use]
    pub fn does_as(&self, other: &Self) -> bool {
        self.audience == other.audience
            && self.tool == other.tool
            && self.arguments == other.arguments
    }
}

/// A call with its arguments as they were shown on this very request: what a constraint judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCall {
    /// The call.
    pub call: ToolCall,
    /// Its arguments; of the same digest as in `call`.
    pub arguments: Arguments,
}

/// A call of which only digests are at hand: a constraint that needs values refuses it.
impl From<ToolCall> for SeenCall {
    fn from(call: ToolCall) -> Self {
        Self {
            arguments: Arguments::unseen(call.arguments),
            call,
        }
    }
}
