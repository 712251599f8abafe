//! Revocation by scope, what it would stop, and the feed that tells enforcement points of endings.

use super::feed::{FeedEvent, Receipt, Subscriber};
use super::operator::operator;
use super::ports::ledger::Decision;
use super::ports::{Freshness, LedgerError, LocalPeer, Peer};
use super::watch::WatchStream;
use super::{Continuation, Failure};
use crate::domain::decide::end;
use crate::domain::denial::Reason;
use crate::domain::id::{Epoch, RecordNumber, SpiffeId, TaskId};
use crate::domain::lineage::{Load, Locator, Transition};
use crate::domain::revocation::{self, Ended, Ending, Scope};
use crate::domain::role::{AsAudience, Held, NotHeld};
use crate::domain::task::TaskState;
use std::sync::Arc;

const REVOKE: &str = "Operator.Revoke";
const LIFT: &str = "Operator.Lift";
const WATCH: &str = "Enforcement.WatchRevocations";

/// Endings read at a time.
const PAGE: usize = 256;

/// How many heartbeats an event may wait for a subscriber that does not read.
const UNREAD_MAX: u32 = 3;

/// A revocation that is in force.
#[derive(Clone, Debug)]
pub struct Revoked {
    /// The state of the task, for a task or tree.
    pub state: Option<TaskState>,
    /// For `handfast explain`.
    pub decision_id: String,
    /// What enforcement points acknowledge; `None` where it was in force before.
    pub sequence: Option<RecordNumber>,
}

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
                    let root = rows.task.map_or(task, |task| task.txn);
                    this.revoke_task(&evidence, (root, Scope::Tree(task)), why)
                        .await
                }
                wide @ (Scope::Before(_) | Scope::Epoch(_) | Scope::SpiffeId(_)) => {
                    this.revoke_wide(&evidence, wide, why).await
                }
            }
        })
        .await
    }

    /// Refuses what lies ahead: it would end what nobody knows of yet.
    pub(super) fn begun(&self, scope: &Scope) -> Result<(), Failure> {
        let running = self.ports.signer.epoch();
        match scope {
            Scope::Before(time) if *time > self.now()? => Err(Failure::Invalid(
                "before: the time has not come yet".to_owned(),
            )),
            Scope::Epoch(epoch) if *epoch > running => Err(Failure::Invalid(format!(
                "epoch: the running one is {}",
                running.0
            ))),
            Scope::Epoch(Epoch(0)) => Err(Failure::Invalid("epoch: the first is 1".to_owned())),
            Scope::Before(_)
            | Scope::Epoch(_)
            | Scope::SpiffeId(_)
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
            let task = scene.lineage.task.as_ref().ok_or(Reason::Unknown)?;
            Ok(end::revoke(task, &scene.now))
        });
        let load = Load::of(Locator::Task(task));
        let committed = || self.ports.clock.monotonic();
        let (state, number, sequence) = match self.decide(load, judge).await? {
            Decision::Recorded(done) => (*done.effect(), done.number(), Some(done.number())),
            Decision::Noted(done) => (*done.effect(), done.number(), None),
            Decision::Denied(denied) => return Err(self.refuse(denied)),
        };
        if let Some(sequence) = sequence {
            let ended = Ended::Task(task, state);
            self.await_points(sequence, committed(), &ended).await?;
        }
        self.fell(task, super::HoldKind::Cancelled);
        Ok(Revoked {
            state: Some(state),
            decision_id: self.decision_id(number),
            sequence,
        })
    }

    async fn revoke_wide(
        &self,
        evidence: &crate::domain::evidence::Evidence,
        scope: Scope,
        why: String,
    ) -> Result<Revoked, Failure> {
        let ended = Ended::Scope(scope.clone());
        let judge = self.judge(REVOKE, evidence, move |scene| {
            scene.fact("why", &why);
            scene.fact("scope", scope.name());
            match &scope {
                Scope::Before(time) => scene.fact("before_ms", &time.0),
                Scope::Epoch(epoch) => scene.fact("epoch", &epoch.0),
                Scope::SpiffeId(id) => scene.fact("spiffe_id", id),
                Scope::Task(_) | Scope::Tree(_) => {}
            }
            let writes = revocation::revoke(scene.rows, &scope, &scene.now)?;
            Ok(Transition { writes, effect: () })
        });
        // Decided in the order of the commits, so that its time is no earlier than any before it.
        let decided = self.decide_while(Load::of(Locator::Nothing), judge, || false);
        let (number, sequence) = match decided.await? {
            Decision::Recorded(done) => (done.number(), Some(done.number())),
            Decision::Noted(done) => (done.number(), None),
            Decision::Denied(denied) => return Err(self.refuse(denied)),
        };
        if let Some(sequence) = sequence {
            let committed = self.ports.clock.monotonic();
            self.renew_epoch()?;
            self.await_points(sequence, committed, &ended).await?;
            self.feed.wide.notify_one();
        }
        Ok(Revoked {
            state: None,
            decision_id: self.decision_id(number),
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
    ) -> Result<String, Failure> {
        let judge = self.judge(LIFT, &operator(local), move |scene| {
            scene.fact("why", &why);
            scene.fact("spiffe_id", &id);
            let writes = revocation::lift(scene.rows, &id, &scene.now);
            Ok(Transition { writes, effect: () })
        });
        let decided = self.decide_while(Load::of(Locator::Nothing), judge, || false);
        let number = match decided.await? {
            Decision::Recorded(done) => done.number(),
            Decision::Noted(done) => done.number(),
            Decision::Denied(denied) => return Err(self.refuse(denied)),
        };
        Ok(self.decision_id(number))
    }

    /// Who has stopped so far for a revocation; `None` where it is not remembered.
    #[must_use]
    pub fn receipt(&self, sequence: RecordNumber) -> Option<Receipt> {
        self.feed.receipt(sequence)
    }

    async fn await_points(
        &self,
        sequence: RecordNumber,
        committed: std::time::Duration,
        ended: &Ended,
    ) -> Result<(), LedgerError> {
        let mut concerned = Vec::new();
        for (number, ids) in self.feed.subscriptions() {
            if self.concerns(&ids, ended).await? {
                concerned.push(number);
            }
        }
        self.feed.expect(sequence, committed, &concerned);
        Ok(())
    }

    /// Whether somebody with these IDs may hear of this: of a task it serves or was asked for, else of all.
    async fn concerns(&self, ids: &[SpiffeId], ended: &Ended) -> Result<bool, LedgerError> {
        let Ended::Task(task, _) = ended else {
            return Ok(true);
        };
        let ledger = &self.ports.ledger;
        let rows = ledger.load(Load::of(Locator::Task(*task))).await?;
        let Some(row) = rows.task else {
            return Ok(false);
        };
        if ids.contains(&row.server.spiffe_id) {
            return Ok(true);
        }
        for id in ids {
            if ledger.is_audience(*task, id).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells an enforcement point of everything that ends work of its own, from the record after `after` on
    /// or from now on, and that it is there, every heartbeat.
    ///
    /// # Errors
    /// See [`Failure`]: who is no workload, or shows another evidence than its row demands, hears nothing.
    pub async fn watch_revocations(
        &self,
        peer: &Peer,
        after: Option<RecordNumber>,
    ) -> Result<WatchStream<FeedEvent>, Failure> {
        let ids = self.point(peer).await?;
        let mut open = self.feed.subscribe(peer, ids).map_err(Failure::Busy)?;
        let after = after.unwrap_or_else(|| self.ports.ledger.newest_record());
        let (this, peer) = (self.clone(), peer.clone());
        let heartbeat = self.settings.revocation_heartbeat;
        let queue = self.settings.revocation_notices_max.saturating_add(1);
        Ok(WatchStream::fed(queue, None, move |sender| async move {
            // Kept for the last word to somebody who does not read.
            let Ok(last) = sender.clone().reserve_owned().await else {
                return;
            };
            let patience = heartbeat.saturating_mul(UNREAD_MAX);
            let say = |event| sender.send_timeout(Ok(event), patience);
            let opened = FeedEvent::Opened {
                subscription: open.number,
                sequence: after,
                heartbeat,
            };
            let mut said = say(opened).await.is_ok();
            let mut after = after;
            while said {
                open.ended.borrow_and_update();
                let news = match this.endings_after(&peer, &mut after).await {
                    Ok(news) => news,
                    Err(failure) => {
                        last.send(Err(failure));
                        return;
                    }
                };
                let more = !news.is_empty();
                for event in news {
                    said = said && say(event).await.is_ok();
                }
                if !more {
                    said = said && say(FeedEvent::Heartbeat { sequence: after }).await.is_ok();
                    tokio::select! {
                        changed = open.ended.changed() => drop(changed),
                        () = tokio::time::sleep(heartbeat) => {}
                    }
                }
            }
            last.send(Err(Failure::Busy("limits.revocation_notices")));
        }))
    }

    /// The next endings that this subscriber may hear of, and how far that goes. Empty only at the end.
    async fn endings_after(
        &self,
        peer: &Peer,
        after: &mut RecordNumber,
    ) -> Result<Vec<FeedEvent>, Failure> {
        let ids = self.point(peer).await?;
        loop {
            let page = self.ports.ledger.endings(*after, PAGE).await?;
            if page.is_empty() {
                return Ok(Vec::new());
            }
            let mut news = Vec::new();
            for (sequence, ending) in page {
                *after = sequence;
                let Ending { ended, .. } = &ending;
                if self.concerns(&ids, ended).await? {
                    news.push(FeedEvent::Ended { sequence, ending });
                }
            }
            if !news.is_empty() {
                return Ok(news);
            }
        }
    }

    /// The IDs as which a caller is an enforcement point: its own, with the evidence that their rows demand.
    async fn point(&self, peer: &Peer) -> Result<Vec<SpiffeId>, Failure> {
        use crate::domain::evidence::Assurance;
        let caller = self.attest(peer, Freshness::Recent).await?;
        let settings = Arc::clone(&self.settings);
        let judge = self.judge(WATCH, caller.evidence(), move |scene| {
            let mut ids = Vec::new();
            let mut refused = NotHeld::NoRole;
            for id in &scene.evidence.spiffe_ids {
                let row = settings.row(id, scene.evidence);
                let demanded = Assurance::Svid;
                match Held::<AsAudience>::check(id, row.as_ref(), demanded, scene.evidence) {
                    Ok(_held) => ids.push(id.clone()),
                    Err(why) => refused = why,
                }
            }
            if ids.is_empty() {
                return Err(refused.into());
            }
            Ok(Transition::unchanged(ids))
        });
        match self.decide(Load::of(Locator::Nothing), judge).await? {
            Decision::Recorded(ids) => Ok(ids.into_effect()),
            Decision::Noted(ids) => Ok(ids.into_effect()),
            Decision::Denied(denied) => Err(self.refuse(denied)),
        }
    }

    /// A subscriber has stopped everything that ended up to this record.
    ///
    /// # Errors
    /// [`Reason::Unknown`] for a subscription that is not the caller's own; else see [`Failure`].
    pub async fn acknowledge_revocations(
        &self,
        peer: &Peer,
        (subscription, sequence): (u64, RecordNumber),
    ) -> Result<(), Failure> {
        const ACKNOWLEDGE: &str = "Enforcement.AcknowledgeRevocations";
        let caller = self.attest(peer, Freshness::Recent).await?;
        let subscriber = Subscriber::of(peer);
        if self.feed.acknowledge(&subscriber, subscription, sequence) {
            return Ok(());
        }
        Err(self.refuse_early(ACKNOWLEDGE, caller.evidence(), Reason::Unknown))
    }
}
