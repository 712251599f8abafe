//! What the history says of what was handed over, and what the design says of handing over and taking back.

use super::alphabet::{Hand, On};
use super::answer::{Answer, Expected};
use super::flaw::Flaw;
use super::history::{Happened, History, Issued};
use super::oracle::{Oracle, Prediction, name, refused, unknown, unless};
use super::steps::{SERVERS, newest};
use super::wider::{Lend, Nth, Only};
use handfast::domain::decide::report::Outcome;
use handfast::domain::delegation::Act;
use handfast::domain::order::Word;
use handfast::domain::step::StepState;

/// What the history says of a delegation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lent {
    /// Who asked for it, and for what: the same again is a repeat.
    asked: (Hand, Lend),
    to: Hand,
    acts: &'static [Act],
    /// The first call alone is lent.
    limited: bool,
    pub(super) until: u64,
    /// The delegation on whose strength it was made.
    from: Option<usize>,
    /// It gives nothing any more.
    over: bool,
}

impl Lent {
    /// Whether it gives this hand this act.
    fn stands(&self, by: Hand, act: Act, flaw: Option<Flaw>) -> bool {
        let stands = !self.over || flaw == Some(Flaw::LoanOutlivesItself);
        stands && self.to == by && self.acts.contains(&act)
    }

    /// Whether it lends less than all of what its owner granted: whatever a delegate hands on is counted so.
    pub(super) fn is_a_part(&self) -> bool {
        self.limited || self.from.is_some()
    }
}

/// By what somebody may do something to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    Lent(usize),
    /// A role of its own.
    Own,
}

impl Strength {
    pub(super) fn lent(self) -> Option<usize> {
        match self {
            Self::Lent(nth) => Some(nth),
            Self::Own => None,
        }
    }
}

impl History {
    /// Everything that was handed over of a task, in order.
    pub(super) fn delegations(&self, on: On) -> Vec<Lent> {
        let mut all: Vec<Lent> = Vec::new();
        for (place, (at, what)) in self.events.iter().enumerate() {
            let Happened::Delegated(task, by, lend, from) = what else {
                continue;
            };
            if *task != on {
                continue;
            }
            let terms = lend.terms(*at);
            let giver = from.map(|nth| all[nth].clone());
            let most = giver.as_ref().map_or(self.deadline(on), |it| it.until);
            let until = terms.until.unwrap_or(most);
            let taken_back = Happened::DelegationOver(on, all.len());
            let over = self.now >= until
                || self.events.iter().any(|(_, what)| *what == taken_back)
                || self.was_revoked_since(terms.to.path(), place)
                || giver.as_ref().is_some_and(|it| it.over);
            all.push(Lent {
                asked: (*by, *lend),
                to: terms.to,
                acts: terms.acts,
                limited: terms.only.is_some() || giver.is_some_and(|it| it.limited),
                until,
                from: *from,
                over,
            });
        }
        all
    }

    /// Whether what was lent to a leg, if anything was, is lent no more.
    pub(super) fn is_over(&self, on: On, lent: Option<usize>) -> bool {
        lent.is_some_and(|nth| self.delegations(on)[nth].over)
    }

    /// Under which delegation the leg was that had the task just before this place in the history.
    pub(super) fn lent_at(&self, on: On, place: usize) -> Option<usize> {
        let before = self.events[..place].iter().rev();
        let mut starts = before.filter_map(|(_, what)| match what {
            Happened::Started(task, _, lent) if *task == on => Some(*lent),
            _ => None,
        });
        starts.next().flatten()
    }

    pub(super) fn barred(&self, on: On) -> Vec<Hand> {
        let all = self.events.iter();
        let barred = all.filter_map(|(_, what)| match what {
            Happened::Barred(task, hand) if *task == on => Some(*hand),
            _ => None,
        });
        barred.collect()
    }
}

