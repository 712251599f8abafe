//! Revocation by scope: one small row that every decision reads, so that nothing has to be written per task.
//!
//! The one thing to know: times are compared with the time of the commit that revoked. The ledger decides
//! a revocation in the order of its commits, so whatever was committed before carries no later time.

use super::approval::Decision;
use super::child::ChildGrant;
use super::claims::{Operation, TokenClaims};
use super::delegation::Delegation;
use super::denial::Reason;
use super::id::{Epoch, SpiffeId, TaskId};
use super::lineage::{CreateTerms, Lineage, Writes};
use super::task::{Leg, Task, TaskState};
use super::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One task, and with it whatever descends from it.
    Task(TaskId),
    /// The whole tree that a task belongs to.
    Tree(TaskId),
    /// More than a task's own row can say.
    Wide(Wide),
}

/// What is revoked by more than a task's own row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wide {
    /// Every task that was created, and every token that was issued, before this time.
    Before(Time),
    /// Every token that was signed in this epoch or an earlier one. Legs have to be taken up again.
    Epoch(Epoch),
    /// A SPIFFE ID: it may do nothing, and what it owns, serves or carries out has ended.
    SpiffeId(SpiffeId),
}

impl Scope {
    /// The scope's name in the audit.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Task(_) => "task",
            Self::Tree(_) => "tree",
            Self::Wide(wide) => wide.name(),
        }
    }
}

impl Wide {
    /// The scope's name in the audit.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Before(_) => "before",
            Self::Epoch(_) => "epoch",
            Self::SpiffeId(_) => "spiffe_id",
        }
    }
}

/// A SPIFFE ID that was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedId {
    /// When it was first revoked: what it had made by then is dead since then, whatever comes after.
    pub since: Time,
    /// Until when what it made is dead: the revocation, or its end once it is lifted.
    pub at: Time,
    /// Whether the ID may act again. What died stays dead.
    pub lifted: bool,
}

/// Everything before a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// What was made before this is dead.
    pub before: Time,
    /// When that was decided.
    pub at: Time,
}

/// The most cuts that are kept.
pub const CUTS_MAX: usize = 64;

/// Everything that is revoked by more than a task's own row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Raised by every change: a commit stands on it like on a row.
    pub sequence: u64,
    /// Cuts through time, each reaching further than the one before it; at most [`CUTS_MAX`].
    pub cuts: Vec<Cut>,
    /// The last epoch whose tokens are void; zero for none.
    pub epochs: Epoch,
    /// Revoked SPIFFE IDs, and lifted ones for as long as something that died by them may be read.
    pub ids: BTreeMap<SpiffeId, RevokedId>,
}

impl Revocations {
    /// Whether this ID may do nothing now.
    #[must_use]
    pub fn denies(&self, id: &SpiffeId) -> bool {
        self.ids.get(id).is_some_and(|revoked| !revoked.lifted)
    }

    /// Whether a caller with these IDs has none left. One that has no ID is nobody that could be revoked.
    #[must_use]
    pub fn denies_all(&self, ids: &[SpiffeId]) -> bool {
        !ids.is_empty() && ids.iter().all(|id| self.denies(id))
    }

    /// Since when something that this ID made at this time is dead.
    fn voided(&self, id: &SpiffeId, made_at: Time) -> Option<Time> {
        let revoked = self.ids.get(id)?;
        if made_at <= revoked.since {
            return Some(revoked.since);
        }
        (!revoked.lifted || made_at <= revoked.at).then_some(revoked.at)
    }

    fn cut_off(&self, made_at: Time) -> Option<Time> {
        // The first that reaches so far: an end does not move with the next.
        let mut cuts = self.cuts.iter();
        cuts.find(|cut| made_at < cut.before).map(|cut| cut.at)
    }

    /// Since when a task is dead, whatever its own row says.
    #[must_use]
    pub fn ended_since(&self, task: &Task) -> Option<Time> {
        let owner = task.owner.workload.as_ref();
        let roles = owner.into_iter().chain([&task.server]);
        let ids = roles.map(|role| &role.spiffe_id).chain(&task.spawned_by);
        ids.filter_map(|id| self.voided(id, task.created_at))
            .chain(self.cut_off(task.created_at))
            .min()
    }

    /// Whether a leg has ended, whatever its task's row says.
    #[must_use]
    pub fn ends_leg(&self, leg: &Leg) -> bool {
        self.voided(&leg.performer, leg.started_at).is_some()
    }

    /// Since when a hand-over is over, whatever its task's row says: a revoked ID has nothing, and hands nothing
    /// on.
    #[must_use]
    pub fn ended_delegation_since(&self, delegation: &Delegation) -> Option<Time> {
        self.voided(&delegation.to.spiffe_id, delegation.made_at)
    }

    /// Whether a child grant is dead by who made it or may spend it, and when it was made.
    #[must_use]
    pub fn ends_child(&self, child: &ChildGrant) -> bool {
        let mut ids = [&child.maker, &child.spender.spiffe_id].into_iter();
        ids.any(|id| self.voided(id, child.made_at).is_some())
            || self.cut_off(child.made_at).is_some()
    }

    /// Whether a create token that was issued on these terms is void.
    #[must_use]
    pub fn void(&self, terms: &CreateTerms) -> bool {
        self.voided(&terms.owner.spiffe_id, terms.issued_at)
            .or_else(|| self.cut_off(terms.issued_at))
            .is_some()
    }

