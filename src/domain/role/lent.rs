//! Roles that are held by delegation: of several that one hand has, which counts.

use super::{AsOwner, AsOwnerPrincipalDue, Held, NotHeld, fill, held};
use crate::domain::delegation::{Act, Delegation};
use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::id::{PrincipalHash, SpiffeId};
use crate::domain::order::{Asked, Order};
use crate::domain::step::TokenRecord;
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
    /// The owner's workload, or a delegate for this act: preferably by a delegation that needs no user, whom this node
    /// cannot see.
    ///
    /// # Errors
    /// As [`Held::check`].
    pub fn for_act(task: &Task, act: Act, evidence: &Evidence) -> Result<Self, NotHeld> {
        Self::by(task, act, evidence, |it| it.principal.is_none())
    }

    /// Whoever may give this order. What is taken back is so preferably by the very delegation on whose strength it
    /// was made, with or without a user: by another it could not be.
    ///
    /// # Errors
    /// As [`Held::check`].
    pub fn for_order(task: &Task, asked: &Asked, evidence: &Evidence) -> Result<Self, NotHeld> {
        match (asked, asked.act()) {
            (Order::RevokeDelegation(number), Some(act)) => {
                let giver = task.delegation(*number).and_then(|it| it.from);
                Self::by(task, act, evidence, |it| Some(it.number) == giver)
            }
            (_, Some(act)) => Self::for_act(task, act, evidence),
            (_, None) => Self::check(task, evidence),
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
        preferred: impl Fn(&Delegation) -> bool,
    ) -> Result<Self, NotHeld> {
        Self::check(task, evidence).or_else(|owner| {
            let (first, then): (Vec<_>, Vec<_>) = task.delegated(act).partition(|it| preferred(it));
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
        match workload.filter(|id| Some(*id) != owner) {
            None => Self::with_principal(task, workload, principal),
            Some(id) => of_delegate(task.delegated(act), id, principal),
        }
    }

    /// Whoever got this token, once its user is seen: the owner's own, or by the very delegation that it was issued
    /// by. A later one, also to the same role, may demand other evidence than was shown. `act` is what a delegate
    /// needs for it, `None` where only the owner may.
    ///
    /// # Errors
    /// As [`Held::for_act`].
    pub fn by_token(
        task: &Task,
        act: Option<Act>,
        record: &TokenRecord,
        (actor, principal): (&SpiffeId, Option<PrincipalHash>),
    ) -> Result<Self, NotHeld> {
        match (record.delegation, act) {
            (None, _) => Self::with_principal(task, Some(actor), principal),
            (Some(_), None) => Err(NotHeld::NoRole),
            (Some(number), Some(act)) => {
                let very = task.delegated(act).filter(|it| it.number == number);
                of_delegate(very, actor, principal)
            }
        }
    }
}

/// Whether one of these delegations is to this workload and user.
fn of_delegate<'a>(
    delegations: impl Iterator<Item = &'a Delegation>,
    id: &SpiffeId,
    principal: Option<PrincipalHash>,
) -> Result<Held<AsOwner>, NotHeld> {
    let mut own = delegations.filter(|it| it.to.spiffe_id == *id).peekable();
    own.peek().ok_or(NotHeld::NoRole)?;
    let of_user = own.find(|it| it.principal == principal);
    let delegation = of_user.ok_or(NotHeld::Principal)?;
    Ok(Held {
        spiffe_id: Some(id.clone()),
        assurance: Assurance::Process,
        process: None,
        delegation: Some(delegation.number),
        role: PhantomData,
    })
}
