//! `Report`: what became of an effect. Evidence, accepted also after the task has ended.

use crate::domain::denial::Reason;
use crate::domain::id::Jti;
use crate::domain::lineage::{Lineage, Now, Transition, Writes};
use crate::domain::role::{AsAudience, Held};
use crate::domain::step::{Purpose, Step, StepState};
use crate::domain::task::Task;

/// What an audience reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The effect happened.
    Done,
    /// The effect did not happen and will not.
    NotDone,
    /// The audience cannot tell.
    Unknown,
}

impl Outcome {
    pub(super) fn state(self) -> StepState {
        match self {
            Self::Done => StepState::Done,
            Self::NotDone => StepState::NotDone,
            Self::Unknown => StepState::Unknown,
        }
    }
}

/// Records an outcome for the token record that the lineage holds.
///
/// # Errors
/// [`Reason::Unknown`] without such a record, [`Reason::NotUsed`] before its use,
/// [`Reason::OutcomeDiffers`] after another outcome.
pub fn report(
    lineage: &Lineage,
    audience: &Held<AsAudience>,
    jti: Jti,
    outcome: Outcome,
    now: &Now<'_>,
) -> Result<Transition<StepState>, Reason> {
    let task = lineage.known(now)?;
    let record = lineage
        .record
        .as_ref()
        .filter(|row| row.jti == jti)
        .ok_or(Reason::Unknown)?;
    if audience.spiffe_id.as_ref() != Some(&record.audience) {
        return Err(Reason::Unknown);
    }
    let Purpose::Step(number) = record.purpose else {
        return Err(Reason::Unknown);
    };
    if record.used_at.is_none() {
        return Err(Reason::NotUsed);
    }
    let pending = task.pending.as_ref().filter(|step| step.number == number);
    let settled = lineage.step.as_ref().filter(|step| step.number == number);
    let step = pending.or(settled).ok_or(Reason::Unknown)?;
    // A newer token of the same step means that this one was reported not done.
    let state = if step.fence == record.fence {
        step.state_at(&task.circumstances(now))
    } else {
        StepState::NotDone
    };
    match (state, outcome) {
        (StepState::Used | StepState::Unknown, Outcome::Done | Outcome::NotDone) => {
            settle(task, step, outcome, now)
        }
        (StepState::Used, Outcome::Unknown) => {
            let unknown = Step {
                state: StepState::Unknown,
                ..step.clone()
            };
            let next = Task {
                pending: Some(unknown),
                ..task.clone()
            };
            let writes = Writes {
                task: Some(next),
                ..Writes::default()
            };
            Ok(Transition {
                writes,
                effect: StepState::Unknown,
            })
        }
        (same, outcome) if same == outcome.state() => Ok(Transition::unchanged(same)),
        (_, Outcome::Done | Outcome::NotDone | Outcome::Unknown) => Err(Reason::OutcomeDiffers),
    }
}

pub(super) fn settle(
    task: &Task,
    step: &Step,
    outcome: Outcome,
    now: &Now<'_>,
) -> Result<Transition<StepState>, Reason> {
    let state = outcome.state();
    let mut next = task.clone();
    // One that the task went on past is settled beside whatever is in flight now.
    next.pending = next.pending.filter(|it| it.number != step.number);
    next.open_steps.retain(|number| *number != step.number);
    next.skipped_steps.retain(|it| it.number != step.number);
    if outcome == Outcome::NotDone {
        super::sequence::keep_open(&mut next, step.number, now)?;
    }
    let writes = Writes {
        task: Some(next),
        steps: vec![Step {
            state,
            ..step.clone()
        }],
        ..Writes::default()
    };
    Ok(Transition {
        writes,
        effect: state,
    })
}
