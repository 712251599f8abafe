//! Alphabets: which commands a search makes its sequences of.

use super::alphabet::{Command, Hand, On, Path, Shown, Token, Wait, Want, Which, With};
use handfast::domain::approval::Verdict;
use handfast::domain::decide::end::{Ending, LegEnding};
use handfast::domain::decide::report::Outcome;

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
    use Command::{Check, End, Issue, Lose, Report, Restart, Revoke, Start, Wait as Later};
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
        End(Hand::Worker, on, LegEnding::Task(Ending::Completed)),
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

/// The way of a step to which a person's consent is wanted.
pub(super) fn asking() -> Vec<Command> {
    use Command::{Ask, Check, Decide, End, Issue, Report, Require, Start, Sweep};
    let on = On::Root;
    vec![
        Command::Wait(Wait::Act),
        Command::Wait(Wait::Claim),
        Command::Wait(Wait::Expiry),
        Start(Hand::Worker, on, true),
        Issue(Hand::Worker, on, Which::Sensitive),
        Issue(Hand::Worker, on, Which::SensitiveOther),
        Issue(Hand::Worker, on, Which::Again),
        Decide(Hand::Approver, on, Verdict::Approved, true),
        Decide(Hand::Approver, on, Verdict::Refused, true),
        Check(Hand::Tool, on, Token::Newest, With::Right),
        Report(Hand::Tool, on, Token::Newest, Outcome::NotDone),
        Ask(Hand::Owner, on, Want::Query, Path::Right),
        Ask(Hand::Owner, on, Want::Update, Path::Right),
        Require(Hand::Server, on, Shown::Current),
        End(Hand::Worker, on, LegEnding::Yielded),
        Sweep(on),
    ]
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
    use Command::{Ask, Check, Decide, End, Finish, Issue, Lose};
    use Command::{Report, Require, Revoke, Start};
    vec![
        Start(Hand::Worker, on, true),
        Start(Hand::Second, on, true),
        Issue(Hand::Worker, on, Which::Next),
        Issue(Hand::Worker, on, Which::Again),
        Issue(Hand::Worker, on, Which::Anew),
        Issue(Hand::Worker, on, Which::Sensitive),
        Decide(Hand::Approver, on, Verdict::Approved, true),
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
    use Command::{Check, Decide, End, Finish, Issue, Report, Require, Start, Sweep};
    vec![
        Start(Hand::Worker, on, false),
        Start(Hand::Second, on, false),
        Issue(Hand::Second, on, Which::Next),
        Issue(Hand::Second, on, Which::Again),
        Issue(Hand::Worker, on, Which::Altered),
        Issue(Hand::Worker, on, Which::Earlier),
        Issue(Hand::Worker, on, Which::Gap),
        Issue(Hand::Worker, on, Which::SensitiveOther),
        Decide(Hand::Approver, on, Verdict::Approved, false),
        Decide(Hand::Approver, on, Verdict::Refused, true),
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
    use Command::{Ask, Check, Decide, End, Finish, Issue, Report, Require, Start};
    let ending = LegEnding::Task(Ending::Failed);
    let mut all = vec![
        Start(Hand::Bare, on, true),
        Start(Hand::Bare, on, false),
        Start(Hand::Owner, on, false),
        Issue(Hand::Bare, on, Which::Next),
        Issue(Hand::Bare, on, Which::Again),
        Issue(Hand::Server, on, Which::Next),
        Check(Hand::Worker, on, Token::Newest, With::Right),
        Decide(Hand::BareApprover, on, Verdict::Approved, true),
        Decide(Hand::Owner, on, Verdict::Approved, true),
        Decide(Hand::Worker, on, Verdict::Approved, true),
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
