//! The oracle's memory: what was accepted, in order, and nothing else. Questions are answered by reading it
//! from the beginning.

use super::alphabet::{Hand, On};
use super::consents::Request;
use super::oracle::Flaw;
use handfast::domain::approval::Verdict;
use handfast::domain::decide::report::Outcome;
use handfast::domain::step::StepState;
use handfast::domain::task::TaskState;

/// Times in milliseconds since the two roots and the child were made.
pub(super) const ACT_BY: u64 = 5_000;
const GRACE: u64 = 2_000;
const TOKEN_TTL: u64 = 30_000;
const CLAIM_BY: u64 = 300_000;
const RETENTION: u64 = 24 * 3_600_000;

pub(super) fn deadline(on: On) -> u64 {
    match on {
        On::Root | On::Other => 3_600_000,
        On::Child => 1_800_000,
    }
}

/// Something that was accepted and changed what the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// The owner answered what the server asked.
    Answered(On),
    /// The owner asked about the task.
    Claimed(On),
    /// The n-th request for consent was used for the m-th token.
    Consumed(On, usize, usize),
    /// A person decided the n-th request for consent.
    Decided(On, usize, Verdict),
    /// The task ended so.
    Ended(On, TaskState),
    Issued(On, Issued),
    /// A leg ended, but not the task.
    LegOver(On),
    /// The n-th token of the task was reported on.
    Reported(On, usize, Outcome),
    /// A person was asked about this step and these arguments.
    Requested(On, u32, u8),
    /// The server asked the owner something.
    Required(On),
    Restarted,
    Started(On, Hand),
    /// The n-th token of the task got `fresh`.
    Used(On, usize),
}

/// What a step token was issued for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Issued {
    pub(super) by: Hand,
    pub(super) step: u32,
    pub(super) arguments: u8,
    pub(super) request: u8,
}

/// What happened until now.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) now: u64,
    pub(super) events: Vec<(u64, Happened)>,
}

/// What the history says of a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenFacts {
    pub(super) issued: Issued,
    pub(super) used: bool,
    /// What became of it, and so of its step while no newer token of the step exists.
    pub(super) state: StepState,
    pub(super) expires: u64,
    /// A restart came after it.
    pub(super) epoch_over: bool,
    /// When a used one becomes unknown.
    pub(super) settles: Option<u64>,
}

/// What the history says of a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    /// When it ended, and how.
    pub(super) end: Option<(u64, TaskState)>,
    pub(super) forgotten: bool,
    pub(super) claimed: bool,
    /// Who has the leg, and whether a restart came since.
    pub(super) leg: Option<(Hand, bool)>,
    /// The server waits for the owner's answer.
    pub(super) waits: bool,
    pub(super) requests: Vec<Request>,
    pub(super) tokens: Vec<TokenFacts>,
}

impl History {
    pub(super) fn add(&mut self, happened: Happened) {
        self.events.push((self.now, happened));
    }

    pub(super) fn facts(&self, on: On, flaw: Option<Flaw>) -> Facts {
        let end = self.end(on, flaw);
        let count = self.issued(on).count();
        Facts {
            end,
            forgotten: end.is_some_and(|(at, _)| self.now >= at + RETENTION),
            claimed: self.happened(|what| *what == Happened::Claimed(on)),
            leg: self.leg(on).filter(|_| end.is_none()),
            waits: self.waits(on) && end.is_none(),
            requests: self.requests(on),
            tokens: (0..count).map(|nth| self.token(on, nth, flaw)).collect(),
        }
    }

    /// The history as it was after its first events.
    pub(super) fn until(&self, events: usize) -> Self {
        let events = self.events[..events].to_vec();
        let now = self.events[events.len()].0;
        Self { now, events }
    }

    fn happened(&self, wanted: impl Fn(&Happened) -> bool) -> bool {
        self.events.iter().any(|(_, what)| wanted(what))
    }

    /// The first of: what was said, no claim in time, the deadline, the parent's end. Of two at the same moment
    /// the one that is named first: what was said was accepted before a clock ran out, and a clock has run
    /// out before a parent is ended at that moment.
    fn end(&self, on: On, flaw: Option<Flaw>) -> Option<(u64, TaskState)> {
        let said = self.events.iter().find_map(|(at, what)| match what {
            Happened::Ended(task, how) if *task == on => Some((*at, *how)),
            _ => None,
        });
        let claimed = self.happened(|what| *what == Happened::Claimed(on));
        let unclaimed = (!claimed).then_some((CLAIM_BY, TaskState::Cancelled));
        let parent = on
            .parent()
            .filter(|_| flaw != Some(Flaw::OrphansLive))
            .and_then(|parent| self.end(parent, flaw))
            .map(|(at, _)| (at, TaskState::Cancelled));
        let over =
            (flaw != Some(Flaw::DeadlineIgnored)).then_some((deadline(on), TaskState::Expired));
        [said, unclaimed, over, parent]
            .into_iter()
            .flatten()
            .filter(|(at, _)| *at <= self.now)
            .min_by_key(|(at, _)| *at)
    }

