//! The commands of families: child grants, and what comes of them.

use super::alphabet::{Command, Hand, On, Token, Wait, Which, With};
use super::wider::{Cut, Half, Wider};
use handfast::domain::decide::report::Outcome;
use handfast::domain::order::Word;

/// Children of a task with a budget, and the ends of their line.
pub(super) fn fanning() -> Vec<Command> {
    use Command::{Check, Issue, Resolve, Restart, Revoke, Spawn, Spend, Start, Wide};
    let root = On::Root;
    let mut all = vec![
        Command::Wait(Wait::Expiry),
        Restart,
        Revoke(root),
        Command::Takeover(Hand::Owner, root),
        // The owner of the first task, and of no child.
        Wide(Wider::Id(Hand::Owner)),
        Wide(Wider::Id(Hand::Worker)),
        Start(Hand::Worker, root, true),
        Start(Hand::Worker, On::Child, true),
        Issue(Hand::Worker, root, Which::Next),
        Issue(Hand::Worker, On::Child, Which::Next),
        Check(Hand::Tool, root, Token::Newest, With::Right),
        Resolve(Hand::Owner, root, Word::NotDone),
        Spend(Hand::Worker, Half::Both),
        Spend(Hand::Worker, Half::Ask),
        Spend(Hand::Second, Half::Ask),
        Spend(Hand::Bare, Half::Both),
        Spend(Hand::Server, Half::Create),
        Spawn(Hand::Second, Cut::One),
        Spawn(Hand::Bare, Cut::One),
    ];
    let cuts = [
        Cut::Again,
        Cut::Deep,
        Cut::Differs,
        Cut::One,
        Cut::Rest,
        Cut::Two,
        Cut::Uncounted,
    ];
    all.extend(cuts.map(|cut| Spawn(Hand::Worker, cut)));
    all
}

/// Child grants of a task that has a child anyway, and the steps of both.
pub(super) fn spawning_beside() -> Vec<Command> {
    use Command::{Check, Issue, Report, Resolve, Restart, Spawn, Start, Takeover};
    let mut all = vec![
        Command::Wait(Wait::Act),
        Command::Wait(Wait::Expiry),
        Restart,
        Spawn(Hand::Worker, Cut::Again),
        Spawn(Hand::Worker, Cut::One),
        Spawn(Hand::Worker, Cut::Rest),
    ];
    for on in [On::Root, On::Child] {
        all.extend([
            Takeover(Hand::Owner, on),
            Start(Hand::Worker, on, true),
            Issue(Hand::Worker, on, Which::Next),
            Check(Hand::Tool, on, Token::Newest, With::Right),
            Report(Hand::Tool, on, Token::Newest, Outcome::Done),
            Resolve(Hand::Owner, on, Word::NotDone),
        ]);
    }
    all
}
