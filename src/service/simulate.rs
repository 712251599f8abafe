//! `Operator.Simulate`: what another policy set would make of the tasks that are running.
//!
//! Changes nothing. Each live task is asked about what its roles may do next, once under the newest set and
//! once under the other; the evidence is what the role must show, which is the least that its holder has.

use super::operator::operator;
use super::ports::{LocalPeer, Policy};
use super::scene::{caller, facts};
use super::{Continuation, Failure, notes};
use crate::domain::delegation::Act;
use crate::domain::event::{Event, Verdict};
use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::grant::{Authority, Permission};
use crate::domain::id::{Hex, SpiffeId, TaskId};
use crate::domain::lineage::Now;
use crate::domain::policy::{Action, CallFacts, Consent, PolicyInput};
use crate::domain::role::Role;
use crate::domain::task::Task;
use crate::domain::time::Time;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Questions put to each set in one answer; more wait for the next page.
const QUESTIONS_MAX: usize = 20_000;

/// An act that the other set would answer otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedChange {
    /// The task.
    pub task: TaskId,
    /// What, by whom and of which tool.
    pub input: PolicyInput,
    /// What the other set says.
    pub then: SimulatedAnswer,
    /// For the operator: why the set that permits less does.
    pub why: String,
}

/// What a set says of an act. In the order of how much it permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SimulatedAnswer {
    /// No.
    Refused,
    /// Not without a person's consent.
    AsksPerson,
    /// Yes.
    Permitted,
}

/// One page of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    /// What would change, task by task.
    pub changes: Vec<SimulatedChange>,
    /// Live tasks that were asked about.
    pub tasks: usize,
    /// How many acts were put to each set.
    pub acts: usize,
    /// Where the next page begins; `None` after the last.
    pub next: Option<TaskId>,
}

impl Continuation {
    /// Compares another set with the newest, for at most `limit` tasks after `after`.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for a set that is not good, with its problems; see [`Failure`].
    pub async fn simulate(
        &self,
        local: &LocalPeer,
        text: String,
        (after, limit): (Option<TaskId>, usize),
    ) -> Result<(Simulated, String), Failure> {
        let now = self.now()?;
        let current = Arc::clone(&self.ports.policy);
        let compile = Arc::clone(&current);
        // Checking a large set takes long enough to hold up other calls.
        let other = blocking(move || compile.candidate(&text))
            .await?
            .map_err(|problem| Failure::Invalid(format!("policy: {problem}")))?;
        let page = self.ports.ledger.tasks(after, limit).await?;
        let mut tasks = Vec::with_capacity(page.tasks.len());
        for task in page.tasks {
            // As its whole line and what is revoked make it, with the number of its ancestors.
            let rows = self.rows_of(task.clone()).await?;
            let depth = rows.ancestors.len();
            let seen = rows.as_of(now).into_owned();
            tasks.push((seen.task.unwrap_or(task), depth));
        }
        let (epoch, limits) = (self.ports.signer.epoch(), self.settings.limits.clone());
        let generation = other.generation();
        let mut simulated = blocking(move || {
            let now = Now {
                time: now,
                epoch,
                limits: &limits,
            };
            compare(&tasks, (current.as_ref(), other.as_ref()), &now)
        })
        .await?;
        simulated.next = simulated.next.or(page.next);
        let count = |then| {
            let so = simulated.changes.iter().filter(|it| it.then == then);
            so.count().to_string()
        };
        let facts = vec![
            (
                "set",
                generation
                    .text
                    .map(|digest| Hex(&digest.0).to_string())
                    .unwrap_or_default(),
            ),
            ("tasks", simulated.tasks.to_string()),
            ("cut_off", count(SimulatedAnswer::Refused)),
            ("asks_person", count(SimulatedAnswer::AsksPerson)),
            ("opened", count(SimulatedAnswer::Permitted)),
        ];
        let number = notes::note(&self.notes, self.simulation(local, now, facts))?;
        Ok((simulated, self.decision_id(number)))
    }

