//! The feed that tells enforcement points of endings, as the ledger keeps them, and takes their acknowledgements.

use super::feed::{FeedEvent, Subscriber, Told};
use super::ports::ledger::Decision;
use super::ports::{AttestedWorkload, Freshness, LedgerError, Peer};
use super::watch::WatchStream;
use super::{Continuation, Failure};
use crate::domain::denial::Reason;
use crate::domain::evidence::Assurance;
use crate::domain::id::{Digest, RecordNumber, SpiffeId, TaskId};
use crate::domain::lineage::{Load, Locator, Transition};
use crate::domain::revocation::Ended;
use crate::domain::role::{AsAudience, Held, NotHeld};
use std::sync::Arc;

const WATCH: &str = "Enforcement.WatchRevocations";

/// Endings read at a time.
const PAGE: usize = 256;

/// How many heartbeats an event may wait for a subscriber that does not read.
const UNREAD_MAX: u32 = 3;

/// Who may hear of an ending.
enum Reach {
    Everybody,
    Nobody,
    /// The server of this task, and whoever a step of it was asked for at.
    PartiesOf(TaskId, SpiffeId),
}

/// Some endings in the order of their commits.
struct Page {
    /// Those that concern the subscriber.
    news: Vec<FeedEvent>,
    /// The last one of all; `None` where there is none.
    last: Option<RecordNumber>,
}

impl Continuation {
    /// Begins the receipt of what ended: of everybody subscribed who is concerned, and of who has an effect in
    /// hand.
    pub(super) async fn await_points(
        &self,
        sequence: RecordNumber,
        committed: std::time::Duration,
        (ended, acting): (Ended, Option<SpiffeId>),
    ) -> Result<(), LedgerError> {
        let reach = self.reach(&ended).await?;
        let mut concerned = Vec::new();
        for (number, ids) in self.feed.subscriptions() {
            if self.concerns(&ids, &reach).await? {
                concerned.push(number);
            }
        }
        self.feed
            .expect((sequence, ended), committed, (&concerned, acting));
        Ok(())
    }

    /// Who may hear of this: of a task whoever serves it or was asked for it, of one that others descend from, which
    /// may be anybody's, everybody, and so of all else.
    async fn reach(&self, ended: &Ended) -> Result<Reach, LedgerError> {
        let Ended::Task(task, _) = ended else {
            return Ok(Reach::Everybody);
        };
        let load = Load::of(Locator::Task(*task));
        let row = self.ports.ledger.load(load).await?.task;
        Ok(match row {
            None => Reach::Nobody,
            Some(row) if row.spawned > 0 => Reach::Everybody,
            Some(row) => Reach::PartiesOf(*task, row.server.spiffe_id),
        })
    }

