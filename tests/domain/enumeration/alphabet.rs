//! The hands, the tasks and the commands that sequences are made of.

use handfast::domain::decide::end::{Ending, LegEnding};
use handfast::domain::decide::report::Outcome;

/// A process that acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hand {
    /// The worker's SPIFFE ID under another user: a twin without the evidence.
    Bare,
    Owner,
    /// Another process of the worker's account: a twin that shows all that the role demands.
    Second,
    Server,
    Tool,
    Worker,
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

/// How an owner's token is asked for and presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Path {
    /// The caller of `Check` is not the server.
    AtAnother,
    /// The principal on the request is not the recorded one.
    OtherPrincipal,
    Right,
}

/// How much time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wait {
    /// Past `act_by` and grace.
    Act,
    /// Past the time in which a task must be claimed.
    Claim,
    /// To the child's deadline; twice: to its parent's.
    Deadline,
    /// Past the life of a token.
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
    End(Hand, On, LegEnding),
    Finish(Hand, On, Ending, Shown),
    Issue(Hand, On, Which),
    /// The leg's process exited, its lease ended or its entitlement was withdrawn.
    Lose(On),
    Report(Hand, On, Token, Outcome),
    Require(Hand, On, Shown),
    Restart,
    /// By an operator.
    Revoke(On),
    /// The agent knows or does not know that the present holder may still act.
    Start(Hand, On, HolderMayAct),
    Sweep(On),
    Wait(Wait),
}

impl Command {
    /// The task that it is about.
    pub(super) fn on(self) -> Option<On> {
        match self {
            Self::Ask(_, on, ..)
            | Self::Check(_, on, ..)
            | Self::End(_, on, _)
            | Self::Finish(_, on, ..)
            | Self::Issue(_, on, _)
            | Self::Lose(on)
            | Self::Report(_, on, ..)
            | Self::Require(_, on, _)
            | Self::Revoke(on)
            | Self::Start(_, on, _)
            | Self::Sweep(on) => Some(on),
            Self::Restart | Self::Wait(_) => None,
        }
    }

    /// Whose command it is, where it is somebody's.
    pub(super) fn by(self) -> Option<Hand> {
        match self {
            Self::Ask(by, ..)
            | Self::Check(by, ..)
            | Self::End(by, ..)
            | Self::Finish(by, ..)
            | Self::Issue(by, ..)
            | Self::Report(by, ..)
            | Self::Require(by, ..)
            | Self::Start(by, ..) => Some(by),
            Self::Lose(_) | Self::Restart | Self::Revoke(_) | Self::Sweep(_) | Self::Wait(_) => {
                None
            }
        }
    }
}

/// What the agent knows of the holder of the present leg.
pub(super) type HolderMayAct = bool;

/// Every command that these tests know, on these tasks.
pub(super) fn full(tasks: &[On]) -> Vec<Command> {
    let mut all = world();
    for on in tasks {
        all.extend(right_hands(*on));
        all.extend(unusual(*on));
        all.extend(wrong_hands(*on));
    }
    all
}

/// What moves a task forward or ends it, and the twin without the evidence beside it.
pub(super) fn core(tasks: &[On]) -> Vec<Command> {
    let mut all = world();
    for on in tasks {
        all.extend(right_hands(*on));
        all.push(Command::Start(Hand::Bare, *on, true));
        all.push(Command::Issue(Hand::Bare, *on, Which::Next));
    }
    all
}

/// The shortest way of a task and its child through a step, and what can come between.
pub(super) fn few() -> Vec<Command> {
    use Command::{Check, Issue, Lose, Report, Restart, Revoke, Start, Wait as Later};
    let mut all = vec![
        Restart,
        Later(Wait::Act),
        Later(Wait::Expiry),
        Revoke(On::Root),
    ];
    all.push(Start(Hand::Worker, On::Root, true));
    all.push(Issue(Hand::Worker, On::Root, Which::Next));
    let on = On::Child;
    all.extend([
        Start(Hand::Worker, on, true),
        Start(Hand::Second, on, true),
        Start(Hand::Bare, on, true),
        Issue(Hand::Worker, on, Which::Next),
        Issue(Hand::Worker, on, Which::Again),
        Issue(Hand::Bare, on, Which::Next),
        Check(Hand::Tool, on, Token::Newest, With::Right),
        Check(Hand::Tool, on, Token::Older, With::Right),
        Report(Hand::Tool, on, Token::Newest, Outcome::Done),
        Report(Hand::Tool, on, Token::Newest, Outcome::NotDone),
        Lose(on),
    ]);
    all
}

fn world() -> Vec<Command> {
    let waits = [
        Wait::Act,
        Wait::Claim,
        Wait::Deadline,
        Wait::Expiry,
        Wait::Retention,
    ];
    let mut all = vec![Command::Restart];
    all.extend(waits.map(Command::Wait));
    all
}

