//! Tokens for steps.

use super::sequence;
use crate::domain::claims::{Operation, Subject, TokenClaims};
use crate::domain::denial::Reason;
use crate::domain::grant::{Authority, SeenCall};
use crate::domain::id::{ApprovalId, Digest, Fence, Jti, LegNumber, StepNumber};
use crate::domain::input::Input;
use crate::domain::lineage::{Lineage, Now, Transition, Writes};
use crate::domain::policy::{Action, Permit};
use crate::domain::role::{AsPerformer, Held};
use crate::domain::step::{Purpose, Step, StepState, TokenRecord};
use crate::domain::task::{Leg, Task, TaskState};
use crate::domain::time::Time;

/// What the holder of a leg asks for.
#[derive(Clone, Debug)]
pub struct AskStep {
    /// The leg, as `Start` named it.
    pub leg: LegNumber,
    /// The place of the effect in the worker's program.
    pub number: StepNumber,
    /// What is to be called.
    pub call: SeenCall,
    /// H(task, number, audience, tool, arguments).
    pub idempotency_key: Digest,
    /// Keyed digest of the calling process and its `request_id`.
    pub request: Digest,
    /// The token's `jti`.
    pub jti: Jti,
    /// Policy's yes to going on past another step whose outcome nobody knows ([`sequence::passes_over`]).
    pub skip_unknown: Option<Permit>,
}

/// What follows from asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepAsked {
    /// Sign this token.
    Issue {
        /// What it says.
        claims: Box<TokenClaims>,
        /// Equal over retries.
        idempotency_key: Digest,
    },
    /// A person is asked first; until the decision there is no token.
    Pending {
        /// The request for approval.
        id: ApprovalId,
        /// Until when somebody may decide.
        decide_by: Time,
    },
    /// The step needs no token: what became of it.
    Repeat(StepState),
}

/// What the rules say to a step before policy is asked, or a person.
#[derive(Clone, Debug)]
pub enum Ready<'a> {
    /// It needs no token.
    Repeat(StepState),
    /// It may have one.
    Token(Due<'a>),
}

/// The token that a step may have.
#[derive(Clone, Debug)]
pub struct Due<'a> {
    /// The caller's leg.
    pub leg: &'a Leg,
    /// Step or retry.
    pub operation: Operation,
    /// On whose authority.
    pub subject: Subject,
    /// The grant that permits it.
    pub authority: Authority,
    /// Whether it is begun now, which spends a use of that grant.
    pub begins: bool,
    /// Whether any token of it was ever used.
    pub ever_used: bool,
}

/// Under which of the task's grants a call is permitted now: the owner's first, else the server's own.
#[must_use]
pub fn authority(task: &Task, call: &SeenCall, now: &Now<'_>) -> Option<Authority> {
    [Authority::Asked, Authority::Own]
        .into_iter()
        .find(|authority| lends(task, *authority, call, now).is_some())
}

/// Under which of the task's grants a step is, or would be. Once used, it stays under the one that it was begun
/// under.
///
/// # Errors
/// [`Reason::Grant`] where neither permits it.
pub fn begun_under(
    lineage: &Lineage,
    task: &Task,
    number: StepNumber,
    call: &SeenCall,
    now: &Now<'_>,
) -> Result<Authority, Reason> {
    match earlier(lineage, task, number, now) {
        Some((step, _)) if step.ever_used => Ok(step.authority),
        Some(_) | None => authority(task, call, now).ok_or(Reason::Grant),
    }
}

/// On whose authority this grant of the task permits the call now.
pub(super) fn lends(
    task: &Task,
    authority: Authority,
    call: &SeenCall,
    now: &Now<'_>,
) -> Option<Subject> {
    task.subject(authority).filter(|_| {
        task.grant(authority).permits(call, now) && task.delegation_admits(authority, call)
    })
}

