//! The oracle's memory: what was accepted, in order, and nothing else. Questions are answered by reading it
//! from the beginning.

use super::alphabet::{Hand, On};
use super::consents::Request;
use super::flaw::Flaw;
use super::handed::Lent;
use super::wider::{Cut, Lend, Setting};
use handfast::domain::approval::Verdict;
use handfast::domain::decide::report::Outcome;
use handfast::domain::step::StepState;
use handfast::domain::task::TaskState;

/// Times in milliseconds since the two roots were made.
const ACT_BY: u64 = 5_000;
const GRACE: u64 = 2_000;
pub(super) const TOKEN_TTL: u64 = 30_000;
const CLAIM_BY: u64 = 300_000;
const RETENTION: u64 = 24 * 3_600_000;

/// How long a task may live.
pub(super) fn lifetime(on: On) -> u64 {
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
    /// A create token was issued to this hand for the first child grant.
    AskedChild(Hand),
    /// The process lost its leg to a takeover.
    Barred(On, Hand),
    /// The owner asked about the task.
    Claimed(On),
    /// The n-th request for consent was used for the m-th token.
    Consumed(On, usize, usize),
    /// Everything before this moment was revoked.
    CutOff,
    /// A person decided the n-th request for consent.
    Decided(On, usize, Verdict),
    /// By whom, and on the strength of which delegation.
    Delegated(On, Hand, Lend, Option<usize>),
    /// The n-th delegation was taken back.
    DelegationOver(On, usize),
    /// The task ended so.
    Ended(On, TaskState),
    /// The running epoch was revoked, and a new one began.
    EpochRevoked,
    IdLifted(&'static str),
    IdRevoked(&'static str),
    Issued(On, Issued),
    /// A leg ended, but not the task.
    LegOver(On),
    /// A task was made, and this SPIFFE ID owns it.
    Made(On, &'static str),
    /// The n-th token of the task was reported on, or settled on the owner's word.
    Reported(On, usize, Outcome),
    /// A person was asked about this step and these arguments.
    Requested(On, u32, u8),
    /// The server asked the owner something.
    Required(On),
    Restarted,
    Spawned(Hand, Cut),
    /// By whom, and on the strength of which delegation.
    Started(On, Hand, Option<usize>),
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
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) now: u64,
    pub(super) setting: Setting,
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
    /// The epoch that signed it was revoked.
    pub(super) epoch_revoked: bool,
    /// When a used one becomes unknown.
    pub(super) settles: Option<u64>,
    /// Until when its effect may begin, whoever has lost sight of it.
    pub(super) begins_until: Option<u64>,
}

/// What the history says of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leg {
    pub(super) holder: Hand,
    /// A restart came since.
    pub(super) suspended: bool,
    /// The delegation under which it was started.
    pub(super) lent: Option<usize>,
}

/// What the history says of a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    /// When it was made; `None` for one that is still to be spawned.
    pub(super) born: Option<u64>,
    /// The SPIFFE ID that owns it.
    pub(super) owner: &'static str,
    pub(super) deadline: u64,
    /// When it ended, and how.
    pub(super) end: Option<(u64, TaskState)>,
    pub(super) forgotten: bool,
    pub(super) claimed: bool,
    pub(super) leg: Option<Leg>,
    /// What was handed over, in order.
    pub(super) delegations: Vec<Lent>,
    /// Who lost a leg to a takeover.
    pub(super) barred: Vec<Hand>,
    /// How many steps may still be begun; `None` where nobody counts.
    pub(super) uses_left: Option<u32>,
    /// The server waits for the owner's answer.
    pub(super) waits: bool,
    pub(super) requests: Vec<Request>,
    pub(super) tokens: Vec<TokenFacts>,
}

impl History {
    pub(super) fn first(setting: Setting) -> Self {
        let mut history = Self {
            now: 0,
            setting,
            events: Vec::new(),
        };
        for on in On::ALL {
            if on != On::Child || setting.child {
                history.add(Happened::Made(on, Hand::Owner.path()));
            }
        }
        history
    }

    pub(super) fn add(&mut self, happened: Happened) {
        self.events.push((self.now, happened));
    }

    pub(super) fn facts(&self, on: On, flaw: Option<Flaw>) -> Facts {
        let end = self.end(on, flaw);
        let count = self.issued(on).count();
        let born = self.born(on);
        Facts {
            born: born.map(|(_, at, _)| at),
            owner: born.map_or("nobody", |(_, _, owner)| owner),
            deadline: self.deadline(on),
            delegations: self.delegations(on),
            barred: self.barred(on),
            uses_left: self.uses_left(on, flaw),
            end,
            forgotten: end.is_some_and(|(at, _)| self.now >= at + RETENTION),
            claimed: self.claimed(on),
            leg: self.leg(on, flaw).filter(|_| end.is_none()),
            waits: self.waits(on) && end.is_none(),
            requests: self.requests(on),
            tokens: (0..count).map(|nth| self.token(on, nth, flaw)).collect(),
        }
    }

