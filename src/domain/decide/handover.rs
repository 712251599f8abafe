//! What an owner does with a task besides asking about it: hand it over, take it back, settle an effect that
//! nobody knows about.

use super::report::Outcome;
use crate::domain::arguments::Witnesses;
use crate::domain::barred::Barred;
use crate::domain::delegation::{Act, Delegation};
use crate::domain::denial::{Reason, Unlent};
use crate::domain::grant::Permission;
use crate::domain::id::{DelegationNumber, Digest, LegNumber, PrincipalHash, StepNumber};
use crate::domain::lineage::{Lineage, Now, Transition, Writes};
use crate::domain::policy::Permit;
use crate::domain::role::{AsOwnerPrincipalDue, Held, Role};
use crate::domain::step::StepState;
use crate::domain::task::Task;
use crate::domain::time::Time;
use std::collections::BTreeSet;

/// What is handed over.
#[derive(Clone, Debug)]
pub struct AskDelegate {
    /// To whom.
    pub to: Role,
    /// The user that the delegate acts for at the server.
    pub principal: Option<PrincipalHash>,
    /// For what; at least one act.
    pub acts: BTreeSet<Act>,
    /// What its legs may call; `None` is all that the giver may lend.
    pub permissions: Option<Vec<Permission>>,
    /// Until when; `None` is as long as the giver may lend it.
    pub not_after: Option<Time>,
    /// Keyed digest of the calling process and its `request_id`.
    pub request: Digest,
    /// SHA-256 of what is asked.
    pub asked: Digest,
    /// Arguments behind the digests in the permissions, where the caller has shown them.
    pub witnesses: Witnesses,
}

