//! `Legs.Issue`: a token for one step, or a person who is asked first.

use super::leases::Leases;
use super::ports::ledger::{Decision, Recorded};
use super::ports::{Freshness, Names, Peer};
use super::scene::{self, Scene};
use super::{Continuation, Failure, IssuedToken, Settings};
use crate::domain::decide::approval::{self, Standing, Wanted};
use crate::domain::decide::sequence;
use crate::domain::decide::step::{self, AskStep, StepAsked};
use crate::domain::denial::Reason;
use crate::domain::grant::{Authority, SeenCall};
use crate::domain::id::{ApprovalId, Digest, Fence, LegNumber, StepNumber, TaskId};
use crate::domain::lineage::{Load, Locator, Transition};
use crate::domain::policy::{Action, CallFacts, Consent};
use crate::domain::role::{AsPerformer, Held};
use crate::domain::step::StepState;
use crate::domain::task::TaskState;
use crate::domain::time::Time;
use std::sync::Arc;

const ISSUE: &str = "Legs.Issue";

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
    pub call: SeenCall,
    /// Its arguments in canonical form (RFC 8785), for a person to see where one is asked.
    pub canonical: String,
    /// Names the request for repeats.
    pub request_id: Vec<u8>,
    /// Go on past another step whose outcome nobody knows, if policy permits.
    pub skip_unknown: bool,
}

/// What became of a step that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// A person is asked first.
    PendingApproval {
        /// The request for approval.
        id: ApprovalId,
        /// Until when somebody may decide.
        decide_by: Time,
    },
    /// `Issued` with a token, else as it is.
    Step(StepState),
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
    /// What became of the step.
    pub became: Became,
    /// For `handfast explain`.
    pub decision_id: String,
}

/// Everything that the decision about one step needs besides rows.
struct Bench {
    ask: AskStep,
    canonical: String,
    skip_unknown: bool,
    serial: [u8; 12],
    leases: Arc<Leases>,
    names: Arc<dyn Names>,
    settings: Arc<Settings>,
}

impl Continuation {
    /// Issues a token for a step, or has a person asked where policy wants one's consent.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn issue_step(&self, peer: &Peer, ask: StepAsk) -> Result<IssuedStep, Failure> {
        let (this, peer) = (self.clone(), peer.clone());
        super::to_the_end(async move { this.issue_one(&peer, ask).await }).await
    }

    async fn issue_one(&self, peer: &Peer, ask: StepAsk) -> Result<IssuedStep, Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let evidence = caller.evidence();
        let (task, leg) = (ask.task, ask.leg);
        let load = Load {
            step: Some(ask.step),
            approval: Some(ask.step),
            account: true,
            ..Load::of(Locator::Task(task))
        };
        let mut serial = [0_u8; 12];
        self.random(&mut serial)?;
        let bench = Bench {
            ask: AskStep {
                leg,
                number: ask.step,
                idempotency_key: self
                    .ports
                    .names
                    .idempotency_key(task, ask.step, &ask.call.call),
                request: self.request_digest(evidence, ISSUE, &ask.request_id)?,
                jti: self.jti()?,
                call: ask.call,
                skip_unknown: None,
            },
            canonical: ask.canonical,
            skip_unknown: ask.skip_unknown,
            serial,
            leases: Arc::clone(&self.leases),
            names: Arc::clone(&self.ports.names),
            settings: Arc::clone(&self.settings),
        };
        let judge = self.judge(ISSUE, evidence, move |scene| bench.decide(scene));
        match self.decide(load, judge).await? {
            Decision::Recorded(recorded) => {
                self.leases.touch(task, leg);
                if let StepAsked::Pending { id, decide_by } = *recorded.effect() {
                    self.watchers.asked();
                    let decision_id = self.decision_id(recorded.number());
                    return Ok(without_token(
                        Became::PendingApproval { id, decide_by },
                        decision_id,
                    ));
                }
                self.signed_step(recorded)
            }
            Decision::Noted(noted) => {
                let decision_id = self.decision_id(noted.number());
                match noted.into_effect() {
                    StepAsked::Repeat(state) => Ok(without_token(Became::Step(state), decision_id)),
                    StepAsked::Pending { id, decide_by } => {
                        self.leases.touch(task, leg);
                        let became = Became::PendingApproval { id, decide_by };
                        Ok(without_token(became, decision_id))
                    }
                    StepAsked::Issue { .. } => {
                        Err(Failure::Internal("a step token has no row".to_owned()))
                    }
                }
            }
            Decision::Denied(denied) => Err(self.refuse(denied)),
        }
    }

    fn signed_step(&self, recorded: Recorded<StepAsked>) -> Result<IssuedStep, Failure> {
        let key = match recorded.effect() {
            StepAsked::Issue {
                idempotency_key, ..
            } => *idempotency_key,
            StepAsked::Pending { .. } | StepAsked::Repeat(_) => Digest([0; 32]),
        };
        let claims = recorded
            .map(|asked| match asked {
                StepAsked::Issue { claims, .. } => Ok(*claims),
                asked @ (StepAsked::Pending { .. } | StepAsked::Repeat(_)) => Err(asked),
            })
            .split()
            .map_err(|_asked| Failure::Internal("a repeat was recorded as a change".to_owned()))?;
        crate::failpoint::hit("step.recorded_not_signed");
        let token = self.sign(&claims)?;
        crate::failpoint::hit("step.signed_not_replied");
        Ok(IssuedStep {
            fence: claims.effect().fence,
            idempotency_key: key,
            became: Became::Step(StepState::Issued),
            decision_id: token.decision_id.clone(),
            token: Some(token),
        })
    }
}

