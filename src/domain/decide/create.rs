//! Asking for a task, and making it.

use super::{Presented, child};
use crate::domain::arguments::Witnesses;
use crate::domain::barred::Takeovers;
use crate::domain::claims::{Operation, Subject, TokenClaims};
use crate::domain::denial::Reason;
use crate::domain::grant::{Grant, Permission, SeenCall, ToolCall};
use crate::domain::id::{
    Digest, Fence, Jti, LegNumber, NameHash, PrincipalHash, StepNumber, TaskId, Thumbprint,
};
use crate::domain::lineage::{CreateTerms, Lineage, Now, Transition, Writes};
use crate::domain::policy::Permit;
use crate::domain::role::{AsSpender, Held, Owner, Role, chosen};
use crate::domain::task::{Task, TaskState};
use crate::domain::time::Time;
use std::time::Duration;

/// The fence of a create token, and so the first of every task.
const CREATE_FENCE: Fence = Fence(1);

/// What an owner asks for.
#[derive(Clone, Debug)]
pub struct AskCreate {
    /// The identifier minted for the task to be.
    pub task: TaskId,
    /// The owner's workload and what was recorded of it.
    pub owner: Role,
    /// The server that shall create the task.
    pub call: SeenCall,
    /// What steps shall be permitted; `None` is nothing, or under a child grant all that it has.
    pub asked: Option<Grant>,
    /// The child grant that is spent, by whom; `None` for a root.
    pub child: Option<(TaskId, Held<AsSpender>)>,
    /// Who shall carry it out; empty leaves it to the server.
    pub performers: Vec<Role>,
    /// Arguments behind the digests in `asked`, as they were shown.
    pub witnesses: Witnesses,
    /// How long it may live.
    pub lifetime: Duration,
    /// The token's `jti`.
    pub jti: Jti,
    /// Thumbprint of the owner's hand certificate.
    pub certificate: Thumbprint,
    /// When that certificate ends.
    pub certificate_ends: Time,
    /// Keyed digest of the calling process and its `request_id`.
    pub request: Digest,
}

/// What follows from asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateAsked {
    /// Sign this token.
    Issue(Box<TokenClaims>),
    /// This request was answered before and its token was used: the task exists.
    Repeat(TaskId),
}

/// Issues a create token. The lineage is what the same request made before, if anything.
///
/// # Errors
/// [`Reason::Limit`] for too many performers or permissions, or budgets above the highest; under a child grant
/// also [`Reason::Spent`], [`Reason::Terminal`] of its line, and [`Reason::Narrowing`].
pub fn issue(
    lineage: &Lineage,
    ask: &AskCreate,
    _permits: &[Permit],
    now: &Now<'_>,
) -> Result<Transition<CreateAsked>, Reason> {
    let child = child::asked_under(lineage, ask)?;
    let owner = child.map_or(&ask.owner, |child| &child.spender);
    // Recorded before these rows were read.
    if lineage.revocations.denies(&owner.spiffe_id) {
        return Err(Reason::IdRevoked);
    }
    let task = match &lineage.terms {
        Some(earlier) if earlier.used_at.is_some() => {
            return Ok(Transition::unchanged(CreateAsked::Repeat(earlier.task)));
        }
        // The first answer was lost unused: the same task, and only the new token counts.
        Some(earlier) => earlier.task,
        None => child.map_or(ask.task, |child| child.id),
    };
    let asked = match child {
        Some(child) => child::within(lineage, child, ask, now)?,
        None => ask.asked.clone().unwrap_or_default(),
    };
    let admitted = now.limits.admit(&asked, &ask.performers);
    admitted.map_err(Reason::Limit)?;
    let terms = CreateTerms {
        task,
        owner: owner.clone(),
        spender: ask.child.as_ref().and_then(|(_, spender)| spender.process),
        server: ask.call.call.audience.clone(),
        call: ask.call.call.clone(),
        asked,
        performers: ask.performers.clone(),
        lifetime: ask.lifetime.min(now.limits.deadline_max),
        jti: ask.jti,
        certificate: ask.certificate,
        issued_at: now.time,
        expires_at: now
            .time
            .after(now.limits.token_ttl)
            .min(ask.certificate_ends),
        epoch: now.epoch,
        request: ask.request,
        used_at: None,
    };
    let subject = child.map_or(&owner.spiffe_id, |child| &child.subject);
    let claims = TokenClaims {
        subject: Subject::Workload(subject.clone()),
        actor: owner.spiffe_id.clone(),
        audience: ask.call.call.audience.clone(),
        issued_at: now.time,
        expires_at: terms.expires_at,
        jti: ask.jti,
        txn: child.map_or(task, |child| child.txn),
        task,
        certificate: ask.certificate,
        operation: Operation::Create,
        tool: Some(ask.call.call.tool.clone()),
        arguments: Some(ask.call.call.arguments),
        definition: ask.call.call.definition,
        name: None,
        fence: CREATE_FENCE,
        step: None,
        epoch: now.epoch,
    };
    let writes = Writes {
        terms: Some(terms),
        request: Some((ask.request, task)),
        ..Writes::default()
    };
    Ok(Transition {
        writes,
        effect: CreateAsked::Issue(Box::new(claims)),
    })
}

