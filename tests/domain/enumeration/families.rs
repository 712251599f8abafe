//! The rows of the first task's children besides their tasks.

use super::alphabet::Hand;
use super::kept::Kept;
use super::rows::{Store, World};
use handfast::domain::child::{ChildGrant, Spawned};
use handfast::domain::claims::TokenClaims;
use handfast::domain::id::{Digest, Jti, TaskId};
use handfast::domain::lineage::CreateTerms;
use handfast::domain::time::Time;

/// Every such row that any sequence made.
#[derive(Clone, Debug)]
pub(super) struct Families {
    grants: Kept<ChildGrant, (TaskId, bool)>,
    spawned: Kept<Spawned, Digest>,
    terms: Kept<CreateTerms, (Jti, Time)>,
}

/// What there is of the first task's children besides their tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Fan {
    /// Child grants, in the order in which they were cut.
    pub(super) grants: Vec<u32>,
    /// What each request spawned.
    pub(super) spawned: Vec<u32>,
    /// The create terms under the first grant, and the newest token for them.
    terms: Option<u32>,
    token: Option<u32>,
    /// Who was given these tokens, in order.
    pub(super) askers: Vec<Hand>,
}

impl Families {
    pub(super) fn new() -> Self {
        Self {
            grants: Kept::new(),
            spawned: Kept::new(),
            terms: Kept::new(),
        }
    }

    /// Writes what was cut, or spent.
    pub(super) fn apply(
        &mut self,
        fan: &mut Fan,
        (children, spawned): (Vec<ChildGrant>, Option<Spawned>),
        terms: Option<CreateTerms>,
    ) {
        for child in children {
            let id = child.id;
            let mark = (id, child.spent_at.is_some());
            let kept = self.grants.keep(child, mark);
            let mut rows = fan.grants.iter();
            match rows.position(|row| self.grants.value(*row).id == id) {
                Some(place) => fan.grants[place] = kept,
                None => fan.grants.push(kept),
            }
        }
        if let Some(spawned) = spawned {
            let mark = spawned.request;
            fan.spawned.push(self.spawned.keep(spawned, mark));
        }
        if let Some(terms) = terms {
            let mark = (terms.jti, terms.issued_at);
            fan.terms = Some(self.terms.keep(terms, mark));
        }
    }
}

impl Store {
    pub(super) fn grants<'a>(&'a self, world: &'a World) -> impl Iterator<Item = &'a ChildGrant> {
        let rows = world.fan.grants.iter();
        rows.map(|number| self.families.grants.value(*number))
    }

    pub(super) fn spawned<'a>(
        &'a self,
        world: &'a World,
    ) -> impl DoubleEndedIterator<Item = &'a Spawned> {
        let rows = world.fan.spawned.iter();
        rows.map(|number| self.families.spawned.value(*number))
    }

    pub(super) fn terms(&self, world: &World) -> Option<&CreateTerms> {
        world
            .fan
            .terms
            .map(|number| self.families.terms.value(number))
    }

    pub(super) fn create_token(&self, world: &World) -> Option<&TokenClaims> {
        world.fan.token.map(|number| self.tokens.value(number))
    }

    /// Keeps a create token that was handed out.
    pub(super) fn hand_out_create(&mut self, world: &mut World, by: Hand, claims: TokenClaims) {
        let mark = (claims.fence.0, claims.issued_at.0);
        world.fan.token = Some(self.tokens.keep(claims, mark));
        world.fan.askers.push(by);
    }
}
