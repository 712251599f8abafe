//! Delegations: a task, or named operations on it, handed to one named role; narrower, for a time, revocable.
//!
//! A shared account never inherits: only what is written here counts, and only for the role it names.

use super::grant::{Authority, Permission, SeenCall};
use super::id::{DelegationNumber, Digest, PrincipalHash};
use super::revocation::Revocations;
use super::role::Role;
use super::task::Task;
use super::time::Time;
use std::collections::BTreeSet;

/// What can be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    /// Cancel the task.
    Cancel,
    /// Hand on, narrower.
    Delegate,
    /// Carry the task out: start a leg, and step within the delegation's permissions.
    Perform,
    /// Read the task.
    Query,
    /// End the live leg.
    Takeover,
    /// Answer what the task waits for.
    Update,
}

impl Act {
    /// Every act, in the order of their names.
    pub const ALL: [Self; 6] = [
        Self::Cancel,
        Self::Delegate,
        Self::Perform,
        Self::Query,
        Self::Takeover,
        Self::Update,
    ];

    /// The act's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Delegate => "delegate",
            Self::Perform => "perform",
            Self::Query => "query",
            Self::Takeover => "takeover",
            Self::Update => "update",
        }
    }
}

/// One hand-over, as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Counted from 1 within the task; never given again.
    pub number: DelegationNumber,
    /// To whom: the full SPIFFE ID and the evidence that it must show.
    pub to: Role,
    /// The user that the delegate acts for where a server checks it; `None` admits none.
    pub principal: Option<PrincipalHash>,
    /// For what.
    pub acts: BTreeSet<Act>,
    /// What its legs may call, within the owner's grant; `None` is all of that.
    pub permissions: Option<Vec<Permission>>,
    /// Until when; exclusive.
    pub not_after: Time,
    /// The delegation on whose strength it was made; `None` is the owner's own.
    pub from: Option<DelegationNumber>,
    /// When it was made.
    pub made_at: Time,
    /// When it was revoked or ran out, as far as that was seen.
    pub ended_at: Option<Time>,
    /// Keyed digest of the request that made it, for repeats.
    pub request: Digest,
    /// SHA-256 of what was asked: a repeat must ask for the same.
    pub asked: Digest,
}

impl Delegation {
    /// Since when it is over by the clock, or because its delegate was revoked.
    fn over_since(&self, now: Time, revocations: &Revocations) -> Option<Time> {
        let ran_out = Some(self.not_after).filter(|end| now.reached(*end));
        let revoked = revocations.ended_delegation_since(self);
        ran_out.into_iter().chain(revoked).min()
    }
}

impl Task {
    /// The delegation with this number.
    #[must_use]
    pub fn delegation(&self, number: DelegationNumber) -> Option<&Delegation> {
        self.delegations.iter().find(|it| it.number == number)
    }

    /// When what was lent to the leg ends, if it was lent.
    pub(super) fn lent_until(&self) -> Option<Time> {
        let number = self.leg.as_ref()?.delegation?;
        self.delegation(number).map(|it| it.not_after)
    }

    /// Whether the delegation under which the leg was started, if there is one, lends this call. What an owner
    /// hands over is its own: never what the server added.
    pub(super) fn delegation_admits(&self, authority: Authority, call: &SeenCall) -> bool {
        let Some(number) = self.leg.as_ref().and_then(|leg| leg.delegation) else {
            return true;
        };
        let standing = self.delegation(number).filter(|it| it.ended_at.is_none());
        authority == Authority::Asked
            && standing.is_some_and(|it| {
                it.permissions
                    .as_ref()
                    .is_none_or(|lent| lent.iter().any(|permission| permission.admits(call)))
            })
    }

    /// Whether the leg's delegation lends only a part of what the owner granted.
    pub(super) fn lent_a_part(&self) -> bool {
        let number = self.leg.as_ref().and_then(|leg| leg.delegation);
        let delegation = number.and_then(|number| self.delegation(number));
        delegation.is_some_and(|it| it.permissions.is_some())
    }

    /// The delegations that stand for this act. Of several that one role has the first counts: the newest that the
    /// owner gave, else the newest that was handed on. Whoever may hand on puts no less in the place of what the owner
    /// gave.
    pub fn delegated(&self, act: Act) -> impl Iterator<Item = &Delegation> {
        let newest = self.delegations.iter().rev();
        let standing = newest.filter(move |it| it.ended_at.is_none() && it.acts.contains(&act));
        let owners = standing.clone().filter(|it| it.from.is_none());
        owners.chain(standing.filter(|it| it.from.is_some()))
    }

    /// Whether some delegation has run out by now, or its delegate was revoked, and is not yet marked so.
    pub(super) fn delegations_ran_out(&self, now: Time, revocations: &Revocations) -> bool {
        let mut standing = self.delegations.iter().filter(|it| it.ended_at.is_none());
        standing.any(|it| it.over_since(now, revocations).is_some())
    }

    /// Marks what has run out by now or was revoked with its delegate, and whatever was made on its strength. A
    /// leg ends with the delegation under which it was started.
    pub(super) fn end_delegations(&mut self, now: Time, revocations: &Revocations) {
        for it in &mut self.delegations {
            it.ended_at = it.ended_at.or(it.over_since(now, revocations));
        }
        self.end_what_followed();
    }

    /// Ends one delegation, and whatever was made on its strength.
    pub(super) fn end_delegation(&mut self, number: DelegationNumber, at: Time) {
        for it in &mut self.delegations {
            if it.number == number && it.ended_at.is_none() {
                it.ended_at = Some(at);
            }
        }
        self.end_what_followed();
    }

    /// A dead delegation is the end of those made on its strength: numbers grow, so one pass is enough.
    fn end_what_followed(&mut self) {
        let mut ended: Vec<(DelegationNumber, Time)> = Vec::new();
        for it in &mut self.delegations {
            let from = ended.iter().find(|(number, _)| Some(*number) == it.from);
            if let (None, Some((_, at))) = (it.ended_at, from) {
                it.ended_at = Some(*at);
            }
            if let Some(at) = it.ended_at {
                ended.push((it.number, at));
            }
        }
        let gone = |number| ended.iter().any(|(other, _)| *other == number);
        if self
            .leg
            .as_ref()
            .is_some_and(|leg| leg.delegation.is_some_and(gone))
        {
            self.leg = None;
        }
    }
}
