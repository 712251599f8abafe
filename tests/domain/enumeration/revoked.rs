//! What the history says of what an operator revoked.

use super::alphabet::{Hand, On};
use super::answer::{Answer, Expected};
use super::flaw::Flaw;
use super::history::{Happened, History};
use super::oracle::{Oracle, Prediction};
use super::wider::Wider;

impl History {
    /// The SPIFFE IDs that may do nothing now.
    pub(super) fn revoked_ids(&self) -> Vec<&'static str> {
        let mut revoked = Vec::new();
        for (_, what) in &self.events {
            match what {
                Happened::IdRevoked(id) => revoked.push(*id),
                Happened::IdLifted(id) => revoked.retain(|other| other != id),
                _ => {}
            }
        }
        revoked.sort_unstable();
        revoked
    }

    /// Whether this ID was revoked at this place in the history, or has been since. What is made in the very
    /// moment of a lift counts as made before it: times do not say which came first.
    pub(super) fn was_revoked_since(&self, id: &'static str, place: usize) -> bool {
        let made = self.events[place].0;
        let (before, after) = self.events.split_at(place);
        let last = before.iter().rev().find_map(|(at, what)| match what {
            Happened::IdLifted(other) if other == &id => Some(*at >= made),
            Happened::IdRevoked(other) if other == &id => Some(true),
            _ => None,
        });
        let revoked = Happened::IdRevoked(id);
        last == Some(true) || after.iter().any(|(_, what)| *what == revoked)
    }

    /// Since when a task is dead by a revocation: of its owner, of its server, or of everything before. Nothing
    /// brings back what died.
    pub(super) fn revoked(&self, on: On, flaw: Option<Flaw>) -> Option<u64> {
        let (place, born, owner) = self.born(on)?;
        let after = self.events[place..].iter();
        let cuts = after.filter(|(at, what)| *what == Happened::CutOff && born < *at);
        let cut = cuts.map(|(at, _)| *at).next();
        let ids = [owner, Hand::Server.path()].map(|id| self.dead_by(id, (place, born), flaw));
        let cut = cut.filter(|_| flaw != Some(Flaw::CutIgnored));
        ids.into_iter().flatten().chain(cut).min()
    }

    fn dead_by(
        &self,
        id: &'static str,
        (place, born): (usize, u64),
        flaw: Option<Flaw>,
    ) -> Option<u64> {
        let revives = flaw == Some(Flaw::LiftedRevives) && !self.revoked_ids().contains(&id);
        if !self.was_revoked_since(id, place) || revives || flaw == Some(Flaw::RevokedOwns) {
            return None;
        }
        let revoked = Happened::IdRevoked(id);
        let mut after = self.events[place..].iter();
        let since = after.find(|(_, what)| *what == revoked);
        Some(since.map_or(born, |(at, _)| *at))
    }
}

impl Oracle {
    pub(super) fn is_revoked(&self, hand: Hand, flaw: Option<Flaw>) -> bool {
        self.revoked.contains(&hand.path()) && flaw != Some(Flaw::RevokedActs)
    }

    /// An operator's word is always in force; what is in force already changes nothing.
    pub(super) fn wide(&self, wide: Wider) -> Prediction {
        let happened = match wide {
            Wider::Before => vec![Happened::CutOff],
            Wider::Epoch => vec![Happened::EpochRevoked, Happened::Restarted],
            Wider::Id(hand) if self.revoked.contains(&hand.path()) => Vec::new(),
            Wider::Id(hand) => vec![Happened::IdRevoked(hand.path())],
            Wider::Lift(hand) if self.revoked.contains(&hand.path()) => {
                vec![Happened::IdLifted(hand.path())]
            }
            Wider::Lift(_) => Vec::new(),
        };
        (Expected::Only(Answer::Nothing), happened)
    }
}
