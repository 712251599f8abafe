//! `Check`: what a token's audience is told, and the burning of the token.

use super::Presented;
use super::order::{Giver, carry_out};
use crate::domain::claims::{Operation, Subject};
use crate::domain::denial::Reason;
use crate::domain::grant::SeenCall;
use crate::domain::id::{Digest, Fence, SpiffeId, StepNumber};
use crate::domain::input::Input;
use crate::domain::lineage::{Lineage, Now, Transition, Writes};
use crate::domain::order::{Order, Ordered};
use crate::domain::policy::Permit;
use crate::domain::role::{AsAudience, AsOwner, AsServer, Held};
use crate::domain::step::{Purpose, StepState, TokenRecord};
use crate::domain::task::{Task, TaskState};
use crate::domain::time::Time;

/// The answer to an owner's query, cancel or update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerChecked {
    /// The task is cancelled now, by this call.
    Cancelled,
    /// It had ended before; a cancel is acknowledged without change.
    Ended(TaskState),
    /// The owner's order is carried out, by this call. Nothing is to be taken from the request.
    Ordered(Ordered, TaskState),
    /// The task may be read.
    Read(TaskState),
    /// The owner's answer is taken, by this call; what the server waited for is settled.
    Updated(TaskState),
}

/// Lets the owner read. Its first query is written down: from then on the handle is fixed.
///
/// # Errors
/// The first rule that is broken.
pub fn query(
    task: &Task,
    roles: (&Held<AsServer>, &Held<AsOwner>),
    token: Option<&Presented>,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<OwnerChecked>, Reason> {
    let (server, owner) = roles;
    owner_token(task, server, token, Operation::Query, now)?;
    let effect = OwnerChecked::Read(task.state_at(now.time));
    let Some(next) = task.asked_about(owner.delegation.is_some(), now) else {
        return Ok(Transition::unchanged(effect));
    };
    Ok(Transition {
        writes: Writes {
            task: Some(next),
            ..Writes::default()
        },
        effect,
    })
}

/// Cancels: conditional on nothing but "not terminal", so it cannot lose a race.
///
/// # Errors
/// The first rule that is broken.
pub fn cancel(
    lineage: &Lineage,
    roles: (&Held<AsServer>, &Held<AsOwner>),
    token: Option<&Presented>,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<OwnerChecked>, Reason> {
    let task = lineage.known(now)?;
    owner_token(task, roles.0, token, Operation::Cancel, now)?;
    let state = task.state_at(now.time);
    let Some(mut writes) = burn(lineage, token, |purpose| *purpose == Purpose::Cancel, now)? else {
        // Used before: the task is cancelled, or had ended when it was used.
        return Ok(Transition::unchanged(OwnerChecked::Ended(state)));
    };
    if state.is_terminal() {
        return Ok(Transition {
            writes,
            effect: OwnerChecked::Ended(state),
        });
    }
    let mut next = task.clone();
    next.finish(TaskState::Cancelled, now.time);
    writes.task = Some(next);
    Ok(Transition {
        writes,
        effect: OwnerChecked::Cancelled,
    })
}

/// Takes the owner's answer: the task no longer waits for its server. Consent to a step is another matter.
///
/// # Errors
/// [`Reason::Terminal`] after the task's end, else the first rule that is broken.
pub fn update(
    lineage: &Lineage,
    roles: (&Held<AsServer>, &Held<AsOwner>),
    token: Option<&Presented>,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<OwnerChecked>, Reason> {
    let task = lineage.known(now)?;
    owner_token(task, roles.0, token, Operation::Update, now)?;
    task.runnable(now.time)?;
    let process = token.and_then(|token| record_of(lineage, token).ok()?.process);
    lineage.hears(roles.1.delegation, process)?;
    let Some(mut writes) = burn(lineage, token, |purpose| *purpose == Purpose::Update, now)? else {
        let state = task.state_at(now.time);
        return Ok(Transition::unchanged(OwnerChecked::Read(state)));
    };
    let mut next = task.clone();
    next.claimed_at = next.claimed_at.or(Some(now.time));
    next.sees_owner(roles.1.delegation.is_some(), now.time);
    next.wait_on(now.time, |input| !matches!(input, Input::Server(_)));
    let state = next.state_at(now.time);
    let answered = next.inputs.len() < task.inputs.len();
    if next != *task {
        writes.task = Some(next);
    }
    // Nothing was asked, or it was answered before: acknowledged, and no answer is taken.
    let effect = if answered {
        OwnerChecked::Updated(state)
    } else {
        OwnerChecked::Read(state)
    };
    Ok(Transition { writes, effect })
}

/// The record behind this token, where it has one. Its absence is an alarm where one is due.
#[must_use]
pub fn record<'a>(lineage: &'a Lineage, token: &Presented) -> Option<&'a TokenRecord> {
    record_of(lineage, token).ok()
}

/// The order that this token was issued for, if it was for one.
#[must_use]
pub fn ordered<'a>(lineage: &'a Lineage, token: &Presented) -> Option<&'a Order> {
    match &record_of(lineage, token).ok()?.purpose {
        Purpose::Order(order) => Some(order),
        Purpose::Cancel | Purpose::Step(_) | Purpose::Update => None,
    }
}