impl Oracle {
    /// A role of one's own comes first; then, of the delegations that stand, the newest of the owner's, and the newest
    /// of what was handed on.
    pub(super) fn strength(
        &self,
        on: On,
        by: Hand,
        act: Act,
        flaw: Option<Flaw>,
    ) -> Option<Strength> {
        let holds = !by.is_bare() || flaw == Some(Flaw::BareTwinHolds);
        let role = match act {
            Act::Perform => "worker",
            _ => self.task(on).owner,
        };
        if holds && by.path() == role {
            return Some(Strength::Own);
        }
        let all = self.task(on).delegations.iter().enumerate();
        let standing = all.filter(|(_, it)| it.stands(by, act, flaw));
        let counts = standing.max_by_key(|(nth, it)| match flaw {
            Some(Flaw::FirstLoanCounts) => (true, usize::MAX - nth),
            Some(Flaw::HandedOnReplaces) => (true, *nth),
            _ => (it.from.is_none(), *nth),
        });
        counts.map(|(nth, _)| Strength::Lent(nth))
    }

    /// Whether its process lost a leg of the task, or of the one above it, to a takeover.
    pub(super) fn is_barred(&self, on: On, by: Hand) -> bool {
        let up = on.parent().map(|parent| &self.task(parent).barred);
        self.task(on).barred.contains(&by) || up.is_some_and(|up| up.contains(&by))
    }

    /// Whoever lost a leg gives no orders any more on the strength of what it was lent.
    pub(super) fn unheard(&self, on: On, (by, strength): (Hand, Strength)) -> bool {
        strength != Strength::Own && self.is_barred(on, by)
    }

    /// Whether a call is one that the leg may make: what is lent is the owner's, and no more than was named.
    pub(super) fn lends(&self, on: On, lent: Option<usize>, ask: &Issued) -> bool {
        lent.is_none_or(|nth| {
            let limited = self.task(on).delegations[nth].limited;
            ask.arguments != SERVERS && (!limited || ask.arguments == 1)
        })
    }

    pub(super) fn nth(&self, on: On, nth: Nth) -> Option<usize> {
        let last = self.task(on).delegations.len().checked_sub(1)?;
        Some(match nth {
            Nth::First => 0,
            Nth::Second => 1.min(last),
            Nth::Newest => last,
        })
    }

    /// What an owner that acts for a user orders is a token first, which its server then sees: whoever asked for
    /// that knows of the task.
    fn ordered(&self, on: On, strength: Strength, mut happened: Vec<Happened>) -> Vec<Happened> {
        let by_token = self.user && strength == Strength::Own && !happened.is_empty();
        if by_token && self.task(on).end.is_none() {
            happened.push(Happened::Claimed(on));
        }
        happened
    }

    /// Hands over what the giver has, or less; the same again is the same delegation.
    pub(super) fn delegate(&self, on: On, by: Hand, lend: Lend, flaw: Option<Flaw>) -> Prediction {
        let task = self.task(on);
        let Some(strength) = self.strength(on, by, Act::Delegate, flaw) else {
            return unknown();
        };
        if task.forgotten {
            return unknown();
        }
        let mut objections: Vec<_> = task.end.map(|(_, how)| name(how)).into_iter().collect();
        if self.unheard(on, (by, strength)) && flaw != Some(Flaw::BarredHandsOn) {
            objections.push("taken_over");
        }
        let mut made = task.delegations.iter();
        if let Some(nth) = made.position(|it| it.asked == (by, lend)) {
            return unless(objections, Answer::Handed(nth), Vec::new());
        }
        let terms = lend.terms(self.now);
        let giver = strength.lent().map(|nth| &task.delegations[nth]);
        let acts = giver.map_or(Act::ALL.as_slice(), |it| it.acts);
        let most = giver.map_or(task.deadline, |it| it.until);
        let until = terms.until.unwrap_or(most);
        let narrower = terms.to.path() != task.owner
            && terms.acts.iter().all(|act| acts.contains(act))
            && terms.only != Some(Only::Nobodys)
            && until <= most
            && self.now < until;
        if !narrower && flaw != Some(Flaw::LoanExceedsGiver) {
            objections.push("not_narrower");
        }
        let answer = Answer::Handed(task.delegations.len());
        let happened = vec![Happened::Delegated(on, by, lend, strength.lent())];
        unless(objections, answer, self.ordered(on, strength, happened))
    }

