//! `Enforcement`: what a token's audience asks before each effect, and reports after it.

use super::leases::HoldKind;
use super::ports::{Freshness, Peer};
use super::{Continuation, Failure, Vouched, handover};
use crate::domain::claims::Operation;
use crate::domain::decide::Presented;
use crate::domain::decide::check::{self, FreshStep, OwnerChecked, StepChecked};
use crate::domain::delegation::Act;
use crate::domain::denial::Reason;
use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::grant::{Authority, SeenCall};
use crate::domain::id::{Jti, SpiffeId, TaskId, Thumbprint};
use crate::domain::lineage::{Lineage, Load, Locator};
use crate::domain::order::Order;
use crate::domain::policy::{Action, CallFacts};
use crate::domain::role::{AsAudience, AsOwner, AsServer, Held};
use crate::domain::step::{Step, StepState};
use crate::domain::task::{Task, TaskState};
use crate::domain::time::Time;
use secrecy::{ExposeSecret, SecretString};

/// A token and the certificate of the connection that carried it.
#[derive(Clone, Debug)]
pub struct Proofs {
    /// The token, as received.
    pub token: SecretString,
    /// Thumbprint of the peer certificate of that connection.
    pub certificate: Thumbprint,
}

/// What a server checks for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerOperation {
    /// `tasks/cancel`.
    Cancel,
    /// `tasks/get`.
    Query,
    /// `tasks/update`.
    Update,
}

impl OwnerOperation {
    /// What a delegate must have been handed for it.
    fn act(self) -> Act {
        match self {
            Self::Cancel => Act::Cancel,
            Self::Query => Act::Query,
            Self::Update => Act::Update,
        }
    }
}

/// `Check` by an MCP server.
#[derive(Clone, Debug)]
pub struct CheckOwner {
    /// What the client wants.
    pub operation: OwnerOperation,
    /// The client's token; `None` where the server vouches for a principal alone.
    pub proofs: Option<Proofs>,
    /// The principal verified on this request.
    pub principal: Option<Vouched>,
    /// The handle that the client presented.
    pub handle: SecretString,
}

/// `Check` by a tool.
#[derive(Clone, Debug)]
pub struct CheckStep {
    /// The worker's token.
    pub proofs: Proofs,
    /// What the tool was called with.
    pub call: SeenCall,
}

/// What the audience may know of the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// The task.
    pub id: TaskId,
    /// State now.
    pub state: TaskState,
    /// The owner's workload.
    pub owner: Option<SpiffeId>,
    /// The server.
    pub server: SpiffeId,
    /// The tasks that it descends from, nearest first.
    pub ancestors: Vec<TaskId>,
    /// How strongly the owner is identified.
    pub assurance: Assurance,
}

/// The answer to `Check`. Only `Fresh` permits an effect.
#[derive(Clone, Debug)]
pub enum CheckAnswer {
    /// No.
    Denied(Reason),
    /// Yes, once, until `act_by`.
    Fresh {
        /// Exclusive.
        act_by: Time,
        /// The task.
        task: TaskView,
        /// For a step.
        step: Option<(Box<FreshStep>, Jti)>,
    },
    /// The task may be read; nothing may be done.
    Read(TaskView),
    /// The token was used before.
    Repeat(StepState, TaskView),
}

const QUERY: &str = "Enforcement.Check(query)";
const CANCEL: &str = "Enforcement.Check(cancel)";
const UPDATE: &str = "Enforcement.Check(update)";
const STEP: &str = "Enforcement.Check(step)";

impl Continuation {
    /// Checks an owner's query, cancel or update for its server.
    ///
    /// # Errors
    /// See [`Failure`]: no decision was possible. A refusal is an answer.
    pub async fn check_owner(
        &self,
        peer: &Peer,
        ask: CheckOwner,
    ) -> Result<(CheckAnswer, String), Failure> {
        let caller = self.attest(peer, Freshness::Recent).await?;
        let this = self.clone();
        let answer =
            super::to_the_end(async move { this.owner_answer(caller.evidence(), ask).await });
        answered(answer.await)
    }

