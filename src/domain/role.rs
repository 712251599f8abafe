//! Who holds a role of a task. One function, `hold`, asked at every call.
//!
//! A role is a full SPIFFE ID **and** the evidence recorded in the task, and for an owner a principal.
//! [`Held`] is made here alone: a decision that takes one cannot be reached without this check.

mod lent;

use super::child::ChildGrant;
use super::delegation::Act;
use super::event::CallerFacts;
use super::evidence::{Assurance, Evidence, Mismatch, ProcessKey, Required};
use super::id::{DelegationNumber, PrincipalHash, SpiffeId};
use super::task::{Leg, Task};
use std::marker::PhantomData;

/// A SPIFFE ID and what its holder must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The full SPIFFE ID, trust domain included.
    pub spiffe_id: SpiffeId,
    /// The evidence copied into the task when the role was recorded.
    pub required: Required,
}

/// The performers of a task: if the owner named some, the server may only choose among them. `None` where it
/// names another.
#[must_use]
pub fn chosen(by_owner: &[Role], by_server: &[Role]) -> Option<Vec<Role>> {
    if by_owner.is_empty() {
        return Some(by_server.to_vec());
    }
    if by_server.is_empty() {
        return Some(by_owner.to_vec());
    }
    let ids: Vec<&SpiffeId> = by_server.iter().map(|role| &role.spiffe_id).collect();
    let named = |role: &&Role| ids.contains(&&role.spiffe_id);
    let chosen: Vec<Role> = by_owner.iter().filter(named).cloned().collect();
    (chosen.len() == ids.len()).then_some(chosen)
}

/// For whom a task was created: a workload, a principal, or a workload acting for a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The workload; absent where the client has no SVID.
    pub workload: Option<Role>,
    /// The user or tenant that the server verified when the task was created.
    pub principal: Option<PrincipalHash>,
}

/// Marks [`Held`] for a workload through which a person decides.
#[derive(Clone, Copy, Debug)]
pub struct AsApprover;
/// Marks [`Held`] for the workload that holds a token's audience.
#[derive(Clone, Copy, Debug)]
pub struct AsAudience;
/// Marks [`Held`] for the process that holds the live leg.
#[derive(Clone, Copy, Debug)]
pub struct AsLegHolder;
/// Marks [`Held`] for the owner, principal included.
#[derive(Clone, Copy, Debug)]
pub struct AsOwner;
/// Marks [`Held`] for the owner's workload while its principal is still to be checked at `Check`.
#[derive(Clone, Copy, Debug)]
pub struct AsOwnerPrincipalDue;
/// Marks [`Held`] for a performer of the task.
#[derive(Clone, Copy, Debug)]
pub struct AsPerformer;
/// Marks [`Held`] for the MCP server of the task.
#[derive(Clone, Copy, Debug)]
pub struct AsServer;
/// Marks [`Held`] for whoever may spend a child grant.
#[derive(Clone, Copy, Debug)]
pub struct AsSpender;

/// Proof that a role is held, with what it was held by.
#[derive(Clone, Debug)]
pub struct Held<R> {
    /// The SPIFFE ID that holds it; absent for an owner that is a principal alone.
    pub spiffe_id: Option<SpiffeId>,
    /// How strongly the holder was identified.
    pub assurance: Assurance,
    /// The holder's process, at `process` assurance.
    pub process: Option<ProcessKey>,
    /// The delegation by which it is held; `None` for whoever is named in the task itself.
    pub delegation: Option<DelegationNumber>,
    role: PhantomData<R>,
}

/// Why a role is not held; for the operator only. Callers always hear "unknown task".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotHeld {
    /// The role's SPIFFE ID, but not its evidence: a twin.
    Evidence(Mismatch),
    /// No SPIFFE ID of the caller is named in the role.
    NoRole,
    /// An approver that may be the hand of whoever asks, serves or performs the task.
    NotApart,
    /// The role needs a pinned process, and the caller came over the network.
    NotLocal,
    /// Another principal, or a principal where none is recorded, or none where one is.
    Principal,
}

/// The role that a call needs.
#[derive(Clone, Copy, Debug)]
pub enum Needed {
    /// The owner's workload; its principal is due at `Check`.
    OwnerWorkload,
    /// A performer.
    Performer,
    /// The server.
    Server,
}

fn held<R>(spiffe_id: &SpiffeId, evidence: &Evidence) -> Held<R> {
    Held {
        spiffe_id: Some(spiffe_id.clone()),
        assurance: evidence.assurance,
        process: evidence.process,
        delegation: None,
        role: PhantomData,
    }
}

