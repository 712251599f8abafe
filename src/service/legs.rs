//! `Legs`: what a worker does with a task.

use super::leases::{HoldKind, HoldStream};
use super::ports::ledger::Decision;
use super::ports::{Freshness, Peer};
use super::{Continuation, Failure};
use crate::domain::decide::end::{self, LegEnding};
use crate::domain::decide::leg::{self, AskStart, Started};
use crate::domain::decide::step;
use crate::domain::denial::Reason;
use crate::domain::id::{LegNumber, TaskId};
use crate::domain::lineage::{Lineage, Load, Locator, Transition};
use crate::domain::policy::Action;
use crate::domain::role::{AsPerformer, Held};
use crate::domain::task::TaskState;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

const START: &str = "Legs.Start";
const HOLD: &str = "Legs.Hold";
const END: &str = "Legs.End";

/// A performer asks for a leg.
#[derive(Clone, Debug)]
pub struct StartAsk {
    /// From the queue.
    pub work_reference: SecretString,
    /// DER of the leg certificate.
    pub certificate: Vec<u8>,
}

/// A leg that was started or taken up again.
#[derive(Clone, Debug)]
pub struct LegStarted {
    /// The task.
    pub task: TaskId,
    /// The leg.
    pub started: Started,
    /// For `handfast explain`.
    pub decision_id: String,
}

/// A leg is ended by its holder.
#[derive(Clone, Copy, Debug)]
pub struct EndAsk {
    /// The task.
    pub task: TaskId,
    /// The leg.
    pub leg: LegNumber,
    /// How.
    pub ending: LegEnding,
}

impl Continuation {
    /// Starts a leg, or takes up again the one that this process had.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn start(&self, peer: &Peer, ask: StartAsk) -> Result<LegStarted, Failure> {
        let (this, peer) = (self.clone(), peer.clone());
        super::to_the_end(async move { this.start_leg(&peer, ask).await }).await
    }

    async fn start_leg(&self, peer: &Peer, ask: StartAsk) -> Result<LegStarted, Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let evidence = caller.evidence();
        let certificate = self.certificate(&ask.certificate, self.now()?)?;
        // A wrong reference still loads a row: a fixed absent one.
        let task = self
            .ports
            .names
            .parse_work_reference(ask.work_reference.expose_secret())
            .unwrap_or(TaskId([0; 16]));
        let leases = Arc::clone(&self.leases);
        let judge = self.judge(START, evidence, move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsPerformer>::check(task, scene.evidence)?;
            let permit = scene.permit(Action::Start, held.spiffe_id.as_ref())?;
            // After the role check: a stranger must not learn from it whether a task is up.
            leases.room(task.id).map_err(Reason::Limit)?;
            let ask = AskStart {
                certificate: certificate.thumbprint,
                certificate_ends: certificate.ends,
                uid: scene.evidence.uid,
                holder_may_act: task
                    .leg
                    .as_ref()
                    .is_some_and(|leg| leases.may_act(task.id, leg, scene.now.epoch)),
            };
            let started = leg::start(scene.lineage, &held, &ask, &permit, &scene.now)?;
            scene.fact("leg", &started.effect.leg.0);
            scene.fact("fence", &started.effect.fence.0);
            scene.fact("reattached", &started.effect.reattached);
            Ok(Transition {
                effect: (started.effect, ancestors(scene.lineage)),
                writes: started.writes,
            })
        });
        match self.decide(Load::of(Locator::Task(task)), judge).await? {
            Decision::Recorded(recorded) => {
                let decision_id = self.decision_id(recorded.number());
                let (started, ancestors) = recorded.into_effect();
                let peer = caller.local().cloned().ok_or_else(|| {
                    Failure::Internal("a leg was started without a process".to_owned())
                })?;
                self.up((task, ancestors), started.leg, peer, false);
                Ok(LegStarted {
                    task,
                    started,
                    decision_id,
                })
            }
            Decision::Noted(_) => Err(Failure::Internal("a start changed nothing".to_owned())),
            Decision::Denied(denied) => Err(self.refuse(denied)),
        }
    }

    /// Opens a stream that renews the lease while it and the process live.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn hold(
        &self,
        peer: &Peer,
        task: TaskId,
        leg: LegNumber,
    ) -> Result<HoldStream, Failure> {
        let caller = self.attest(peer, Freshness::Recent).await?;
        let leases = Arc::clone(&self.leases);
        let judge = self.judge(HOLD, caller.evidence(), move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsPerformer>::check(task, scene.evidence)?;
            match task.state_at(scene.now.time) {
                TaskState::InputRequired | TaskState::Working => {}
                TaskState::Cancelled => {
                    return Ok(Transition::unchanged(Some(HoldKind::Cancelled)));
                }
                TaskState::Completed | TaskState::Expired | TaskState::Failed => {
                    return Ok(Transition::unchanged(Some(HoldKind::Finished)));
                }
            }
            let leg = step::own_leg(task, &held, leg, &scene.now)?;
            if !leases.may_act(task.id, leg, scene.now.epoch) {
                return Err(Reason::NoLeg);
            }
            Ok(Transition::unchanged(None))
        });
        let (last, _) = self.answer(Load::of(Locator::Task(task)), judge).await?;
        match last {
            Some(kind) => Ok(HoldStream::closing(kind)),
            None => self.leases.hold(task, leg).map_err(Failure::Busy),
        }
    }

    /// Ends the caller's leg, and the task if the ending is final.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn end(&self, peer: &Peer, ask: EndAsk) -> Result<(TaskState, String), Failure> {
        let (this, peer) = (self.clone(), peer.clone());
        super::to_the_end(async move { this.end_leg(&peer, ask).await }).await
    }

    async fn end_leg(&self, peer: &Peer, ask: EndAsk) -> Result<(TaskState, String), Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let judge = self.judge(END, caller.evidence(), move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsPerformer>::check(task, scene.evidence)?;
            let permit = scene.permit(Action::End, held.spiffe_id.as_ref())?;
            scene.fact("leg", &ask.leg.0);
            end::end(task, &held, (ask.leg, ask.ending), &permit, &scene.now)
        });
        let answer = self
            .answer(Load::of(Locator::Task(ask.task)), judge)
            .await?;
        // This leg only: after a yield another performer may have started meanwhile.
        self.leases.end_leg(ask.task, ask.leg, HoldKind::Finished);
        if answer.0.is_terminal() {
            self.fell(ask.task, HoldKind::Finished);
        }
        Ok(answer)
    }
}

/// The tasks that a task descends from.
pub(super) fn ancestors(lineage: &Lineage) -> Vec<TaskId> {
    lineage.ancestors.iter().map(|task| task.id).collect()
}
