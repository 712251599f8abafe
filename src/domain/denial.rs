//! Why something was refused: the true reason for the operator, and what the caller may hear.

use super::evidence::Mismatch;
use super::grant::narrow::Beyond;
use super::role::NotHeld;
use super::task::TaskState;
use std::time::Duration;

/// The true reason of a refusal. Callers hear only what [`Reason::public`] allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Two workload identities of the caller could fill the role; the configuration must name one.
    AmbiguousIdentity,
    /// The token's signature is good but no record stands behind it: an alarm.
    Alarm,
    /// A person decided already.
    ApprovalDecided,
    /// Another digest than that of the request for approval.
    ApprovalDiffers,
    /// The request for approval is over: too late, or it was replaced.
    ApprovalLapsed,
    /// Requests for approval came to nothing; no further one yet.
    ApprovalPause {
        /// When asking again may help.
        retry_after: Duration,
    },
    /// A budget of the grant is spent: its name in the API.
    Budget(&'static str),
    /// The arguments, tool or definition presented are not those of the token.
    CallDiffers,
    /// The certificate on the connection is not the one the token is bound to.
    Certificate,
    /// The caller's evidence does not meet its `[[workload]]` row.
    CallerRow(Mismatch),
    /// The epoch was revoked, and its successor has no key yet.
    EpochRevoked,
    /// A feed is resumed where the ledger knows of nothing, or keeps nothing any more.
    FeedGap,
    /// The call is outside both grants of the task.
    Grant,
    /// The handle is already the name of another task, or has too little randomness.
    Handle,
    /// Another process holds the leg, or may still take it up again.
    Held {
        /// When asking again may help.
        retry_after: Duration,
    },
    /// The task waits for an answer; a new step has to wait with it.
    InputRequired,
    /// Every SPIFFE ID of the caller is revoked.
    IdRevoked,
    /// A named limit was reached.
    Limit(&'static str),
    /// A child asks for more than its parent has.
    Narrowing {
        /// Which child of the request, from 0; `None` where there is only one.
        child: Option<usize>,
        /// What lies beyond.
        beyond: Beyond,
    },
    /// No leg of the caller is up.
    NoLeg,
    /// The fence presented is not that of the live leg.
    Fence,
    /// The role is not held.
    NotHeld(NotHeld),
    /// A delegation asks for more than its giver has, or for nothing that could be had.
    NotNarrower(Unlent),
    /// The step's outcome is known, or still open: there is nothing to settle.
    NotUnknown,
    /// Nothing was seen of the task's owner for too long.
    OwnerAway,
    /// A step's outcome was reported before, and differently.
    OutcomeDiffers,
    /// The person's ID token is not good.
    Person(&'static str),
    /// A named performer has no `[[workload]]` row, or one without user or cgroup.
    PerformerUnknown,
    /// Policy refuses; the determining policies, or the error that made it a refusal.
    Policy(String),
    /// The owner acts for a user, whom only the server can see.
    PrincipalDue,
    /// The leg is suspended since the agent restarted: start again first.
    ReattachFirst,
    /// Reported without having been used.
    NotUsed,
    /// The request was made before, for something else.
    RepeatDiffers,
    /// The child grant was spent before.
    Spent,
    /// The step's call differs from that of an earlier, used token.
    StepDiffers,
    /// Another step is in flight.
    StepInFlight,
    /// The number is not `last + 1` or an earlier one.
    StepOutOfOrder,
    /// An earlier effect's outcome is unknown; it must be resolved first.
    StepUnknown,
    /// The process lost its leg to a takeover.
    TakenOver,
    /// The task has ended.
    Terminal(TaskState),
    /// The token has ended.
    TokenExpired,
    /// The token was overtaken, or died with its leg or epoch.
    TokenVoid,
    /// The token is malformed, not ours, of another epoch, or for another operation.
    TokenInvalid(&'static str),
    /// No such task, name or record here.
    Unknown,
}

/// What a caller may hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Public {
    /// The true reason, by its stable name.
    Named(Kind),
    /// "unknown task", the same for unknown, foreign and forgotten (invariant 14).
    UnknownTask,
}

/// Families of named reasons; each has one wire code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A limit: `RESOURCE_EXHAUSTED`.
    Limit,
    /// Not permitted: `PERMISSION_DENIED`.
    Permission,
    /// Wrong state: `FAILED_PRECONDITION`.
    State,
    /// The token: `PERMISSION_DENIED`.
    Token,
}

/// What of a delegation cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unlent {
    /// Acts that the giver does not have.
    Acts,
    /// No act at all.
    NoActs,
    /// A later end than the giver's.
    NotAfter,
    /// To the owner, who has it all.
    Owner,
    /// An end that has passed.
    Past,
    /// Permissions that the giver does not have.
    Permissions,
}