/// The role check: does the evidence fill `needed` in this task?
fn hold(task: &Task, needed: Needed, evidence: &Evidence) -> Result<SpiffeId, NotHeld> {
    match needed {
        Needed::OwnerWorkload => fill(&task.owner.workload, evidence),
        Needed::Performer => fill(&task.performers, evidence),
        Needed::Server => fill([&task.server], evidence),
    }
}

/// Does the evidence fill one of these roles?
fn fill<'a>(
    candidates: impl IntoIterator<Item = &'a Role>,
    evidence: &Evidence,
) -> Result<SpiffeId, NotHeld> {
    if evidence.assurance != Assurance::Process {
        return Err(NotHeld::NotLocal);
    }
    let mut worst = NotHeld::NoRole;
    for role in candidates {
        if !evidence.spiffe_ids.contains(&role.spiffe_id) {
            continue;
        }
        match role.required.matches(evidence) {
            Ok(()) => return Ok(role.spiffe_id.clone()),
            Err(mismatch) => worst = NotHeld::Evidence(mismatch),
        }
    }
    Err(worst)
}

impl Held<AsOwnerPrincipalDue> {
    /// The owner's workload asks for a token; its principal is compared when the server checks it.
    ///
    /// # Errors
    /// [`NotHeld`]: no role, or a twin without the evidence.
    pub fn check(task: &Task, evidence: &Evidence) -> Result<Self, NotHeld> {
        let id = hold(task, Needed::OwnerWorkload, evidence)?;
        Ok(held(&id, evidence))
    }
}

impl Held<AsOwner> {
    /// Completes the owner's role at `Check`: the token proves the workload, the server the principal.
    ///
    /// `workload` is what the verified token says of its holder; `None` where the attested server
    /// vouches for a principal alone.
    ///
    /// # Errors
    /// [`NotHeld::Principal`] unless the principals are equal, [`NotHeld::NoRole`] where a principal
    /// alone asks about a workload's task or the reverse.
    pub fn with_principal(
        task: &Task,
        workload: Option<&SpiffeId>,
        principal: Option<PrincipalHash>,
    ) -> Result<Self, NotHeld> {
        if task.owner.workload.as_ref().map(|role| &role.spiffe_id) != workload {
            return Err(NotHeld::NoRole);
        }
        if task.owner.principal != principal {
            return Err(NotHeld::Principal);
        }
        Ok(Self {
            spiffe_id: workload.cloned(),
            assurance: if workload.is_some() {
                Assurance::Process
            } else {
                Assurance::Principal
            },
            process: None,
            delegation: None,
            role: PhantomData,
        })
    }
}

impl Held<AsServer> {
    /// The MCP server of an existing task.
    ///
    /// # Errors
    /// [`NotHeld`]: no role, or a twin without the evidence.
    pub fn check(task: &Task, evidence: &Evidence) -> Result<Self, NotHeld> {
        let id = hold(task, Needed::Server, evidence)?;
        Ok(held(&id, evidence))
    }
}

impl Held<AsSpender> {
    /// Whoever may spend a child grant.
    ///
    /// # Errors
    /// [`NotHeld`]: another workload, or a twin without the evidence.
    pub fn check(child: &ChildGrant, evidence: &Evidence) -> Result<Self, NotHeld> {
        let id = fill([&child.spender], evidence)?;
        Ok(held(&id, evidence))
    }
}

impl Held<AsPerformer> {
    /// A performer of the task, or a delegate that may carry it out.
    ///
    /// # Errors
    /// [`NotHeld`]: no role, or a twin without the evidence.
    pub fn check(task: &Task, evidence: &Evidence) -> Result<Self, NotHeld> {
        // Whoever has the leg has it in one role, also where it fills others beside.
        if let Some(Ok(held)) = task
            .leg
            .as_ref()
            .map(|leg| Self::of_leg(task, leg, evidence))
        {
            return Ok(held);
        }
        match hold(task, Needed::Performer, evidence) {
            Ok(id) => Ok(held(&id, evidence)),
            Err(performer) => lent::any_of(task.delegated(Act::Perform), evidence, performer),
        }
    }

