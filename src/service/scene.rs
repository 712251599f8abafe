//! The scene of one decision: rows, evidence, time and policy, and the audit event that comes of it.

use super::acts::{act, rests};
use super::explain::explain;
use super::ports::ledger::{Denied, Judge, Judged};
use super::ports::{Clock, Policy, Signer};
use super::{Continuation, Settings};
use crate::domain::claims::TokenClaims;
use crate::domain::denial::Reason;
use crate::domain::event::{CallerFacts, Event, Verdict};
use crate::domain::evidence::Evidence;
use crate::domain::id::SpiffeId;
use crate::domain::lineage::{Lineage, Now, Transition};
use crate::domain::policy::{
    Action, BudgetFacts, CallFacts, Consent, LineFacts, Permit, PolicyGeneration, PolicyInput,
    TaskFacts,
};
use crate::domain::revocation::{Ending, Revocations};
use crate::domain::task::Task;
use crate::domain::time::Time;
use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

/// One decision in progress.
pub(super) struct Scene<'a> {
    /// The rows as the task's line makes them: what rules judge.
    pub(super) lineage: &'a Lineage,
    /// The rows as they are.
    pub(super) rows: &'a Lineage,
    /// Time, epoch and limits.
    pub(super) now: Now<'a>,
    /// The caller, without IDs that are revoked: no role is held by one.
    pub(super) evidence: &'a Evidence,
    /// The caller as it was attested.
    attested: &'a Evidence,
    policy: &'a dyn Policy,
    generation: PolicyGeneration,
    policies: Vec<String>,
    facts: Vec<(&'static str, String)>,
}

impl Scene<'_> {
    /// Adds a fact to the audit event.
    pub(super) fn fact(&mut self, name: &'static str, value: &(impl Display + ?Sized)) {
        self.facts.push((name, value.to_string()));
    }

    /// Asks policy about this caller.
    ///
    /// # Errors
    /// [`Reason::Policy`] with its explanation.
    pub(super) fn permit(
        &mut self,
        action: Action,
        actor: Option<&SpiffeId>,
    ) -> Result<Permit, Reason> {
        let task = self
            .lineage
            .task
            .as_ref()
            .map(|task| facts(task, (action, self.depth()), &self.now));
        self.ask(&PolicyInput {
            action,
            actor: actor.cloned(),
            evidence: self.evidence_of(actor),
            task,
            call: None,
            issuer: None,
            consent: Consent::default(),
            now: self.now.time,
        })
    }

    /// Asks policy about a tool call.
    ///
    /// # Errors
    /// [`Reason::Policy`] with its explanation.
    pub(super) fn permit_call(
        &mut self,
        action: Action,
        actor: Option<&SpiffeId>,
        call: CallFacts,
        issuer: Option<&str>,
    ) -> Result<Permit, Reason> {
        let input = self.about_call(action, actor, call);
        self.ask(&PolicyInput {
            issuer: issuer.map(ToOwned::to_owned),
            ..input
        })
    }

    /// Asks policy about a step, with or without a person's consent.
    ///
    /// # Errors
    /// [`Reason::Policy`] with its explanation.
    pub(super) fn permit_step(
        &mut self,
        action: Action,
        actor: Option<&SpiffeId>,
        call: CallFacts,
        consent: Consent,
    ) -> Result<Permit, Reason> {
        let input = self.about_call(action, actor, call);
        self.ask(&PolicyInput { consent, ..input })
    }

    /// The question about a tool call, as far as it is the same for all.
    pub(super) fn about_call(
        &self,
        action: Action,
        actor: Option<&SpiffeId>,
        call: CallFacts,
    ) -> PolicyInput {
        let task = self.lineage.task.as_ref();
        PolicyInput {
            action,
            actor: actor.cloned(),
            evidence: self.evidence_of(actor),
            task: task.map(|task| facts(task, (action, self.depth()), &self.now)),
            call: Some(call),
            issuer: None,
            consent: Consent::default(),
            now: self.now.time,
        }
    }

    /// How many ancestors the task has.
    fn depth(&self) -> usize {
        self.lineage.ancestors.len()
    }

    /// The caller's evidence, where the caller is who acts: at `Check` it is the audience.
    fn evidence_of(&self, actor: Option<&SpiffeId>) -> Option<Evidence> {
        let acts = actor.is_some_and(|id| self.evidence.spiffe_ids.contains(id));
        acts.then(|| self.evidence.clone())
    }

    /// Asks policy.
    ///
    /// # Errors
    /// [`Reason::Policy`] with its explanation.
    pub(super) fn ask(&mut self, input: &PolicyInput) -> Result<Permit, Reason> {
        match self.policy.evaluate(input) {
            Ok(permit) => {
                self.generation = permit.generation();
                self.policies.extend(permit.policies().iter().cloned());
                Ok(permit)
            }
            Err(refusal) => {
                self.generation = refusal.generation;
                let why = format!("{}: {}", input.action.name(), refusal.explanation);
                // A set may say too that ended tasks rest; who may ask hears that it has ended.
                match &input.task {
                    Some(task) if task.state.is_terminal() && rests(input.action) => {
                        self.fact("policy", &why);
                        Err(Reason::Terminal(task.state))
                    }
                    Some(_) | None => Err(Reason::Policy(why)),
                }
            }
        }
    }

    /// Refuses a token whose holder or epoch is revoked.
    ///
    /// # Errors
    /// [`Reason::TokenVoid`].
    pub(super) fn not_void(&self, claims: &TokenClaims) -> Result<(), Reason> {
        if self.rows.revocations.voids(claims) {
            return Err(Reason::TokenVoid);
        }
        Ok(())
    }

    fn event(&self, operation: &'static str, verdict: Verdict) -> Event {
        Event {
            at: self.now.time,
            operation: operation.to_owned(),
            verdict,
            task: self
                .lineage
                .task
                .as_ref()
                .map(|task| task.id)
                .or(self.lineage.id),
            caller: caller(self.attested),
            policy: self.generation,
            policies: self.policies.clone(),
            facts: self.facts.clone(),
            count: 1,
        }
    }
}