    /// The last start that nothing came after, and whether a restart did.
    fn leg(&self, on: On) -> Option<(Hand, bool)> {
        let mut leg = None;
        for (_, what) in &self.events {
            match what {
                Happened::Started(task, by) if *task == on => leg = Some((*by, false)),
                Happened::LegOver(task) if *task == on => leg = None,
                Happened::Restarted => leg = leg.map(|(by, _)| (by, true)),
                _ => {}
            }
        }
        leg
    }

    /// Whether the server asked and the owner has not answered since.
    fn waits(&self, on: On) -> bool {
        let last =
            self.events.iter().rev().find(|(_, what)| {
                *what == Happened::Required(on) || *what == Happened::Answered(on)
            });
        last.is_some_and(|(_, what)| *what == Happened::Required(on))
    }

    /// Every token of a task: its place in the history, when, and for what.
    fn issued(&self, on: On) -> impl Iterator<Item = (usize, u64, &Issued)> {
        let all = self.events.iter().enumerate();
        all.filter_map(move |(place, (at, what))| match what {
            Happened::Issued(task, issued) if *task == on => Some((place, *at, issued)),
            _ => None,
        })
    }

    fn token(&self, on: On, nth: usize, flaw: Option<Flaw>) -> TokenFacts {
        let (place, at, issued) = self.issued(on).nth(nth).unwrap();
        let after = &self.events[place + 1..];
        let used = after
            .iter()
            .position(|(_, what)| *what == Happened::Used(on, nth));
        let consent = self.consent_behind(on, nth).unwrap_or(u64::MAX);
        let expires = (at + TOKEN_TTL).min(deadline(on)).min(consent);
        let settles = used.map(|place| (after[place].0 + ACT_BY).min(deadline(on)) + GRACE);
        let state = match used {
            Some(place) => self.outcome(on, nth, &after[place..], settles),
            None => self.unused(on, (issued, expires), after, flaw),
        };
        TokenFacts {
            issued: issued.clone(),
            used: used.is_some(),
            state,
            expires,
            epoch_over: after.iter().any(|(_, what)| *what == Happened::Restarted),
            settles: settles.filter(|_| state == StepState::Used),
        }
    }

    /// What became of a used token: what its audience said last, else unknown after its time or a restart.
    fn outcome(
        &self,
        on: On,
        nth: usize,
        after: &[(u64, Happened)],
        settles: Option<u64>,
    ) -> StepState {
        let said = after.iter().rev().find_map(|(_, what)| match what {
            Happened::Reported(task, token, outcome) if (*task, *token) == (on, nth) => {
                Some(*outcome)
            }
            _ => None,
        });
        let restarted = after.iter().any(|(_, what)| *what == Happened::Restarted);
        match said {
            Some(Outcome::Done) => StepState::Done,
            Some(Outcome::NotDone) => StepState::NotDone,
            Some(Outcome::Unknown) => StepState::Unknown,
            None if restarted || settles.is_some_and(|at| self.now >= at) => StepState::Unknown,
            None => StepState::Used,
        }
    }

    /// An unused token dies with its time, its leg, the agent's run, its task, or by a newer one.
    fn unused(
        &self,
        on: On,
        (issued, expires): (&Issued, u64),
        after: &[(u64, Happened)],
        flaw: Option<Flaw>,
    ) -> StepState {
        let overtaken = after.iter().any(|(_, what)| match what {
            Happened::Issued(task, newer) => {
                *task == on && newer.step == issued.step && flaw != Some(Flaw::TwoTokens)
            }
            Happened::Started(task, _) => *task == on && flaw != Some(Flaw::ReattachKeepsTokens),
            Happened::LegOver(task) => *task == on,
            Happened::Restarted => true,
            _ => false,
        });
        let late = self.now >= expires && flaw != Some(Flaw::ExpiryIgnored);
        if overtaken || late || self.end(on, flaw).is_some() {
            StepState::Void
        } else {
            StepState::Issued
        }
    }
}