/// Carries out what the owner ordered, now that its server has seen the user, and burns the token.
///
/// # Errors
/// The first rule that is broken, those of the order included; then nothing is burned.
pub fn order(
    lineage: &Lineage,
    roles: (&Held<AsServer>, &Held<AsOwner>),
    (token, order): (&Presented, &Order),
    permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<OwnerChecked>, Reason> {
    let task = lineage.known(now)?;
    owner_token(task, roles.0, Some(token), Operation::Update, now)?;
    let is_for = |purpose: &Purpose| matches!(purpose, Purpose::Order(_));
    let Some(burned) = burn(lineage, Some(token), is_for, now)? else {
        let state = task.state_at(now.time);
        return Ok(Transition::unchanged(OwnerChecked::Read(state)));
    };
    let giver = Giver {
        delegation: roles.1.delegation,
        process: record_of(lineage, token)?.process,
    };
    let mut done = carry_out(lineage, &giver, order, permit, now)?;
    done.writes.records.extend(burned.records);
    let mut after = done.writes.task.clone().unwrap_or_else(|| task.clone());
    let state = after.state_at(now.time);
    if !state.is_terminal() {
        after.sees_owner(giver.delegation.is_some(), now.time);
    }
    if after != *task {
        done.writes.task = Some(after);
    }
    Ok(done.map(|ordered| OwnerChecked::Ordered(ordered, state)))
}

/// Burns an owner's token, if there is one; `None` for one that was used before.
fn burn(
    lineage: &Lineage,
    token: Option<&Presented>,
    is_for: impl FnOnce(&Purpose) -> bool,
    now: &Now<'_>,
) -> Result<Option<Writes>, Reason> {
    let mut writes = Writes::default();
    if let Some(token) = token {
        let record = record_of(lineage, token)?;
        if !is_for(&record.purpose) {
            return Err(Reason::TokenInvalid("operation"));
        }
        if record.used_at.is_some() {
            return Ok(None);
        }
        writes.records.push(TokenRecord {
            used_at: Some(now.time),
            ..record.clone()
        });
    }
    Ok(Some(writes))
}

fn owner_token(
    task: &Task,
    server: &Held<AsServer>,
    token: Option<&Presented>,
    operation: Operation,
    now: &Now<'_>,
) -> Result<(), Reason> {
    let Some(token) = token else {
        return Ok(());
    };
    token.check(&[operation], now)?;
    token.names(task.name)?;
    if Some(&token.claims.audience) != server.spiffe_id.as_ref() || token.claims.task != task.id {
        return Err(Reason::TokenInvalid("audience"));
    }
    Ok(())
}

/// The record behind a verified token; its absence is an alarm (invariant 5).
fn record_of<'a>(lineage: &'a Lineage, token: &Presented) -> Result<&'a TokenRecord, Reason> {
    lineage
        .record
        .as_ref()
        .filter(|record| record.jti == token.claims.jti)
        .ok_or(Reason::Alarm)
}

/// The tool was called with what the token says, and nothing else.
fn same_call(token: &Presented, call: &SeenCall) -> Result<(), Reason> {
    let (claims, call) = (&token.claims, &call.call);
    let same = claims.audience == call.audience
        && claims.tool.as_ref() == Some(&call.tool)
        && claims.arguments == Some(call.arguments)
        && claims.definition == call.definition;
    if same {
        Ok(())
    } else {
        Err(Reason::CallDiffers)
    }
}

