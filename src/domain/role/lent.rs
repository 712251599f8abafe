//! Roles that are held by delegation: of several that one hand has, which counts.

use super::{AsOwner, AsOwnerPrincipalDue, Held, NotHeld, fill, held};
use crate::domain::delegation::{Act, Delegation};
use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::id::{DelegationNumber, PrincipalHash, SpiffeId};
use crate::domain::order::Order;
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

    /// Whoever may give this order: sooner by the very delegation that it rests on.
    ///
    /// # Errors
    /// As [`Held::check`].
    pub fn for_order(task: &Task, order: &Order, evidence: &Evidence) -> Result<Self, NotHeld> {
        let rests_on = order.rests_on(task);
        match order.act() {
            None => Self::check(task, evidence),
            Some(act) if rests_on.is_none() => Self::for_act(task, act, evidence),
            Some(act) => Self::by(task, act, evidence, |it| Some(it.number) == rests_on),
        }
    }

    /// The user whom the server must see before the role is whole: the owner's, or the delegate's own.
    #[must_use]
    pub fn due(&self, task: &Task) -> Option<PrincipalHash> {
        match self.delegation {
            None => task.owner.principal,
            Some(number) => task.delegation(number).and_then(|it| it.principal),
        }
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
        Self::sooner_by(task, (act, None), workload, principal)
    }

    /// Whoever gave this order, once the server has seen the user: by the very delegation that it rests on, if that
    /// stands.
    ///
    /// # Errors
    /// As [`Held::for_act`].
    pub fn for_order(
        task: &Task,
        order: &Order,
        workload: Option<&SpiffeId>,
        principal: Option<PrincipalHash>,
    ) -> Result<Self, NotHeld> {
        match order.act() {
            Some(act) => Self::sooner_by(task, (act, order.rests_on(task)), workload, principal),
            None => Self::with_principal(task, workload, principal),
        }
    }

    fn sooner_by(
        task: &Task,
        (act, sooner): (Act, Option<DelegationNumber>),
        workload: Option<&SpiffeId>,
        principal: Option<PrincipalHash>,
    ) -> Result<Self, NotHeld> {
        let owner = task.owner.workload.as_ref().map(|role| &role.spiffe_id);
        let Some(id) = workload.filter(|id| Some(*id) != owner) else {
            return Self::with_principal(task, workload, principal);
        };
        let own = task.delegated(act).filter(|it| it.to.spiffe_id == *id);
        let (first, then): (Vec<_>, Vec<_>) = own.partition(|it| Some(it.number) == sooner);
        let all: Vec<_> = first.into_iter().chain(then).collect();
        if all.is_empty() {
            return Err(NotHeld::NoRole);
        }
        let of_user = all.into_iter().find(|it| it.principal == principal);
        let delegation = of_user.ok_or(NotHeld::Principal)?;
        Ok(Self {
            spiffe_id: Some(id.clone()),
            assurance: Assurance::Process,
            process: None,
            delegation: Some(delegation.number),
            role: PhantomData,
        })
    }
}