/// What a diagram is drawn from: a child alone, and the end of its parent.
pub(super) fn drawn() -> Vec<Command> {
    use Command::{Check, End, Finish, Issue, Report, Revoke};
    let on = On::Child;
    let claim = Command::Ask(Hand::Owner, On::Root, Want::Query, Path::Right);
    let mut all = vec![Command::Restart, Revoke(On::Root), claim];
    all.extend([Wait::Act, Wait::Expiry, Wait::Deadline].map(Command::Wait));
    all.extend(right_hands(on));
    all.push(End(Hand::Worker, on, LegEnding::Task(Ending::Failed)));
    all.push(Finish(Hand::Server, on, Ending::Failed, Shown::Current));
    all.retain(|command| {
        !matches!(
            command,
            Issue(_, _, Which::Anew)
                | Check(_, _, Token::Older, _)
                | Report(_, _, Token::Older, _)
                | Command::Start(Hand::Second, ..)
        )
    });
    all
}

fn right_hands(on: On) -> Vec<Command> {
    use Command::{Ask, Check, End, Finish, Issue, Lose, Report, Require, Revoke, Start};
    vec![
        Start(Hand::Worker, on, true),
        Start(Hand::Second, on, true),
        Issue(Hand::Worker, on, Which::Next),
        Issue(Hand::Worker, on, Which::Again),
        Issue(Hand::Worker, on, Which::Anew),
        Check(Hand::Tool, on, Token::Newest, With::Right),
        Check(Hand::Tool, on, Token::Older, With::Right),
        Report(Hand::Tool, on, Token::Newest, Outcome::Done),
        Report(Hand::Tool, on, Token::Newest, Outcome::NotDone),
        Report(Hand::Tool, on, Token::Newest, Outcome::Unknown),
        End(Hand::Worker, on, LegEnding::Yielded),
        End(Hand::Worker, on, LegEnding::Task(Ending::Completed)),
        Finish(Hand::Server, on, Ending::Completed, Shown::Current),
        Ask(Hand::Owner, on, Want::Query, Path::Right),
        Ask(Hand::Owner, on, Want::Cancel, Path::Right),
        Ask(Hand::Owner, on, Want::Update, Path::Right),
        Require(Hand::Server, on, Shown::Current),
        Revoke(on),
        Lose(on),
    ]
}

fn unusual(on: On) -> Vec<Command> {
    use Command::{Check, End, Finish, Issue, Report, Require, Start, Sweep};
    vec![
        Start(Hand::Worker, on, false),
        Start(Hand::Second, on, false),
        Issue(Hand::Second, on, Which::Next),
        Issue(Hand::Second, on, Which::Again),
        Issue(Hand::Worker, on, Which::Altered),
        Issue(Hand::Worker, on, Which::Earlier),
        Issue(Hand::Worker, on, Which::Gap),
        Check(Hand::Tool, on, Token::Newest, With::OtherCall),
        Check(Hand::Tool, on, Token::Newest, With::OtherKey),
        Report(Hand::Tool, on, Token::Older, Outcome::Done),
        Report(Hand::Tool, on, Token::Older, Outcome::NotDone),
        End(Hand::Second, on, LegEnding::Yielded),
        End(Hand::Worker, on, LegEnding::Task(Ending::Failed)),
        Finish(Hand::Server, on, Ending::Failed, Shown::Current),
        Finish(Hand::Server, on, Ending::Completed, Shown::Nothing),
        Finish(Hand::Server, on, Ending::Completed, Shown::Stale),
        Require(Hand::Server, on, Shown::Nothing),
        Sweep(on),
    ]
}

fn wrong_hands(on: On) -> Vec<Command> {
    use Command::{Ask, Check, End, Finish, Issue, Report, Require, Start};
    let ending = LegEnding::Task(Ending::Failed);
    let mut all = vec![
        Start(Hand::Bare, on, true),
        Start(Hand::Bare, on, false),
        Start(Hand::Owner, on, false),
        Issue(Hand::Bare, on, Which::Next),
        Issue(Hand::Bare, on, Which::Again),
        Issue(Hand::Server, on, Which::Next),
        Check(Hand::Worker, on, Token::Newest, With::Right),
        Report(Hand::Worker, on, Token::Newest, Outcome::NotDone),
        End(Hand::Bare, on, LegEnding::Yielded),
        End(Hand::Bare, on, ending),
        End(Hand::Tool, on, ending),
        Finish(Hand::Worker, on, Ending::Completed, Shown::Current),
        Require(Hand::Owner, on, Shown::Current),
    ];
    for want in [Want::Cancel, Want::Query, Want::Update] {
        all.push(Ask(Hand::Worker, on, want, Path::Right));
        all.push(Ask(Hand::Bare, on, want, Path::Right));
        all.push(Ask(Hand::Owner, on, want, Path::AtAnother));
        all.push(Ask(Hand::Owner, on, want, Path::OtherPrincipal));
    }
    all
}
