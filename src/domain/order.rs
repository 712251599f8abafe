//! What an owner orders about a task besides asking about it: hand it over, take that back, take its leg, settle an
//! effect that nobody knows about.
//!
//! An owner that acts for a user gets a token for its order: the token's record keeps what was ordered, and the
//! server, which alone can see the user, has it carried out by checking the token.

use super::decide::handover::AskDelegate;
use super::delegation::{Act, Delegation};
use super::id::{DelegationNumber, Digest, Fence, LegNumber, StepNumber};
use super::policy::Action;
use super::step::StepState;

/// What the owner says of an effect that nobody knows about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// It happened.
    Done,
    /// It did not; it may be tried again.
    NotDone,
}

impl Word {
    /// The word's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotDone => "not_done",
        }
    }
}

/// What is ordered, as it is carried out. An order may wait for its server, so it is about just what there was when it
/// was given: `D` is the delegation as it is to be, numbered once it is made, `L` the leg that is to end, `F` the fence
/// of the attempt that is settled. In [`Asked`] the agent has yet to find them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order<D = Delegation, L = LegNumber, F = Fence> {
    /// Hand over.
    Delegate(Box<D>),
    /// Settle an unknown step.
    Resolve(StepNumber, F, Word),
    /// Take a delegation back, and whatever was made on its strength.
    RevokeDelegation(DelegationNumber),
    /// End the live leg. The keyed digest of the caller and its `request_id` tells repeats.
    Takeover(Digest, L),
}

/// What is ordered, as it is asked for.
pub type Asked = Order<AskDelegate, (), ()>;

impl<D, L, F> Order<D, L, F> {
    /// The act that a delegate needs for it; `None` where only the owner may.
    #[must_use]
    pub fn act(&self) -> Option<Act> {
        match self {
            Self::Delegate(_) | Self::RevokeDelegation(_) => Some(Act::Delegate),
            Self::Resolve(..) => None,
            Self::Takeover(..) => Some(Act::Takeover),
        }
    }

    /// What policy is asked.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Delegate(_) | Self::RevokeDelegation(_) => Action::Delegate,
            Self::Resolve(..) => Action::Resolve,
            Self::Takeover(..) => Action::TakeOver,
        }
    }

    /// Its name, for the audit.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delegate(_) => "delegate",
            Self::Resolve(..) => "resolve",
            Self::RevokeDelegation(_) => "revoke_delegation",
            Self::Takeover(..) => "takeover",
        }
    }

    /// The step that it is about.
    #[must_use]
    pub fn step(&self) -> Option<StepNumber> {
        match self {
            Self::Resolve(step, ..) => Some(*step),
            Self::Delegate(_) | Self::RevokeDelegation(_) | Self::Takeover(..) => None,
        }
    }

    /// Whether it only takes away: such an order must be possible when little else is.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        matches!(self, Self::RevokeDelegation(_) | Self::Takeover(..))
    }
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// The delegation as it was granted.
    Delegated(Box<Delegation>),
    /// A delegation is over; the leg that ended with it, if one did.
    DelegationRevoked(Option<LegNumber>),
    /// What the step is now.
    Resolved(StepState),
    /// The leg that ended.
    TakenOver(LegNumber),
}
