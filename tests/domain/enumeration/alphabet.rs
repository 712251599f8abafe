//! The hands, the tasks and the commands that sequences are made of.

use super::wider::{Cut, Half, Lend, Nth, Wider};
use handfast::domain::approval::Verdict;
use handfast::domain::decide::end::{Ending, LegEnding};
use handfast::domain::decide::report::Outcome;
use handfast::domain::delegation::Act;
use handfast::domain::order::Word;

/// A process that acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Hand {
    Approver,
    /// The worker's SPIFFE ID under another user: a twin without the evidence.
    Bare,
    /// The same of the approver's.
    BareApprover,
    /// The same of the workload that a task is handed to.
    BareRelief,
    Owner,
    /// The workload that a task is handed to. It has no role of its own.
    Relief,
    /// Another process of the worker's account: a twin that shows all that the role demands.
    Second,
    Server,
    /// The workload that a task is handed on to.
    Third,
    Tool,
    Worker,
}

impl Hand {
    /// The path of its SPIFFE ID.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Approver | Self::BareApprover => "approver",
            Self::Bare | Self::Second | Self::Worker => "worker",
            Self::BareRelief | Self::Relief => "relief",
            Self::Owner => "assistant",
            Self::Server => "reports",
            Self::Third => "third",
            Self::Tool => "warehouse",
        }
    }

    /// Whether it lacks the evidence that every role of its SPIFFE ID demands.
    pub(super) fn is_bare(self) -> bool {
        matches!(self, Self::Bare | Self::BareApprover | Self::BareRelief)
    }
}

/// A task of the small world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum On {
    Root,
    Other,
    /// Spawned from `Root`.
    Child,
}

impl On {
    pub(super) const ALL: [Self; 3] = [Self::Root, Self::Other, Self::Child];

    pub(super) fn parent(self) -> Option<Self> {
        (self == Self::Child).then_some(Self::Root)
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::Root => 0,
            Self::Other => 1,
            Self::Child => 2,
        }
    }
}

/// Which step is asked for, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Which {
    /// The last step, with the request of its newest token: the answer was lost.
    Again,
    /// The last step, with other arguments.
    Altered,
    /// The last step, by a new request.
    Anew,
    /// The step before the last one, by a new request.
    Earlier,
    /// A number that leaves one out.
    Gap,
    /// The step after the last one.
    Next,
    /// The same with arguments for which policy wants a person's consent.
    Sensitive,
    /// The same with other ones.
    SensitiveOther,
    /// The step after the last one, by a call that the server added of its own.
    Servers,
    /// The same by a call of the owner's grant that a limited delegation does not lend.
    Unlent,
}

/// Which of a task's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Token {
    Newest,
    /// The one issued before the newest.
    Older,
}

/// What a token is presented with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum With {
    OtherCall,
    OtherKey,
    Right,
}

/// Which leg fence a server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shown {
    /// That of the leg that there is, if any.
    Current,
    Nothing,
    /// One that is smaller by one.
    Stale,
}

/// What an owner wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Want {
    Cancel,
    Query,
    Update,
}

impl Want {
    /// What a delegate for it must have been given.
    pub(super) fn act(self) -> Act {
        match self {
            Self::Cancel => Act::Cancel,
            Self::Query => Act::Query,
            Self::Update => Act::Update,
        }
    }
}

/// How an owner's token is asked for and presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Path {
    /// The caller of `Check` is not the server.
    AtAnother,
    /// The principal on the request is not the recorded one.
    OtherPrincipal,
    Right,
}

impl Path {
    /// Who calls `Check`.
    pub(super) fn caller(self) -> Hand {
        match self {
            Self::AtAnother => Hand::Tool,
            Self::OtherPrincipal | Self::Right => Hand::Server,
        }
    }
}

/// How much time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wait {
    /// Past `act_by` and grace.
    Act,
    /// Past the time in which a task must be claimed, and a person may decide.
    Claim,
    /// To the child's deadline; twice: to its parent's.
    Deadline,
    /// Past the life of a token, the use of a consent, and the pause between requests for one.
    Expiry,
    /// Past retention.
    Retention,
}