impl Bench {
    fn decide(&self, scene: &mut Scene<'_>) -> Result<Transition<StepAsked>, Reason> {
        let (ask, lineage) = (&self.ask, scene.lineage);
        let task = lineage.known(&scene.now)?;
        let held = Held::<AsPerformer>::check(task, scene.evidence)?;
        // Before the leg, which an ended task has not: the worker learns that it is over.
        refuse_ended(task.state_at(scene.now.time))?;
        scene.fact("leg", &ask.leg.0);
        scene.fact("step", &ask.number.0);
        scene.fact("audience", &ask.call.call.audience);
        scene.fact("tool", &ask.call.call.tool);
        let mut up = task.live_leg(scene.now.epoch).into_iter();
        if up.any(|leg| !self.leases.may_act(task.id, leg, scene.now.epoch)) {
            return Err(Reason::NoLeg);
        }
        let action = step::action(lineage, task, ask.number, &scene.now);
        // The rules judge state and leg first, so that policy is not asked about what cannot be.
        step::own_leg(task, &held, ask.leg, &scene.now)?;
        let ask = &self.skipping(scene, &held)?;
        let authority = step::begun_under(lineage, task, ask.number, &ask.call, &scene.now);
        let owner_authority = authority == Ok(Authority::Asked);
        let facts = CallFacts::of(&ask.call.call, owner_authority);
        let actor = held.spiffe_id.as_ref();
        match scene.permit_step(action, actor, facts.clone(), Consent::default()) {
            Ok(permit) => step::issue(lineage, &held, ask, &permit, &scene.now),
            Err(refused) => self.with_consent(scene, (&held, ask), (action, facts), refused),
        }
    }

    /// The step as asked, with policy's word on a step that it would go on past.
    fn skipping(&self, scene: &mut Scene<'_>, held: &Held<AsPerformer>) -> Result<AskStep, Reason> {
        let mut ask = self.ask.clone();
        let task = scene.lineage.known(&scene.now)?;
        let unknown = sequence::passes_over(task, ask.number, &scene.now);
        if let Some(unknown) = unknown.filter(|_| self.skip_unknown) {
            let owner_authority = unknown.authority == Authority::Asked;
            let facts = CallFacts::of(&unknown.call, owner_authority);
            scene.fact("skipped_step", &unknown.number.0);
            let actor = held.spiffe_id.as_ref();
            ask.skip_unknown = Some(scene.permit_call(Action::SkipUnknown, actor, facts, None)?);
        }
        Ok(ask)
    }

    /// Policy refuses the step: what a person's consent would change is put before a person.
    fn with_consent(
        &self,
        scene: &mut Scene<'_>,
        (held, ask): (&Held<AsPerformer>, &AskStep),
        (action, facts): (Action, CallFacts),
        refused: Reason,
    ) -> Result<Transition<StepAsked>, Reason> {
        let (lineage, actor) = (scene.lineage, held.spiffe_id.as_ref());
        let supposed = Consent::supposed();
        let Ok(permit) = scene.permit_step(action, actor, facts.clone(), supposed) else {
            return Err(refused);
        };
        let asked_by = scene::caller(scene.evidence);
        let wanted = Wanted {
            ask,
            canonical: &self.canonical,
            asked_by: &asked_by,
            serial: self.serial,
            sha256: &|bytes| self.names.sha256(bytes),
        };
        match approval::standing(lineage, held, &wanted, &scene.now)? {
            Standing::Ask => {}
            Standing::Granted(row) => {
                if let Some(consent) = scene.consent(&self.settings, row, &asked_by) {
                    scene.fact("approval", &row.id);
                    let permit = scene.permit_step(action, actor, facts, consent)?;
                    return approval::consume(lineage, held, &wanted, &permit, &scene.now);
                }
                // Whoever brought the decision may not do so any more.
                scene.fact("approval_void", &row.id);
            }
            Standing::Pending(row) => {
                scene.fact("approval", &row.id);
                return Ok(Transition::unchanged(StepAsked::Pending {
                    id: row.id,
                    decide_by: row.decide_by,
                }));
            }
            Standing::Repeat(state) => {
                return Ok(Transition::unchanged(StepAsked::Repeat(state)));
            }
        }
        let opened = approval::open(lineage, held, &wanted, &permit, &scene.now)?;
        if let Some(row) = &opened.writes.approval {
            scene.fact("approval", &row.id);
            scene.fact("approval_s256", &crate::domain::id::Hex(&row.digest.0));
        }
        Ok(opened)
    }
}

fn without_token(became: Became, decision_id: String) -> IssuedStep {
    IssuedStep {
        token: None,
        fence: Fence(0),
        idempotency_key: Digest([0; 32]),
        became,
        decision_id,
    }
}

pub(super) fn refuse_ended(state: TaskState) -> Result<(), Reason> {
    if state.is_terminal() {
        Err(Reason::Terminal(state))
    } else {
        Ok(())
    }
}
