//! What happens without a caller: processes exit, leases idle, entitlements end, clocks run out, and
//! after a restart suspended legs wait for their processes.

use super::leases::{AbortOnDrop, HoldKind, LeaseState, Up};
use super::ports::ledger::Decision;
use super::ports::{AttestError, Freshness, LedgerError, LocalPeer, Peer};
use super::{Continuation, Failure, bounded, roles};
use crate::domain::decide::{end, leg};
use crate::domain::event::{CallerFacts, Event, Verdict};
use crate::domain::evidence::{Assurance, Evidence, ProcessKey};
use crate::domain::id::{LegNumber, TaskId};
use crate::domain::lineage::{Load, Locator, Transition};
use crate::domain::task::TaskState;
use crate::domain::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Tasks read at a time when all are walked.
const PAGE: usize = 256;
/// Legs whose holders are asked about at a time.
const REATTEST_AT_ONCE: usize = 16;
/// Legs that are settled at a time: as many as share a commit well.
pub(super) const SETTLED_AT_ONCE: usize = 64;

/// How often the kernel is asked for a process that a leg names, before the start fails.
const REOPEN_ATTEMPTS: u32 = 5;
/// The pause between two of these attempts.
const REOPEN_PAUSE: Duration = Duration::from_millis(200);

/// Why a leg ended without its holder's word.
#[derive(Clone, Copy, Debug)]
enum Lost {
    Exited,
    Idle,
    NotReattached,
    Revoked,
    Withdrawn,
}

impl Lost {
    fn name(self) -> &'static str {
        match self {
            Self::Exited => "process_exited",
            Self::Idle => "lease_idle",
            Self::NotReattached => "not_reattached",
            Self::Revoked => "id_revoked",
            Self::Withdrawn => "entitlement_withdrawn",
        }
    }

    fn told(self) -> HoldKind {
        match self {
            Self::Exited | Self::Idle | Self::NotReattached => HoldKind::Fenced,
            Self::Revoked | Self::Withdrawn => HoldKind::Revoked,
        }
    }
}

impl Continuation {
    /// A leg came up: keep its lease and watch its process.
    pub(super) fn up(
        &self,
        (task, ancestors): (TaskId, Vec<TaskId>),
        leg: LegNumber,
        peer: Arc<LocalPeer>,
        suspended: bool,
    ) {
        let exited = self.ports.processes.exited(Arc::clone(&peer));
        let this = self.clone();
        let watch = tokio::spawn(async move {
            exited.await;
            // In a task of its own: ending the lease ends the task that waits here.
            tokio::spawn(async move { this.lose(task, leg, Lost::Exited).await });
        });
        let watch = AbortOnDrop(watch.abort_handle());
        self.leases.up(
            task,
            Up {
                leg,
                peer,
                suspended,
                ancestors,
                watch,
            },
        );
    }

    /// Ends a leg in the ledger, then in memory.
    async fn lose(&self, task: TaskId, number: LegNumber, why: Lost) {
        let agent = agent_evidence(None);
        let judge = self.judge("leg.lost", &agent, move |scene| {
            scene.fact("leg", &number.0);
            scene.fact("why", &why.name());
            // As they are written: a leg that is revoked is gone already for every rule.
            match &scene.rows.task {
                Some(task) => Ok(leg::lose(task, number)),
                None => Ok(Transition::unchanged(false)),
            }
        });
        match self.decide(Load::of(Locator::Task(task)), judge).await {
            Ok(Decision::Recorded(_) | Decision::Noted(_)) => {
                self.leases.end_leg(task, number, why.told());
            }
            // The lease stays: a leg never ends in memory alone. The next sweep tries again.
            Ok(Decision::Denied(denied)) => {
                let reason = denied.reason.name();
                tracing::warn!(%task, reason, "a leg could not be ended");
            }
            Err(error) => tracing::warn!(%task, ?error, "a leg could not be ended"),
        }
    }