impl Wait {
    /// In milliseconds.
    pub(super) fn ms(self) -> u64 {
        match self {
            Self::Act => 7_000,
            Self::Claim => 300_000,
            Self::Deadline => 1_800_000,
            Self::Expiry => 30_000,
            Self::Retention => 24 * 3_600_000,
        }
    }
}

/// One command, or something that happens to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Command {
    /// `Requests.Issue` and `Check` of an owner's operation, one after the other.
    Ask(Hand, On, Want, Path),
    Check(Hand, On, Token, With),
    /// About the task's newest request for consent; with its digest, or with another one.
    Decide(Hand, On, Verdict, SameDigest),
    Delegate(Hand, On, Lend),
    End(Hand, On, LegEnding),
    Finish(Hand, On, Ending, Shown),
    Issue(Hand, On, Which),
    /// The leg's process exited, its lease ended or its entitlement was withdrawn.
    Lose(On),
    Report(Hand, On, Token, Outcome),
    Require(Hand, On, Shown),
    /// A word on the last step.
    Resolve(Hand, On, Word),
    Restart,
    /// By an operator.
    Revoke(On),
    RevokeDelegation(Hand, On, Nth),
    /// By an operator: the whole tree of this task.
    RevokeTree(On),
    /// Children of the first task.
    Spawn(Hand, Cut),
    /// The first child grant that was cut.
    Spend(Hand, Half),
    /// The agent knows or does not know that the present holder may still act.
    Start(Hand, On, HolderMayAct),
    Sweep(On),
    Takeover(Hand, On),
    Wait(Wait),
    /// By an operator: more than a task or a tree.
    Wide(Wider),
}

impl Command {
    /// The task that it is about.
    pub(super) fn on(self) -> Option<On> {
        match self {
            Self::Ask(_, on, ..)
            | Self::Check(_, on, ..)
            | Self::Decide(_, on, ..)
            | Self::Delegate(_, on, _)
            | Self::End(_, on, _)
            | Self::Finish(_, on, ..)
            | Self::Issue(_, on, _)
            | Self::Lose(on)
            | Self::Report(_, on, ..)
            | Self::Require(_, on, _)
            | Self::Resolve(_, on, _)
            | Self::Revoke(on)
            | Self::RevokeDelegation(_, on, _)
            | Self::Start(_, on, _)
            | Self::Sweep(on)
            | Self::Takeover(_, on) => Some(on),
            Self::RevokeTree(on) => Some(on.parent().unwrap_or(on)),
            Self::Spawn(..) => Some(On::Root),
            Self::Spend(..) => Some(On::Child),
            Self::Restart | Self::Wait(_) | Self::Wide(_) => None,
        }
    }

    /// Whether an owner, or a delegate, orders something by it.
    pub(super) fn is_order(self) -> bool {
        matches!(
            self,
            Self::Delegate(..)
                | Self::Resolve(..)
                | Self::RevokeDelegation(..)
                | Self::Takeover(..)
        )
    }

    /// Whether it is about no task, and something that happens to the world.
    pub(super) fn is_the_worlds(self) -> bool {
        matches!(self, Self::Restart | Self::Wait(_))
    }

    /// Whose command it is, where it is somebody's.
    pub(super) fn by(self) -> Option<Hand> {
        match self {
            Self::Ask(by, ..)
            | Self::Check(by, ..)
            | Self::Decide(by, ..)
            | Self::Delegate(by, ..)
            | Self::End(by, ..)
            | Self::Finish(by, ..)
            | Self::Issue(by, ..)
            | Self::Report(by, ..)
            | Self::Require(by, ..)
            | Self::Resolve(by, ..)
            | Self::RevokeDelegation(by, ..)
            | Self::Spawn(by, _)
            | Self::Spend(by, _)
            | Self::Start(by, ..)
            | Self::Takeover(by, _) => Some(by),
            Self::Lose(_)
            | Self::Restart
            | Self::Revoke(_)
            | Self::RevokeTree(_)
            | Self::Sweep(_)
            | Self::Wait(_)
            | Self::Wide(_) => None,
        }
    }
}

/// Whether the person saw what is asked for.
pub(super) type SameDigest = bool;

/// What the agent knows of the holder of the present leg.
pub(super) type HolderMayAct = bool;