/// On what a server bases the creation of a task.
#[derive(Clone, Debug)]
pub enum Basis {
    /// A client without SVID: the attested server vouches for its principal.
    Principal {
        /// The identifier minted for the task to be.
        task: TaskId,
        /// Keyed digest of the server's process and `request_id`.
        request: Digest,
    },
    /// The owner's create token.
    Token(Box<Presented>),
}

/// What a server registers.
#[derive(Clone, Debug)]
pub struct Register {
    /// The server and what was recorded of it.
    pub server: Role,
    /// The basis.
    pub basis: Basis,
    /// The principal that the server verified on this request.
    pub principal: Option<PrincipalHash>,
    /// The call as the server received it.
    pub call: ToolCall,
    /// What remains of the owner's grant; `None` keeps all of it.
    pub keep: Option<Vec<Permission>>,
    /// What the server adds of its own.
    pub own: Grant,
    /// Who shall carry it out, chosen among the owner's where the owner named some.
    pub performers: Vec<Role>,
    /// How long it may live at most.
    pub lifetime: Duration,
    /// Keyed digest of the handle.
    pub name: NameHash,
}

/// What follows from registering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The task.
    pub task: TaskId,
    /// Its state.
    pub state: TaskState,
    /// When it stops being runnable.
    pub deadline: Time,
    /// Until when the owner must have asked about it.
    pub claim_by: Time,
    /// Whether it existed before this call.
    pub repeat: bool,
}

/// Makes the task: burns the create token and binds the handle, in one commit.
///
/// # Errors
/// The first rule that is broken; nothing is burned then.
pub fn register(
    lineage: &Lineage,
    ask: &Register,
    _permits: &[Permit],
    now: &Now<'_>,
) -> Result<Transition<Registered>, Reason> {
    let terms = match &ask.basis {
        Basis::Principal { .. } => None,
        Basis::Token(presented) => Some(redeem(lineage, presented, ask, now)?),
    };
    if ask.call.audience != ask.server.spiffe_id {
        return Err(Reason::CallDiffers);
    }
    if let Some(task) = &lineage.task {
        return repeat(task, lineage.named, ask, now);
    }
    if lineage.revocations.denies(&ask.server.spiffe_id) {
        return Err(Reason::IdRevoked);
    }
    if terms.is_some_and(|terms| lineage.revocations.void(terms)) {
        return Err(Reason::TokenVoid);
    }
    let admitted = now.limits.admit(&ask.own, &ask.performers);
    admitted.map_err(Reason::Limit)?;
    if lineage.named.is_some() {
        return Err(Reason::Handle);
    }
    if lineage.owner_tasks >= now.limits.tasks_per_owner {
        return Err(Reason::Limit("limits.tasks_per_owner"));
    }
    let mut task = new_task(lineage.id, terms, ask, now)?;
    let spent = match (lineage.child.as_ref(), terms) {
        (Some(child), Some(terms)) => Some(child::spend(lineage, (child, terms), &mut task, now)?),
        (None, _) | (_, None) => None,
    };
    let registered = registered(&task, now, false);
    let writes = Writes {
        terms: terms.map(|terms| CreateTerms {
            used_at: Some(now.time),
            ..terms.clone()
        }),
        children: spent.into_iter().collect(),
        bind: Some(ask.name),
        request: match &ask.basis {
            Basis::Principal { request, .. } => Some((*request, task.id)),
            Basis::Token(_) => None,
        },
        task: Some(task),
        ..Writes::default()
    };
    Ok(Transition {
        writes,
        effect: registered,
    })
}