    /// Takes a delegation back: the owner any, a delegate those that it made.
    pub(super) fn revoke_delegation(
        &self,
        on: On,
        by: Hand,
        nth: usize,
        flaw: Option<Flaw>,
    ) -> Prediction {
        let task = self.task(on);
        let Some(strength) = self.strength(on, by, Act::Delegate, flaw) else {
            return unknown();
        };
        if task.forgotten {
            return unknown();
        }
        if self.unheard(on, (by, strength)) && flaw != Some(Flaw::BarredTakesBack) {
            return refused("taken_over");
        }
        let delegation = &task.delegations[nth];
        // Its giver's is any delegation of the caller's, not only the one that counts now.
        let made = delegation.from.is_some_and(|giver| {
            let giver = &task.delegations[giver];
            let counts =
                flaw != Some(Flaw::TakesBackByNewest) || delegation.from == strength.lent();
            counts && giver.stands(by, Act::Delegate, flaw)
        });
        let foreign = strength != Strength::Own && !made;
        if foreign {
            return unknown();
        }
        let mut happened = Vec::new();
        if !delegation.over {
            happened.push(Happened::DelegationOver(on, nth));
        }
        let happened = self.ordered(on, strength, happened);
        (Expected::Only(Answer::Revoked), happened)
    }

    /// Ends the leg, and its process never starts another of this task.
    pub(super) fn take_over(&self, on: On, by: Hand, flaw: Option<Flaw>) -> Prediction {
        let task = self.task(on);
        let Some(strength) = self.strength(on, by, Act::Takeover, flaw) else {
            return unknown();
        };
        if task.forgotten {
            return unknown();
        }
        let mut objections: Vec<_> = task.end.map(|(_, how)| name(how)).into_iter().collect();
        if self.unheard(on, (by, strength)) && flaw != Some(Flaw::BarredTakesOver) {
            objections.push("taken_over");
        }
        let Some(leg) = task.leg else {
            objections.push("no_leg");
            return unless(objections, Answer::TakenOver, Vec::new());
        };
        let mut happened = vec![Happened::LegOver(on)];
        if !task.barred.contains(&leg.holder) {
            happened.push(Happened::Barred(on, leg.holder));
        }
        let happened = self.ordered(on, strength, happened);
        unless(objections, Answer::TakenOver, happened)
    }

    /// The owner's word on the last step, where nobody knows how it ended. Evidence only, so also after the end.
    pub(super) fn resolve(&self, on: On, by: Hand, word: Word) -> Prediction {
        let task = self.task(on);
        let owns = self.strength(on, by, Act::Query, None) == Some(Strength::Own);
        let last = task.tokens.iter().map(|token| token.issued.step).max();
        if !owns || task.forgotten {
            return unknown();
        }
        let Some(token) = last.and_then(|step| newest(&task.tokens, step)) else {
            return unknown();
        };
        let (said, outcome) = match word {
            Word::Done => (StepState::Done, Outcome::Done),
            Word::NotDone => (StepState::NotDone, Outcome::NotDone),
        };
        let nth = task.tokens.iter().rposition(|it| it == token).unwrap();
        match token.state {
            StepState::Unknown if word == Word::NotDone && token.begins_until.is_some() => {
                refused("not_unknown")
            }
            StepState::Unknown => {
                let happened = vec![Happened::Reported(on, nth, outcome)];
                let happened = self.ordered(on, Strength::Own, happened);
                (Expected::Only(Answer::Outcome(said)), happened)
            }
            state if state == said => (Expected::Only(Answer::Outcome(said)), Vec::new()),
            StepState::Done | StepState::NotDone => refused("outcome_differs"),
            StepState::Issued | StepState::Used | StepState::Void => refused("not_unknown"),
        }
    }
}
