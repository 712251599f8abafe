//! Roles that are held by delegation: of several that one hand has, which counts.

use super::{AsOwner, AsOwnerPrincipalDue, Held, NotHeld, fill, held};
use crate::domain::delegation::{Act, Delegation};
use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::id::{DelegationNumber, PrincipalHash, SpiffeId};
use crate::domain::task::Task;
use std::marker::PhantomData;

/// Whether the evidence fills the role of a delegate by one of these, the first that it fills; else the reason why it
/// fills no nearer role.
pub(super) fn any_of<'a, R>(
    delegations: impl Iterator<Item = &'a Delegation>,
    evidence: &Evidence,
    otherwise: NotHeld,
) -> Result<Held<R>, NotHeld> {
    let mut worst = otherwise;
    for delegation in delegations {
        match fill([&delegation.to], evidence) {
            Ok(id) => {
                return Ok(Held {
                    delegation: Some(delegation.number),
                    ..held(&id, evidence)
                });
            }
            Err(mismatch @ NotHeld::Evidence(_)) => worst = mismatch,
            Err(NotHeld::NoRole | NotHeld::NotApart | NotHeld::NotLocal | NotHeld::Principal) => {}
        }
    }
    Err(worst)
}

impl Held<AsOwnerPrincipalDue> {
    /// The owner's workload, or a delegate for this act: sooner by a delegation that needs no user, whom this node
    /// cannot see.
    ///
    /// # Errors
    /// As [`Held::check`].
    pub fn for_act(task: &Task, act: Act, evidence: &Evidence) -> Result<Self, NotHeld> {
        Self::by(task, act, evidence, |it| it.principal.is_none())
    }

    /// The owner's workload, or a delegate that may hand on: sooner by the very delegation on whose strength the one
    /// that is to be taken back was made.
    ///
    /// # Errors
    /// As [`Held::check`].
    pub fn to_take_back(
        task: &Task,
        number: DelegationNumber,
        evidence: &Evidence,
    ) -> Result<Self, NotHeld> {
        let giver = task.delegation(number).and_then(|it| it.from);
        Self::by(task, Act::Delegate, evidence, |it| Some(it.number) == giver)
    }

    fn by(
        task: &Task,
        act: Act,
        evidence: &Evidence,
        sooner: impl Fn(&Delegation) -> bool,
    ) -> Result<Self, NotHeld> {
        Self::check(task, evidence).or_else(|owner| {
            let (first, then): (Vec<_>, Vec<_>) = task.delegated(act).partition(|it| sooner(it));
            any_of(first.into_iter().chain(then), evidence, owner)
        })
    }
}

impl Held<AsOwner> {
    /// As [`Held::with_principal`], or a delegate for this act, for whose own user the server vouches.
    ///
    /// # Errors
    /// As [`Held::with_principal`].
    pub fn for_act(
        task: &Task,
        act: Act,
        workload: Option<&SpiffeId>,
        principal: Option<PrincipalHash>,
    ) -> Result<Self, NotHeld> {
        let owner = task.owner.workload.as_ref().map(|role| &role.spiffe_id);
        let Some(id) = workload.filter(|id| Some(*id) != owner) else {
            return Self::with_principal(task, workload, principal);
        };
        let mut delegations = task.delegated(act).filter(|it| it.to.spiffe_id == *id);
        let first = delegations.next().ok_or(NotHeld::NoRole)?;
        let delegation = std::iter::once(first)
            .chain(delegations)
            .find(|it| it.principal == principal)
            .ok_or(NotHeld::Principal)?;
        Ok(Self {
            spiffe_id: Some(id.clone()),
            assurance: Assurance::Process,
            process: None,
            delegation: Some(delegation.number),
            role: PhantomData,
        })
    }
}
