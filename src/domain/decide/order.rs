//! Orders: what an owner, or its delegate, does with a task besides asking about it. Done at once; or, where it acts
//! for a user, given as a token and carried out when the server has seen the user.

use super::handover::{give, offer, resolve, revoke_delegation, take_over};
use crate::domain::denial::Reason;
use crate::domain::evidence::ProcessKey;
use crate::domain::id::DelegationNumber;
use crate::domain::lineage::{Lineage, Now, Transition};
use crate::domain::order::{Asked, Order, Ordered};
use crate::domain::policy::Permit;
use crate::domain::role::{AsOwnerPrincipalDue, Held};
use crate::domain::task::Task;

/// Whoever may give an order, as far as it is seen.
pub trait Orderer {
    /// By which delegation, and by which process.
    ///
    /// # Errors
    /// [`Reason::PrincipalDue`] where a user is due whom only the server can see.
    fn giver(&self, task: &Task) -> Result<Giver, Reason>;
}

/// The delegation by which an order is given, `None` for the owner's own, and the process that gave it.
#[derive(Clone, Copy, Debug)]
pub struct Giver {
    pub(super) delegation: Option<DelegationNumber>,
    pub(super) process: Option<ProcessKey>,
}

/// On the Unix socket only the workload can be seen: what is a user's to say, the owner's or a delegate's own,
/// goes through the server.
impl Orderer for Held<AsOwnerPrincipalDue> {
    fn giver(&self, task: &Task) -> Result<Giver, Reason> {
        match self.due(task) {
            None => Ok(Giver {
                delegation: self.delegation,
                process: self.process,
            }),
            Some(_) => Err(Reason::PrincipalDue),
        }
    }
}

/// Made where no user is needed: an order is judged beforehand and not carried out, or the server has seen the user.
impl Orderer for Giver {
    fn giver(&self, _task: &Task) -> Result<Giver, Reason> {
        Ok(*self)
    }
}

/// By which delegation an order is given. A delegate whose process lost a leg of the line is not heard.
pub(super) fn heard(
    lineage: &Lineage,
    task: &Task,
    orderer: &impl Orderer,
) -> Result<Option<DelegationNumber>, Reason> {
    let Giver {
        delegation,
        process,
    } = orderer.giver(task)?;
    lineage.hears(delegation, process)?;
    Ok(delegation)
}

/// The order as it is carried out: how much is handed over, which leg ends and which attempt is settled is fixed now.
///
/// # Errors
/// [`Reason::PrincipalDue`] where a user is due whom this node cannot see; [`Reason::TakenOver`] to a delegate that
/// lost a leg of the line; [`Reason::Terminal`]. Of a hand-over [`Reason::NotNarrower`] with the field that asks for
/// more than the giver has, [`Reason::RepeatDiffers`], [`Reason::Limit`]; of a takeover [`Reason::NoLeg`]; of a word on
/// a step that never was [`Reason::Unknown`].
pub fn form(
    lineage: &Lineage,
    orderer: &impl Orderer,
    asked: &Asked,
    now: &Now<'_>,
) -> Result<Order, Reason> {
    let task = lineage.known(now)?;
    Ok(match asked {
        Order::Delegate(ask) => Order::Delegate(Box::new(offer(lineage, orderer, ask, now)?)),
        Order::Resolve(number, (), word) => {
            orderer.giver(task)?;
            let step = lineage.written_step(*number).ok_or(Reason::Unknown)?;
            Order::Resolve(*number, step.fence, *word)
        }
        Order::RevokeDelegation(number) => Order::RevokeDelegation(*number),
        Order::Takeover(request, ()) => {
            task.runnable(now.time)?;
            heard(lineage, task, orderer)?;
            let live = || task.leg.as_ref().map(|leg| leg.number);
            let leg = task.takeovers.repeated(*request).or_else(live);
            Order::Takeover(*request, leg.ok_or(Reason::NoLeg)?)
        }
    })
}

/// Carries out an order.
///
/// # Errors
/// As [`form`]; [`Reason::TokenVoid`] where it is about what is no more: a hand-over that rests on another delegation
/// than the giver's, another leg, an earlier attempt; [`Reason::Unknown`] for a delegation that is not the giver's to
/// take back; [`Reason::NotUnknown`] and [`Reason::OutcomeDiffers`] for a word on a step whose outcome is known.
pub fn carry_out(
    lineage: &Lineage,
    orderer: &impl Orderer,
    order: &Order,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<Ordered>, Reason> {
    Ok(match order {
        Order::Delegate(offered) => {
            give(lineage, orderer, offered, now)?.map(|made| Ordered::Delegated(Box::new(made)))
        }
        Order::Resolve(step, fence, word) => {
            resolve(lineage, orderer, (*step, *fence, *word), now)?.map(Ordered::Resolved)
        }
        Order::RevokeDelegation(number) => {
            revoke_delegation(lineage, orderer, *number, now)?.map(Ordered::DelegationRevoked)
        }
        Order::Takeover(request, leg) => {
            take_over(lineage, orderer, (*request, *leg), now)?.map(Ordered::TakenOver)
        }
    })
}
