//! Spending a child grant: the `create` that makes a task of it.

use super::create::AskCreate;
use crate::domain::child::ChildGrant;
use crate::domain::denial::Reason;
use crate::domain::evidence::ProcessKey;
use crate::domain::grant::Grant;
use crate::domain::grant::narrow::Beyond;
use crate::domain::lineage::{CreateTerms, Lineage, Now};
use crate::domain::task::{Task, TaskState};

/// The child grant that a create token is asked under, if it is asked under one.
///
/// # Errors
/// [`Reason::RepeatDiffers`] where the request was made before under another one or none, [`Reason::Unknown`]
/// without the role, [`Reason::TakenOver`] for a process that lost a leg of the line.
pub(super) fn asked_under<'a>(
    lineage: &'a Lineage,
    ask: &AskCreate,
) -> Result<Option<&'a ChildGrant>, Reason> {
    let Some((id, spender)) = &ask.child else {
        // INVARIANT: what was asked for under a child grant is never asked for again without it.
        return match lineage.child {
            Some(_) => Err(Reason::RepeatDiffers),
            None => Ok(None),
        };
    };
    let child = lineage.child.as_ref().filter(|child| child.id == *id);
    let child = child.ok_or(Reason::Unknown)?;
    if spender.spiffe_id.as_ref() != Some(&child.spender.spiffe_id) {
        return Err(Reason::Unknown);
    }
    not_barred(lineage, spender.process)?;
    if lineage.id.is_some_and(|earlier| earlier != child.id) {
        return Err(Reason::RepeatDiffers);
    }
    Ok(Some(child))
}

/// What a barred process may not carry out it does not own either, also by a token that it got before.
fn not_barred(lineage: &Lineage, spender: Option<ProcessKey>) -> Result<(), Reason> {
    if spender.is_some_and(|process| lineage.bars(&process)) {
        return Err(Reason::TakenOver);
    }
    Ok(())
}

/// Refuses a child grant that was spent, has ended, or whose line is dead.
pub(super) fn unspent(lineage: &Lineage, child: &ChildGrant, now: &Now<'_>) -> Result<(), Reason> {
    if child.spent_at.is_some() {
        return Err(Reason::Spent);
    }
    if !lineage.child_is_alive(child, now.time) {
        return Err(Reason::Terminal(TaskState::Cancelled));
    }
    Ok(())
}

/// The grant of the task to be: what is asked for, within what the child grant has. What is not said is as
/// there.
///
/// # Errors
/// As [`unspent`], and [`Reason::Narrowing`] for another call, or for more.
pub(super) fn within(
    lineage: &Lineage,
    child: &ChildGrant,
    ask: &AskCreate,
    now: &Now<'_>,
) -> Result<Grant, Reason> {
    unspent(lineage, child, now)?;
    let beyond = |beyond| Reason::Narrowing {
        child: None,
        beyond,
    };
    if !child.call.admits(&ask.call) {
        return Err(beyond(Beyond::Call));
    }
    let most = &child.asked;
    let Some(asked) = &ask.asked else {
        return Ok(most.clone());
    };
    let asked = Grant {
        not_after: asked.not_after.or(most.not_after),
        uses_left: asked.uses_left.or(most.uses_left),
        audience_assurance: asked.audience_assurance.max(most.audience_assurance),
        risk_ceiling: asked.risk_ceiling.min(most.risk_ceiling),
        ..asked.clone()
    };
    asked.within(most, &ask.witnesses).map_err(beyond)?;
    Ok(asked)
}

/// Makes a new task the child of its line, and spends the grant. Its server adds nothing of its own: a child has
/// nothing that its parent has not.
pub(super) fn spend(
    lineage: &Lineage,
    (child, terms): (&ChildGrant, &CreateTerms),
    task: &mut Task,
    now: &Now<'_>,
) -> Result<ChildGrant, Reason> {
    unspent(lineage, child, now)?;
    not_barred(lineage, terms.spender)?;
    if !task.own.permissions.is_empty() {
        return Err(Reason::Grant);
    }
    task.own = Grant::default();
    task.txn = child.txn;
    task.parent = Some(child.parent);
    task.spawned_by = Some(child.maker.clone());
    task.subject = Some(child.subject.clone());
    task.deadline = task.deadline.min(child.ends_at());
    Ok(ChildGrant {
        spent_at: Some(now.time),
        ..child.clone()
    })
}
