//! `Operator`: what the person on the node may see and do.

use super::leases::LeaseState;
use super::ports::{LedgerError, LocalPeer};
use super::sweep::agent_evidence;
use super::{Continuation, Failure, words};
use crate::domain::delegation::{Act, Delegation};
use crate::domain::event::{CallerFacts, ChainedEvent, Event, Verdict};
use crate::domain::evidence::Evidence;
use crate::domain::id::{DelegationNumber, RecordNumber, SpiffeId, StepNumber, TaskId};
use crate::domain::input::Input;
use crate::domain::lineage::{Load, Locator, Now};
use crate::domain::step::StepState;
use crate::domain::task::{Task, TaskState};
use crate::domain::time::Time;
use std::time::Duration;

/// A task as an operator sees it.
#[derive(Clone, Debug)]
pub struct TaskSummary {
    /// The row.
    pub task: Task,
    /// State now.
    pub state: TaskState,
    /// Who holds the leg, in words; empty without a leg.
    pub held_by: String,
    /// Who can act now, in words.
    pub can_act_now: String,
    /// The pending step and its state now.
    pub pending: Option<(StepNumber, StepState)>,
    /// What each role must show, in words.
    pub requirements: Vec<String>,
}

/// The agent as an operator sees it. The edge adds what it knows of identity and policy files.
#[derive(Clone, Debug)]
pub struct StatusView {
    /// The running epoch.
    pub epoch: u64,
    /// Number of the newest policy set.
    pub policy_generation: u64,
    /// Legs that are up.
    pub live_legs: usize,
    /// Enforcement points that hear of revocations.
    pub subscribers: usize,
    /// The first of the SPIFFE IDs that are revoked.
    pub revoked_ids: Vec<SpiffeId>,
    /// How many are kept, lifted ones included.
    pub revoked_ids_kept: usize,
    /// How many of those are lifted.
    pub revoked_ids_lifted: usize,
    /// How many can be kept.
    pub revoked_ids_max: usize,
    /// Time since start.
    pub uptime: Duration,
}

impl Continuation {
    /// Lists tasks in the order of their creation.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn list_tasks(
        &self,
        after: Option<TaskId>,
        limit: usize,
    ) -> Result<(Vec<TaskSummary>, Option<TaskId>), Failure> {
        let page = self.ports.ledger.tasks(after, limit).await?;
        let now = self.now()?;
        let mut tasks = Vec::with_capacity(page.tasks.len());
        for task in page.tasks {
            tasks.push(self.summary(self.seen(task, now).await?)?);
        }
        Ok((tasks, page.next))
    }

    /// Shows one task.
    ///
    /// # Errors
    /// See [`Failure`]; `None` where there is none.
    pub async fn show_task(&self, task: TaskId) -> Result<Option<TaskSummary>, Failure> {
        let lineage = self
            .ports
            .ledger
            .load(Load::of(Locator::Task(task)))
            .await?;
        let seen = lineage.as_of(self.now()?).into_owned();
        seen.task.map(|task| self.summary(task)).transpose()
    }

    /// Opens a decision ID. `None` for one that is not ours or whose record is not durable yet.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn explain(&self, decision_id: &str) -> Result<Option<ChainedEvent>, Failure> {
        let Some(number) = self.ports.names.open_decision_id(decision_id) else {
            return Ok(None);
        };
        let events = self.ports.ledger.events(number, 1).await?;
        Ok(events.into_iter().find(|event| event.number == number))
    }

    /// Reads the audit chain.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn audit(
        &self,
        from: RecordNumber,
        limit: usize,
    ) -> Result<Vec<ChainedEvent>, LedgerError> {
        self.ports.ledger.events(from, limit).await
    }

    /// How the agent is.
    #[must_use]
    pub fn status(&self) -> StatusView {
        let revocations = self.ports.ledger.revocations();
        let lifted = revocations.ids.values().filter(|it| it.lifted);
        StatusView {
            revoked_ids_kept: revocations.ids.len(),
            revoked_ids_lifted: lifted.count(),
            revoked_ids_max: self.settings.limits.revoked_ids_max,
            epoch: self.ports.signer.epoch().0,
            policy_generation: self.ports.policy.generation().number,
            live_legs: self.leases.all().len(),
            subscribers: self.feed.subscriptions().len(),
            revoked_ids: self.revoked_ids(),
            uptime: self.ports.clock.monotonic().saturating_sub(self.started),
        }
    }

    /// Puts a connection that was closed for its conduct into the audit; equal ones are folded.
    pub fn connection_refused(&self, local: &LocalPeer, conduct: &'static str) {
        let event = Event {
            at: self.ports.clock.now().unwrap_or_default(),
            operation: "connection".to_owned(),
            verdict: Verdict::Denied {
                reason: conduct.to_owned(),
                explanation: "another process than the pinned one wrote to this connection, or it \
                    carried a descriptor: connect after fork, one connection per process"
                    .to_owned(),
            },
            task: None,
            caller: CallerFacts {
                process: Some(local.key),
                uid: Some(local.uid),
                ..CallerFacts::default()
            },
            policy: self.ports.policy.generation(),
            policies: Vec::new(),
            facts: Vec::new(),
            count: 1,
        };
        if let Err(error) = super::notes::note(&self.notes, event) {
            tracing::warn!(%error, "a refused connection is not in the audit");
        }
    }

    fn summary(&self, task: Task) -> Result<TaskSummary, Failure> {
        let now = Now {
            time: self.now()?,
            epoch: self.ports.signer.epoch(),
            limits: &self.settings.limits,
        };
        let state = task.state_at(now.time);
        let lease = self.leases.state(task.id);
        let held_by = task.leg.as_ref().map_or_else(String::new, |leg| {
            let suffix = match &lease {
                Some(LeaseState::Suspended) => " (suspended: waits for it to start again)",
                Some(LeaseState::Idle | LeaseState::Live) | None => "",
            };
            format!("{} pid {}{suffix}", leg.performer, leg.holder.pid)
        });
        let can_act_now = if state.is_terminal() {
            "nobody: final".to_owned()
        } else if state == TaskState::InputRequired {
            format!("nobody new: waits for {}", waits_for(&task, now.time))
        } else if held_by.is_empty() {
            let delegates = task.delegated(Act::Perform).map(|it| &it.to);
            let performers: Vec<String> = task
                .performers
                .iter()
                .chain(delegates)
                .map(|role| role.spiffe_id.to_string())
                .collect();
            format!(
                "any process of {} that shows its evidence",
                performers.join(" or ")
            )
        } else {
            format!("{held_by} alone")
        };
        Ok(TaskSummary {
            state,
            held_by,
            can_act_now,
            pending: task
                .pending_at(&now)
                .map(|(step, state)| (step.number, state)),
            requirements: requirements(&task),
            task,
        })
    }
}