/// What policy sees of a task.
pub(super) fn facts(task: &Task, (action, depth): (Action, usize), now: &Now<'_>) -> TaskFacts {
    let delegated = act(action).into_iter().flat_map(|act| task.delegated(act));
    TaskFacts {
        id: task.id,
        state: task.state_at(now.time),
        owner: task
            .owner
            .workload
            .as_ref()
            .map(|role| role.spiffe_id.clone()),
        principal: task.owner.principal,
        server: task.server.spiffe_id.clone(),
        tool: task.call.tool.clone(),
        created_at: task.created_at,
        deadline: task.deadline,
        last_step: task.last_step.0,
        legs: task.legs.0,
        leg: task.leg.as_ref().map(|leg| leg.number.0),
        line: LineFacts {
            root: task.txn,
            parent: task.parent,
            depth: u32::try_from(depth).unwrap_or(u32::MAX),
        },
        budget: BudgetFacts {
            depth_left: task.asked.depth_left,
            children_left: task.asked.children_left,
            uses_left: task.asked.uses_left,
        },
        delegates: delegated.map(|it| it.to.spiffe_id.clone()).collect(),
    }
}

/// What is kept of a caller.
pub(super) fn caller(evidence: &Evidence) -> CallerFacts {
    CallerFacts {
        spiffe_ids: evidence.spiffe_ids.clone(),
        assurance: Some(evidence.assurance),
        process: evidence.process,
        uid: evidence.uid,
        cgroup: evidence.cgroup.clone(),
        executable: evidence.executable,
    }
}

