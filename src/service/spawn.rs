//! `Legs.Spawn`: a leg holder cuts grants for children out of its task's.

use super::ports::ledger::Decision;
use super::ports::{Freshness, Peer};
use super::scene::Scene;
use super::steps::refuse_ended;
use super::{Continuation, Failure};
use crate::domain::child::ChildGrant;
use crate::domain::decide::spawn::{self, AskChild, AskSpawn};
use crate::domain::decide::step;
use crate::domain::denial::Reason;
use crate::domain::grant::Authority;
use crate::domain::grant::narrow::ChildTerms;
use crate::domain::id::{Digest, Hex, LegNumber, SpiffeId, TaskId};
use crate::domain::lineage::{Load, Locator};
use crate::domain::policy::{Action, CallFacts, Permit};
use crate::domain::role::{AsPerformer, Held};
use crate::domain::task::Task;
use std::collections::BTreeSet;
use std::sync::Arc;

const SPAWN: &str = "Legs.Spawn";

/// A leg holder asks for children.
#[derive(Clone, Debug)]
pub struct SpawnAsk {
    /// The task.
    pub task: TaskId,
    /// The leg.
    pub leg: LegNumber,
    /// Names the request for repeats.
    pub request_id: Vec<u8>,
    /// SHA-256 of what is asked.
    pub asked: Digest,
    /// The children, in order.
    pub children: Vec<ChildAsk>,
}

/// One of the children.
#[derive(Clone, Debug)]
pub struct ChildAsk {
    /// What it shall have.
    pub terms: ChildTerms,
    /// Who shall spend it; `None` is the caller's workload.
    pub spender: Option<SpiffeId>,
}

/// The children of a request.
#[derive(Clone, Debug)]
pub struct Spawned {
    /// Their identifiers, in the order of the request.
    pub ids: Vec<TaskId>,
    /// Whether the request was answered before.
    pub repeat: bool,
    /// For `handfast explain`.
    pub decision_id: String,
}

impl Continuation {
    /// Makes every child, or none.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn spawn(&self, peer: &Peer, ask: SpawnAsk) -> Result<Spawned, Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let evidence = caller.evidence();
        let (task, leg) = (ask.task, ask.leg);
        let ask = self.spawn_ask(evidence, ask)?;
        let load = Load {
            spawned: Some(ask.request),
            ..Load::of(Locator::Task(task))
        };
        let leases = Arc::clone(&self.leases);
        let named_max = self.settings.children_named_max;
        let judge = self.judge(SPAWN, evidence, move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsPerformer>::check(task, scene.evidence)?;
            refuse_ended(task.state_at(scene.now.time))?;
            scene.fact("leg", &ask.leg.0);
            scene.fact("children", &ask.children.len());
            let own = step::own_leg(task, &held, ask.leg, &scene.now)?;
            if !leases.may_act(task.id, own, scene.now.epoch) {
                return Err(Reason::NoLeg);
            }
            let permits = permit_children(scene, task, &held, &ask)?;
            scene.fact("asked_s256", &Hex(&ask.asked.0));
            let spawned = spawn::spawn(scene.lineage, &held, &ask, &permits, &scene.now)?;
            if !spawned.writes.children.is_empty() {
                scene.fact("granted", &granted(&spawned.writes.children, named_max));
            }
            Ok(spawned)
        });
        let (children, number) = match self.decide(load, judge).await? {
            Decision::Recorded(done) => {
                self.leases.touch(task, leg);
                let number = done.number();
                (done.into_effect(), number)
            }
            Decision::Noted(done) => {
                let number = done.number();
                (done.into_effect(), number)
            }
            Decision::Denied(denied) => return Err(self.refuse(denied)),
        };
        Ok(Spawned {
            ids: children.ids,
            repeat: children.repeat,
            decision_id: self.decision_id(number),
        })
    }

    /// Mints an identifier for each child and finds who may spend it.
    fn spawn_ask(
        &self,
        evidence: &crate::domain::evidence::Evidence,
        ask: SpawnAsk,
    ) -> Result<AskSpawn, Failure> {
        let refuse = |reason| self.refuse_early(SPAWN, evidence, reason);
        if ask.children.len() > self.settings.limits.children_per_spawn {
            return Err(refuse(Reason::Limit("limits.children_per_spawn")));
        }
        let now = self.now()?;
        let mut children = Vec::with_capacity(ask.children.len());
        for child in ask.children {
            let spender = child.spender.map(|id| self.settings.performer(&id));
            children.push(AskChild {
                id: self.new_task_id(now)?,
                terms: child.terms,
                spender: spender.transpose().map_err(refuse)?,
            });
        }
        Ok(AskSpawn {
            leg: ask.leg,
            children,
            request: self.request_digest(evidence, SPAWN, &ask.request_id)?,
            asked: ask.asked,
        })
    }
}

/// Who may spend what, for the audit: each child's identifier and spender, and how many more there are.
fn granted(children: &[ChildGrant], named_max: usize) -> String {
    let named = children.iter().take(named_max);
    let mut words: Vec<String> = named
        .map(|child| format!("{} {}", child.id, child.spender.spiffe_id))
        .collect();
    let more = children.len().saturating_sub(named_max);
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join(", ")
}

/// Asks policy about every child; about equal ones once.
fn permit_children(
    scene: &mut Scene<'_>,
    task: &Task,
    held: &Held<AsPerformer>,
    ask: &AskSpawn,
) -> Result<Vec<Permit>, Reason> {
    let mut asked = BTreeSet::new();
    let mut permits = Vec::new();
    for child in &ask.children {
        let call = &child.terms.call;
        let authority = spawn::authority(task, &child.terms).map(|(authority, _)| authority);
        if !asked.insert((&call.audience, &call.tool, authority)) {
            continue;
        }
        let facts = CallFacts {
            audience: call.audience.clone(),
            tool: call.tool.clone(),
            owner_authority: authority == Some(Authority::Asked),
        };
        let actor = held.spiffe_id.as_ref();
        permits.push(scene.permit_call(Action::Spawn, actor, facts, None)?);
    }
    Ok(permits)
}