/// Whether asking for this step is a step or a retry, for policy.
#[must_use]
pub fn action(lineage: &Lineage, task: &Task, number: StepNumber, now: &Now<'_>) -> Action {
    match earlier(lineage, task, number, now) {
        Some((step, _)) if step.ever_used => Action::Retry,
        Some(_) | None => Action::Step,
    }
}

/// The step of this number as it stands, pending or settled.
fn earlier<'a>(
    lineage: &'a Lineage,
    task: &'a Task,
    number: StepNumber,
    now: &Now<'_>,
) -> Option<(&'a Step, StepState)> {
    task.pending_at(now)
        .filter(|(step, _)| step.number == number)
        .or_else(|| {
            let at = task.circumstances(now);
            lineage
                .step
                .as_ref()
                .filter(|step| step.number == number)
                .map(|step| (step, step.state_at(&at)))
        })
}

/// Judges a step by everything but policy and a person's consent.
///
/// # Errors
/// As [`issue`], but for [`Reason::InputRequired`].
pub fn ready<'a>(
    lineage: &'a Lineage,
    held: &Held<AsPerformer>,
    ask: &AskStep,
    now: &Now<'_>,
) -> Result<Ready<'a>, Reason> {
    let task = lineage.known(now)?;
    task.runnable(now.time)?;
    let leg = own_leg(task, held, ask.leg, now)?;
    if lineage.owner_is_away(now) {
        return Err(Reason::OwnerAway);
    }
    if ask.skip_unknown.is_some() && leg.delegation.is_some() {
        // An effect of the task's own is not a delegate's to pass over.
        return Err(Reason::Grant);
    }
    if now.time.reached(leg.certificate_ends) {
        // A leg outlives its certificate: start again with a new one.
        return Err(Reason::ReattachFirst);
    }
    let before = earlier(lineage, task, ask.number, now);
    let authority = begun_under(lineage, task, ask.number, &ask.call, now)?;
    let subject = lends(task, authority, &ask.call, now).ok_or(Reason::Grant)?;
    let operation = match before {
        None => sequence::next_in_order(task, ask, now)?,
        Some((step, state)) => match again(task, ask, (step, state), now)? {
            Some(operation) => operation,
            None => return Ok(Ready::Repeat(state)),
        },
    };
    // After what is done, or not to be had anyway: a program that starts over is told so of each of its steps.
    sequence::not_skipped(task, ask)?;
    Ok(Ready::Token(Due {
        leg,
        operation,
        subject,
        authority,
        begins: before.is_none_or(|(step, _)| step.authority != authority),
        ever_used: before.is_some_and(|(step, _)| step.ever_used),
    }))
}