    async fn owner_answer(
        &self,
        evidence: &Evidence,
        ask: CheckOwner,
    ) -> Result<(CheckAnswer, String), Failure> {
        let now = self.now()?;
        let (name, action) = match ask.operation {
            OwnerOperation::Cancel => (CANCEL, Action::Cancel),
            OwnerOperation::Query => (QUERY, Action::Query),
            OwnerOperation::Update => (UPDATE, Action::Update),
        };
        let token = match &ask.proofs {
            None => None,
            Some(Proofs { token, certificate }) => {
                Some(self.presented(name, evidence, (token, *certificate), now)?)
            }
        };
        if token.is_none() && ask.principal.is_none() {
            return Err(Failure::Invalid("needs a token or a principal".to_owned()));
        }
        let server = match &token {
            Some(presented) => presented.claims.audience.clone(),
            None => self
                .settings
                .acting_id(evidence)
                .map_err(|reason| self.refuse_early(name, evidence, reason))?,
        };
        let handle = self.ports.names.handle(&server, ask.handle.expose_secret());
        let load = Load {
            record: token.as_ref().map(|presented| presented.claims.fence),
            // An order may be about a step.
            step: token.as_ref().and_then(|presented| presented.claims.step),
            ..Load::of(Locator::Name(handle))
        };
        let judge = self.owner_judge(
            evidence,
            (name, ask.operation, action),
            token,
            ask.principal,
        );
        let ((checked, task), decision_id) = self.answer(load, judge).await?;
        let answer = match checked {
            OwnerChecked::Cancelled | OwnerChecked::Updated(_) => {
                if checked == OwnerChecked::Cancelled {
                    self.fell(task.id, HoldKind::Cancelled);
                }
                CheckAnswer::Fresh {
                    act_by: now.after(self.settings.limits.act_by),
                    task,
                    step: None,
                }
            }
            OwnerChecked::Ordered(ordered, _) => {
                self.tell_holder(task.id, &ordered);
                CheckAnswer::Read(task)
            }
            OwnerChecked::Ended(_) | OwnerChecked::Read(_) => CheckAnswer::Read(task),
        };
        Ok((answer, decision_id))
    }

