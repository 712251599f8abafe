//! Revocation by scope, on an operator's word.

use super::feed::Receipt;
use super::operator::operator;
use super::ports::LocalPeer;
use super::ports::ledger::Decision;
use super::{Continuation, Failure};
use crate::domain::decide::end;
use crate::domain::denial::Reason;
use crate::domain::id::{Epoch, RecordNumber, SpiffeId, TaskId};
use crate::domain::lineage::{Lineage, Load, Locator, Now, Transition};
use crate::domain::revocation::{self, Ended, Scope, Wide};
use crate::domain::step::StepState;
use crate::domain::task::{Task, TaskState};

const REVOKE: &str = "Operator.Revoke";
const LIFT: &str = "Operator.Lift";

/// A revocation that is in force.
#[derive(Clone, Debug)]
pub struct Revoked {
    /// The state of the task, for a task or tree.
    pub state: Option<TaskState>,
    /// For `handfast explain`.
    pub decision_id: String,
    /// What enforcement points acknowledge; where it was in force before, that of the first time, if its receipt
    /// is remembered.
    pub sequence: Option<RecordNumber>,
}

/// An ID that may act again, or might before.
#[derive(Clone, Debug)]
pub struct Lifted {
    /// Whether it was revoked until now.
    pub lifted: bool,
    /// For `handfast explain`.
    pub decision_id: String,
}

/// A decision that was taken.
#[derive(Clone, Copy, Debug)]
struct Taken {
    /// Its record.
    number: RecordNumber,
    /// Whether it changed anything.
    is_new: bool,
    /// When it was known, by the monotonic clock.
    at: std::time::Duration,
}

/// Revoked IDs that are named in an answer.
const NAMED_IDS_MAX: usize = 32;

impl Continuation {
    /// Revokes a scope on an operator's word. In force, everywhere, when this returns.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for an epoch or a time that has not begun; else see [`Failure`].
    pub async fn revoke(
        &self,
        local: &LocalPeer,
        scope: Scope,
        why: String,
    ) -> Result<Revoked, Failure> {
        self.begun(&scope)?;
        let (this, evidence) = (self.clone(), operator(local));
        super::to_the_end(async move {
            match scope {
                Scope::Task(task) => {
                    this.revoke_task(&evidence, (task, Scope::Task(task)), why)
                        .await
                }
                Scope::Tree(task) => {
                    let rows = this
                        .ports
                        .ledger
                        .load(Load::of(Locator::Task(task)))
                        .await?;
                    let root = root_of(&rows).unwrap_or(task);
                    this.revoke_task(&evidence, (root, Scope::Tree(task)), why)
                        .await
                }
                Scope::Wide(wide) => this.revoke_wide(&evidence, wide, why).await,
            }
        })
        .await
    }

    /// Refuses what lies ahead: it would end what nobody knows of yet.
    pub(super) fn begun(&self, scope: &Scope) -> Result<(), Failure> {
        let running = self.ports.signer.epoch();
        match scope {
            Scope::Wide(Wide::Before(time)) if *time > self.now()? => Err(Failure::Invalid(
                "before: the time has not come yet".to_owned(),
            )),
            Scope::Wide(Wide::Epoch(epoch)) if *epoch > running => Err(Failure::Invalid(format!(
                "epoch: the running one is {}",
                running.0
            ))),
            Scope::Wide(Wide::Epoch(Epoch(0))) => {
                Err(Failure::Invalid("epoch: the first is 1".to_owned()))
            }
            Scope::Wide(Wide::Before(_) | Wide::Epoch(_) | Wide::SpiffeId(_))
            | Scope::Task(_)
            | Scope::Tree(_) => Ok(()),
        }
    }

    async fn revoke_task(
        &self,
        evidence: &crate::domain::evidence::Evidence,
        (task, scope): (TaskId, Scope),
        why: String,
    ) -> Result<Revoked, Failure> {
        let judge = self.judge(REVOKE, evidence, move |scene| {
            scene.fact("why", &why);
            scene.fact("scope", scope.name());
            if let Some(child) = scene.lineage.unspent() {
                let (spender, parent) = (child.spender.spiffe_id.clone(), child.parent);
                let revoked = end::revoke_child(scene.lineage, child, &scene.now);
                scene.fact("spender", &spender);
                scene.fact("parent", &parent);
                return Ok(Transition {
                    effect: (revoked.effect, None),
                    writes: revoked.writes,
                });
            }
            let task = scene.lineage.task.as_ref().ok_or(Reason::Unknown)?;
            let revoked = end::revoke(task, &scene.now);
            Ok(Transition {
                effect: (revoked.effect, acting(task, &scene.now)),
                writes: revoked.writes,
            })
        });
        let decided = self.decide(Load::of(Locator::Task(task)), judge).await?;
        let (taken, (state, acting)) = self.taken(decided)?;
        if taken.is_new {
            self.fell(task, super::HoldKind::Cancelled);
        }
        let ended = (Ended::Task(task, state), acting);
        self.revoked(taken, ended, Some(state)).await
    }