/// Issues a token for a step, or says what became of it.
///
/// # Errors
/// See `STATES`: no leg, re-attachment due, another step in flight or unknown, wrong order, other
/// arguments than an earlier used token, outside both grants, or a limit.
pub fn issue(
    lineage: &Lineage,
    held: &Held<AsPerformer>,
    ask: &AskStep,
    permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<StepAsked>, Reason> {
    issue_until(lineage, held, ask, permit, (now, None))
}

/// As [`issue`], with a token that ends by this time.
///
/// # Errors
/// As [`issue`].
pub(super) fn issue_until(
    lineage: &Lineage,
    held: &Held<AsPerformer>,
    ask: &AskStep,
    _permit: &Permit,
    (now, until): (&Now<'_>, Option<Time>),
) -> Result<Transition<StepAsked>, Reason> {
    let task = lineage.known(now)?;
    let token = match ready(lineage, held, ask, now)? {
        Ready::Repeat(state) => return Ok(Transition::unchanged(StepAsked::Repeat(state))),
        Ready::Token(token) => token,
    };
    let (leg, authority) = (token.leg, token.authority);
    let mut next = task.clone();
    // What a person is still being asked about this step is of no account: it needs no consent any more.
    next.wait_on(
        now.time,
        |input| !matches!(input, Input::Approval { id, .. } if id.step == ask.number),
    );
    if next.state_at(now.time) == TaskState::InputRequired {
        return Err(Reason::InputRequired);
    }
    let mut writes = Writes::default();
    sequence::set_aside(&mut next, ask.number, &mut writes, now)?;
    if token.begins {
        let spent = next.grant_mut(authority).spend_use();
        spent.map_err(|_exhausted| Reason::Budget("uses"))?;
    }
    let fence = next.raise();
    let expires_at = [
        Some(leg.certificate_ends),
        Some(task.deadline),
        task.grant(authority).not_after,
        task.lent_until(),
        until,
    ]
    .into_iter()
    .flatten()
    .fold(now.time.after(now.limits.token_ttl), Ord::min);
    next.last_step = next.last_step.max(ask.number);
    next.open_steps.retain(|number| *number != ask.number);
    next.pending = Some(Step {
        number: ask.number,
        call: ask.call.call.clone(),
        authority,
        idempotency_key: ask.idempotency_key,
        fence,
        state: StepState::Issued,
        ever_used: token.ever_used,
        leg: leg.number,
        epoch: now.epoch,
        expires_at,
        act_by: None,
        request: ask.request,
    });
    writes.records.push(TokenRecord {
        task: task.id,
        fence,
        jti: ask.jti,
        purpose: Purpose::Step(ask.number),
        delegation: None,
        process: None,
        audience: ask.call.call.audience.clone(),
        certificate: leg.certificate,
        expires_at,
        used_at: None,
    });
    writes.task = Some(next);
    let claims = claims(task, ask, token, (fence, expires_at), now);
    let effect = StepAsked::Issue {
        claims: Box::new(claims),
        idempotency_key: ask.idempotency_key,
    };
    Ok(Transition { writes, effect })
}

/// What asking again for a step is; `None` where it needs no token.
fn again(
    task: &Task,
    ask: &AskStep,
    (step, state): (&Step, StepState),
    now: &Now<'_>,
) -> Result<Option<Operation>, Reason> {
    if step.ever_used && step.call != ask.call.call {
        return Err(Reason::StepDiffers);
    }
    match state {
        StepState::Done | StepState::Used => return Ok(None),
        StepState::Unknown => return Err(Reason::StepUnknown),
        // The answer was lost: the old token dies by the higher fence.
        StepState::Issued if step.request == ask.request => {}
        StepState::Issued => return Err(Reason::StepInFlight),
        StepState::Void | StepState::NotDone => sequence::idle(task, ask, now)?,
    }
    // Once used, whatever follows is a retry, also where its own token was lost.
    Ok(Some(if step.ever_used {
        Operation::Retry
    } else {
        Operation::Step
    }))
}

/// What the token of this step says.
fn claims(
    task: &Task,
    ask: &AskStep,
    token: Due<'_>,
    (fence, expires_at): (Fence, Time),
    now: &Now<'_>,
) -> TokenClaims {
    TokenClaims {
        subject: token.subject,
        actor: token.leg.performer.clone(),
        audience: ask.call.call.audience.clone(),
        issued_at: now.time,
        expires_at,
        jti: ask.jti,
        txn: task.txn,
        task: task.id,
        certificate: token.leg.certificate,
        operation: token.operation,
        tool: Some(ask.call.call.tool.clone()),
        arguments: Some(ask.call.call.arguments),
        definition: ask.call.call.definition,
        name: Some(task.name),
        fence,
        step: Some(ask.number),
        epoch: now.epoch,
    }
}

/// The caller's own live leg.
///
/// # Errors
/// [`Reason::NoLeg`], or [`Reason::ReattachFirst`] after a restart of the agent.
pub fn own_leg<'a>(
    task: &'a Task,
    held: &Held<AsPerformer>,
    number: LegNumber,
    now: &Now<'_>,
) -> Result<&'a Leg, Reason> {
    let leg = task
        .leg
        .as_ref()
        .filter(|leg| leg.number == number)
        .ok_or(Reason::NoLeg)?;
    held.leg_holder(task).ok_or(Reason::NoLeg)?;
    if leg.epoch != now.epoch {
        return Err(Reason::ReattachFirst);
    }
    Ok(leg)
}
