//! What an owner does with a task besides asking about it: hand it over, take it back, settle an effect that
//! nobody knows about.

use super::leases::HoldKind;
use super::ports::{Freshness, Peer};
use super::{Continuation, Failure, Vouched};
use crate::domain::arguments::Witnesses;
use crate::domain::decide::handover::{self, AskDelegate, Word};
use crate::domain::delegation::{Act, Delegation};
use crate::domain::grant::Permission;
use crate::domain::id::{DelegationNumber, Digest, Hex, LegNumber, SpiffeId, StepNumber, TaskId};
use crate::domain::lineage::{Load, Locator, Transition};
use crate::domain::policy::Action;
use crate::domain::role::{AsOwnerPrincipalDue, Held};
use crate::domain::step::StepState;
use crate::domain::time::Time;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeSet;

const DELEGATE: &str = "Legs.Delegate";
const REVOKE: &str = "Legs.RevokeDelegation";
const TAKE_OVER: &str = "Legs.Takeover";
const RESOLVE: &str = "Legs.Resolve";

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

/// A rule about a task that its owner, or a delegate, named.
type Handled<E> = (TaskId, E);

impl Continuation {
    /// Hands a task, or acts on it, over to one role.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn delegate(
        &self,
        peer: &Peer,
        named: &NamedTask,
        ask: DelegateAsk,
    ) -> Result<(Delegation, String), Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let evidence = caller.evidence();
        let to = self
            .settings
            .performer(&ask.to)
            .map_err(|reason| self.refuse_early(DELEGATE, evidence, reason))?;
        let ask = AskDelegate {
            to,
            principal: ask.principal.as_ref().map(|it| self.principal(it)),
            acts: ask.acts,
            permissions: ask.permissions,
            not_after: ask.not_after,
            request: self.request_digest(evidence, DELEGATE, &ask.request_id)?,
            asked: ask.asked,
            witnesses: ask.witnesses,
        };
        let judge = self.judge(DELEGATE, evidence, move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsOwnerPrincipalDue>::for_act(task, Act::Delegate, scene.evidence)?;
            scene.fact("to", &ask.to.spiffe_id);
            let acts: Vec<&str> = ask.acts.iter().map(|act| act.name()).collect();
            scene.fact("acts", &acts.join(" "));
            let permit = scene.permit(Action::Delegate, held.spiffe_id.as_ref())?;
            scene.fact("asked_s256", &Hex(&ask.asked.0));
            let made = handover::delegate(scene.lineage, &held, &ask, &permit, &scene.now)?;
            scene.fact("delegation", &made.effect.number.0);
            scene.fact("not_after_ms", &made.effect.not_after.0);
            if let Some(from) = made.effect.from {
                scene.fact("from", &from.0);
            }
            Ok(made)
        });
        self.answer(self.named(named), judge).await
    }

    /// Takes a delegation back, and whatever was made on its strength.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn revoke_delegation(
        &self,
        peer: &Peer,
        named: &NamedTask,
        number: DelegationNumber,
    ) -> Result<String, Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let judge = self.judge(REVOKE, caller.evidence(), move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsOwnerPrincipalDue>::to_take_back(task, number, scene.evidence)?;
            scene.fact("delegation", &number.0);
            let permit = scene.permit(Action::Delegate, held.spiffe_id.as_ref())?;
            let revoked = handover::revoke(scene.lineage, &held, number, &permit, &scene.now)?;
            Ok(about(task.id, revoked))
        });
        let (this, load) = (self.clone(), self.named(named));
        super::to_the_end(async move {
            let ((task, lost), decision_id) = this.answer(load, judge).await?;
            if let Some(leg) = lost {
                this.leases.end_leg(task, leg, HoldKind::Revoked);
            }
            Ok(decision_id)
        })
        .await
    }

    /// Ends the live leg for the owner; its process cannot start again.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn take_over(
        &self,
        peer: &Peer,
        named: &NamedTask,
        request_id: &[u8],
    ) -> Result<(LegNumber, String), Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let request = self.request_digest(caller.evidence(), TAKE_OVER, request_id)?;
        let judge = self.judge(TAKE_OVER, caller.evidence(), move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsOwnerPrincipalDue>::for_act(task, Act::Takeover, scene.evidence)?;
            let permit = scene.permit(Action::TakeOver, held.spiffe_id.as_ref())?;
            let taken = handover::take_over(scene.lineage, &held, request, &permit, &scene.now)?;
            scene.fact("leg", &taken.effect.0);
            Ok(about(task.id, taken))
        });
        let (this, load) = (self.clone(), self.named(named));
        super::to_the_end(async move {
            let ((task, leg), decision_id) = this.answer(load, judge).await?;
            this.leases.end_leg(task, leg, HoldKind::Fenced);
            Ok((leg, decision_id))
        })
        .await
    }

    /// Settles a step whose outcome nobody knows, on the owner's word.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn resolve(
        &self,
        peer: &Peer,
        named: &NamedTask,
        (step, word): (StepNumber, Word),
    ) -> Result<(StepState, String), Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let load = Load {
            step: Some(step),
            ..self.named(named)
        };
        let judge = self.judge(RESOLVE, caller.evidence(), move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsOwnerPrincipalDue>::check(task, scene.evidence)?;
            scene.fact("step", &step.0);
            scene.fact("outcome", &format!("{word:?}").to_lowercase());
            let permit = scene.permit(Action::Resolve, held.spiffe_id.as_ref())?;
            handover::resolve(scene.lineage, &held, (step, word), &permit, &scene.now)
        });
        self.answer(load, judge).await
    }

    fn named(&self, task: &NamedTask) -> Load {
        let names = &self.ports.names;
        let name = names.handle(&task.server, task.handle.expose_secret());
        Load::of(Locator::Name(name))
    }
}

/// The same answer, with the task that it is about.
fn about<E>(task: TaskId, transition: Transition<E>) -> Transition<Handled<E>> {
    Transition {
        effect: (task, transition.effect),
        writes: transition.writes,
    }
}