/// The event of a refusal that needed no rows.
pub(super) fn denial(
    operation: &'static str,
    evidence: &Evidence,
    (at, policy): (Time, PolicyGeneration),
    reason: &Reason,
) -> Event {
    Event {
        at,
        operation: operation.to_owned(),
        verdict: Verdict::Denied {
            reason: reason.name().to_owned(),
            explanation: explain(reason, None, evidence),
        },
        task: None,
        caller: caller(evidence),
        policy,
        policies: Vec::new(),
        facts: Vec::new(),
        count: 1,
    }
}

/// Everything a judge needs besides rows; cheap to clone into the ledger's thread.
struct Bench {
    clock: Arc<dyn Clock>,
    policy: Arc<dyn Policy>,
    settings: Arc<Settings>,
    signer: Arc<dyn Signer>,
    evidence: Arc<Evidence>,
    operation: &'static str,
}

impl Continuation {
    /// Makes a judge of a rule: the same rule, on newer rows and at a later time, if it must be.
    pub(super) fn judge<E, R>(
        &self,
        operation: &'static str,
        evidence: &Evidence,
        rule: R,
    ) -> Arc<Judge<E>>
    where
        E: 'static,
        R: Fn(&mut Scene<'_>) -> Result<Transition<E>, Reason> + Send + Sync + 'static,
    {
        let bench = Bench {
            clock: Arc::clone(&self.ports.clock),
            policy: Arc::clone(&self.ports.policy),
            settings: Arc::clone(&self.settings),
            signer: Arc::clone(&self.ports.signer),
            evidence: Arc::new(evidence.clone()),
            operation,
        };
        Arc::new(move |lineage| bench.run(lineage, &rule))
    }
}

impl Bench {
    fn run<E>(
        &self,
        rows: &Lineage,
        rule: &dyn Fn(&mut Scene<'_>) -> Result<Transition<E>, Reason>,
    ) -> Result<Judged<E>, Box<Denied>> {
        let time = self.clock.now();
        let seen = rows.as_of(time.unwrap_or_default());
        let lineage = seen.as_ref();
        // Of this moment: a decision that is made again may fall into another epoch.
        let epoch = self.signer.epoch();
        let evidence = unrevoked(&self.evidence, &rows.revocations);
        let mut scene = Scene {
            lineage,
            rows,
            now: Now {
                time: time.unwrap_or_default(),
                epoch,
                limits: &self.settings.limits,
            },
            evidence: &evidence,
            attested: &self.evidence,
            policy: self.policy.as_ref(),
            generation: self.policy.generation(),
            policies: Vec::new(),
            facts: Vec::new(),
        };
        let decided = match time {
            Some(_) if epoch <= rows.revocations.epochs => Err(Reason::EpochRevoked),
            Some(_) if rows.revocations.denies_all(&self.evidence.spiffe_ids) => {
                Err(Reason::IdRevoked)
            }
            Some(_) => rule(&mut scene),
            None => Err(Reason::Limit("clock.backward_jump_max")),
        };
        match decided {
            Ok(mut transition) => {
                let writes = &mut transition.writes;
                if writes.ending.is_none() {
                    writes.ending = Ending::of(rows, writes, scene.now.time);
                }
                Ok(Judged {
                    transition,
                    event: scene.event(self.operation, Verdict::Allowed),
                })
            }
            Err(reason) => {
                let explanation = explain(&reason, lineage.task.as_ref(), &self.evidence);
                let verdict = Verdict::Denied {
                    reason: reason.name().to_owned(),
                    explanation,
                };
                let event = scene.event(self.operation, verdict);
                Err(Box::new(Denied { reason, event }))
            }
        }
    }
}

/// The caller without the IDs that are revoked.
fn unrevoked<'a>(evidence: &'a Evidence, revocations: &Revocations) -> Cow<'a, Evidence> {
    if !evidence.spiffe_ids.iter().any(|id| revocations.denies(id)) {
        return Cow::Borrowed(evidence);
    }
    let mut left = evidence.clone();
    left.spiffe_ids.retain(|id| !revocations.denies(id));
    Cow::Owned(left)
}