impl Unlent {
    /// In words, with the field.
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::Acts => "`acts` asks for more than the giver has",
            Self::NoActs => "`acts` is empty: nothing would be handed over",
            Self::NotAfter => "`not_after_ms` asks for more than the giver has",
            Self::Owner => "`to` is the task's owner, who has it all",
            Self::Past => "`not_after_ms` has passed",
            Self::Permissions => "`permissions` asks for more than the giver has",
        }
    }
}

impl Reason {
    /// The stable, machine-readable name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Alarm => "no_record",
            Self::AmbiguousIdentity => "ambiguous_identity",
            Self::ApprovalDecided => "approval_decided",
            Self::ApprovalDiffers => "approval_differs",
            Self::ApprovalLapsed => "approval_lapsed",
            Self::ApprovalPause { .. } => "approval_pause",
            Self::Budget(_) => "budget",
            Self::CallDiffers => "call_differs",
            Self::CallerRow(_) => "workload_row",
            Self::Certificate => "wrong_key",
            Self::EpochRevoked => "epoch_revoked",
            Self::FeedGap => "feed_gap",
            Self::Fence => "fence",
            Self::Grant => "grant",
            Self::Handle => "handle",
            Self::Held { .. } => "held",
            Self::IdRevoked => "id_revoked",
            Self::InputRequired => "input_required",
            Self::Limit(_) => "limit",
            Self::Narrowing { .. } => "narrowing",
            Self::NoLeg => "no_leg",
            Self::NotHeld(why) => match why {
                NotHeld::Evidence(_) => "role_evidence",
                NotHeld::NoRole => "no_role",
                NotHeld::NotApart => "not_apart",
                NotHeld::NotLocal => "assurance",
                NotHeld::Principal => "other_principal",
            },
            Self::NotNarrower(_) => "not_narrower",
            Self::NotUnknown => "not_unknown",
            Self::NotUsed => "not_used",
            Self::OutcomeDiffers => "outcome_differs",
            Self::OwnerAway => "owner_away",
            Self::PerformerUnknown => "performer_unknown",
            Self::Person(_) => "person",
            Self::Policy(_) => "policy",
            Self::PrincipalDue => "principal_due",
            Self::ReattachFirst => "reattach_first",
            Self::RepeatDiffers => "repeat_differs",
            Self::Spent => "spent",
            Self::StepDiffers => "step_differs",
            Self::StepInFlight => "step_in_flight",
            Self::StepOutOfOrder => "step_out_of_order",
            Self::StepUnknown => "step_unknown",
            Self::TakenOver => "taken_over",
            Self::Terminal(state) => match state {
                TaskState::Cancelled => "cancelled",
                TaskState::Completed => "completed",
                TaskState::Expired => "expired",
                TaskState::Failed => "failed",
                TaskState::InputRequired => "input_required",
                TaskState::Working => "working",
            },
            Self::TokenExpired => "token_expired",
            Self::TokenInvalid(_) => "token_invalid",
            Self::TokenVoid => "token_void",
            Self::Unknown => "unknown_task",
        }
    }

    /// What a caller may hear: nothing about a task in which it has no role.
    #[must_use]
    pub fn public(&self) -> Public {
        match self {
            Self::NotHeld(_) | Self::Unknown => Public::UnknownTask,
            Self::Budget(_) | Self::Limit(_) => Public::Named(Kind::Limit),
            Self::AmbiguousIdentity
            | Self::CallerRow(_)
            | Self::Grant
            | Self::Handle
            | Self::IdRevoked
            | Self::Narrowing { .. }
            | Self::NotNarrower(_)
            | Self::PerformerUnknown
            | Self::Policy(_) => Public::Named(Kind::Permission),
            Self::ApprovalDecided
            | Self::ApprovalDiffers
            | Self::ApprovalLapsed
            | Self::ApprovalPause { .. }
            | Self::EpochRevoked
            | Self::FeedGap
            | Self::Fence
            | Self::Held { .. }
            | Self::InputRequired
            | Self::NoLeg
            | Self::NotUnknown
            | Self::NotUsed
            | Self::OutcomeDiffers
            | Self::OwnerAway
            | Self::PrincipalDue
            | Self::ReattachFirst
            | Self::RepeatDiffers
            | Self::Spent
            | Self::StepDiffers
            | Self::StepInFlight
            | Self::StepOutOfOrder
            | Self::StepUnknown
            | Self::TakenOver
            | Self::Terminal(_) => Public::Named(Kind::State),
            Self::Alarm
            | Self::CallDiffers
            | Self::Certificate
            | Self::Person(_)
            | Self::TokenExpired
            | Self::TokenInvalid(_)
            | Self::TokenVoid => Public::Named(Kind::Token),
        }
    }
}

impl From<NotHeld> for Reason {
    fn from(why: NotHeld) -> Self {
        Self::NotHeld(why)
    }
}