    /// Finds the legs that an earlier run left, and pins their processes again.
    ///
    /// # Errors
    /// The ledger could not be read, or the kernel could not say whether a process lives: a leg never
    /// ends on that.
    pub async fn recover(&self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.ports.ledger.live_tasks(after, PAGE).await?;
            for task in page.tasks {
                let Some(leg) = task.leg.clone() else {
                    continue;
                };
                match self.reopen(&leg.holder).await? {
                    Some(peer) => {
                        let rows = self.rows_of(task.clone()).await?;
                        let line = super::legs::ancestors(&rows);
                        self.up((task.id, line), leg.number, peer, true);
                    }
                    None => self.lose(task.id, leg.number, Lost::Exited).await,
                }
            }
            after = match page.next {
                Some(next) => Some(next),
                None => return Ok(()),
            };
        }
    }

    /// Pins a process again. While the kernel does not answer, its leg is neither up nor over.
    async fn reopen(&self, holder: &ProcessKey) -> Result<Option<Arc<LocalPeer>>, Failure> {
        let mut attempt = 1_u32;
        loop {
            match self.ports.processes.reopen(holder) {
                Ok(found) => return Ok(found),
                Err(error) if attempt >= REOPEN_ATTEMPTS => {
                    return Err(Failure::Unavailable(error.to_string()));
                }
                Err(error) => tracing::warn!(%error, attempt, "a process was not pinned again"),
            }
            attempt = attempt.saturating_add(1);
            tokio::time::sleep(REOPEN_PAUSE).await;
        }
    }

    /// Runs the sweeps until shut down. The re-attachment window starts now: call it at readiness.
    pub async fn run(&self, shutdown: CancellationToken) {
        let ready = self.ports.clock.monotonic();
        let mut sweep = tokio::time::interval(self.settings.sweep_interval);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let reattest = AbortOnDrop(tokio::spawn(self.clone().reattest()).abort_handle());
        let settler = AbortOnDrop(tokio::spawn(self.clone().settle_all()).abort_handle());
        let mut policy = self.ports.policy.generation();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = sweep.tick() => {}
            }
            let now = self.ports.clock.monotonic();
            let window_over = now.saturating_sub(ready) >= self.settings.reattach_window;
            self.sweep_leases(window_over).await;
            self.sweep_lines().await;
            let newest = self.ports.policy.generation();
            if newest != policy {
                policy = newest;
                self.leases.tell_everybody(HoldKind::PolicyChanged);
            }
            if let Err(error) = self.sweep_tasks().await {
                tracing::warn!(%error, "the ledger could not be swept");
            }
            if let Err(error) = self.notes.sweep() {
                tracing::warn!(%error, "folded events could not be counted");
            }
        }
        drop((reattest, settler));
        self.leases.tell_everybody(HoldKind::Draining);
    }

    async fn sweep_leases(&self, window_over: bool) {
        for (task, leg, _, state) in self.leases.all() {
            match state {
                LeaseState::Idle => self.lose(task, leg, Lost::Idle).await,
                LeaseState::Suspended if window_over => {
                    self.lose(task, leg, Lost::NotReattached).await;
                }
                LeaseState::Live | LeaseState::Suspended => {}
            }
        }
    }

    /// Asks again, every `reattest_interval`, whether each holder is still entitled. Apart from the other
    /// sweeps: a SPIRE agent that hangs must hold up neither them nor a shutdown.
    async fn reattest(self) {
        loop {
            tokio::time::sleep(self.settings.reattest_interval).await;
            bounded::each(
                self.leases.all(),
                REATTEST_AT_ONCE,
                |(task, number, peer, _)| {
                    let this = self.clone();
                    async move { this.reattest_leg(task, number, peer).await }
                },
            )
            .await;
        }
    }

    /// Legs end by a refusal, never by absence.
    async fn reattest_leg(&self, task: TaskId, number: LegNumber, peer: Arc<LocalPeer>) {
        match self
            .ports
            .attestor
            .attest(&Peer::Local(peer), Freshness::Now)
            .await
        {
            Ok(workload) => {
                let Some(now) = self.ports.clock.now() else {
                    return;
                };
                let load = Load::of(Locator::Task(task));
                let rows = self.ports.ledger.load(load).await;
                let seen = (number, workload.evidence());
                if rows.is_ok_and(|rows| roles::withdrawn(&rows, seen, now)) {
                    self.lose(task, number, Lost::Withdrawn).await;
                }
            }
            Err(AttestError::Changed | AttestError::Expired | AttestError::NoIdentity) => {
                self.lose(task, number, Lost::Withdrawn).await;
            }
            Err(AttestError::Unavailable(_)) => {}
        }
    }

    /// Writes down what clocks have decided, tells workers of near deadlines, and forgets what is old.
    async fn sweep_tasks(&self) -> Result<(), LedgerError> {
        let Some(now) = self.ports.clock.now() else {
            return Ok(());
        };
        let mut after = None;
        loop {
            let page = self.ports.ledger.live_tasks(after, PAGE).await?;
            let mut ended = Vec::new();
            for task in page.tasks {
                let seen = self.seen(task.clone(), now).await?;
                let state = seen.state_at(now);
                if let (Some(leg), None, false) = (&task.leg, &seen.leg, state.is_terminal()) {
                    self.lose(task.id, leg.number, Lost::Revoked).await;
                } else if state != task.state {
                    ended.push(task.id);
                } else if !state.is_terminal()
                    && now
                        .after(self.settings.deadline_notice)
                        .reached(task.deadline)
                {
                    self.leases.tell_deadline(task.id);
                }
            }
            self.expire_all(ended).await;
            after = match page.next {
                Some(next) => Some(next),
                None => break,
            };
            tokio::task::yield_now().await;
        }
        self.forget_tasks(now).await?;
        self.ports.ledger.forget_terms(now, PAGE).await.map(drop)
    }

    /// Forgets what ended long enough ago.
    async fn forget_tasks(&self, now: Time) -> Result<(), LedgerError> {
        let Some(by) = now.before(self.settings.limits.retention) else {
            return Ok(());
        };
        // Of what ended before, nothing is kept that anybody could still have to stop.
        while self.ports.ledger.forget_endings(by, PAGE).await? == PAGE {}
        loop {
            let old = self.ports.ledger.ended_tasks(by, PAGE).await?;
            // Together, so that they share commits.
            let mut forgetting = tokio::task::JoinSet::new();
            for task in old.iter().copied() {
                let event = self.agent_event("task.forgotten", now, task);
                let ledger = Arc::clone(&self.ports.ledger);
                forgetting.spawn(async move { ledger.forget(task, event).await });
            }
            while let Some(forgotten) = forgetting.join_next().await {
                forgotten.map_err(|_panicked| LedgerError::Busy)??;
            }
            if old.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// Writes down, for every leg that is up, what a revocation has decided, and tells its worker. The sweep
    /// would come to it; a worker shall not have to wait for that.
    async fn settle_all(self) {
        loop {
            self.feed.wide.notified().await;
            self.settle().await;
        }
    }

    async fn settle(&self) {
        bounded::each(self.leases.all(), SETTLED_AT_ONCE, |(task, leg, ..)| {
            let this = self.clone();
            async move { Box::pin(this.settle_leg(task, leg)).await }
        })
        .await;
    }

    async fn settle_leg(&self, task: TaskId, leg: LegNumber) {
        let load = Load::of(Locator::Task(task));
        let (Some(now), Ok(rows)) = (self.ports.clock.now(), self.ports.ledger.load(load).await)
        else {
            // Told by the next sweep.
            return;
        };
        let (Some(written), Some(seen)) = (&rows.task, &rows.as_of(now).task) else {
            return;
        };
        if seen.state_at(now) != written.state_at(now) || seen.state_at(now).is_terminal() {
            self.expire(task).await;
        } else if written.leg.is_some() && seen.leg.is_none() {
            self.lose(task, leg, Lost::Revoked).await;
        }
    }

    pub(super) async fn expire(&self, task: TaskId) {
        let judge = self.judge("task.swept", &agent_evidence(None), |scene| {
            Ok(end::sweep(scene.rows, &scene.now))
        });
        let state = match self.decide(Load::of(Locator::Task(task)), judge).await {
            Ok(Decision::Recorded(swept)) => swept.into_effect(),
            // Another commit has written it down.
            Ok(Decision::Noted(swept)) => swept.into_effect(),
            Ok(Decision::Denied(_)) => return,
            Err(error) => {
                tracing::warn!(%task, ?error, "a task's end could not be written");
                return;
            }
        };
        match state {
            TaskState::Cancelled => self.leases.end(task, HoldKind::Cancelled),
            TaskState::Completed | TaskState::Expired | TaskState::Failed => {
                self.leases.end(task, HoldKind::Finished);
            }
            // Only what it waited for has lapsed.
            TaskState::InputRequired | TaskState::Working => {}
        }
    }

    fn agent_event(&self, operation: &str, at: Time, task: TaskId) -> Event {
        Event {
            at,
            operation: operation.to_owned(),
            verdict: Verdict::Allowed,
            task: Some(task),
            caller: CallerFacts::default(),
            policy: self.ports.policy.generation(),
            policies: Vec::new(),
            facts: Vec::new(),
            count: 1,
        }
    }
}

/// The agent itself, or a process on whose behalf it acts: holds no role.
pub(super) fn agent_evidence(process: Option<ProcessKey>) -> Evidence {
    Evidence {
        spiffe_ids: Vec::new(),
        assurance: Assurance::Process,
        process,
        uid: None,
        cgroup: None,
        executable: None,
        releases: Vec::new(),
        traced: false,
        attested_at: Time(0),
    }
}