/// The answer to a step's audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepChecked {
    /// The effect may begin until `act_by`.
    Fresh(Box<FreshStep>),
    /// The token was used before: never an effect.
    Repeat(StepState),
}

/// What a tool needs to act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshStep {
    /// Until when the effect may begin; exclusive.
    pub act_by: Time,
    /// The step.
    pub step: StepNumber,
    /// For the resource to compare.
    pub fence: Fence,
    /// Equal over retries.
    pub idempotency_key: Digest,
    /// On whose authority.
    pub subject: Subject,
    /// Who acts.
    pub performer: SpiffeId,
}

/// A record stands behind a step's token. Asked before policy, which must not hide an alarm.
///
/// # Errors
/// [`Reason::Alarm`] without one; what is wrong with the token's form or times.
pub fn recorded(lineage: &Lineage, token: &Presented, now: &Now<'_>) -> Result<(), Reason> {
    token.check(&[Operation::Retry, Operation::Step], now)?;
    record_of(lineage, token).map(|_record| ())
}

/// Judges a step's token, in the order of the verification list, and burns it.
///
/// # Errors
/// The first rule that is broken; then nothing is burned.
pub fn step(
    lineage: &Lineage,
    audience: &Held<AsAudience>,
    token: &Presented,
    call: &SeenCall,
    (_permit, now): (&Permit, &Now<'_>),
) -> Result<Transition<StepChecked>, Reason> {
    if audience.spiffe_id.as_ref() != Some(&token.claims.audience) {
        return Err(Reason::TokenInvalid("audience"));
    }
    token.check(&[Operation::Retry, Operation::Step], now)?;
    same_call(token, call)?;
    let task = lineage.task.as_ref().ok_or(Reason::Alarm)?;
    token.names(task.name)?;
    if token.claims.task != task.id {
        return Err(Reason::TokenInvalid("task"));
    }
    let record = record_of(lineage, token)?;
    let Purpose::Step(number) = record.purpose else {
        return Err(Reason::TokenInvalid("operation"));
    };
    if record.audience != token.claims.audience || record.certificate != token.certificate {
        return Err(Reason::Certificate);
    }
    task.runnable(now.time)?;
    let step = lineage.written_step(number).ok_or(Reason::Alarm)?;
    if step.call != call.call && step.fence == record.fence {
        return Err(Reason::CallDiffers);
    }
    if step.fence != record.fence {
        // A newer token of the same step exists. Used before: not done, or there would be none.
        return match record.used_at {
            Some(_) => Ok(Transition::unchanged(StepChecked::Repeat(
                StepState::NotDone,
            ))),
            None => Err(Reason::TokenVoid),
        };
    }
    match step.state_at(&task.circumstances(now)) {
        StepState::Issued => {}
        StepState::Void => return Err(Reason::TokenVoid),
        used @ (StepState::Used | StepState::Done | StepState::NotDone | StepState::Unknown) => {
            return Ok(Transition::unchanged(StepChecked::Repeat(used)));
        }
    }
    let leg = task.live_leg(now.epoch).ok_or(Reason::TokenVoid)?;
    // Under the grant that it was begun under: what it acts on must be what its token says.
    let subject = super::step::lends(task, step.authority, call, now)
        .filter(|subject| *subject == token.claims.subject)
        .ok_or(Reason::Grant)?;
    let ends = [task.lent_until(), task.grant(step.authority).not_after];
    let ends = ends.into_iter().flatten().fold(task.deadline, Ord::min);
    let act_by = now.time.after(now.limits.act_by).min(ends);
    let mut burned = step.clone();
    burned.state = StepState::Used;
    burned.ever_used = true;
    burned.act_by = Some(act_by);
    let effect = StepChecked::Fresh(Box::new(FreshStep {
        act_by,
        step: number,
        fence: record.fence,
        idempotency_key: step.idempotency_key,
        subject,
        performer: leg.performer.clone(),
    }));
    let writes = Writes {
        task: Some(Task {
            pending: Some(burned),
            ..task.clone()
        }),
        records: vec![TokenRecord {
            used_at: Some(now.time),
            ..record.clone()
        }],
        ..Writes::default()
    };
    Ok(Transition { writes, effect })
}
