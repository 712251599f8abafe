//! `Legs`: what a worker does with a task.

use super::leases::{HoldKind, HoldStream};
use super::ports::ledger::Decision;
use super::ports::{Freshness, Peer};
use super::{Continuation, Failure, IssuedToken};
use crate::domain::decide::end::{self, LegEnding};
use crate::domain::decide::leg::{self, AskStart, Started};
use crate::domain::decide::step::{self, AskStep, StepAsked};
use crate::domain::denial::Reason;
use crate::domain::grant::ToolCall;
use crate::domain::id::{Digest, Fence, LegNumber, StepNumber, TaskId};
use crate::domain::lineage::{Load, Locator, Transition};
use crate::domain::policy::{Action, CallFacts};
use crate::domain::role::{AsPerformer, Held};
use crate::domain::step::StepState;
use crate::domain::task::TaskState;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

const START: &str = "Legs.Start";
const ISSUE: &str = "Legs.Issue";
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

/// A leg holder asks for a step.
#[derive(Clone, Debug)]
pub struct StepAsk {
    /// The task.
    pub task: TaskId,
    /// The leg.
    pub leg: LegNumber,
    /// The place of the effect in the worker's program.
    pub step: StepNumber,
    /// What is to be called.
    pub call: ToolCall,
    /// Names the request for repeats.
    pub request_id: Vec<u8>,
}

/// A step's token, or what became of the step.
#[derive(Clone, Debug)]
pub struct IssuedStep {
    /// The token, where the step may be carried out.
    pub token: Option<IssuedToken>,
    /// The token's fence; zero without a token.
    pub fence: Fence,
    /// Equal over retries; zero without a token.
    pub idempotency_key: Digest,
    /// `Issued` with a token.
    pub state: StepState,
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
            let started = leg::start(task, &held, &ask, &permit, &scene.now)?;
            scene.fact("leg", &started.effect.leg.0);
            scene.fact("fence", &started.effect.fence.0);
            scene.fact("reattached", &started.effect.reattached);
            Ok(started)
        });
        match self.decide(Load::of(Locator::Task(task)), judge).await? {
            Decision::Recorded(recorded) => {
                let decision_id = self.decision_id(recorded.number());
                let started = recorded.into_effect();
                let peer = caller.local().cloned().ok_or_else(|| {
                    Failure::Internal("a leg was started without a process".to_owned())
                })?;
                self.up(task, started.leg, peer, false);
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

    /// Issues a token for a step.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn issue_step(&self, peer: &Peer, ask: StepAsk) -> Result<IssuedStep, Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let evidence = caller.evidence();
        let task = ask.task;
        let load = Load {
            step: Some(ask.step),
            ..Load::of(Locator::Task(task))
        };
        let leg = ask.leg;
        let ask = AskStep {
            leg,
            number: ask.step,
            idempotency_key: self.ports.names.idempotency_key(task, ask.step, &ask.call),
            request: self.request_digest(evidence, ISSUE, &ask.request_id)?,
            jti: self.jti()?,
            call: ask.call,
        };
        let leases = Arc::clone(&self.leases);
        let judge = self.judge(ISSUE, evidence, move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsPerformer>::check(task, scene.evidence)?;
            // Before the leg, which an ended task has not: the worker learns that it is over.
            refuse_ended(task.state_at(scene.now.time))?;
            scene.fact("leg", &ask.leg.0);
            scene.fact("step", &ask.number.0);
            scene.fact("audience", &ask.call.audience);
            scene.fact("tool", &ask.call.tool);
            if task
                .live_leg(scene.now.epoch)
                .is_some_and(|leg| !leases.may_act(task.id, leg, scene.now.epoch))
            {
                return Err(Reason::NoLeg);
            }
            let (owners, action) = (
                step::authority(task, &ask.call, &scene.now),
                step::action(scene.lineage, task, ask.number, &scene.now),
            );
            // The rules judge state and leg first, so that policy is not asked about what cannot be.
            step::own_leg(task, &held, ask.leg, &scene.now)?;
            let owner_authority = owners.as_ref().is_some_and(|(subject, _)| {
                task.owner.workload.as_ref().is_some_and(|owner| {
                    *subject == crate::domain::claims::Subject::Workload(owner.spiffe_id.clone())
                })
            });
            let facts = CallFacts::of(&ask.call, owner_authority);
            let permit = scene.permit_call(action, held.spiffe_id.as_ref(), facts, None)?;
            step::issue(scene.lineage, &held, &ask, &permit, &scene.now)
        });
        match self.decide(load, judge).await? {
            Decision::Recorded(recorded) => {
                self.leases.touch(task, leg);
                self.signed_step(recorded)
            }
            Decision::Noted(noted) => {
                let decision_id = self.decision_id(noted.number());
                match noted.into_effect() {
                    StepAsked::Repeat(state) => Ok(IssuedStep {
                        token: None,
                        fence: Fence(0),
                        idempotency_key: Digest([0; 32]),
                        state,
                        decision_id,
                    }),
                    StepAsked::Issue { .. } => {
                        Err(Failure::Internal("a step token has no row".to_owned()))
                    }
                }
            }
            Decision::Denied(denied) => Err(self.refuse(denied)),
        }
    }

    fn signed_step(
        &self,
        recorded: super::ports::ledger::Recorded<StepAsked>,
    ) -> Result<IssuedStep, Failure> {
        let key = match recorded.effect() {
            StepAsked::Issue {
                idempotency_key, ..
            } => *idempotency_key,
            StepAsked::Repeat(_) => Digest([0; 32]),
        };
        let claims = recorded
            .map(|asked| match asked {
                StepAsked::Issue { claims, .. } => Ok(*claims),
                StepAsked::Repeat(state) => Err(state),
            })
            .split()
            .map_err(|_state| Failure::Internal("a repeat was recorded as a change".to_owned()))?;
        crate::failpoint::hit("step.recorded_not_signed");
        let token = self.sign(&claims)?;
        crate::failpoint::hit("step.signed_not_replied");
        Ok(IssuedStep {
            fence: claims.effect().fence,
            idempotency_key: key,
            state: StepState::Issued,
            decision_id: token.decision_id.clone(),
            token: Some(token),
        })
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
        let last = match self.decide(Load::of(Locator::Task(task)), judge).await? {
            Decision::Recorded(last) => last.into_effect(),
            Decision::Noted(last) => last.into_effect(),
            Decision::Denied(denied) => return Err(self.refuse(denied)),
        };
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
            .state_answer(Load::of(Locator::Task(ask.task)), judge)
            .await?;
        // This leg only: after a yield another performer may have started meanwhile.
        self.leases.end_leg(ask.task, ask.leg, HoldKind::Finished);
        Ok(answer)
    }
}

fn refuse_ended(state: TaskState) -> Result<(), Reason> {
    if state.is_terminal() {
        Err(Reason::Terminal(state))
    } else {
        Ok(())
    }
}