    /// Whether a person's decision is void by who brought it, and when. What came before a revocation stays dead
    /// when that is lifted.
    #[must_use]
    pub fn voids_decision(&self, decision: &Decision) -> bool {
        self.voided(&decision.approver, decision.at)
            .or_else(|| self.cut_off(decision.at))
            .is_some()
    }

    /// Whether a token is void by who got it, or by the epoch that signed it. When it was issued is judged by
    /// the rows behind it; a token to read has none, and states whole seconds: it may be void by one too many.
    #[must_use]
    pub fn voids(&self, claims: &TokenClaims) -> bool {
        let early = || {
            self.voided(&claims.actor, claims.issued_at)
                .or_else(|| self.cut_off(claims.issued_at))
        };
        self.denies(&claims.actor)
            || claims.epoch <= self.epochs
            || (claims.operation == Operation::Query && early().is_some())
    }

    /// Revokes more. `None` where nothing changes: it is revoked already.
    ///
    /// # Errors
    /// [`Reason::Limit`] for one SPIFFE ID too many.
    pub fn with(&self, scope: &Wide, now: Time, ids_max: usize) -> Result<Option<Self>, Reason> {
        let mut next = self.clone();
        match scope {
            Wide::Before(before) => {
                if self.cuts.last().is_none_or(|cut| cut.before < *before) {
                    if next.cuts.len() >= CUTS_MAX {
                        // What died by the oldest is as dead by the next, if a little later.
                        next.cuts.remove(0);
                    }
                    next.cuts.push(Cut {
                        before: *before,
                        at: now,
                    });
                }
            }
            Wide::Epoch(epoch) => next.epochs = next.epochs.max(*epoch),
            Wide::SpiffeId(id) => {
                if !self.denies(id) {
                    if self.ids.len() >= ids_max && !self.ids.contains_key(id) {
                        return Err(Reason::Limit("limits.revoked_ids"));
                    }
                    let revoked = RevokedId {
                        since: self.ids.get(id).map_or(now, |earlier| earlier.since),
                        at: now,
                        lifted: false,
                    };
                    next.ids.insert(id.clone(), revoked);
                }
            }
        }
        Ok(next.raised_over(self))
    }

    /// Lets an ID act again; `None` where it may already. What it made until now stays dead.
    #[must_use]
    pub fn lift(&self, id: &SpiffeId, now: Time) -> Option<Self> {
        let mut next = self.clone();
        let revoked = next.ids.get_mut(id).filter(|revoked| !revoked.lifted)?;
        revoked.at = now;
        revoked.lifted = true;
        next.raised_over(self)
    }

    /// Forgets lifted IDs that were lifted before this time: no task is older that still can be read. None is
    /// forgotten earlier, nor merged with others: what it made is dead by this row alone, and a cut would kill what
    /// everybody else made by then.
    #[must_use]
    pub fn without_lifted_before(mut self, time: Time) -> Self {
        self.ids
            .retain(|_, revoked| !revoked.lifted || revoked.at >= time);
        self
    }

    fn raised_over(mut self, before: &Self) -> Option<Self> {
        if self == *before {
            return None;
        }
        self.sequence = before.sequence.saturating_add(1);
        Some(self)
    }
}

/// Work that a commit ended: what whoever carries it out has to hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When.
    pub at: Time,
    /// What.
    pub ended: Ended,
}

/// What ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// One task, and with it whatever descends from it.
    Task(TaskId, TaskState),
    /// Everything of a scope wider than a task.
    Wide(Wide),
}

impl Ending {
    /// What these writes end, on the rows as they are written.
    #[must_use]
    pub fn of(rows: &Lineage, writes: &Writes, at: Time) -> Option<Self> {
        let task = writes.task.as_ref()?;
        let before = rows.task.as_ref().map(|task| task.state);
        let ends = task.state.is_terminal() && !before.is_some_and(TaskState::is_terminal);
        ends.then_some(Self {
            at,
            ended: Ended::Task(task.id, task.state),
        })
    }
}

/// What a wide revocation writes; unchanged where it is in force already.
///
/// # Errors
/// As [`Revocations::with`].
pub fn revoke(
    rows: &Lineage,
    scope: &Wide,
    now: &super::lineage::Now<'_>,
) -> Result<Writes, Reason> {
    let limits = now.limits;
    // Nothing that a lifted ID made is left after the longest life of a task and its retention.
    let readable = limits.deadline_max.saturating_add(limits.retention);
    let oldest = Time(now.time.0.saturating_sub(Time(0).after(readable).0));
    let kept = (*rows.revocations).clone().without_lifted_before(oldest);
    let Some(next) = kept.with(scope, now.time, limits.revoked_ids_max)? else {
        return Ok(Writes::default());
    };
    Ok(Writes {
        revocations: Some(Arc::new(next)),
        ending: Some(Ending {
            at: now.time,
            ended: Ended::Wide(scope.clone()),
        }),
        ..Writes::default()
    })
}

/// What lifting writes; unchanged where the ID is not revoked.
#[must_use]
pub fn lift(rows: &Lineage, id: &SpiffeId, now: &super::lineage::Now<'_>) -> Writes {
    Writes {
        revocations: rows.revocations.lift(id, now.time).map(Arc::new),
        ..Writes::default()
    }
}
