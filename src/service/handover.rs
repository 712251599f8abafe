//! What an owner does with a task besides asking about it: hand it over, take it back, settle an effect that
//! nobody knows about. At once; or, where the owner acts for a user whom only its server can see, by a token that
//! has the order carried out when the server checks it.

use super::leases::HoldKind;
use super::ports::ledger::Decision;
use super::ports::{Freshness, Peer};
use super::scene::Scene;
use super::{Continuation, Failure, IssuedToken, Vouched};
use crate::domain::arguments::Witnesses;
use crate::domain::claims::TokenClaims;
use crate::domain::decide::handover::{self, AskDelegate};
use crate::domain::decide::owner::{self, AskOwner, OrderIssued};
use crate::domain::delegation::Act;
use crate::domain::denial::Reason;
use crate::domain::evidence::Evidence;
use crate::domain::grant::Permission;
use crate::domain::id::{DelegationNumber, Digest, Hex, SpiffeId, StepNumber, TaskId};
use crate::domain::lineage::{Load, Locator, Now, Transition};
use crate::domain::order::{Order, Ordered, Word};
use crate::domain::policy::Action;
use crate::domain::role::{AsOwnerPrincipalDue, Held};
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
    TakeBack(DelegationNumber),
    /// End the live leg; its process cannot start again. Its `request_id` names the request for repeats.
    TakeOver(Vec<u8>),
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
            Self::TakeBack(_) => "Legs.RevokeDelegation",
            Self::TakeOver(_) => "Legs.Takeover",
        }
    }
}

/// What is asked for, before it is an [`Order`]: how much is handed over depends on what the giver has.
#[derive(Clone, Debug)]
enum Wish {
    Delegate(Box<AskDelegate>),
    Other(Order),
}

impl Wish {
    fn held(&self, task: &Task, who: &Evidence) -> Result<Held<AsOwnerPrincipalDue>, Reason> {
        Ok(match self {
            Self::Delegate(_) => Held::<AsOwnerPrincipalDue>::for_act(task, Act::Delegate, who)?,
            Self::Other(order) => Held::<AsOwnerPrincipalDue>::for_order(task, order, who)?,
        })
    }

    fn action(&self) -> Action {
        match self {
            Self::Delegate(_) => Action::Delegate,
            Self::Other(order) => order.action(),
        }
    }

    fn step(&self) -> Option<StepNumber> {
        match self {
            Self::Delegate(_) => None,
            Self::Other(order) => order.step(),
        }
    }

    fn order(
        &self,
        task: &Task,
        held: &Held<AsOwnerPrincipalDue>,
        now: &Now<'_>,
    ) -> Result<Order, Reason> {
        Ok(match self {
            Self::Delegate(ask) => {
                let made = handover::offer(task, held.delegation, ask, now)?;
                Order::Delegate(Box::new(made))
            }
            Self::Other(order) => order.clone(),
        })
    }

    /// Tells the audit what is asked for.
    fn tell(&self, scene: &mut Scene<'_>) {
        match self {
            Self::Delegate(ask) => {
                scene.fact("to", &ask.to.spiffe_id);
                let acts: Vec<&str> = ask.acts.iter().map(|act| act.name()).collect();
                scene.fact("acts", &acts.join(" "));
                scene.fact("asked_s256", &Hex(&ask.asked.0));
            }
            Self::Other(Order::Resolve(step, word)) => {
                scene.fact("step", &step.0);
                scene.fact("outcome", &format!("{word:?}").to_lowercase());
            }
            Self::Other(Order::TakeBack(number)) => scene.fact("delegation", &number.0),
            Self::Other(Order::Delegate(_) | Order::TakeOver(_)) => {}
        }
    }
}