    fn simulation(&self, local: &LocalPeer, at: Time, facts: Vec<(&'static str, String)>) -> Event {
        Event {
            at,
            operation: "Operator.Simulate".to_owned(),
            verdict: Verdict::Allowed,
            task: None,
            caller: caller(&operator(local)),
            policy: self.ports.policy.generation(),
            policies: Vec::new(),
            facts,
            count: 1,
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::Internal(error.to_string()))
}

fn compare(
    tasks: &[(Task, usize)],
    (current, other): (&dyn Policy, &dyn Policy),
    now: &Now<'_>,
) -> Simulated {
    let mut simulated = Simulated::default();
    let mut last = None;
    for (task, depth) in tasks {
        let inputs = if task.state_at(now.time).is_terminal() {
            Vec::new()
        } else {
            acts((task, *depth), now)
        };
        let asked = simulated.acts.saturating_add(inputs.len());
        if asked > QUESTIONS_MAX && last.is_some() {
            simulated.next = last;
            break;
        }
        simulated.acts = asked;
        simulated.tasks = simulated
            .tasks
            .saturating_add(usize::from(!inputs.is_empty()));
        for input in inputs {
            let (now, why_now) = answer(current, &input);
            let (then, why_then) = answer(other, &input);
            if now == then {
                continue;
            }
            simulated.changes.push(SimulatedChange {
                task: task.id,
                input,
                then,
                why: if then < now { why_then } else { why_now },
            });
        }
        last = Some(task.id);
    }
    simulated
}

/// What a set says, and why it does not say yes.
fn answer(policy: &dyn Policy, input: &PolicyInput) -> (SimulatedAnswer, String) {
    let Err(refusal) = policy.evaluate(input) else {
        return (SimulatedAnswer::Permitted, String::new());
    };
    // As `Legs.Issue` does: what a person's consent would change is put before a person.
    let may_ask = matches!(input.action, Action::Step | Action::Retry);
    let consented = PolicyInput {
        consent: Consent::supposed(),
        ..input.clone()
    };
    let answer = if may_ask && policy.evaluate(&consented).is_ok() {
        SimulatedAnswer::AsksPerson
    } else {
        SimulatedAnswer::Refused
    };
    (answer, refusal.explanation)
}

/// What the roles of a task, and those to whom it was handed over, may do next. A new action that works on a task
/// gets its line here.
fn acts((task, depth): (&Task, usize), now: &Now<'_>) -> Vec<PolicyInput> {
    let mut asked = Asked {
        task,
        depth,
        now,
        inputs: Vec::new(),
    };
    let owner = [
        Action::Query,
        Action::Update,
        Action::Cancel,
        Action::Delegate,
        Action::TakeOver,
        Action::Resolve,
    ];
    asked.about(&owner, task.owner.workload.as_ref());
    let server = [Action::Query, Action::Finish, Action::RequireInput];
    asked.about(&server, Some(&task.server));
    for performer in &task.performers {
        asked.about(&PERFORM, Some(performer));
        for authority in [Authority::Asked, Authority::Own] {
            let grant = task.grant(authority);
            asked.calls(&STEP, performer, (authority, &grant.permissions));
            let fans = grant.depth_left > 0 && grant.children_left > 0;
            // Whatever it may call can be the call of a child.
            if fans && task.subject(authority).is_some() {
                asked.calls(&[Action::Spawn], performer, (authority, &grant.permissions));
            }
        }
    }
    asked.delegates();
    asked.inputs
}

/// What carries a task out.
const PERFORM: [Action; 2] = [Action::Start, Action::End];
/// What is done with a call of a grant.
const STEP: [Action; 3] = [Action::Step, Action::Retry, Action::SkipUnknown];

/// Questions about one task.
struct Asked<'a> {
    task: &'a Task,
    depth: usize,
    now: &'a Now<'a>,
    inputs: Vec<PolicyInput>,
}

impl Asked<'_> {
    /// What a role does with the task.
    fn about(&mut self, actions: &[Action], role: Option<&Role>) {
        for action in actions {
            let input = self.input(*action, role);
            self.inputs.push(input);
        }
    }

    /// What a role does with the tools that it may call, each once, whatever its arguments.
    fn calls(
        &mut self,
        actions: &[Action],
        role: &Role,
        (authority, permissions): (Authority, &[Permission]),
    ) {
        let tools: BTreeSet<(&SpiffeId, &str)> = permissions
            .iter()
            .map(|it| (&it.audience, it.tool.as_str()))
            .collect();
        for (audience, tool) in tools {
            for action in actions {
                let call = CallFacts {
                    audience: audience.clone(),
                    tool: tool.to_owned(),
                    owner_authority: authority == Authority::Asked,
                };
                self.inputs.push(PolicyInput {
                    call: Some(call),
                    ..self.input(*action, Some(role))
                });
            }
        }
    }

    /// What standing delegations hand over, whoever made them: to each role once.
    fn delegates(&mut self) {
        let all = self.task.delegations.iter();
        let standing: Vec<_> = all.filter(|it| it.ended_at.is_none()).collect();
        let mut seen: Vec<&Role> = Vec::new();
        for role in standing.iter().map(|it| &it.to) {
            if seen.contains(&role) {
                continue;
            }
            seen.push(role);
            let own = || standing.iter().filter(|it| it.to == *role);
            for act in Act::ALL {
                if own().any(|it| it.acts.contains(&act)) {
                    self.about(actions(act), Some(role));
                }
            }
            // A delegate steps on what it was lent of the owner's grant, and has no children.
            let lent: Vec<Permission> = own()
                .filter(|it| it.acts.contains(&Act::Perform))
                .flat_map(|it| self.task.lent_by(it))
                .cloned()
                .collect();
            self.calls(&STEP, role, (Authority::Asked, &lent));
        }
    }

    fn input(&self, action: Action, role: Option<&Role>) -> PolicyInput {
        let (task, now) = (self.task, self.now);
        PolicyInput {
            action,
            actor: role.map(|role| role.spiffe_id.clone()),
            evidence: role.map(|role| shown(role, now.time)),
            task: Some(facts(task, (action, self.depth), now)),
            call: None,
            issuer: None,
            consent: Consent::default(),
            now: now.time,
        }
    }
}

/// What of a task is done with an act that was handed over.
fn actions(act: Act) -> &'static [Action] {
    match act {
        Act::Cancel => &[Action::Cancel],
        Act::Delegate => &[Action::Delegate],
        Act::Perform => &PERFORM,
        Act::Query => &[Action::Query],
        Act::Takeover => &[Action::TakeOver],
        Act::Update => &[Action::Update],
    }
}

/// The least that the holder of a role has shown.
fn shown(role: &Role, now: Time) -> Evidence {
    Evidence {
        spiffe_ids: vec![role.spiffe_id.clone()],
        assurance: Assurance::Process,
        process: role.required.process,
        uid: role.required.uid,
        cgroup: role.required.cgroup.clone(),
        executable: role.required.executable,
        releases: role.required.release.iter().cloned().collect(),
        traced: false,
        attested_at: now,
    }
}