    fn owner_judge(
        &self,
        evidence: &Evidence,
        (name, operation, action): (&'static str, OwnerOperation, Action),
        token: Option<Presented>,
        vouched: Option<Vouched>,
    ) -> std::sync::Arc<super::ports::ledger::Judge<(OwnerChecked, TaskView)>> {
        let principal = vouched.as_ref().map(|vouched| self.principal(vouched));
        let issuer = vouched.map(|vouched| vouched.issuer);
        self.judge(name, evidence, move |scene| {
            let lineage = scene.lineage;
            let task = lineage.known(&scene.now)?;
            let server = Held::<AsServer>::check(task, scene.evidence)?;
            let actor = token.as_ref().map(|presented| &presented.claims.actor);
            let ordered = match (operation, &token) {
                (OwnerOperation::Update, Some(token)) => check::ordered(lineage, token),
                _ => None,
            };
            if let Some(order) = ordered {
                handover::tell_order(scene, order, |it| (&it.to, &it.acts, &it.asked));
            }
            let action = ordered.map_or(action, Order::action);
            let act = ordered.map_or(Some(operation.act()), Order::act);
            let record = token
                .as_ref()
                .and_then(|token| check::record(lineage, token));
            let owner = match (record, actor) {
                (Some(record), Some(actor)) => {
                    scene.fact("fence", &record.fence.0);
                    Held::<AsOwner>::by_token(task, act, record, (actor, principal))?
                }
                _ => Held::<AsOwner>::for_act(task, operation.act(), actor, principal)?,
            };
            if let Some(presented) = &token {
                scene.not_void(&presented.claims)?;
            }
            if let Some(issuer) = &issuer {
                let facts = CallFacts::of(&task.call, false);
                let vouching = server.spiffe_id.as_ref();
                scene.permit_call(Action::Vouch, vouching, facts, Some(issuer))?;
            }
            let permit = scene.permit(action, actor)?;
            let roles = (&server, &owner);
            let (token, now) = (token.as_ref(), &scene.now);
            let transition = match (operation, ordered, token) {
                (_, Some(order), Some(token)) => {
                    check::order(lineage, roles, (token, order), &permit, now)?
                }
                (OwnerOperation::Cancel, _, token) => {
                    check::cancel(lineage, roles, token, &permit, now)?
                }
                (OwnerOperation::Query, _, token) => {
                    check::query(task, roles, token, &permit, now)?
                }
                (OwnerOperation::Update, _, token) => {
                    check::update(lineage, roles, token, &permit, now)?
                }
            };
            if let OwnerChecked::Ordered(ordered, _) = &transition.effect {
                handover::tell_ordered(scene, ordered);
            }
            let after = transition.writes.task.as_ref().unwrap_or(task);
            let view = view((after, lineage), scene.now.time);
            Ok(transition.map(|checked| (checked, view)))
        })
    }

    /// Judges a step's token for its audience, and burns it.
    ///
    /// # Errors
    /// See [`Failure`]: no decision was possible. A refusal is an answer.
    pub async fn check_step(
        &self,
        peer: &Peer,
        ask: CheckStep,
    ) -> Result<(CheckAnswer, String), Failure> {
        let caller = self.attest(peer, Freshness::Recent).await?;
        answered(self.step_answer(caller.evidence(), ask).await)
    }

    async fn step_answer(
        &self,
        evidence: &Evidence,
        ask: CheckStep,
    ) -> Result<(CheckAnswer, String), Failure> {
        let now = self.now()?;
        let Proofs { token, certificate } = &ask.proofs;
        let presented = self.presented(STEP, evidence, (token, *certificate), now)?;
        let claims = &presented.claims;
        let load = Load {
            step: claims.step,
            record: Some(claims.fence),
            approval: claims.step,
            ..Load::of(Locator::Task(claims.task))
        };
        let jti = claims.jti;
        let judge = self.step_judge(evidence, presented, ask.call);
        let (effect, decision_id) = self.answer(load, judge).await?;
        crate::failpoint::hit("check.burned_not_replied");
        let answer = match effect {
            (StepChecked::Fresh(step), task) => CheckAnswer::Fresh {
                act_by: step.act_by,
                task,
                step: Some((step, jti)),
            },
            (StepChecked::Repeat(state), task) => CheckAnswer::Repeat(state, task),
        };
        Ok((answer, decision_id))
    }

    fn step_judge(
        &self,
        evidence: &Evidence,
        presented: Presented,
        call: SeenCall,
    ) -> std::sync::Arc<super::ports::ledger::Judge<(StepChecked, TaskView)>> {
        let settings = std::sync::Arc::clone(&self.settings);
        self.judge(STEP, evidence, move |scene| {
            let claims = &presented.claims;
            scene.fact("fence", &claims.fence.0);
            scene.fact("tool", &call.call.tool);
            if !matches!(claims.operation, Operation::Retry | Operation::Step) {
                return Err(Reason::TokenInvalid("operation"));
            }
            let row = settings.row(&claims.audience, scene.evidence);
            let held = |demanded| {
                Held::<AsAudience>::check(&claims.audience, row.as_ref(), demanded, scene.evidence)
            };
            // Who asks comes first: nobody else may raise an alarm.
            held(Assurance::Svid)?;
            // Possession of the signing key alone mints nothing: no task, no answer.
            let task = scene.lineage.task.as_ref().ok_or(Reason::Alarm)?;
            let step = claims
                .step
                .and_then(|step| scene.lineage.written_step(step));
            let audience = held(demanded(task, step))?;
            scene.not_void(claims)?;
            check::recorded(scene.lineage, &presented, &scene.now)?;
            let action = match claims.operation {
                Operation::Retry => Action::Retry,
                Operation::Cancel
                | Operation::Create
                | Operation::Query
                | Operation::Step
                | Operation::Update => Action::Step,
            };
            let owner_authority = step.is_some_and(|step| step.authority == Authority::Asked);
            let facts = CallFacts::of(&call.call, owner_authority);
            let consent = scene.consent_used_by(&settings, (claims.step, claims.fence));
            let permit = scene.permit_step(action, Some(&claims.actor), facts, consent)?;
            let checked = check::step(
                scene.lineage,
                &audience,
                &presented,
                &call,
                (&permit, &scene.now),
            )?;
            let view = view((task, scene.lineage), scene.now.time);
            Ok(checked.map(|checked| (checked, view)))
        })
    }
}

/// How strongly the audience of this step must be identified: what the grant says that it was begun under.
pub(super) fn demanded(task: &Task, step: Option<&Step>) -> Assurance {
    step.map_or(Assurance::Svid, |step| {
        task.grant(step.authority).audience_assurance.into()
    })
}

/// At `Check` a refusal is an answer, not an error.
fn answered(
    result: Result<(CheckAnswer, String), Failure>,
) -> Result<(CheckAnswer, String), Failure> {
    match result {
        Err(Failure::Denied {
            reason,
            decision_id,
        }) => Ok((CheckAnswer::Denied(reason), decision_id)),
        other => other,
    }
}

fn view((task, line): (&Task, &Lineage), now: Time) -> TaskView {
    TaskView {
        id: task.id,
        state: task.state_at(now),
        owner: task
            .owner
            .workload
            .as_ref()
            .map(|role| role.spiffe_id.clone()),
        server: task.server.spiffe_id.clone(),
        ancestors: line.ancestors.iter().map(|task| task.id).collect(),
        assurance: match task.owner.workload {
            Some(_) => Assurance::Process,
            None => Assurance::Principal,
        },
    }
}