    async fn revoke_wide(
        &self,
        evidence: &crate::domain::evidence::Evidence,
        scope: Wide,
        why: String,
    ) -> Result<Revoked, Failure> {
        let ended = Ended::Wide(scope.clone());
        let judge = self.judge(REVOKE, evidence, move |scene| {
            scene.fact("why", &why);
            scene.fact("scope", scope.name());
            match &scope {
                Wide::Before(time) => scene.fact("before_ms", &time.0),
                Wide::Epoch(epoch) => scene.fact("epoch", &epoch.0),
                Wide::SpiffeId(id) => scene.fact("spiffe_id", id),
            }
            let writes = revocation::revoke(scene.rows, &scope, &scene.now)?;
            Ok(Transition { writes, effect: () })
        });
        // Decided in the order of the commits, so that its time is no earlier than any before it.
        let decided = self.decide_while(Load::of(Locator::Nothing), judge, || false);
        let (taken, ()) = self.taken(decided.await?)?;
        if taken.is_new {
            self.renew_epoch()?;
            self.feed.wide.notify_one();
        }
        self.revoked(taken, (ended, None), None).await
    }

    /// By which record it was decided, and what follows; a refusal is the failure.
    fn taken<E>(&self, decided: Decision<E>) -> Result<(Taken, E), Failure> {
        let at = self.ports.clock.monotonic();
        let by = |number, is_new| Taken { number, is_new, at };
        match decided {
            Decision::Recorded(it) => Ok((by(it.number(), true), it.into_effect())),
            Decision::Noted(it) => Ok((by(it.number(), false), it.into_effect())),
            Decision::Denied(denied) => Err(self.refuse(denied)),
        }
    }

    /// The answer to a revocation: a new one awaits whom it concerns, and one that was in force before has the
    /// receipt of the first time.
    async fn revoked(
        &self,
        taken: Taken,
        (ended, acting): (Ended, Option<SpiffeId>),
        state: Option<TaskState>,
    ) -> Result<Revoked, Failure> {
        let sequence = if taken.is_new {
            self.await_points(taken.number, taken.at, (ended, acting))
                .await?;
            Some(taken.number)
        } else {
            self.feed.awaited(&ended)
        };
        Ok(Revoked {
            state,
            decision_id: self.decision_id(taken.number),
            sequence,
        })
    }

    /// Begins a new epoch where the running one was revoked: from the commit until then nothing is decided.
    fn renew_epoch(&self) -> Result<(), Failure> {
        let Epoch(revoked) = self.ports.ledger.revocations().epochs;
        if self.ports.signer.epoch() > Epoch(revoked) {
            return Ok(());
        }
        let next = Epoch(revoked.saturating_add(1));
        self.ports
            .signer
            .renew(next)
            .map_err(|error| Failure::Internal(error.to_string()))?;
        tracing::warn!(
            epoch = next.0,
            "the running epoch was revoked; a new one begins"
        );
        self.leases.fence_all();
        Ok(())
    }

    /// Lets a revoked SPIFFE ID act again. What it made before stays dead.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn lift(
        &self,
        local: &LocalPeer,
        id: SpiffeId,
        why: String,
    ) -> Result<Lifted, Failure> {
        let judge = self.judge(LIFT, &operator(local), move |scene| {
            scene.fact("why", &why);
            scene.fact("spiffe_id", &id);
            let writes = revocation::lift(scene.rows, &id, &scene.now);
            let effect = writes.revocations.is_some();
            Ok(Transition { writes, effect })
        });
        let decided = self.decide_while(Load::of(Locator::Nothing), judge, || false);
        let (taken, lifted) = self.taken(decided.await?)?;
        Ok(Lifted {
            lifted,
            decision_id: self.decision_id(taken.number),
        })
    }

    /// The first of the SPIFFE IDs that may do nothing now.
    #[must_use]
    pub fn revoked_ids(&self) -> Vec<SpiffeId> {
        let revocations = self.ports.ledger.revocations();
        let revoked = revocations.ids.iter().filter(|(_, it)| !it.lifted);
        let ids = revoked.map(|(id, _)| id.clone());
        ids.take(NAMED_IDS_MAX).collect()
    }

    /// Who has stopped so far for a revocation; `None` where it is not remembered.
    #[must_use]
    pub fn receipt(&self, sequence: RecordNumber) -> Option<Receipt> {
        self.feed.receipt(sequence)
    }
}

/// The root of the tree of a task, or of one that a child grant is for.
pub(super) fn root_of(rows: &Lineage) -> Option<TaskId> {
    let child = rows.unspent().map(|child| child.txn);
    rows.task.as_ref().map(|task| task.txn).or(child)
}

/// At whom an effect of the task may be going on. A token that is out and unused is void from the commit on.
fn acting(task: &Task, now: &Now<'_>) -> Option<SpiffeId> {
    let (step, state) = task.pending_at(now)?;
    (state == StepState::Used).then(|| step.call.audience.clone())
}
