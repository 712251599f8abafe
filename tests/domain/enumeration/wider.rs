//! What is handed over, cut up and taken away by the wider commands, and the settings that they need.

use super::alphabet::Hand;
use handfast::domain::delegation::Act;

/// What the small world begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The owner acts for a user: what it orders goes through its server.
    pub(super) user: bool,
    /// The child is there from the beginning; else it has to be spawned.
    pub(super) child: bool,
    /// How many steps may be begun under the first task's grant, by it and its children together.
    pub(super) uses: Option<u32>,
    /// How many children it may have.
    pub(super) children: u32,
}

impl Setting {
    /// Three tasks whose owner acts for a user.
    pub(super) const PLAIN: Self = Self {
        user: true,
        child: true,
        uses: None,
        children: 0,
    };
    /// Three tasks whose owner may hand them over.
    pub(super) const HANDED: Self = Self {
        user: false,
        child: true,
        uses: None,
        children: 1,
    };
    /// The same where the owner acts for a user.
    pub(super) const OF_A_USER: Self = Self {
        user: true,
        ..Self::HANDED
    };
    /// Two tasks, the first of which may have children, with a budget.
    pub(super) const FANNED: Self = Self {
        user: false,
        child: false,
        uses: Some(2),
        children: 2,
    };
}

/// How long a limited delegation lasts, in milliseconds: shorter than a token.
const LENT_FOR: u64 = 20_000;

/// What somebody wants to hand over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lend {
    /// A call that nobody has, to the relief.
    Beyond,
    /// Until after every deadline, to the relief.
    Late,
    /// To perform and to hand on, for a time and for one call, to the relief.
    Limited,
    /// To perform, to the third.
    Onward,
    /// The same, and to read.
    OnwardAndQuery,
    /// To another hand of the owner's own ID.
    ToOwner,
    /// Everything, to the relief.
    Whole,
}

/// The terms of a hand-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) to: Hand,
    pub(super) acts: &'static [Act],
    /// Only the first call is lent, or one that nobody has.
    pub(super) only: Option<Only>,
    pub(super) until: Option<u64>,
}

/// Which call alone is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Only {
    First,
    Nobodys,
}

impl Lend {
    /// What is asked for at this time.
    pub(super) fn terms(self, now: u64) -> Terms {
        let whole = Terms {
            to: Hand::Relief,
            acts: &Act::ALL,
            only: None,
            until: None,
        };
        match self {
            Self::Beyond => Terms {
                only: Some(Only::Nobodys),
                ..whole
            },
            Self::Late => Terms {
                until: Some(4_000_000),
                ..whole
            },
            Self::Limited => Terms {
                acts: &[Act::Delegate, Act::Perform],
                only: Some(Only::First),
                until: Some(now + LENT_FOR),
                ..whole
            },
            Self::Onward => Terms {
                to: Hand::Third,
                acts: &[Act::Perform],
                ..whole
            },
            Self::OnwardAndQuery => Terms {
                to: Hand::Third,
                acts: &[Act::Perform, Act::Query],
                ..whole
            },
            Self::ToOwner => Terms {
                to: Hand::Owner,
                ..whole
            },
            Self::Whole => whole,
        }
    }
}

/// Which of a task's delegations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Nth {
    First,
    Newest,
    /// The second, or the first where there is no other.
    Second,
}

/// Which children a leg holder asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cut {
    /// The last request again.
    Again,
    /// One that may have children itself.
    Deep,
    /// The last request's name, for something else.
    Differs,
    /// One with one step.
    One,
    /// One with all the steps that the first task may begin.
    Rest,
    /// Two with one step each.
    Two,
    /// One whose steps nobody counts.
    Uncounted,
}

impl Cut {
    /// The steps that each child shall have.
    pub(super) fn uses(self) -> &'static [Option<u32>] {
        match self {
            Self::Again | Self::Deep | Self::Differs | Self::One => &[Some(1)],
            Self::Rest => &[Some(2)],
            Self::Two => &[Some(1), Some(1)],
            Self::Uncounted => &[None],
        }
    }
}

/// How much of spending a child grant: `Requests.Issue(create)`, `Tasks.Create`, or one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Half {
    Ask,
    Both,
    Create,
}

/// What an operator revokes, or lets act again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wider {
    /// Everything before this moment.
    Before,
    /// The running epoch.
    Epoch,
    /// The SPIFFE ID of this hand.
    Id(Hand),
    Lift(Hand),
}
