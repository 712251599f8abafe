//! Alphabets: which commands a search makes its sequences of.

use super::alphabet::{Command, Hand, On, Path, Shown, Token, Wait, Want, Which, With};
use super::wider::{Cut, Lend, Nth, Wider};
use handfast::domain::approval::Verdict;
use handfast::domain::decide::end::{Ending, LegEnding};
use handfast::domain::decide::report::Outcome;
use handfast::domain::order::Word;

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

/// Every command besides that hands over, cuts up or takes away.
pub(super) fn wider(tasks: &[On]) -> Vec<Command> {
    use Command::{Ask, Delegate, Issue, Resolve, RevokeDelegation, RevokeTree, Start, Takeover};
    let mut all = vec![
        Command::Wide(Wider::Before),
        Command::Wide(Wider::Epoch),
        Command::Spawn(Hand::Worker, Cut::One),
        Command::Spawn(Hand::Worker, Cut::Two),
        Command::Spawn(Hand::Relief, Cut::One),
        Command::Spawn(Hand::Bare, Cut::One),
    ];
    let hands = [
        Hand::Owner,
        Hand::Relief,
        Hand::Server,
        Hand::Tool,
        Hand::Worker,
    ];
    all.extend(hands.map(|hand| Command::Wide(Wider::Id(hand))));
    all.extend(hands.map(|hand| Command::Wide(Wider::Lift(hand))));
    for on in tasks.iter().copied() {
        all.extend([
            Delegate(Hand::Owner, on, Lend::Whole),
            Delegate(Hand::Owner, on, Lend::Limited),
            Delegate(Hand::Owner, on, Lend::Beyond),
            Delegate(Hand::Owner, on, Lend::ToOwner),
            Delegate(Hand::Relief, on, Lend::Onward),
            Delegate(Hand::Worker, on, Lend::Whole),
            RevokeDelegation(Hand::Owner, on, Nth::First),
            RevokeDelegation(Hand::Relief, on, Nth::Newest),
            RevokeTree(on),
            Takeover(Hand::Owner, on),
            Takeover(Hand::Relief, on),
            Takeover(Hand::Second, on),
            Resolve(Hand::Owner, on, Word::Done),
            Resolve(Hand::Owner, on, Word::NotDone),
            Resolve(Hand::Relief, on, Word::Done),
            Start(Hand::Relief, on, true),
            Start(Hand::BareRelief, on, true),
            Start(Hand::Third, on, true),
            Issue(Hand::Relief, on, Which::Next),
            Issue(Hand::Worker, on, Which::Unlent),
            Issue(Hand::Relief, on, Which::Unlent),
            Ask(Hand::Relief, on, Want::Cancel, Path::Right),
            Ask(Hand::BareRelief, on, Want::Query, Path::Right),
        ]);
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

/// A task that is handed over, taken back and taken over, with one step.
pub(super) fn handing() -> Vec<Command> {
    use Command::{Check, Delegate, End, Issue, Resolve, RevokeDelegation, Spawn, Start, Takeover};
    let on = On::Root;
    vec![
        Command::Wait(Wait::Act),
        Command::Wait(Wait::Expiry),
        Command::Revoke(on),
        Delegate(Hand::Owner, on, Lend::Whole),
        Delegate(Hand::Owner, on, Lend::Limited),
        Delegate(Hand::Relief, on, Lend::Onward),
        Delegate(Hand::Owner, On::Child, Lend::Whole),
        Delegate(Hand::Relief, On::Child, Lend::Onward),
        RevokeDelegation(Hand::Owner, on, Nth::First),
        RevokeDelegation(Hand::Relief, on, Nth::Newest),
        Takeover(Hand::Owner, on),
        Takeover(Hand::Relief, on),
        Resolve(Hand::Owner, on, Word::NotDone),
        Start(Hand::Worker, on, true),
        Start(Hand::Relief, on, true),
        Start(Hand::BareRelief, on, true),
        Issue(Hand::Worker, on, Which::Next),
        Issue(Hand::Relief, on, Which::Next),
        Issue(Hand::Relief, on, Which::Unlent),
        Issue(Hand::Relief, on, Which::Servers),
        Check(Hand::Tool, on, Token::Newest, With::Right),
        End(Hand::Relief, on, LegEnding::Yielded),
        Spawn(Hand::Relief, Cut::One),
        Command::Ask(Hand::Relief, on, Want::Cancel, Path::Right),
        Command::Ask(Hand::Relief, on, Want::Update, Path::Right),
    ]
}

/// What was handed over is handed on, and whatever can end that.
pub(super) fn handing_on() -> Vec<Command> {
    use Command::{Ask, Check, Delegate, Issue, RevokeDelegation, Start, Takeover, Wide};
    let on = On::Root;
    vec![
        Command::Wait(Wait::Expiry),
        Delegate(Hand::Owner, on, Lend::Whole),
        Delegate(Hand::Owner, on, Lend::Limited),
        Delegate(Hand::Relief, on, Lend::Onward),
        Delegate(Hand::Relief, on, Lend::OnwardAndQuery),
        Delegate(Hand::Relief, on, Lend::Beyond),
        Delegate(Hand::Owner, on, Lend::Onward),
        Delegate(Hand::Owner, on, Lend::Late),
        Delegate(Hand::Owner, on, Lend::ToOwner),
        Delegate(Hand::Third, on, Lend::Onward),
        RevokeDelegation(Hand::Owner, on, Nth::First),
        RevokeDelegation(Hand::Owner, on, Nth::Newest),
        RevokeDelegation(Hand::Relief, on, Nth::Newest),
        RevokeDelegation(Hand::Relief, on, Nth::Second),
        Takeover(Hand::Third, on),
        Start(Hand::Third, on, true),
        Issue(Hand::Third, on, Which::Next),
        Issue(Hand::Third, on, Which::Unlent),
        Check(Hand::Tool, on, Token::Newest, With::Right),
        Ask(Hand::Third, on, Want::Query, Path::Right),
        Wide(Wider::Id(Hand::Relief)),
        Wide(Wider::Lift(Hand::Relief)),
    ]
}

/// Revocation by more than a task, of a task and its child with a step each.
pub(super) fn revoking() -> Vec<Command> {
    use Command::{Ask, Check, Issue, Report, RevokeTree, Start, Sweep, Wide};
    let on = On::Child;
    let mut all = vec![
        Command::Wait(Wait::Act),
        RevokeTree(on),
        Wide(Wider::Before),
        Wide(Wider::Epoch),
        Start(Hand::Worker, on, true),
        Start(Hand::Relief, on, true),
        Issue(Hand::Worker, on, Which::Next),
        Issue(Hand::Worker, on, Which::Again),
        Check(Hand::Tool, on, Token::Newest, With::Right),
        Report(Hand::Tool, on, Token::Newest, Outcome::NotDone),
        Ask(Hand::Owner, on, Want::Query, Path::Right),
        Sweep(on),
    ];
    for hand in [Hand::Owner, Hand::Server, Hand::Worker] {
        all.extend([Wide(Wider::Id(hand)), Wide(Wider::Lift(hand))]);
    }
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
    all.extend([
        Command::Takeover(Hand::Owner, on),
        Command::Resolve(Hand::Owner, on, Word::Done),
        Command::Resolve(Hand::Owner, on, Word::NotDone),
        Command::Wide(Wider::Id(Hand::Owner)),
        Command::Wide(Wider::Id(Hand::Worker)),
        Command::Wide(Wider::Epoch),
    ]);
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