/// Checks a create token against its record and the call that the server received.
fn redeem<'a>(
    lineage: &'a Lineage,
    presented: &Presented,
    ask: &Register,
    now: &Now<'_>,
) -> Result<&'a CreateTerms, Reason> {
    presented.check(&[Operation::Create], now)?;
    let terms = lineage.terms.as_ref().ok_or(Reason::Alarm)?;
    if terms.jti != presented.claims.jti {
        return Err(Reason::TokenVoid);
    }
    if terms.server != ask.server.spiffe_id || terms.certificate != presented.certificate {
        return Err(Reason::TokenInvalid("audience"));
    }
    if terms.call != ask.call {
        return Err(Reason::CallDiffers);
    }
    Ok(terms)
}

/// A task that exists: the same answer, and until the owner's first query the handle presented now.
fn repeat(
    task: &Task,
    named: Option<TaskId>,
    ask: &Register,
    now: &Now<'_>,
) -> Result<Transition<Registered>, Reason> {
    if task.server != ask.server {
        return Err(Reason::NotHeld(crate::domain::role::NotHeld::NoRole));
    }
    if task.owner.principal != ask.principal {
        return Err(Reason::NotHeld(crate::domain::role::NotHeld::Principal));
    }
    let answer = registered(task, now, true);
    if task.name == ask.name {
        return Ok(Transition::unchanged(answer));
    }
    if task.claimed_at.is_some() || named.is_some() || answer.state.is_terminal() {
        return Err(Reason::Handle);
    }
    let renamed = Task {
        name: ask.name,
        ..task.clone()
    };
    let writes = Writes {
        task: Some(renamed),
        // The name given before stays this task's: a freed one could become somebody else's.
        bind: Some(ask.name),
        ..Writes::default()
    };
    Ok(Transition {
        writes,
        effect: answer,
    })
}

fn new_task(
    located: Option<TaskId>,
    terms: Option<&CreateTerms>,
    ask: &Register,
    now: &Now<'_>,
) -> Result<Task, Reason> {
    let id = match (&ask.basis, terms) {
        (_, Some(terms)) => terms.task,
        (Basis::Principal { task, .. }, None) => located.unwrap_or(*task),
        (Basis::Token(_), None) => return Err(Reason::Alarm),
    };
    let asked = match (terms, &ask.keep) {
        (None, _) => Grant::default(),
        (Some(terms), None) => terms.asked.clone(),
        (Some(terms), Some(keep)) => {
            if !keep
                .iter()
                .all(|permission| terms.asked.permissions.contains(permission))
            {
                return Err(Reason::Grant);
            }
            Grant {
                permissions: keep.clone(),
                ..terms.asked.clone()
            }
        }
    };
    let named_by_owner = terms
        .map(|terms| terms.performers.as_slice())
        .unwrap_or_default();
    let performers = chosen(named_by_owner, &ask.performers).ok_or(Reason::Grant)?;
    let lifetime = terms
        .map_or(now.limits.deadline_max, |terms| terms.lifetime)
        .min(ask.lifetime)
        .min(now.limits.deadline_max);
    Ok(Task {
        id,
        txn: id,
        parent: None,
        spawned_by: None,
        subject: None,
        created_at: now.time,
        owner: Owner {
            workload: terms.map(|terms| terms.owner.clone()),
            principal: ask.principal,
        },
        server: ask.server.clone(),
        performers,
        delegations: Vec::new(),
        takeovers: Takeovers::default(),
        call: terms.map_or_else(|| ask.call.clone(), |terms| terms.call.clone()),
        asked,
        own: ask.own.clone(),
        state: TaskState::Working,
        inputs: Vec::new(),
        deadline: now.time.after(lifetime),
        claim_by: now.time.after(now.limits.claim_by),
        claimed_at: None,
        owner_seen_at: now.time,
        ended_at: None,
        name: ask.name,
        fence: CREATE_FENCE,
        legs: LegNumber(0),
        leg: None,
        last_step: StepNumber(0),
        pending: None,
        open_steps: Vec::new(),
        skipped_steps: Vec::new(),
        spawned: 0,
        owner_tokens: 0,
        owner_tokens_from: now.time,
    })
}

fn registered(task: &Task, now: &Now<'_>, repeat: bool) -> Registered {
    Registered {
        task: task.id,
        state: task.state_at(now.time),
        deadline: task.deadline,
        claim_by: task.claim_by,
        repeat,
    }
}
