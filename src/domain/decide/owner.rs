//! Tokens for an owner's query, cancel and update, and for its orders where it acts for a user.

use super::order::{Giver, carry_out, form};
use crate::domain::claims::{Operation, Subject, TokenClaims};
use crate::domain::denial::Reason;
use crate::domain::id::{Fence, Jti, Thumbprint};
use crate::domain::lineage::{Lineage, Now, Transition, Writes};
use crate::domain::order::{Asked, Order, Ordered};
use crate::domain::policy::Permit;
use crate::domain::role::{AsOwnerPrincipalDue, Held};
use crate::domain::step::{Purpose, TokenRecord};
use crate::domain::task::Task;
use crate::domain::time::Time;

/// What an owner asks for.
#[derive(Clone, Copy, Debug)]
pub struct AskOwner {
    /// The token's `jti`.
    pub jti: Jti,
    /// Thumbprint of the owner's hand certificate.
    pub certificate: Thumbprint,
    /// When that certificate ends.
    pub certificate_ends: Time,
}

/// Issues a query token: read only, short, without a record of its own. The first one is written down as the
/// owner's claim of the task.
///
/// # Errors
/// [`Reason::Unknown`] for an owner that is a principal alone (it asks through its server).
pub fn issue_query(
    lineage: &Lineage,
    held: &Held<AsOwnerPrincipalDue>,
    ask: &AskOwner,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<TokenClaims>, Reason> {
    let task = lineage.known(now)?;
    let expires_at = now
        .time
        .after(now.limits.query_ttl)
        .min(ask.certificate_ends);
    let claims = claims(
        task,
        held,
        ask,
        (Operation::Query, Fence(0), expires_at),
        now,
    )?;
    // Whoever asks about the task has its handle: from now on that is fixed.
    let Some(next) = task.asked_about(is_not_seen(task, held), now) else {
        return Ok(Transition::unchanged(claims));
    };
    let writes = Writes {
        task: Some(next),
        ..Writes::default()
    };
    Ok(Transition {
        writes,
        effect: claims,
    })
}

/// Whether this says nothing of the owner: it is a delegate, or a user is due whom only the server can see.
fn is_not_seen(task: &Task, held: &Held<AsOwnerPrincipalDue>) -> bool {
    held.delegation.is_some() || held.due(task).is_some()
}

/// Issues a cancel token. A task that has ended gets one too: its use is acknowledged without change.
///
/// # Errors
/// [`Reason::Limit`] after too many of them within the life of a token.
pub fn issue_cancel(
    lineage: &Lineage,
    held: &Held<AsOwnerPrincipalDue>,
    ask: &AskOwner,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<TokenClaims>, Reason> {
    let task = lineage.known(now)?;
    effectful(task, held, ask, (Operation::Cancel, Purpose::Cancel), now)
}

/// Issues an update token: for one answer to what the task waits for, now or by the time of its use.
///
/// # Errors
/// [`Reason::Terminal`] after the task's end, [`Reason::Limit`] as for a cancel token, [`Reason::TakenOver`] to a
/// delegate that lost a leg of the line.
pub fn issue_update(
    lineage: &Lineage,
    held: &Held<AsOwnerPrincipalDue>,
    ask: &AskOwner,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<TokenClaims>, Reason> {
    let task = lineage.known(now)?;
    task.runnable(now.time)?;
    lineage.hears(held.delegation, held.process)?;
    effectful(task, held, ask, (Operation::Update, Purpose::Update), now)
}

/// The answer to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderAnswered {
    /// It is carried out, now or before.
    Done(Ordered),
    /// Good for one `update` at the server: its use carries the order out.
    Token(Box<TokenClaims>),
}

/// Issues a token for an order of an owner that acts for a user. What it would come to is judged now, so that
/// whoever asks for too much hears it at once, and again when the token is used.
///
/// # Errors
/// As [`form`] and [`carry_out`]; [`Reason::Limit`] as for a cancel token: see `weight`.
pub fn issue_order(
    lineage: &Lineage,
    held: &Held<AsOwnerPrincipalDue>,
    (asked, ask): (&Asked, &AskOwner),
    permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<OrderAnswered>, Reason> {
    let task = lineage.known(now)?;
    let giver = Giver {
        delegation: held.delegation,
        process: held.process,
    };
    let order = form(lineage, &giver, asked, now)?;
    let would = carry_out(lineage, &giver, &order, permit, now)?;
    if would.writes.is_empty() {
        return Ok(Transition::unchanged(OrderAnswered::Done(would.effect)));
    }
    let step = order.step();
    let purpose = Purpose::Order(Box::new(order));
    let mut issued = effectful(task, held, ask, (Operation::Update, purpose), now)?;
    // So that the server's agent finds the row of the step that is to be settled.
    issued.effect.step = step;
    Ok(issued.map(|claims| OrderAnswered::Token(Box::new(claims))))
}

/// How many of a task's owner tokens one with this purpose counts for, and how many there may be with it. Delegates
/// leave half to the owner, whatever they ask for; whatever else the owner asks for leaves it a quarter to cancel and
/// to take back with. What is handed over is kept whole in its token's record, so there are no more of those than of
/// delegations.
fn weight(purpose: &Purpose, of_delegate: bool, now: &Now<'_>) -> (u32, u32) {
    let all = now.limits.owner_tokens_max;
    let half = all.saturating_sub(all.div_ceil(2));
    let three_quarters = all.saturating_sub(all.div_ceil(4));
    let delegations = u32::try_from(now.limits.delegations_max).unwrap_or(u32::MAX);
    let (weight, takes_away) = match purpose {
        Purpose::Cancel => (1, true),
        Purpose::Order(order) if matches!(**order, Order::Delegate(_)) => {
            (three_quarters.div_ceil(delegations.max(1)).max(1), false)
        }
        Purpose::Order(order) => (1, order.takes_away()),
        Purpose::Step(_) | Purpose::Update => (1, false),
    };
    let most = match (of_delegate, takes_away) {
        (true, _) => half,
        (false, false) => three_quarters,
        (false, true) => all,
    };
    (weight, most)
}

fn effectful(
    task: &Task,
    held: &Held<AsOwnerPrincipalDue>,
    ask: &AskOwner,
    (operation, purpose): (Operation, Purpose),
    now: &Now<'_>,
) -> Result<Transition<TokenClaims>, Reason> {
    let mut next = task.clone();
    // A claim that comes after the end is none: it would undo the end that its absence was.
    if !task.state_at(now.time).is_terminal() {
        next.claimed_at = next.claimed_at.or(Some(now.time));
        next.sees_owner(is_not_seen(task, held), now.time);
    }
    // Counted by the life of a token: an owner whose server is down for a day can still cancel after it.
    if now
        .time
        .reached(task.owner_tokens_from.after(now.limits.token_ttl))
    {
        next.owner_tokens = 0;
        next.owner_tokens_from = now.time;
    }
    let (weight, most) = weight(&purpose, held.delegation.is_some(), now);
    next.owner_tokens = next.owner_tokens.saturating_add(weight);
    if next.owner_tokens > most {
        return Err(Reason::Limit("tasks.owner_tokens_max"));
    }
    let fence = next.raise();
    let expires_at = now
        .time
        .after(now.limits.token_ttl)
        .min(ask.certificate_ends);
    let claims = claims(task, held, ask, (operation, fence, expires_at), now)?;
    let record = TokenRecord {
        task: task.id,
        fence,
        jti: ask.jti,
        purpose,
        delegation: held.delegation,
        process: held.process,
        audience: task.server.spiffe_id.clone(),
        certificate: ask.certificate,
        expires_at,
        used_at: None,
    };
    let writes = Writes {
        task: Some(next),
        records: vec![record],
        ..Writes::default()
    };
    Ok(Transition {
        writes,
        effect: claims,
    })
}

fn claims(
    task: &Task,
    held: &Held<AsOwnerPrincipalDue>,
    ask: &AskOwner,
    (operation, fence, expires_at): (Operation, Fence, Time),
    now: &Now<'_>,
) -> Result<TokenClaims, Reason> {
    let actor = held.spiffe_id.clone().ok_or(Reason::Unknown)?;
    let owner = task.owner.workload.as_ref().ok_or(Reason::Unknown)?;
    Ok(TokenClaims {
        // A delegate acts on the owner's authority, never on its own.
        subject: Subject::Workload(owner.spiffe_id.clone()),
        actor,
        audience: task.server.spiffe_id.clone(),
        issued_at: now.time,
        expires_at,
        jti: ask.jti,
        txn: task.txn,
        task: task.id,
        certificate: ask.certificate,
        operation,
        tool: None,
        arguments: None,
        definition: None,
        name: Some(task.name),
        fence,
        step: None,
        epoch: now.epoch,
    })
}