/// A token's claims, or what became of the order at once.
type Answered = Result<TokenClaims, Ordered>;

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
        let wish = self.wish(evidence, ask)?;
        let hand = match certificate {
            Some(certificate) => Some(self.owner_ask(&certificate)?),
            None => None,
        };
        let load = Load {
            step: wish.step(),
            ..self.named(named)
        };
        let judge = self.judge(method, evidence, move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let answered = judged(scene, task, &wish, hand.as_ref())?;
            Ok(answered.map(|answered| (task.id, answered)))
        });
        let this = self.clone();
        super::to_the_end(async move {
            let decided = this.decide(load, judge).await?;
            this.order_answer(decided)
        })
        .await
    }

    fn wish(&self, evidence: &Evidence, ask: OrderAsk) -> Result<Wish, Failure> {
        let method = ask.method();
        Ok(match ask {
            OrderAsk::Delegate(ask) => {
                let to = self
                    .settings
                    .performer(&ask.to)
                    .map_err(|reason| self.refuse_early(method, evidence, reason))?;
                Wish::Delegate(Box::new(AskDelegate {
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
            OrderAsk::Resolve(step, word) => Wish::Other(Order::Resolve(step, word)),
            OrderAsk::TakeBack(number) => Wish::Other(Order::TakeBack(number)),
            OrderAsk::TakeOver(request_id) => {
                let request = self.request_digest(evidence, method, &request_id)?;
                Wish::Other(Order::TakeOver(request))
            }
        })
    }

    fn order_answer(&self, decided: Decision<(TaskId, Answered)>) -> Result<OrderAnswer, Failure> {
        let (task, ordered, number) = match decided {
            Decision::Recorded(recorded) => {
                let number = recorded.number();
                let (task, _) = recorded.effect();
                let task = *task;
                match recorded.map(|(_, answered)| answered).split() {
                    Ok(claims) => return self.sign(&claims).map(OrderAnswer::Token),
                    Err(ordered) => (task, ordered, number),
                }
            }
            Decision::Noted(noted) => {
                let number = noted.number();
                match noted.into_effect() {
                    (task, Err(ordered)) => (task, ordered, number),
                    (_, Ok(_)) => {
                        return Err(Failure::Internal("an order's token has no row".to_owned()));
                    }
                }
            }
            Decision::Denied(denied) => return Err(self.refuse(denied)),
        };
        self.follow(task, &ordered);
        Ok(OrderAnswer::Done(ordered, self.decision_id(number)))
    }

    /// What follows an order in memory: whoever lost its leg hears of it.
    pub(super) fn follow(&self, task: TaskId, ordered: &Ordered) {
        match ordered {
            Ordered::TakenBack(Some(leg)) => self.leases.end_leg(task, *leg, HoldKind::Revoked),
            Ordered::TakenOver(leg) => self.leases.end_leg(task, *leg, HoldKind::Fenced),
            Ordered::Delegated(_) | Ordered::Resolved(_) | Ordered::TakenBack(None) => {}
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
    wish: &Wish,
    hand: Option<&AskOwner>,
) -> Result<Transition<Answered>, Reason> {
    let held = wish.held(task, scene.evidence)?;
    wish.tell(scene);
    let permit = scene.permit(wish.action(), held.spiffe_id.as_ref())?;
    let order = wish.order(task, &held, &scene.now)?;
    let Some(ask) = hand.filter(|_| held.due(task).is_some()) else {
        let done = handover::carry_out(scene.lineage, &held, &order, &permit, &scene.now)?;
        tell(scene, &done.effect);
        return Ok(done.map(Err));
    };
    let how = (&order, ask);
    let issued = owner::issue_order(scene.lineage, &held, how, &permit, &scene.now)?;
    Ok(issued.map(|issued| match issued {
        OrderIssued::Repeat(ordered) => Err(ordered),
        OrderIssued::Token(claims) => {
            scene.fact("order", order.name());
            scene.fact("fence", &claims.fence.0);
            Ok(*claims)
        }
    }))
}

/// Tells the audit what became of an order.
pub(super) fn tell(scene: &mut Scene<'_>, ordered: &Ordered) {
    match ordered {
        Ordered::Delegated(made) => {
            scene.fact("delegation", &made.number.0);
            scene.fact("not_after_ms", &made.not_after.0);
            if let Some(from) = made.from {
                scene.fact("from", &from.0);
            }
        }
        Ordered::TakenBack(Some(leg)) | Ordered::TakenOver(leg) => scene.fact("leg", &leg.0),
        Ordered::Resolved(_) | Ordered::TakenBack(None) => {}
    }
}
