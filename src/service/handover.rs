//! What an owner does with a task besides asking about it: hand it over, take it back, settle an effect that
//! nobody knows about. At once; or, where the owner acts for a user whom only its server can see, by a token that
//! has the order carried out when the server checks it.

use super::leases::HoldKind;
use super::ports::ledger::Decision;
use super::ports::{Freshness, Peer};
use super::scene::Scene;
use super::{Continuation, Failure, IssuedToken, Vouched};
use crate::domain::arguments::Witnesses;
use crate::domain::decide::handover::AskDelegate;
use crate::domain::decide::order;
use crate::domain::decide::owner::{self, AskOwner, OrderAnswered};
use crate::domain::delegation::Act;
use crate::domain::denial::Reason;
use crate::domain::evidence::Evidence;
use crate::domain::grant::Permission;
use crate::domain::id::{DelegationNumber, Digest, Hex, SpiffeId, StepNumber, TaskId};
use crate::domain::lineage::{Load, Locator, Transition};
use crate::domain::order::{Asked, Order, Ordered, Word};
use crate::domain::role::{AsOwnerPrincipalDue, Held, Role};
use crate::domain::task::Task;
use crate::domain::time::Time;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeSet;

/// A task as its owner names it.
#[derive(Clone, Debug)]
pub struct NamedTask {
    /// The server that gave the handle.
    pub server: SpiffeId,
    /// The handle.
    pub handle: SecretString,
}

/// A task, or acts on it, are handed over.
#[derive(Clone, Debug)]
pub struct DelegateAsk {
    /// To whom; it must have a `[[workload]]` row that names a user or a cgroup.
    pub to: SpiffeId,
    /// The user that the delegate acts for at the server.
    pub principal: Option<Vouched>,
    /// For what.
    pub acts: BTreeSet<Act>,
    /// What its legs may call; `None` is all that the giver may lend.
    pub permissions: Option<Vec<Permission>>,
    /// Until when; `None` is as long as the giver may lend it.
    pub not_after: Option<Time>,
    /// Names the request for repeats.
    pub request_id: Vec<u8>,
    /// SHA-256 of what is asked.
    pub asked: Digest,
    /// Arguments behind the digests in the permissions.
    pub witnesses: Witnesses,
}

/// What is ordered.
#[derive(Clone, Debug)]
pub enum OrderAsk {
    /// Hand over.
    Delegate(Box<DelegateAsk>),
    /// Settle an unknown step.
    Resolve(StepNumber, Word),
    /// Take a delegation back, and whatever was made on its strength.
    RevokeDelegation(DelegationNumber),
    /// End the live leg; its process cannot start again. Its `request_id` names the request for repeats.
    Takeover(Vec<u8>),
}

/// The answer to an order.
#[derive(Debug)]
pub enum OrderAnswer {
    /// It is carried out, or was before; with its decision ID.
    Done(Ordered, String),
    /// The owner acts for a user: good for one `update` at the server, which carries it out.
    Token(IssuedToken),
}

impl OrderAsk {
    fn method(&self) -> &'static str {
        match self {
            Self::Delegate(_) => "Legs.Delegate",
            Self::Resolve(..) => "Legs.Resolve",
            Self::RevokeDelegation(_) => "Legs.RevokeDelegation",
            Self::Takeover(_) => "Legs.Takeover",
        }
    }
}

/// The judge's answer, and the task that it is about.
type Answered = (TaskId, OrderAnswered);