/// Hands over: as the owner, or as a delegate that may hand on. Never more than the giver has.
///
/// # Errors
/// [`Reason::PrincipalDue`] where the owner acts for a user, whom this node cannot see;
/// [`Reason::TakenOver`] to a delegate that lost a leg of the line; [`Reason::NotNarrower`] with the field that asks
/// for more; [`Reason::Limit`]; [`Reason::Terminal`].
pub fn delegate(
    lineage: &Lineage,
    held: &Held<AsOwnerPrincipalDue>,
    ask: &AskDelegate,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<Delegation>, Reason> {
    let task = lineage.known(now)?;
    task.runnable(now.time)?;
    lineage.hears(held)?;
    principal_is_not_due(task, held)?;
    if let Some(made) = task.delegations.iter().find(|it| it.request == ask.request) {
        if made.asked != ask.asked {
            return Err(Reason::RepeatDiffers);
        }
        return Ok(Transition::unchanged(made.clone()));
    }
    let giver = held.delegation.and_then(|number| task.delegation(number));
    let (acts, ends, lent) = match giver {
        Some(giver) => (
            giver.acts.clone(),
            giver.not_after,
            giver.permissions.as_deref(),
        ),
        None => (Act::ALL.into(), task.deadline, None),
    };
    let lent = lent.unwrap_or(&task.asked.permissions);
    // The owner's own ID, shown by another hand, would pass for the owner where a server checks it.
    let owner = task.owner.workload.as_ref().map(|role| &role.spiffe_id);
    if owner == Some(&ask.to.spiffe_id) {
        return Err(Reason::NotNarrower(Unlent::Owner));
    }
    if ask.acts.is_empty() {
        return Err(Reason::NotNarrower(Unlent::NoActs));
    }
    if !ask.acts.is_subset(&acts) {
        return Err(Reason::NotNarrower(Unlent::Acts));
    }
    let not_after = ask.not_after.unwrap_or(ends);
    if not_after > ends {
        return Err(Reason::NotNarrower(Unlent::NotAfter));
    }
    if now.time.reached(not_after) {
        return Err(Reason::NotNarrower(Unlent::Past));
    }
    let asked = ask.permissions.as_deref().unwrap_or(lent);
    if !asked
        .iter()
        .all(|permission| permission.within(lent, &ask.witnesses))
    {
        return Err(Reason::NotNarrower(Unlent::Permissions));
    }
    if asked.len() > now.limits.permissions_max {
        return Err(Reason::Limit("limits.grant_pairs"));
    }
    let number = task.delegations.last().map_or(0, |it| it.number.0);
    let mut next = task.clone();
    make_room(&mut next, held.delegation.is_some(), now)?;
    let made = Delegation {
        number: DelegationNumber(number.saturating_add(1)),
        to: ask.to.clone(),
        principal: ask.principal,
        acts: ask.acts.clone(),
        // Kept as given: what the giver had then, not what the owner's grant may say of it later.
        permissions: giver.map_or_else(|| ask.permissions.clone(), |_| Some(asked.to_vec())),
        not_after,
        from: held.delegation,
        made_at: now.time,
        ended_at: None,
        request: ask.request,
        asked: ask.asked,
    };
    // Whoever hands it over knows of it.
    next.claimed_at = next.claimed_at.or(Some(now.time));
    next.sees_owner(held.delegation.is_some(), now.time);
    next.delegations.push(made.clone());
    Ok(Transition {
        writes: only(next),
        effect: made,
    })
}

/// Makes room for one more delegation: the oldest that is over is forgotten. Delegates fill no more than half, so
/// that the owner always has a place for one of its own.
fn make_room(task: &mut Task, of_delegate: bool, now: &Now<'_>) -> Result<(), Reason> {
    let most = now.limits.delegations_max;
    if task.delegations.len() >= most {
        let on_it = task.leg.as_ref().and_then(|leg| leg.delegation);
        let mut all = task.delegations.iter();
        let over = all.position(|it| it.ended_at.is_some() && Some(it.number) != on_it);
        task.delegations
            .remove(over.ok_or(Reason::Limit("tasks.delegations_max"))?);
    }
    let handed_on = task.delegations.iter().filter(|it| it.from.is_some());
    if of_delegate && handed_on.count().saturating_mul(2) >= most {
        return Err(Reason::Limit("tasks.delegations_max"));
    }
    Ok(())
}

/// Takes a delegation back, and with it whatever was made on its strength; the leg that was started under one of
/// them ends. The owner can take back any, a delegate what it handed on itself.
///
/// # Errors
/// [`Reason::PrincipalDue`], [`Reason::Unknown`] for one that is not the caller's to take back, [`Reason::TakenOver`]
/// to a delegate that lost a leg of the line.
pub fn revoke(
    lineage: &Lineage,
    held: &Held<AsOwnerPrincipalDue>,
    number: DelegationNumber,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<Option<LegNumber>>, Reason> {
    let task = lineage.known(now)?;
    lineage.hears(held)?;
    principal_is_not_due(task, held)?;
    let delegation = task.delegation(number).ok_or(Reason::Unknown)?;
    if held.delegation.is_some() && delegation.from != held.delegation {
        return Err(Reason::Unknown);
    }
    if delegation.ended_at.is_some() {
        return Ok(Transition::unchanged(None));
    }
    let mut next = task.clone();
    next.end_delegation(number, now.time);
    let lost = task.leg.as_ref().filter(|_| next.leg.is_none());
    Ok(Transition {
        effect: lost.map(|leg| leg.number),
        writes: only(next),
    })
}

/// Ends the live leg for the owner. The process that had it cannot start again; any other hand that may carry
/// the task out can. Its unused token is void, a used one goes on to its `act_by`; children that it made and nobody
/// has spent are worth nothing. A repeat takes no other leg.
///
/// # Errors
/// [`Reason::PrincipalDue`], [`Reason::Terminal`], [`Reason::NoLeg`] where there is none, [`Reason::TakenOver`] to a
/// delegate that lost a leg of the line.
pub fn take_over(
    lineage: &Lineage,
    held: &Held<AsOwnerPrincipalDue>,
    request: Digest,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<LegNumber>, Reason> {
    let task = lineage.known(now)?;
    task.runnable(now.time)?;
    lineage.hears(held)?;
    principal_is_not_due(task, held)?;
    if let Some(leg) = task.takeovers.repeated(request) {
        return Ok(Transition::unchanged(leg));
    }
    let leg = task.leg.as_ref().ok_or(Reason::NoLeg)?;
    let mut next = task.clone();
    next.leg = None;
    let barred = Barred {
        process: leg.holder,
        leg: leg.number,
        request,
        and_older: false,
    };
    next.takeovers.remember(barred, now.limits.takeovers_max);
    Ok(Transition {
        effect: leg.number,
        writes: only(next),
    })
}

/// What the owner says of an effect that nobody knows about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// It happened.
    Done,
    /// It did not; it may be tried again.
    NotDone,
}

impl Word {
    fn outcome(self) -> Outcome {
        match self {
            Self::Done => Outcome::Done,
            Self::NotDone => Outcome::NotDone,
        }
    }
}

/// Settles an unknown step on the owner's word. Delegates cannot.
///
/// # Errors
/// [`Reason::PrincipalDue`], [`Reason::Unknown`] for a step that never was, [`Reason::NotUnknown`] for one whose
/// outcome is known or still open, also to the word that it did not happen while it may still begin,
/// [`Reason::OutcomeDiffers`] where another word was taken before.
pub fn resolve(
    lineage: &Lineage,
    held: &Held<AsOwnerPrincipalDue>,
    (number, word): (StepNumber, Word),
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<StepState>, Reason> {
    let task = lineage.known(now)?;
    principal_is_not_due(task, held)?;
    let at = task.circumstances(now);
    let pending = task.pending.as_ref().filter(|step| step.number == number);
    let settled = lineage.step.as_ref().filter(|step| step.number == number);
    let step = pending.or(settled).ok_or(Reason::Unknown)?;
    match step.state_at(&at) {
        StepState::Unknown if word == Word::NotDone && step.may_begin(&at) => {
            return Err(Reason::NotUnknown);
        }
        StepState::Unknown => {}
        state if state == word.outcome().state() => return Ok(Transition::unchanged(state)),
        StepState::Done | StepState::NotDone => return Err(Reason::OutcomeDiffers),
        StepState::Issued | StepState::Used | StepState::Void => return Err(Reason::NotUnknown),
    }
    super::report::settle(task, step, word.outcome(), now)
}

/// On the Unix socket only the workload can be seen: what is a user's to say, the owner's or a delegate's own,
/// goes through the server.
fn principal_is_not_due(task: &Task, held: &Held<AsOwnerPrincipalDue>) -> Result<(), Reason> {
    let principal = match held.delegation {
        None => task.owner.principal,
        Some(number) => task.delegation(number).and_then(|it| it.principal),
    };
    match principal {
        None => Ok(()),
        Some(_) => Err(Reason::PrincipalDue),
    }
}

fn only(task: Task) -> Writes {
    Writes {
        task: Some(task),
        ..Writes::default()
    }
}
