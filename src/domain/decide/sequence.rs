//! The order of a task's steps: one at a time, each after those before it.

use super::step::AskStep;
use crate::domain::claims::Operation;
use crate::domain::denial::Reason;
use crate::domain::id::StepNumber;
use crate::domain::lineage::{Now, Writes};
use crate::domain::step::{Skipped, Step, StepState};
use crate::domain::task::Task;

/// The other step that this one would go on past: its outcome is unknown.
#[must_use]
pub fn passes_over<'a>(task: &'a Task, number: StepNumber, now: &Now<'_>) -> Option<&'a Step> {
    task.pending_at(now)
        .filter(|(step, state)| step.number != number && *state == StepState::Unknown)
        .map(|(step, _)| step)
}

/// Refuses while nobody knows how some step ended, also one that the task went on past: a child could be made for the
/// very call whose effect nobody knows.
pub(super) fn all_known(task: &Task, now: &Now<'_>) -> Result<(), Reason> {
    // No step has the number 0: none is left out.
    let pending = passes_over(task, StepNumber(0), now);
    if pending.is_some() || !task.skipped_steps.is_empty() {
        return Err(Reason::StepUnknown);
    }
    Ok(())
}

/// Refuses the call of another step that the task went on past: under whatever number, it would be a blind retry.
pub(super) fn not_skipped(task: &Task, ask: &AskStep) -> Result<(), Reason> {
    let mut skipped = task.skipped_steps.iter();
    let another = |it: &Skipped| it.number != ask.number && it.call.does_as(&ask.call.call);
    if skipped.any(another) {
        return Err(Reason::StepUnknown);
    }
    Ok(())
}

/// A step that was never issued: `last + 1`, and nothing else in flight or unknown.
pub(super) fn next_in_order(
    task: &Task,
    ask: &AskStep,
    now: &Now<'_>,
) -> Result<Operation, Reason> {
    let number = ask.number;
    if number.0 == 0 || number.0 > task.last_step.0.saturating_add(1) {
        return Err(Reason::StepOutOfOrder);
    }
    if number.0 > now.limits.steps_max {
        return Err(Reason::Limit("tasks.steps_max"));
    }
    idle(task, ask, now)?;
    Ok(Operation::Step)
}

/// Refuses while another step is in flight, or unknown where policy does not let the task go on past it.
pub(super) fn idle(task: &Task, ask: &AskStep, now: &Now<'_>) -> Result<(), Reason> {
    match task.pending_at(now) {
        Some((step, _)) if step.number == ask.number => Ok(()),
        // The same call under another number would be the blind retry that an unknown step forbids.
        Some((step, StepState::Unknown))
            if ask.skip_unknown.is_some() && !step.call.does_as(&ask.call.call) =>
        {
            Ok(())
        }
        Some((_, StepState::Issued | StepState::Used)) => Err(Reason::StepInFlight),
        Some((_, StepState::Unknown)) => Err(Reason::StepUnknown),
        Some((_, StepState::Done | StepState::NotDone | StepState::Void)) | None => Ok(()),
    }
}

/// Moves another pending step, settled or passed over, into its own row, to make room for this one.
pub(super) fn set_aside(
    task: &mut Task,
    number: StepNumber,
    writes: &mut Writes,
    now: &Now<'_>,
) -> Result<(), Reason> {
    let at = task.circumstances(now);
    let Some(mut aside) = task.pending.take().filter(|step| step.number != number) else {
        return Ok(());
    };
    aside.state = aside.state_at(&at);
    match aside.state {
        StepState::Done => {}
        StepState::Unknown => {
            has_room(task, now)?;
            task.skipped_steps.push(Skipped {
                number: aside.number,
                call: aside.call.clone(),
            });
        }
        StepState::Issued | StepState::NotDone | StepState::Used | StepState::Void => {
            keep_open(task, aside.number, now)?;
        }
    }
    writes.steps.push(aside);
    Ok(())
}

/// Notes that a step is neither done nor pending.
///
/// # Errors
/// [`Reason::Limit`] when too many are.
pub(super) fn keep_open(task: &mut Task, number: StepNumber, now: &Now<'_>) -> Result<(), Reason> {
    if !task.open_steps.contains(&number) {
        has_room(task, now)?;
        task.open_steps.push(number);
    }
    Ok(())
}

/// Refuses when too many steps are neither done nor pending.
fn has_room(task: &Task, now: &Now<'_>) -> Result<(), Reason> {
    let open = task
        .open_steps
        .len()
        .saturating_add(task.skipped_steps.len());
    if open >= now.limits.open_steps_max {
        return Err(Reason::Limit("tasks.open_steps_max"));
    }
    Ok(())
}
