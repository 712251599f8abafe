//! Legs: starting one, taking it up again, losing it.

use crate::domain::denial::Reason;
use crate::domain::id::{Fence, LegNumber, StepNumber, Thumbprint};
use crate::domain::lineage::{Lineage, Now, Transition, Writes};
use crate::domain::policy::Permit;
use crate::domain::role::{AsPerformer, Held, NotHeld};
use crate::domain::step::StepState;
use crate::domain::task::{Leg, Task};
use crate::domain::time::Time;

/// What a performer asks for, and what the agent knows of the leg's present holder.
#[derive(Clone, Copy, Debug)]
pub struct AskStart {
    /// Thumbprint of the leg certificate.
    pub certificate: Thumbprint,
    /// When that certificate ends.
    pub certificate_ends: Time,
    /// Effective user ID of the asking process, for `task list`.
    pub uid: Option<u32>,
    /// Whether the leg that the ledger shows can still be its holder's: the process lives, its lease
    /// or, after a restart of the agent, the re-attachment window has not ended.
    pub holder_may_act: bool,
}

/// What follows from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The leg.
    pub leg: LegNumber,
    /// Its fence: the server shows it in `Finish`.
    pub fence: Fence,
    /// Whether this process had the leg before.
    pub reattached: bool,
    /// The highest step ever issued.
    pub last_step: StepNumber,
    /// Every step that is not done, with its state.
    pub open: Vec<(StepNumber, StepState)>,
    /// When the task stops being runnable.
    pub deadline: Time,
}

/// Starts a leg or takes it up again.
///
/// # Errors
/// [`Reason::Terminal`] to a performer of an ended task, [`Reason::Held`] while another process may act.
pub fn start(
    lineage: &Lineage,
    held: &Held<AsPerformer>,
    ask: &AskStart,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<Started>, Reason> {
    let task = lineage.known(now)?;
    task.runnable(now.time)?;
    if lineage.owner_is_away(now) {
        return Err(Reason::OwnerAway);
    }
    let process = held.process.ok_or(Reason::NotHeld(NotHeld::NotLocal))?;
    if lineage.bars(&process) {
        return Err(Reason::TakenOver);
    }
    let performer = held
        .spiffe_id
        .clone()
        .ok_or(Reason::NotHeld(NotHeld::NoRole))?;
    let mine = held.leg_holder(task).is_some();
    if task.leg.is_some() && !mine && ask.holder_may_act {
        return Err(Reason::Held {
            retry_after: now.limits.held_retry_after,
        });
    }
    let mut next = task.clone();
    let fence = next.raise();
    let kept = task.leg.clone().filter(|_| mine && ask.holder_may_act);
    let leg = if let Some(leg) = kept {
        Leg {
            certificate: ask.certificate,
            certificate_ends: ask.certificate_ends,
            fence,
            epoch: now.epoch,
            ..leg
        }
    } else {
        next.legs = LegNumber(next.legs.0.saturating_add(1));
        Leg {
            number: next.legs,
            performer,
            delegation: held.delegation,
            holder: process,
            uid: ask.uid,
            certificate: ask.certificate,
            certificate_ends: ask.certificate_ends,
            fence,
            epoch: now.epoch,
            started_at: now.time,
        }
    };
    let reattached = task
        .leg
        .as_ref()
        .is_some_and(|earlier| earlier.number == leg.number);
    let number = leg.number;
    next.leg = Some(leg);
    let effect = Started {
        leg: number,
        fence,
        reattached,
        last_step: next.last_step,
        open: open_steps(&next, now),
        deadline: next.deadline,
    };
    Ok(Transition {
        writes: Writes {
            task: Some(next),
            ..Writes::default()
        },
        effect,
    })
}

/// Ends a leg because its process exited, its lease ended or its entitlement was withdrawn.
///
/// Unused tokens die with it; a used one goes on to its `act_by`. Nothing happens if the leg is not
/// the task's any more.
#[must_use]
pub fn lose(task: &Task, leg: LegNumber) -> Transition<bool> {
    match &task.leg {
        Some(current) if current.number == leg => {
            let next = Task {
                leg: None,
                ..task.clone()
            };
            Transition {
                writes: Writes {
                    task: Some(next),
                    ..Writes::default()
                },
                effect: true,
            }
        }
        Some(_) | None => Transition::unchanged(false),
    }
}

/// Every step that is not done, in order.
fn open_steps(task: &Task, now: &Now<'_>) -> Vec<(StepNumber, StepState)> {
    let mut open: Vec<_> = task
        .open_steps
        .iter()
        .map(|number| (*number, StepState::NotDone))
        .collect();
    let skipped = task.skipped_steps.iter();
    open.extend(skipped.map(|it| (it.number, StepState::Unknown)));
    if let Some((step, state)) = task.pending_at(now) {
        open.push((step.number, state));
    }
    open.sort_unstable();
    open.dedup_by_key(|(number, _)| *number);
    open
}
