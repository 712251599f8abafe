//! Fanning out: a leg holder cuts child grants out of its task's grant, all in one commit.

use crate::domain::child::{ChildGrant, Spawned};
use crate::domain::claims::Subject;
use crate::domain::denial::Reason;
use crate::domain::grant::Authority;
use crate::domain::grant::narrow::{Beyond, ChildTerms};
use crate::domain::id::{Digest, LegNumber, SpiffeId, TaskId};
use crate::domain::lineage::{Lineage, Now, Transition, Writes};
use crate::domain::policy::Permit;
use crate::domain::role::{AsPerformer, Held, Role};
use crate::domain::task::{Leg, Task, TaskState};

/// One child that a leg holder asks for.
#[derive(Clone, Debug)]
pub struct AskChild {
    /// The identifier minted for the task to be.
    pub id: TaskId,
    /// What it shall have.
    pub terms: ChildTerms,
    /// Who shall spend it; `None` is the performer that asks.
    pub spender: Option<Role>,
}

/// What a leg holder asks for.
#[derive(Clone, Debug)]
pub struct AskSpawn {
    /// The leg, as `Start` named it.
    pub leg: LegNumber,
    /// The children, in order.
    pub children: Vec<AskChild>,
    /// Keyed digest of the calling process and its `request_id`.
    pub request: Digest,
    /// SHA-256 of what is asked.
    pub asked: Digest,
}

/// The children of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// Their identifiers, in the order in which they were asked for.
    pub ids: Vec<TaskId>,
    /// Whether the request was answered before.
    pub repeat: bool,
}

/// Under which of the task's grants a child would be: the first that covers all that it asks for.
#[must_use]
pub fn authority(task: &Task, terms: &ChildTerms) -> Option<(Authority, SpiffeId)> {
    [Authority::Asked, Authority::Own]
        .into_iter()
        .filter(|authority| task.grant(*authority).covers(terms))
        .find_map(|authority| match task.subject(authority)? {
            Subject::Workload(subject) => Some((authority, subject)),
            Subject::Principal(_) => None,
        })
}

/// What a request spawned before.
///
/// # Errors
/// [`Reason::RepeatDiffers`] where it asked for something else then.
pub fn repeated(lineage: &Lineage, ask: &AskSpawn) -> Result<Option<Children>, Reason> {
    match &lineage.spawned {
        None => Ok(None),
        Some(before) if before.asked != ask.asked => Err(Reason::RepeatDiffers),
        Some(before) => Ok(Some(Children {
            ids: before.children.clone(),
            repeat: true,
        })),
    }
}

/// Makes every child, or none. What they get is taken from the task's grants in the same commit (N6), and
/// never flows back.
///
/// # Errors
/// As for a step: no leg, re-attachment due, waiting for input, ended, a step whose outcome is unknown. Besides
/// [`Reason::Limit`] for too many, and [`Reason::Narrowing`] for the first child that asks for more than there is.
pub fn spawn(
    lineage: &Lineage,
    held: &Held<AsPerformer>,
    ask: &AskSpawn,
    _permits: &[Permit],
    now: &Now<'_>,
) -> Result<Transition<Children>, Reason> {
    let task = lineage.known(now)?;
    task.runnable(now.time)?;
    let leg = super::step::own_leg(task, held, ask.leg, now)?;
    if leg.delegation.is_some() {
        // Children would have what was not lent, and outlive what was.
        return Err(Reason::Grant);
    }
    if let Some(children) = repeated(lineage, ask)? {
        return Ok(Transition::unchanged(children));
    }
    super::sequence::all_known(task, now)?;
    if task.state_at(now.time) == TaskState::InputRequired {
        return Err(Reason::InputRequired);
    }
    if ask.children.len() > now.limits.children_per_spawn {
        return Err(Reason::Limit("limits.children_per_spawn"));
    }
    let mut next = task.clone();
    let mut children = Vec::with_capacity(ask.children.len());
    for (index, child) in ask.children.iter().enumerate() {
        let made =
            make(&mut next, (leg, held), child, now).map_err(|beyond| Reason::Narrowing {
                child: Some(index),
                beyond,
            })?;
        if made.asked.permissions.len() > now.limits.permissions_max {
            return Err(Reason::Limit("limits.grant_pairs"));
        }
        children.push(made);
    }
    let count = u32::try_from(children.len()).unwrap_or(u32::MAX);
    next.spawned = next.spawned.saturating_add(count);
    let ids: Vec<TaskId> = children.iter().map(|child| child.id).collect();
    let writes = Writes {
        task: Some(next),
        children,
        spawned: Some(Spawned {
            parent: task.id,
            request: ask.request,
            asked: ask.asked,
            children: ids.clone(),
        }),
        ..Writes::default()
    };
    Ok(Transition {
        writes,
        effect: Children { ids, repeat: false },
    })
}

/// Cuts one child out of its parent.
fn make(
    parent: &mut Task,
    (leg, held): (&Leg, &Held<AsPerformer>),
    ask: &AskChild,
    now: &Now<'_>,
) -> Result<ChildGrant, Beyond> {
    let terms = &ask.terms;
    let outside = || {
        // Which half it is that nobody covers, for whoever has to mend the request.
        let call = |authority| {
            terms
                .call
                .within(&parent.grant(authority).permissions, &terms.witnesses)
        };
        if call(Authority::Asked) || call(Authority::Own) {
            Beyond::Permissions
        } else {
            Beyond::Call
        }
    };
    let (authority, subject) = authority(parent, terms).ok_or_else(outside)?;
    let spender = ask.spender.as_ref().or_else(|| own_role(parent, held));
    let spender = spender
        .filter(|role| role.spiffe_id.trust_domain() == leg.performer.trust_domain())
        .ok_or(Beyond::Spender)?
        .clone();
    let grant = parent.grant(authority);
    if grant.not_after.is_some_and(|end| now.time.reached(end)) {
        return Err(Beyond::NotAfter);
    }
    if terms.not_after.is_some_and(|end| now.time.reached(end)) {
        return Err(Beyond::NotAfter);
    }
    let asked = grant.narrow(terms, parent.deadline, &now.limits.tool_risks)?;
    parent.grant_mut(authority).pay(&asked)?;
    Ok(ChildGrant {
        id: ask.id,
        parent: parent.id,
        txn: parent.txn,
        authority,
        subject,
        spender,
        call: terms.call.clone(),
        asked,
        maker: leg.performer.clone(),
        leg: leg.number,
        fence: leg.fence,
        made_at: now.time,
        spent_at: None,
        revoked_at: None,
    })
}

/// The role under which the leg is held.
fn own_role<'a>(task: &'a Task, held: &Held<AsPerformer>) -> Option<&'a Role> {
    let id = held.spiffe_id.as_ref()?;
    task.performers.iter().find(|role| role.spiffe_id == *id)
}