/// What a task waits for, in words.
fn waits_for(task: &Task, now: Time) -> String {
    let open = task.inputs.iter().filter(|input| input.is_open(now));
    let words: Vec<String> = open
        .map(|input| match input {
            Input::Approval { id, .. } => format!("approval {id} of step {}", id.step.0),
            Input::Server(key) => format!("the owner's answer `{key}`"),
        })
        .collect();
    words.join(", ")
}

pub(super) fn operator(local: &LocalPeer) -> Evidence {
    Evidence {
        uid: Some(local.uid),
        ..agent_evidence(Some(local.key))
    }
}

fn requirements(task: &Task) -> Vec<String> {
    let mut lines = Vec::new();
    match &task.owner.workload {
        Some(role) => lines.push(format!("owner {}: {}", role.spiffe_id, role.required)),
        None => lines.push("owner: a principal that the server vouches for".to_owned()),
    }
    lines.push(format!(
        "server {}: {}",
        task.server.spiffe_id, task.server.required
    ));
    for role in &task.performers {
        lines.push(format!("performer {}: {}", role.spiffe_id, role.required));
    }
    lines.extend(task.delegations.iter().map(delegation));
    lines
}

/// A delegation as it was granted, in words.
fn delegation(it: &Delegation) -> String {
    let acts: Vec<&str> = it.acts.iter().map(|act| act.name()).collect();
    let lent = match &it.permissions {
        _ if !it.acts.contains(&Act::Perform) => String::new(),
        None => ", lent all of the owner's grant".to_owned(),
        Some(part) => {
            let part: Vec<String> = part.iter().map(words::permission).collect();
            format!(", lent {}", part.join("; "))
        }
    };
    let from = it.from.map_or_else(
        || "the owner".to_owned(),
        |DelegationNumber(number)| format!("delegation {number}"),
    );
    let user = it.principal.map_or("", |_| ", for a user");
    let over = if it.ended_at.is_some() { " (over)" } else { "" };
    format!(
        "delegate {} for {}: {}{lent}{user}; delegation {} by {from} until {} ms{over}",
        it.to.spiffe_id,
        acts.join(" "),
        it.to.required,
        it.number.0,
        it.not_after.0,
    )
}
