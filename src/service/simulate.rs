//! `Operator.Simulate`: what another policy set would make of the tasks that are running.
//!
//! Changes nothing. Each live task is asked about what its roles may do next, once under the newest set and
//! once under the other; the evidence is what the role must show, which is the least that its holder has.

use super::operator::operator;
use super::ports::{LocalPeer, Policy};
use super::scene::{caller, facts};
use super::{Continuation, Failure, notes};
use crate::domain::event::{Event, Verdict};
use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::id::{Hex, TaskId};
use crate::domain::lineage::{Load, Locator, Now};
use crate::domain::policy::{Action, CallFacts, Consent, PolicyInput};
use crate::domain::role::Role;
use crate::domain::task::Task;
use crate::domain::time::Time;
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
    /// Whether the other set permits it, which the newest does not; else it would be cut off.
    pub permitted_then: bool,
    /// For the operator: why the set that refuses does.
    pub why: String,
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
            // As its whole line makes it, with the number of its ancestors.
            let rows = match task.parent {
                None => None,
                Some(_) => Some(
                    self.ports
                        .ledger
                        .load(Load::of(Locator::Task(task.id)))
                        .await?,
                ),
            };
            let seen = rows.as_ref().map(|rows| rows.as_of(now));
            let depth = seen.as_ref().map_or(0, |rows| rows.ancestors.len());
            let seen = seen.and_then(|rows| rows.task.clone()).unwrap_or(task);
            tasks.push((seen, depth));
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
        let cut = simulated.changes.iter().filter(|it| !it.permitted_then);
        let cut = cut.count();
        let facts = vec![
            (
                "set",
                generation
                    .text
                    .map(|digest| Hex(&digest.0).to_string())
                    .unwrap_or_default(),
            ),
            ("tasks", simulated.tasks.to_string()),
            ("cut_off", cut.to_string()),
            (
                "opened",
                simulated.changes.len().saturating_sub(cut).to_string(),
            ),
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
            let (permitted_then, why) = match (current.evaluate(&input), other.evaluate(&input)) {
                (Ok(_), Err(refusal)) => (false, refusal.explanation),
                (Err(refusal), Ok(_)) => (true, refusal.explanation),
                (Ok(_), Ok(_)) | (Err(_), Err(_)) => continue,
            };
            simulated.changes.push(SimulatedChange {
                task: task.id,
                input,
                permitted_then,
                why,
            });
        }
        last = Some(task.id);
    }
    simulated
}

/// What the roles of a task may do next. A new action that works on a task gets its line here.
fn acts((task, depth): (&Task, usize), now: &Now<'_>) -> Vec<PolicyInput> {
    let about = |action, role: Option<&Role>| PolicyInput {
        action,
        actor: role.map(|role| role.spiffe_id.clone()),
        evidence: role.map(|role| shown(role, now.time)),
        task: Some(facts(task, (action, depth), now)),
        call: None,
        issuer: None,
        consent: Consent::default(),
        now: now.time,
    };
    let mut inputs = Vec::new();
    for action in [
        Action::Query,
        Action::Update,
        Action::Cancel,
        Action::Delegate,
        Action::TakeOver,
        Action::Resolve,
    ] {
        inputs.push(about(action, task.owner.workload.as_ref()));
    }
    for action in [Action::Query, Action::Finish, Action::RequireInput] {
        inputs.push(about(action, Some(&task.server)));
    }
    for performer in &task.performers {
        for action in [Action::Start, Action::End] {
            inputs.push(about(action, Some(performer)));
        }
        for (grant, owner_authority) in [(&task.asked, true), (&task.own, false)] {
            for permission in &grant.permissions {
                let call = CallFacts {
                    audience: permission.audience.clone(),
                    tool: permission.tool.clone(),
                    owner_authority,
                };
                inputs.push(PolicyInput {
                    call: Some(call),
                    ..about(Action::Step, Some(performer))
                });
            }
        }
    }
    inputs
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
