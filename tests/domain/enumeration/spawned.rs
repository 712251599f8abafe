//! What the history says of children and their grants, and what the design says of fanning out.

use super::alphabet::{Hand, On};
use super::answer::{Answer, Expected};
use super::flaw::Flaw;
use super::history::{Happened, History, TOKEN_TTL, TokenFacts};
use super::oracle::{Oracle, Prediction, name, refused, unknown, unless};
use super::steps::last_tokens;
use super::wider::{Cut, Half};
use handfast::domain::delegation::Act;
use handfast::domain::step::StepState;

/// What the history says of the first task's children.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fan {
    /// Every request that was granted, in order.
    spawns: Vec<(Hand, Cut)>,
    /// The steps that each child grant allows.
    grants: Vec<Option<u32>>,
    children_left: u32,
    /// Who has asked for a create token under the first grant.
    askers: Vec<Hand>,
    /// The newest of these tokens.
    token: Option<CreateToken>,
    /// The first grant is worth nothing: its maker was revoked or lost that leg to a takeover, or everything before
    /// was revoked.
    void: bool,
}

/// What the history says of a create token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct CreateToken {
    by: Hand,
    expires: u64,
    epoch_over: bool,
    /// Whoever asked for it was revoked since, or everything before.
    void: bool,
}

impl History {
    pub(super) fn fan(&self) -> Fan {
        let spawns = self.events.iter().filter_map(|(_, what)| match what {
            Happened::Spawned(by, cut) => Some((*by, *cut)),
            _ => None,
        });
        let grants = self.grants();
        let taken = u32::try_from(grants.len()).unwrap();
        let mut askers: Vec<Hand> = self.asked_children().map(|(_, _, by)| by).collect();
        askers.sort_unstable();
        askers.dedup();
        Fan {
            spawns: spawns.collect(),
            children_left: self.setting.children - taken,
            grants,
            askers,
            token: self.asked_children().last().map(|it| self.create_token(it)),
            void: self.first_grant_is_void(),
        }
    }

    fn asked_children(&self) -> impl Iterator<Item = (usize, u64, Hand)> {
        let all = self.events.iter().enumerate();
        all.filter_map(|(place, (at, what))| match what {
            Happened::AskedChild(by) => Some((place, *at, *by)),
            _ => None,
        })
    }

    fn create_token(&self, (place, at, by): (usize, u64, Hand)) -> CreateToken {
        let mut after = self.events[place..].iter();
        let cut = |(when, what): &(u64, Happened)| *what == Happened::CutOff && at < *when;
        CreateToken {
            by,
            expires: at + TOKEN_TTL,
            epoch_over: after.clone().any(|(_, what)| *what == Happened::Restarted),
            void: self.was_revoked_since(by.path(), place) || after.any(cut),
        }
    }

    fn first_grant_is_void(&self) -> bool {
        let mut all = self.events.iter().enumerate();
        let spawned = all.find_map(|(place, (at, what))| match what {
            Happened::Spawned(by, cut) if !cut.uses().is_empty() => Some((place, *at, *by)),
            _ => None,
        });
        let Some((place, at, by)) = spawned else {
            return false;
        };
        let after = &self.events[place..];
        let cut = after
            .iter()
            .any(|(when, what)| *what == Happened::CutOff && at < *when);
        // The very leg that made it ended by a takeover.
        let over = after
            .iter()
            .position(|(_, what)| *what == Happened::LegOver(On::Root));
        let next = over.and_then(|place| after.get(place + 1));
        let taken = next.is_some_and(|(_, what)| *what == Happened::Barred(On::Root, by));
        cut || taken || self.was_revoked_since(by.path(), place)
    }

    /// The steps that each child grant allows, in the order in which they were cut.
    fn grants(&self) -> Vec<Option<u32>> {
        let cuts = self.events.iter().filter_map(|(_, what)| match what {
            Happened::Spawned(_, cut) => Some(cut.uses()),
            _ => None,
        });
        cuts.flatten().copied().collect()
    }

    /// What is left of a budget: all of it but for the steps that were begun and what children got.
    pub(super) fn uses_left(&self, on: On, flaw: Option<Flaw>) -> Option<u32> {
        let grants = self.grants();
        let (all, given) = match on {
            On::Root => (self.setting.uses?, grants.iter().flatten().sum()),
            // A child that was there from the beginning is not of these grants, and has no budget.
            On::Child if self.setting.child => return None,
            On::Child => (grants.first().copied().flatten()?, 0),
            On::Other => return None,
        };
        let given = if flaw == Some(Flaw::ChildrenAreFree) {
            0
        } else {
            given
        };
        let begun = self.events.iter().filter_map(|(_, what)| match what {
            Happened::Issued(task, issued) if *task == on => Some(issued.step),
            _ => None,
        });
        Some(all.saturating_sub(given + begun.max().unwrap_or_default()))
    }
}

