//! What an owner does with a task besides asking about it: hand it over, take it back, settle an effect that
//! nobody knows about. [`super::order`] says who may, and when.

use super::order::{Orderer, heard};
use super::report::Outcome;
use crate::domain::arguments::Witnesses;
use crate::domain::barred::Barred;
use crate::domain::delegation::{Act, Delegation};
use crate::domain::denial::{Reason, Unlent};
use crate::domain::grant::Permission;
use crate::domain::id::{DelegationNumber, Digest, Fence, LegNumber, PrincipalHash, StepNumber};
use crate::domain::lineage::{Lineage, Now, Transition, Writes};
use crate::domain::order::Word;
use crate::domain::role::Role;
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

/// The delegation as it would be: by the owner, or by a delegate that may hand on, and never more than the giver has.
/// What the giver has does not grow, so what lies within it now does so whenever it is made.
pub(super) fn offer(
    lineage: &Lineage,
    orderer: &impl Orderer,
    ask: &AskDelegate,
    now: &Now<'_>,
) -> Result<Delegation, Reason> {
    let task = lineage.known(now)?;
    task.runnable(now.time)?;
    let by = heard(lineage, task, orderer)?;
    if let Some(made) = repeated(task, ask.request, ask.asked)? {
        return Ok(made.clone());
    }
    let giver = by.and_then(|number| task.delegation(number));
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
    Ok(Delegation {
        number: DelegationNumber(0),
        to: ask.to.clone(),
        principal: ask.principal,
        acts: ask.acts.clone(),
        // Kept as given: what the giver had then, not what the owner's grant may say of it later.
        permissions: giver.map_or_else(|| ask.permissions.clone(), |_| Some(asked.to_vec())),
        not_after,
        from: by,
        made_at: now.time,
        ended_at: None,
        request: ask.request,
        asked: ask.asked,
    })
}

/// Makes a delegation that was offered, by the same giver and before its end.
pub(super) fn give(
    lineage: &Lineage,
    orderer: &impl Orderer,
    offered: &Delegation,
    now: &Now<'_>,
) -> Result<Transition<Delegation>, Reason> {
    let task = lineage.known(now)?;
    task.runnable(now.time)?;
    let by = heard(lineage, task, orderer)?;
    if let Some(made) = repeated(task, offered.request, offered.asked)? {
        return Ok(Transition::unchanged(made.clone()));
    }
    if offered.from != by {
        return Err(Reason::TokenVoid);
    }
    if now.time.reached(offered.not_after) {
        return Err(Reason::NotNarrower(Unlent::Past));
    }
    let number = task.delegations.last().map_or(0, |it| it.number.0);
    let mut next = task.clone();
    make_room(&mut next, by.is_some(), now)?;
    let made = Delegation {
        number: DelegationNumber(number.saturating_add(1)),
        made_at: now.time,
        ..offered.clone()
    };
    // Whoever hands it over knows of it.
    next.claimed_at = next.claimed_at.or(Some(now.time));
    next.sees_owner(by.is_some(), now.time);
    next.delegations.push(made.clone());
    Ok(Transition {
        writes: only(next),
        effect: made,
    })
}

/// The delegation that this request has made already.
fn repeated(task: &Task, request: Digest, asked: Digest) -> Result<Option<&Delegation>, Reason> {
    let made = task.delegations.iter().find(|it| it.request == request);
    match made {
        Some(made) if made.asked != asked => Err(Reason::RepeatDiffers),
        made => Ok(made),
    }
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
/// [`Reason::PrincipalDue`] where a user is due whom this node cannot see, [`Reason::Unknown`] for one that is not
/// the caller's to take back, [`Reason::TakenOver`] to a delegate that lost a leg of the line.
pub(super) fn revoke_delegation(
    lineage: &Lineage,
    orderer: &impl Orderer,
    number: DelegationNumber,
    now: &Now<'_>,
) -> Result<Transition<Option<LegNumber>>, Reason> {
    let task = lineage.known(now)?;
    let by = heard(lineage, task, orderer)?;
    let delegation = task.delegation(number).ok_or(Reason::Unknown)?;
    if by.is_some() && delegation.from != by {
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

/// Ends this leg for the owner, if it is the live one. The process that had it cannot start again; any other hand
/// that may carry the task out can. Its unused token is void, a used one goes on to its `act_by`; children that it
/// made and nobody has spent are worth nothing. A repeat takes no other leg.
///
/// # Errors
/// [`Reason::PrincipalDue`] where a user is due whom this node cannot see, [`Reason::Terminal`], [`Reason::NoLeg`]
/// where there is none, [`Reason::TokenVoid`] where it is another, [`Reason::TakenOver`] to a delegate that lost a leg
/// of the line, [`Reason::Limit`] to one where half of those that can be kept apart were taken over.
pub(super) fn take_over(
    lineage: &Lineage,
    orderer: &impl Orderer,
    (request, number): (Digest, LegNumber),
    now: &Now<'_>,
) -> Result<Transition<LegNumber>, Reason> {
    let task = lineage.known(now)?;
    task.runnable(now.time)?;
    let by = heard(lineage, task, orderer)?;
    if let Some(leg) = task.takeovers.repeated(request) {
        return Ok(Transition::unchanged(leg));
    }
    // Where no more of them can be kept apart, whoever is no younger is barred too: that is for the owner to do.
    let most = now.limits.takeovers_max;
    if by.is_some() && task.takeovers.0.len() >= most.div_ceil(2) {
        return Err(Reason::Limit("tasks.takeovers_max"));
    }
    let leg = task.leg.as_ref().ok_or(Reason::NoLeg)?;
    // The order was about another process than the one that has the leg now.
    if leg.number != number {
        return Err(Reason::TokenVoid);
    }
    let mut next = task.clone();
    next.leg = None;
    let barred = Barred {
        process: leg.holder,
        leg: leg.number,
        request,
        and_older: false,
    };
    next.takeovers.remember(barred, most);
    Ok(Transition {
        effect: leg.number,
        writes: only(next),
    })
}

impl Word {
    fn outcome(self) -> Outcome {
        match self {
            Self::Done => Outcome::Done,
            Self::NotDone => Outcome::NotDone,
        }
    }
}

/// Settles an unknown step, as left by this attempt, on the owner's word. Delegates cannot.
///
/// # Errors
/// [`Reason::PrincipalDue`] where a user is due whom this node cannot see, [`Reason::Unknown`] for a step that never
/// was, [`Reason::NotUnknown`] for one whose outcome is still open, also to the word that it did not happen while it
/// may still begin, [`Reason::OutcomeDiffers`] where another word was taken before, [`Reason::TokenVoid`] where it was
/// tried again since.
pub(super) fn resolve(
    lineage: &Lineage,
    orderer: &impl Orderer,
    (number, fence, word): (StepNumber, Fence, Word),
    now: &Now<'_>,
) -> Result<Transition<StepState>, Reason> {
    let task = lineage.known(now)?;
    orderer.giver(task)?;
    let at = task.circumstances(now);
    let step = lineage.written_step(number).ok_or(Reason::Unknown)?;
    // The word was about an earlier attempt.
    if step.fence != fence {
        return Err(Reason::TokenVoid);
    }
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

fn only(task: Task) -> Writes {
    Writes {
        task: Some(task),
        ..Writes::default()
    }
}
