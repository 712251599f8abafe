//! What an owner orders about a task besides asking about it: hand it over, take it back, take its leg, settle an
//! effect that nobody knows about.
//!
//! An owner that acts for a user gets a token for its order: the token's record keeps what was ordered, and the
//! server, which alone can see the user, has it carried out by checking the token.

use super::delegation::{Act, Delegation};
use super::evidence::ProcessKey;
use super::id::{DelegationNumber, Digest, LegNumber, StepNumber};
use super::policy::Action;
use super::step::StepState;
use super::task::Task;

/// What the owner says of an effect that nobody knows about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// It happened.
    Done,
    /// It did not; it may be tried again.
    NotDone,
}

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Hand over: the delegation as it is to be, numbered once it is made.
    Delegate(Box<Delegation>),
    /// Settle an unknown step.
    Resolve(StepNumber, Word),
    /// Take a delegation back, and whatever was made on its strength.
    TakeBack(DelegationNumber),
    /// End the live leg. The keyed digest of the caller and its `request_id` tells repeats.
    TakeOver(Digest),
}

impl Order {
    /// The act that a delegate needs for it; `None` where only the owner may.
    #[must_use]
    pub fn act(&self) -> Option<Act> {
        match self {
            Self::Delegate(_) | Self::TakeBack(_) => Some(Act::Delegate),
            Self::Resolve(..) => None,
            Self::TakeOver(_) => Some(Act::Takeover),
        }
    }

    /// The delegation that it rests on, where it is not simply any of whoever gives it: what was handed on, and what is
    /// taken back, belongs to one.
    #[must_use]
    pub fn rests_on(&self, task: &Task) -> Option<DelegationNumber> {
        match self {
            Self::Delegate(made) => made.from,
            Self::TakeBack(number) => task.delegation(*number).and_then(|it| it.from),
            Self::Resolve(..) | Self::TakeOver(_) => None,
        }
    }

    /// What policy is asked.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Delegate(_) | Self::TakeBack(_) => Action::Delegate,
            Self::Resolve(..) => Action::Resolve,
            Self::TakeOver(_) => Action::TakeOver,
        }
    }

    /// Its name, for the audit.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delegate(_) => "delegate",
            Self::Resolve(..) => "resolve",
            Self::TakeBack(_) => "revoke_delegation",
            Self::TakeOver(_) => "takeover",
        }
    }

    /// The step that it is about.
    #[must_use]
    pub fn step(&self) -> Option<StepNumber> {
        match self {
            Self::Resolve(step, _) => Some(*step),
            Self::Delegate(_) | Self::TakeBack(_) | Self::TakeOver(_) => None,
        }
    }

    /// Whether it only takes away: such an order must be possible when little else is.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        matches!(self, Self::TakeBack(_) | Self::TakeOver(_))
    }
}

/// An order that waits for its token to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenOrder {
    /// What was ordered.
    pub order: Order,
    /// The process that ordered it: `Check` sees its token only.
    pub by: Option<ProcessKey>,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// The delegation as it was granted.
    Delegated(Box<Delegation>),
    /// What the step is now.
    Resolved(StepState),
    /// The leg that ended with the delegation, if one did.
    TakenBack(Option<LegNumber>),
    /// The leg that ended.
    TakenOver(LegNumber),
}