    /// The process that has this leg, in the very role in which it was started: another that it fills as well, under
    /// another ID or by another delegation, is not the leg's.
    ///
    /// # Errors
    /// [`NotHeld`]: another process, or one that fills that role no more.
    pub fn of_leg(task: &Task, leg: &Leg, evidence: &Evidence) -> Result<Self, NotHeld> {
        if evidence.process != Some(leg.holder) {
            return Err(NotHeld::NoRole);
        }
        if leg.delegation.is_some() {
            let very = task.delegated(Act::Perform);
            let very = very.filter(|it| Some(it.number) == leg.delegation);
            return lent::any_of(very, evidence, NotHeld::NoRole);
        }
        let very = task.performers.iter();
        let very = very.filter(|role| role.spiffe_id == leg.performer);
        Ok(held(&fill(very, evidence)?, evidence))
    }

    /// The performer's process also holds the leg that the ledger shows, in the role in which it was started.
    #[must_use]
    pub fn leg_holder(&self, task: &Task) -> Option<Held<AsLegHolder>> {
        let leg = task.leg.as_ref()?;
        let is_holder = self.process == Some(leg.holder)
            && self.spiffe_id.as_ref() == Some(&leg.performer)
            && self.delegation == leg.delegation;
        is_holder.then(|| Held {
            spiffe_id: self.spiffe_id.clone(),
            assurance: self.assurance,
            process: self.process,
            delegation: self.delegation,
            role: PhantomData,
        })
    }
}

impl Held<AsAudience> {
    /// The caller of `Check` or `Report` is the audience: the ID, at the assurance demanded, and on
    /// the Unix socket also what the configuration's `[[workload]]` row for that ID demands.
    ///
    /// # Errors
    /// [`NotHeld`]: another ID, weaker assurance, or a twin without the evidence.
    pub fn check(
        audience: &SpiffeId,
        row: Option<&Required>,
        demanded: Assurance,
        evidence: &Evidence,
    ) -> Result<Self, NotHeld> {
        if !evidence.spiffe_ids.contains(audience) {
            return Err(NotHeld::NoRole);
        }
        if evidence.assurance < demanded {
            return Err(NotHeld::NotLocal);
        }
        if let (Assurance::Process, Some(required)) = (evidence.assurance, row) {
            required.matches(evidence).map_err(NotHeld::Evidence)?;
        }
        Ok(held(audience, evidence))
    }
}

impl Held<AsApprover> {
    /// A workload with one of these approver roles: it may see what is asked of people.
    ///
    /// # Errors
    /// [`NotHeld`]: no role, or a twin without the evidence.
    pub fn check(roles: &[Role], evidence: &Evidence) -> Result<Self, NotHeld> {
        let id = fill(roles, evidence)?;
        Ok(held(&id, evidence))
    }

    /// The same about one request: it is nobody's judge who may be a party. The approver's process must provably
    /// be another hand than the owner, server, performers and delegates of the task and of every task that it
    /// descends from (`line`), and than the process that asked: another SPIFFE ID, another process, and another
    /// user or another cgroup.
    ///
    /// # Errors
    /// [`NotHeld`]: also [`NotHeld::NotApart`].
    pub fn apart<'a>(
        line: impl Iterator<Item = &'a Task>,
        asked_by: &CallerFacts,
        roles: &[Role],
        evidence: &Evidence,
    ) -> Result<Self, NotHeld> {
        let held = Self::check(roles, evidence)?;
        let mut parties = line.flat_map(parties);
        if parties.all(|party| is_apart(party, evidence)) && is_another(asked_by, evidence) {
            Ok(held)
        } else {
            Err(NotHeld::NotApart)
        }
    }
}

/// Whoever has a role in a task.
fn parties(task: &Task) -> impl Iterator<Item = &Role> {
    let owner_and_server = task.owner.workload.iter().chain([&task.server]);
    let delegates = task.delegations.iter().map(|it| &it.to);
    owner_and_server.chain(&task.performers).chain(delegates)
}

/// Whether no process that fills this role can be the one of this evidence. What cannot be told counts as no.
fn is_apart(party: &Role, evidence: &Evidence) -> bool {
    let required = &party.required;
    let same_process = required.process.is_some() && required.process == evidence.process;
    !evidence.spiffe_ids.contains(&party.spiffe_id)
        && !same_process
        && (differ(required.uid, evidence.uid) || required.excludes_cgroup_of(evidence))
}

/// Whether a process that was attested before provably is another hand than that of this evidence.
fn is_another(before: &CallerFacts, evidence: &Evidence) -> bool {
    let shared = |id: &SpiffeId| evidence.spiffe_ids.contains(id);
    !before.spiffe_ids.iter().any(shared)
        && differ(before.process, evidence.process)
        && (differ(before.uid, evidence.uid)
            || differ(before.cgroup.as_ref(), evidence.cgroup.as_ref()))
}

/// Both are known, and they differ.
fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}