    /// The history as it was after its first events.
    pub(super) fn until(&self, events: usize) -> Self {
        let events = self.events[..events].to_vec();
        let now = self.events[events.len()].0;
        Self {
            now,
            setting: self.setting,
            events,
        }
    }

    /// Where in the history a task was made, when, and for whom.
    pub(super) fn born(&self, on: On) -> Option<(usize, u64, &'static str)> {
        let mut all = self.events.iter().enumerate();
        all.find_map(|(place, (at, what))| match what {
            Happened::Made(task, owner) if *task == on => Some((place, *at, *owner)),
            _ => None,
        })
    }

    /// When a task stops being runnable: no later than the one that it was spawned from.
    pub(super) fn deadline(&self, on: On) -> u64 {
        let born = self.born(on).map_or(0, |(_, at, _)| at);
        let parent = on.parent().map_or(u64::MAX, lifetime);
        (born + lifetime(on)).min(parent)
    }

    /// Whoever hands a task over knows of it.
    fn claimed(&self, on: On) -> bool {
        self.happened(|what| match what {
            Happened::Claimed(task) | Happened::Delegated(task, ..) => *task == on,
            _ => false,
        })
    }

    fn happened(&self, wanted: impl Fn(&Happened) -> bool) -> bool {
        self.events.iter().any(|(_, what)| wanted(what))
    }

    /// The first of: what was said, no claim in time, the deadline, the parent's end, a revocation. Of two at the
    /// same moment the one that is named first: what was said was accepted before a clock ran out, and a clock
    /// has run out before a parent is ended at that moment.
    pub(super) fn end(&self, on: On, flaw: Option<Flaw>) -> Option<(u64, TaskState)> {
        let said = self.events.iter().find_map(|(at, what)| match what {
            Happened::Ended(task, how) if *task == on => Some((*at, *how)),
            _ => None,
        });
        let claimed = self.claimed(on);
        let (_, born, _) = self.born(on)?;
        let unclaimed = (!claimed).then_some((born + CLAIM_BY, TaskState::Cancelled));
        let parent = on
            .parent()
            .filter(|_| flaw != Some(Flaw::OrphansLive))
            .and_then(|parent| self.end(parent, flaw))
            .map(|(at, _)| (at, TaskState::Cancelled));
        let over = (flaw != Some(Flaw::DeadlineIgnored))
            .then_some((self.deadline(on), TaskState::Expired));
        let revoked = self.revoked(on, flaw).map(|at| (at, TaskState::Cancelled));
        [said, unclaimed, over, parent, revoked]
            .into_iter()
            .flatten()
            .filter(|(at, _)| *at <= self.now)
            .min_by_key(|(at, _)| *at)
    }

    /// The last start that nothing came after: no end of the leg, of its performer, or of what was lent to it.
    pub(super) fn leg(&self, on: On, flaw: Option<Flaw>) -> Option<Leg> {
        let mut leg: Option<Leg> = None;
        for (place, (_, what)) in self.events.iter().enumerate() {
            match what {
                Happened::Started(task, holder, lent) if *task == on => {
                    let gone = self.was_revoked_since(holder.path(), place);
                    leg = (!gone).then_some(Leg {
                        holder: *holder,
                        suspended: false,
                        lent: *lent,
                    });
                }
                Happened::LegOver(task) if *task == on => leg = None,
                Happened::Restarted => {
                    leg = leg.map(|leg| Leg {
                        suspended: true,
                        ..leg
                    });
                }
                _ => {}
            }
        }
        let up = on
            .parent()
            .map(|parent| self.barred(parent))
            .unwrap_or_default();
        leg.filter(|leg| !up.contains(&leg.holder))
            .filter(|leg| flaw == Some(Flaw::LegOutlivesLoan) || !self.is_over(on, leg.lent))
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
        let lent = self.lent_at(on, place);
        let ends = lent.map_or(u64::MAX, |nth| self.delegations(on)[nth].until);
        let ends = ends.min(self.deadline(on));
        let expires = (at + TOKEN_TTL).min(ends).min(consent);
        let settles = used.map(|place| (after[place].0 + ACT_BY).min(ends) + GRACE);
        let state = match used {
            Some(place) => self.outcome(on, nth, &after[place..], settles),
            None if self.is_over(on, lent) => StepState::Void,
            None => self.unused(on, (issued, expires), after, flaw),
        };
        TokenFacts {
            issued: issued.clone(),
            used: used.is_some(),
            state,
            expires,
            epoch_revoked: after
                .iter()
                .any(|(_, what)| *what == Happened::EpochRevoked),
            epoch_over: after.iter().any(|(_, what)| *what == Happened::Restarted),
            settles: settles.filter(|_| state == StepState::Used),
            begins_until: settles.filter(|at| self.now < *at),
        }
    }

    /// What became of a used token: what was said of it last, else unknown after its time or a restart.
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
            Happened::Started(task, ..) => *task == on && flaw != Some(Flaw::ReattachKeepsTokens),
            Happened::LegOver(task) => *task == on,
            Happened::Barred(task, hand) => on.parent() == Some(*task) && issued.by == *hand,
            Happened::IdRevoked(id) => issued.by.path() == *id,
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