    /// Whether somebody with these IDs is among them.
    async fn concerns(&self, ids: &[SpiffeId], reach: &Reach) -> Result<bool, LedgerError> {
        let (task, server) = match reach {
            Reach::Everybody => return Ok(true),
            Reach::Nobody => return Ok(false),
            Reach::PartiesOf(task, server) => (*task, server),
        };
        if ids.contains(server) {
            return Ok(true);
        }
        for id in ids {
            if self.ports.ledger.is_audience(task, id).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells an enforcement point of everything that ends work of its own, from after what it was told before
    /// (record and mark) or from now on, and that it is there, every heartbeat.
    ///
    /// # Errors
    /// See [`Failure`]: who is no workload, or shows another evidence than its row demands, hears nothing.
    pub async fn watch_revocations(
        &self,
        peer: &Peer,
        resume: Option<(RecordNumber, Vec<u8>)>,
    ) -> Result<WatchStream<Told>, Failure> {
        let caller = self.attest(peer, Freshness::Recent).await?;
        let ids = self.point(&caller).await?;
        let kept = self.ports.ledger.kept_endings().await?;
        let (after, known) = match resume {
            Some((after, mark)) => (after, self.mark(after).await?.0.as_slice() == mark),
            None => (kept.newest, true),
        };
        // Another history has another record there, however far it has come: a restored ledger.
        if !known || !(kept.after..=kept.newest).contains(&after) {
            return Err(self.refuse_early(WATCH, caller.evidence(), Reason::FeedGap));
        }
        let mut number = [0_u8; 8];
        self.random(&mut number)?;
        let subscriber = (u64::from_be_bytes(number), ids);
        let open = self.feed.subscribe(peer, subscriber);
        let open = open.map_err(Failure::Busy)?;
        let (this, peer) = (self.clone(), peer.clone());
        let heartbeat = self.settings.revocation_heartbeat;
        let queue = self.settings.revocation_notices_max.saturating_add(1);
        Ok(WatchStream::fed(queue, None, move |sender| async move {
            // Kept for the last word to somebody who does not read.
            let Ok(last) = sender.clone().reserve_owned().await else {
                return;
            };
            let patience = heartbeat.saturating_mul(UNREAD_MAX);
            // Of a quiet feed every heartbeat has the mark of the one before.
            let mut marked = None;
            // Noted first: whoever is told may acknowledge at once.
            let mut say = async |event: FeedEvent| {
                let sequence = event.sequence();
                open.told(sequence);
                let told = this.mark_after(&mut marked, sequence).await;
                let told = told.map(|mark| Told { event, mark });
                let told = told.map_err(Failure::from);
                sender.send_timeout(told, patience).await.is_ok()
            };
            let mut ended = open.ended.clone();
            let mut said = say(FeedEvent::Opened {
                subscription: open.number,
                sequence: after,
                heartbeat,
            })
            .await;
            let mut after = after;
            while said {
                ended.borrow_and_update();
                let page = match this.endings_after(&peer, after).await {
                    Ok(page) => page,
                    Err(failure) => {
                        last.send(Err(failure));
                        return;
                    }
                };
                for event in page.news {
                    said = said && say(event).await;
                }
                let behind = page.last.is_some();
                after = page.last.unwrap_or(after);
                let sequence = after;
                said = said && say(FeedEvent::Heartbeat { sequence, behind }).await;
                if behind {
                    // Reading on without a pause must not keep others waiting.
                    tokio::task::yield_now().await;
                } else {
                    tokio::select! {
                        changed = ended.changed() => drop(changed),
                        () = tokio::time::sleep(heartbeat) => {}
                    }
                }
            }
            last.send(Err(Failure::Busy("limits.revocation_notices")));
        }))
    }

    /// The hash of an audit record, which no other history of the ledger has; zeros where there is none.
    async fn mark(&self, sequence: RecordNumber) -> Result<Digest, LedgerError> {
        let records = self.ports.ledger.events(sequence, 1).await?;
        let record = records.first().filter(|it| it.number == sequence);
        Ok(record.map_or(Digest([0; 32]), |it| it.hash))
    }

    /// The mark of this record, read where it is not the one that was read last.
    async fn mark_after(
        &self,
        last: &mut Option<(RecordNumber, Digest)>,
        sequence: RecordNumber,
    ) -> Result<Digest, LedgerError> {
        let same = last.filter(|(number, _)| *number == sequence);
        let mark = match same {
            Some((_, mark)) => mark,
            None => self.mark(sequence).await?,
        };
        *last = Some((sequence, mark));
        Ok(mark)
    }

    /// The next endings, as far as this subscriber may hear of them.
    async fn endings_after(&self, peer: &Peer, after: RecordNumber) -> Result<Page, Failure> {
        let caller = self.attest(peer, Freshness::Recent).await?;
        let ids = self.point(&caller).await?;
        let endings = self.ports.ledger.endings(after, PAGE).await?;
        let last = endings.last().map(|(sequence, _)| *sequence);
        let mut news = Vec::new();
        for (sequence, ending) in endings {
            let reach = self.reach(&ending.ended).await?;
            if self.concerns(&ids, &reach).await? {
                news.push(FeedEvent::Ended { sequence, ending });
            }
        }
        Ok(Page { news, last })
    }

    /// The IDs as which a caller is an enforcement point: its own, with the evidence that their rows demand.
    async fn point(&self, caller: &AttestedWorkload) -> Result<Vec<SpiffeId>, Failure> {
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
