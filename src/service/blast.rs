//! What a revocation would stop, counted on the ledger as it is: nothing is changed by asking.

use super::operator::operator;
use super::ports::LocalPeer;
use super::revocation::root_of;
use super::{Continuation, Failure};
use crate::domain::child::ChildGrant;
use crate::domain::delegation::Act;
use crate::domain::denial::Reason;
use crate::domain::id::{SpiffeId, TaskId};
use crate::domain::lineage::{Lineage, Load, Locator, Now, Transition};
use crate::domain::revocation::{Scope, Wide};
use crate::domain::step::StepState;
use crate::domain::task::Task;
use std::sync::Arc;

/// Tasks read at a time.
const PAGE: usize = 256;

/// What a revocation would stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// Tasks that would end.
    pub tasks: u64,
    /// Legs that are up and would end, or would have to be taken up again.
    pub legs: u64,
    /// Step tokens that are out and unused.
    pub tokens: u64,
    /// For a SPIFFE ID: how many pairs of a running task and a permission of its grants a process with this
    /// ID can reach as a performer. What it can do at most, were it taken over now.
    pub reachable: u64,
    /// Child grants that nobody has spent and nobody could any more: where the scope names one.
    pub children: u64,
    /// The first of what would end, or lose its leg.
    pub named: Vec<TaskId>,
}

impl Continuation {
    /// What a revocation would stop. Only the question is recorded.
    ///
    /// # Errors
    /// As [`Continuation::revoke`].
    pub async fn would_stop(
        &self,
        local: &LocalPeer,
        scope: &Scope,
        named_max: usize,
    ) -> Result<(Stops, String), Failure> {
        self.begun(scope)?;
        let judge = self.judge("Operator.Revoke(dry_run)", &operator(local), {
            let scope = scope.clone();
            move |scene| {
                scene.fact("scope", scope.name());
                // Whoever names no task hears it now: the word itself would be refused too.
                let rows = scene.lineage;
                let names_one = matches!(scope, Scope::Task(_) | Scope::Tree(_));
                if names_one && rows.task.is_none() && rows.unspent().is_none() {
                    return Err(Reason::Unknown);
                }
                let is_alive = |child: &&ChildGrant| rows.child_is_alive(child, scene.now.time);
                Ok(Transition::unchanged(
                    rows.unspent().filter(is_alive).map(|it| it.id),
                ))
            }
        });
        let locator = match scope {
            Scope::Task(task) | Scope::Tree(task) => Locator::Task(*task),
            Scope::Wide(_) => Locator::Nothing,
        };
        let (child, decision_id) = self.answer(Load::of(locator), judge).await?;
        let root = match scope {
            Scope::Tree(task) => Some(self.root(*task).await?),
            Scope::Task(_) | Scope::Wide(_) => None,
        };
        let mut stops = Stops {
            children: u64::from(child.is_some()),
            named: child.into_iter().take(named_max).collect(),
            ..Stops::default()
        };
        let mut after = None;
        loop {
            let page = self.ports.ledger.live_tasks(after, PAGE).await?;
            for task in page.tasks {
                if !task.state.is_terminal() {
                    let rows = self.rows_of(task).await?;
                    self.count(&rows, (scope, root), named_max, &mut stops)?;
                }
            }
            after = match page.next {
                Some(next) => Some(next),
                None => break,
            };
            tokio::task::yield_now().await;
        }
        Ok((stops, decision_id))
    }

    async fn root(&self, task: TaskId) -> Result<TaskId, Failure> {
        let load = Load::of(Locator::Task(task));
        let rows = self.ports.ledger.load(load).await?;
        Ok(root_of(&rows).unwrap_or(task))
    }

    fn count(
        &self,
        rows: &Lineage,
        (scope, root): (&Scope, Option<TaskId>),
        named_max: usize,
        stops: &mut Stops,
    ) -> Result<(), Failure> {
        let now = Now {
            time: self.now()?,
            epoch: self.ports.signer.epoch(),
            limits: &self.settings.limits,
        };
        let seen = rows.as_of(now.time);
        let Some(task) = &seen.task else {
            return Ok(());
        };
        if task.state_at(now.time).is_terminal() {
            return Ok(());
        }
        let after = then(rows, scope, &now);
        let after = after.as_of(now.time);
        let ends = match scope {
            Scope::Task(id) => {
                task.id == *id || rows.ancestors.iter().any(|ancestor| ancestor.id == *id)
            }
            Scope::Tree(_) => Some(task.txn) == root,
            Scope::Wide(_) => after
                .task
                .as_ref()
                .is_none_or(|task| task.state_at(now.time).is_terminal()),
        };
        let leg_after = after.task.as_ref().and_then(|task| task.leg.as_ref());
        let epoch_ends = |leg: &&crate::domain::task::Leg| match scope {
            Scope::Wide(Wide::Epoch(epoch)) => leg.epoch <= *epoch,
            Scope::Wide(Wide::Before(_) | Wide::SpiffeId(_)) | Scope::Task(_) | Scope::Tree(_) => {
                false
            }
        };
        let leg = task.live_leg(now.epoch);
        let leg_ends = leg.is_some_and(|leg| ends || leg_after.is_none() || epoch_ends(&leg));
        let issued = |(_, state): &(_, StepState)| *state == StepState::Issued;
        let token = leg_ends && task.pending_at(&now).as_ref().is_some_and(issued);
        let add = |count: &mut u64, yes: bool| *count = count.saturating_add(u64::from(yes));
        add(&mut stops.tasks, ends);
        add(&mut stops.legs, leg_ends);
        add(&mut stops.tokens, token);
        if let Scope::Wide(Wide::SpiffeId(id)) = scope {
            stops.reachable = stops.reachable.saturating_add(reach(task, id));
        }
        if (ends || leg_ends) && stops.named.len() < named_max {
            stops.named.push(task.id);
        }
        Ok(())
    }
}

/// The rows as they were after this revocation.
fn then(rows: &Lineage, scope: &Scope, now: &Now<'_>) -> Lineage {
    let next = match scope {
        Scope::Task(_) | Scope::Tree(_) => Ok(None),
        Scope::Wide(wide) => rows.revocations.with(wide, now.time, usize::MAX),
    };
    Lineage {
        revocations: match next {
            Ok(Some(next)) => Arc::new(next),
            Ok(None) | Err(_) => Arc::clone(&rows.revocations),
        },
        ..rows.clone()
    }
}

/// How many calls of a task a performer, or a delegate that may carry it out, with this ID can ask for.
fn reach(task: &Task, id: &SpiffeId) -> u64 {
    let performs = task.performers.iter().any(|role| role.spiffe_id == *id);
    let own = task.own.permissions.iter().filter(|_| performs);
    let asked = task.asked.permissions.iter().filter(|_| performs);
    let lent = task
        .delegated(Act::Perform)
        .filter(|it| it.to.spiffe_id == *id);
    let lent = lent.flat_map(|it| task.lent_by(it));
    let mut pairs: Vec<_> = asked.chain(own).chain(lent).collect();
    let mut distinct = 0_u64;
    while let Some(pair) = pairs.pop() {
        distinct = distinct.saturating_add(u64::from(!pairs.contains(&pair)));
    }
    distinct
}