impl Continuation {
    /// Carries an owner's or a delegate's order out; or, with a hand certificate (DER) and where a user is due,
    /// issues a token for it. Asked again once it is carried out, it says what became of it.
    ///
    /// # Errors
    /// See [`Failure`]; [`Reason::PrincipalDue`] where a user is due and no certificate is given.
    pub async fn order(
        &self,
        peer: &Peer,
        named: &NamedTask,
        ask: OrderAsk,
        certificate: Option<Vec<u8>>,
    ) -> Result<OrderAnswer, Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let evidence = caller.evidence();
        let method = ask.method();
        let asked = self.asked(evidence, ask)?;
        let hand = match certificate {
            Some(certificate) => Some(self.owner_ask(&certificate)?),
            None => None,
        };
        let load = Load {
            step: asked.step(),
            ..self.named(named)
        };
        let judge = self.judge(method, evidence, move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let answered = judged(scene, task, &asked, hand.as_ref())?;
            Ok(answered.map(|answered| (task.id, answered)))
        });
        let this = self.clone();
        super::to_the_end(async move {
            let decided = this.decide(load, judge).await?;
            this.order_answer(decided)
        })
        .await
    }

    fn asked(&self, evidence: &Evidence, ask: OrderAsk) -> Result<Asked, Failure> {
        let method = ask.method();
        Ok(match ask {
            OrderAsk::Delegate(ask) => {
                let to = self
                    .settings
                    .performer(&ask.to)
                    .map_err(|reason| self.refuse_early(method, evidence, reason))?;
                Order::Delegate(Box::new(AskDelegate {
                    to,
                    principal: ask.principal.as_ref().map(|it| self.principal(it)),
                    acts: ask.acts,
                    permissions: ask.permissions,
                    not_after: ask.not_after,
                    request: self.request_digest(evidence, method, &ask.request_id)?,
                    asked: ask.asked,
                    witnesses: ask.witnesses,
                }))
            }
            OrderAsk::Resolve(step, word) => Order::Resolve(step, (), word),
            OrderAsk::RevokeDelegation(number) => Order::RevokeDelegation(number),
            OrderAsk::Takeover(request_id) => {
                Order::Takeover(self.request_digest(evidence, method, &request_id)?, ())
            }
        })
    }

    fn order_answer(&self, decided: Decision<Answered>) -> Result<OrderAnswer, Failure> {
        let (task, ordered, number) = match decided {
            Decision::Recorded(recorded) => {
                let (task, number) = (recorded.effect().0, recorded.number());
                let answered = recorded.map(|(_, answered)| match answered {
                    OrderAnswered::Token(claims) => Ok(*claims),
                    OrderAnswered::Done(ordered) => Err(ordered),
                });
                match answered.split() {
                    Ok(claims) => return self.sign(&claims).map(OrderAnswer::Token),
                    Err(ordered) => (task, ordered, number),
                }
            }
            Decision::Noted(noted) => {
                let number = noted.number();
                match noted.into_effect() {
                    (task, OrderAnswered::Done(ordered)) => (task, ordered, number),
                    (_, OrderAnswered::Token(_)) => {
                        return Err(Failure::Internal("an order's token has no row".to_owned()));
                    }
                }
            }
            Decision::Denied(denied) => return Err(self.refuse(denied)),
        };
        self.tell_holder(task, &ordered);
        Ok(OrderAnswer::Done(ordered, self.decision_id(number)))
    }

    /// What follows an order in memory: whoever lost its leg hears of it.
    pub(super) fn tell_holder(&self, task: TaskId, ordered: &Ordered) {
        match ordered {
            Ordered::DelegationRevoked(Some(leg)) => {
                self.leases.end_leg(task, *leg, HoldKind::Revoked);
            }
            Ordered::TakenOver(leg) => self.leases.end_leg(task, *leg, HoldKind::Fenced),
            Ordered::Delegated(_) | Ordered::DelegationRevoked(None) | Ordered::Resolved(_) => {}
        }
    }

    fn named(&self, task: &NamedTask) -> Load {
        let names = &self.ports.names;
        let name = names.handle(&task.server, task.handle.expose_secret());
        Load::of(Locator::Name(name))
    }
}

/// The rules of an order, at once or by a token.
fn judged(
    scene: &mut Scene<'_>,
    task: &Task,
    asked: &Asked,
    hand: Option<&AskOwner>,
) -> Result<Transition<OrderAnswered>, Reason> {
    let held = Held::<AsOwnerPrincipalDue>::for_order(task, asked, scene.evidence)?;
    tell_order(scene, asked, |ask| (&ask.to, &ask.acts, &ask.asked));
    let permit = scene.permit(asked.action(), held.spiffe_id.as_ref())?;
    let answered = match hand.filter(|_| held.due(task).is_some()) {
        None => {
            let formed = order::form(scene.lineage, &held, asked, &scene.now)?;
            order::carry_out(scene.lineage, &held, &formed, &permit, &scene.now)?
                .map(OrderAnswered::Done)
        }
        Some(ask) => owner::issue_order(scene.lineage, &held, (asked, ask), &permit, &scene.now)?,
    };
    match &answered.effect {
        OrderAnswered::Done(ordered) => tell_ordered(scene, ordered),
        OrderAnswered::Token(claims) => scene.fact("fence", &claims.fence.0),
    }
    Ok(answered)
}

/// Tells the audit what is ordered. `terms`: of a hand-over, to whom, for what, and the digest of all that was asked.
pub(super) fn tell_order<D, L, F>(
    scene: &mut Scene<'_>,
    order: &Order<D, L, F>,
    terms: impl FnOnce(&D) -> (&Role, &BTreeSet<Act>, &Digest),
) {
    scene.fact("order", order.name());
    match order {
        Order::Delegate(what) => {
            let (to, acts, asked) = terms(what);
            scene.fact("to", &to.spiffe_id);
            let acts: Vec<&str> = acts.iter().map(|act| act.name()).collect();
            scene.fact("acts", &acts.join(" "));
            scene.fact("asked_s256", &Hex(&asked.0));
        }
        Order::Resolve(step, _, word) => {
            scene.fact("step", &step.0);
            scene.fact("outcome", word.name());
        }
        Order::RevokeDelegation(number) => scene.fact("delegation", &number.0),
        Order::Takeover(..) => {}
    }
}

/// Tells the audit what became of an order.
pub(super) fn tell_ordered(scene: &mut Scene<'_>, ordered: &Ordered) {
    match ordered {
        Ordered::Delegated(made) => {
            scene.fact("delegation", &made.number.0);
            scene.fact("not_after_ms", &made.not_after.0);
            if let Some(from) = made.from {
                scene.fact("from", &from.0);
            }
        }
        Ordered::DelegationRevoked(Some(leg)) | Ordered::TakenOver(leg) => {
            scene.fact("leg", &leg.0);
        }
        Ordered::DelegationRevoked(None) | Ordered::Resolved(_) => {}
    }
}
