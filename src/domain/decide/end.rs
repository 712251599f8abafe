//! How tasks end: by their server, their leg holder, an operator, or a clock.

use crate::domain::child::ChildGrant;
use crate::domain::denial::Reason;
use crate::domain::id::{Fence, LegNumber};
use crate::domain::lineage::{Lineage, Now, Transition, Writes};
use crate::domain::policy::Permit;
use crate::domain::role::{AsPerformer, AsServer, Held};
use crate::domain::step::StepState;
use crate::domain::task::{Task, TaskState};

/// How a server or leg holder ends a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// It went well.
    Completed,
    /// It went badly.
    Failed,
}

impl Ending {
    fn state(self) -> TaskState {
        match self {
            Self::Completed => TaskState::Completed,
            Self::Failed => TaskState::Failed,
        }
    }
}

/// Finishes a task as its server; with the fence of the last `Start` while a leg lives.
///
/// # Errors
/// [`Reason::Fence`] with another fence, [`Reason::Terminal`] after another end: the first wins.
pub fn finish(
    task: &Task,
    _held: &Held<AsServer>,
    (ending, leg_fence): (Ending, Option<Fence>),
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<TaskState>, Reason> {
    if let Some(done) = ended(task, ending, now)? {
        return Ok(done);
    }
    if let Some(leg) = &task.leg
        && leg_fence != Some(leg.fence)
    {
        return Err(Reason::Fence);
    }
    Ok(end_with(task, ending.state(), now))
}

/// How a performer ends its leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LegEnding {
    /// The leg ends and the task with it.
    Task(Ending),
    /// The leg ends; another performer may go on.
    Yielded,
}

/// Ends the caller's leg, and the task if the ending is final, in one commit.
///
/// # Errors
/// [`Reason::NoLeg`] or [`Reason::ReattachFirst`]; for `Completed` also [`Reason::StepInFlight`] or
/// [`Reason::StepUnknown`] while an effect may still be happening or nobody knows; [`Reason::Grant`] for a delegate
/// that was lent a part, which can only yield.
pub fn end(
    task: &Task,
    held: &Held<AsPerformer>,
    (leg, ending): (LegNumber, LegEnding),
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<TaskState>, Reason> {
    if let LegEnding::Task(ending) = ending
        && let Some(done) = ended(task, ending, now)?
    {
        return Ok(done);
    }
    task.runnable(now.time)?;
    super::step::own_leg(task, held, leg, now)?;
    match ending {
        LegEnding::Yielded => {
            let next = Task {
                leg: None,
                ..task.clone()
            };
            let writes = Writes {
                task: Some(next),
                ..Writes::default()
            };
            Ok(Transition {
                writes,
                effect: task.state_at(now.time),
            })
        }
        // Whoever was lent a part of the work gives it back; the task is not its to end.
        LegEnding::Task(_) if task.lent_a_part() => Err(Reason::Grant),
        LegEnding::Task(ending) => {
            if ending == Ending::Completed {
                match task.pending_at(now) {
                    Some((_, StepState::Used)) => return Err(Reason::StepInFlight),
                    Some((_, StepState::Unknown)) => return Err(Reason::StepUnknown),
                    Some((
                        _,
                        StepState::Done | StepState::Issued | StepState::NotDone | StepState::Void,
                    ))
                    | None => {}
                }
            }
            Ok(end_with(task, ending.state(), now))
        }
    }
}

/// Ends a task on an operator's word; cannot lose a race.
#[must_use]
pub fn revoke(task: &Task, now: &Now<'_>) -> Transition<TaskState> {
    let state = task.state_at(now.time);
    if state.is_terminal() {
        return Transition::unchanged(state);
    }
    end_with(task, TaskState::Cancelled, now)
}

/// Ends a child grant on an operator's word, before a task is made of it: none is from then on. What was cut out
/// for it does not flow back.
#[must_use]
pub fn revoke_child(rows: &Lineage, child: &ChildGrant, now: &Now<'_>) -> Transition<TaskState> {
    let mut children = Vec::new();
    if rows.child_is_alive(child, now.time) {
        children.push(ChildGrant {
            revoked_at: Some(now.time),
            ..child.clone()
        });
    }
    Transition {
        writes: Writes {
            children,
            ..Writes::default()
        },
        effect: TaskState::Cancelled,
    }
}

/// Writes down what the clock, or the line of a task, has already decided. Takes the rows as they are.
#[must_use]
pub fn sweep(rows: &Lineage, now: &Now<'_>) -> Transition<TaskState> {
    let Some(written) = &rows.task else {
        return Transition::unchanged(TaskState::Expired);
    };
    let seen = rows.as_of(now.time);
    let task = seen.task.as_ref().unwrap_or(written);
    let state = task.state_at(now.time);
    if state == written.state && written.inputs.iter().all(|it| it.is_open(now.time)) {
        return Transition::unchanged(state);
    }
    // It ended at its moment, however late that is written: retention counts from there.
    let mut next = task.clone();
    match task.ended_by(now.time) {
        Some(at) => next.finish(state, at.min(now.time)),
        // Only what it waited for has lapsed.
        None => next.wait_on(now.time, |_| true),
    }
    Transition {
        writes: Writes {
            task: Some(next),
            ..Writes::default()
        },
        effect: state,
    }
}

/// A repeat of the same ending is fine; another one comes too late.
fn ended(
    task: &Task,
    ending: Ending,
    now: &Now<'_>,
) -> Result<Option<Transition<TaskState>>, Reason> {
    let state = task.state_at(now.time);
    if state == ending.state() {
        return Ok(Some(Transition::unchanged(state)));
    }
    task.runnable(now.time).map(|()| None)
}

fn end_with(task: &Task, state: TaskState, now: &Now<'_>) -> Transition<TaskState> {
    let mut next = task.clone();
    next.finish(state, now.time);
    Transition {
        writes: Writes {
            task: Some(next),
            ..Writes::default()
        },
        effect: state,
    }
}
