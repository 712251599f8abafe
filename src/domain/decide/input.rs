//! Waiting for the owner's answer, as the server asks for it.

use crate::domain::denial::Reason;
use crate::domain::id::Fence;
use crate::domain::input::Input;
use crate::domain::lineage::{Now, Transition, Writes};
use crate::domain::policy::Permit;
use crate::domain::role::{AsServer, Held};
use crate::domain::task::{Task, TaskState};

/// Makes the task wait for these answers, besides what it waits for already. A step in flight goes on.
///
/// # Errors
/// [`Reason::Terminal`] after its end, [`Reason::Fence`] with another fence than the live leg's,
/// [`Reason::Limit`] for too many.
pub fn require(
    task: &Task,
    _held: &Held<AsServer>,
    (keys, leg_fence): (&[String], Option<Fence>),
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<TaskState>, Reason> {
    task.runnable(now.time)?;
    if let Some(leg) = &task.leg
        && leg_fence != Some(leg.fence)
    {
        return Err(Reason::Fence);
    }
    let mut next = task.clone();
    for key in keys {
        let input = Input::Server(key.clone());
        if !next.inputs.contains(&input) {
            next.wait_for(input, now.time);
        }
    }
    if next.inputs.len() > now.limits.inputs_max {
        return Err(Reason::Limit("limits.inputs"));
    }
    let state = next.state_at(now.time);
    if next == *task {
        return Ok(Transition::unchanged(state));
    }
    Ok(Transition {
        writes: Writes {
            task: Some(next),
            ..Writes::default()
        },
        effect: state,
    })
}