impl Oracle {
    /// Children of the first task, all or none. `None` where there is nothing to repeat.
    pub(super) fn spawn(&self, by: Hand, cut: Cut, flaw: Option<Flaw>) -> Option<Prediction> {
        let (task, fan) = (self.task(On::Root), &self.fan);
        let last = fan.spawns.last();
        if matches!(cut, Cut::Again | Cut::Differs) && last.is_none_or(|(who, _)| *who != by) {
            return None;
        }
        if self.strength(On::Root, by, Act::Perform, flaw).is_none() || task.forgotten {
            return Some(unknown());
        }
        if let Some((_, how)) = task.end {
            return Some(refused(name(how)));
        }
        let mut objections = Vec::new();
        match task.leg {
            Some(leg) if leg.holder == by && leg.suspended => objections.push("reattach_first"),
            Some(leg) if leg.holder == by && leg.lent.is_some() => {
                if flaw != Some(Flaw::LentLegSpawns) {
                    objections.push("grant");
                }
            }
            Some(leg) if leg.holder == by => {}
            Some(_) | None => objections.push("no_leg"),
        }
        match (cut, last) {
            (Cut::Again, Some((_, before))) => {
                let count = before.uses().len();
                let answer = Answer::Children {
                    count,
                    repeat: true,
                };
                return Some(unless(objections, answer, Vec::new()));
            }
            (Cut::Differs, _) => objections.push("repeat_differs"),
            _ => {}
        }
        let unknown = |token: &TokenFacts| token.state == StepState::Unknown;
        if last_tokens(&task.tokens).any(unknown) && flaw != Some(Flaw::UnknownSpawns) {
            objections.push("step_unknown");
        }
        if task.waits || self.waits_for_person(On::Root, None) {
            objections.push("input_required");
        }
        let uses = cut.uses();
        let count = u32::try_from(uses.len()).unwrap();
        let asked: u32 = uses.iter().flatten().sum();
        let uncounted = uses.contains(&None) && task.uses_left.is_some();
        let beyond = cut == Cut::Deep
            || uncounted
            || count > fan.children_left
            || task.uses_left.is_some_and(|left| asked > left);
        if beyond {
            objections.push("narrowing");
        }
        let answer = Answer::Children {
            count: uses.len(),
            repeat: false,
        };
        let happened = vec![Happened::Spawned(by, cut)];
        Some(unless(objections, answer, happened))
    }

    /// Spends the first child grant. `None` where there is none, or no token to create with.
    pub(super) fn spend(&self, by: Hand, half: Half, flaw: Option<Flaw>) -> Option<Prediction> {
        if self.fan.grants.is_empty() {
            return None;
        }
        match half {
            Half::Ask => Some(self.ask_child(by, flaw)),
            Half::Both => {
                let (expected, mut happened) = self.ask_child(by, flaw);
                let issued = Expected::Only(Answer::Token { retry: false });
                if expected != issued {
                    return Some((expected, happened));
                }
                happened.push(Happened::Made(On::Child, by.path()));
                Some((Expected::Only(Answer::Made { repeat: false }), happened))
            }
            Half::Create => self.create(by, flaw),
        }
    }

    /// Why nothing comes of a grant any more.
    fn dead_line(&self, flaw: Option<Flaw>) -> Option<&'static str> {
        let dead = self.task(On::Root).end.is_some() && flaw != Some(Flaw::DeadLineIsSpent);
        (dead || self.fan.void).then_some("cancelled")
    }

    fn ask_child(&self, by: Hand, flaw: Option<Flaw>) -> Prediction {
        let spender = by.path() == Hand::Worker.path() && !by.is_bare();
        if !spender && flaw != Some(Flaw::AnybodySpends) {
            return unknown();
        }
        if self.task(On::Root).barred.contains(&by) {
            return refused("taken_over");
        }
        let made = self.task(On::Child).born.is_some();
        if made && self.fan.askers.contains(&by) {
            let answer = Answer::Made { repeat: true };
            return (Expected::Only(answer), Vec::new());
        }
        let mut objections: Vec<_> = self.dead_line(flaw).into_iter().collect();
        if made {
            objections.push("spent");
        }
        let happened = vec![Happened::AskedChild(by)];
        unless(objections, Answer::Token { retry: false }, happened)
    }

    /// The server creates the task with the newest create token; the same again is the same task.
    fn create(&self, by: Hand, flaw: Option<Flaw>) -> Option<Prediction> {
        let token = self.fan.token?;
        let mut objections = Vec::new();
        if by != Hand::Server {
            objections.push("token_invalid");
        }
        if token.epoch_over {
            objections.push("token_invalid");
        }
        if self.now >= token.expires {
            objections.push("token_expired");
        }
        if self.task(On::Child).born.is_some() {
            let answer = Answer::Made { repeat: true };
            return Some(unless(objections, answer, Vec::new()));
        }
        if token.void {
            objections.push("token_void");
        }
        objections.extend(self.dead_line(flaw));
        let happened = vec![Happened::Made(On::Child, token.by.path())];
        Some(unless(objections, Answer::Made { repeat: false }, happened))
    }
}
