//! Who has to hear of endings: enforcement points with work in hand, what they were told, and what they
//! acknowledged. What ended is read from the ledger, so nothing piles up here and nothing is lost.

use super::Settings;
use super::ports::{Clock, Peer};
use crate::domain::evidence::ProcessKey;
use crate::domain::id::{Digest, RecordNumber, SpiffeId};
use crate::domain::revocation::{Ended, Ending};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What an enforcement point is told.
#[derive(Clone, Debug)]
pub enum FeedEvent {
    /// Work ended: stop it, then acknowledge.
    Ended {
        /// The audit record of the commit that ended it.
        sequence: RecordNumber,
        /// What ended.
        ending: Ending,
    },
    /// Everything up to here was told.
    Heartbeat {
        /// Where to resume.
        sequence: RecordNumber,
        /// There is more to tell.
        behind: bool,
    },
    /// The first event.
    Opened {
        /// Names the subscription in acknowledgements.
        subscription: u64,
        /// Where it begins.
        sequence: RecordNumber,
        /// How often a heartbeat comes.
        heartbeat: Duration,
    },
}

/// An event, and by what to recognise the history that it stands in.
#[derive(Clone, Debug)]
pub struct Told {
    /// The event.
    pub event: FeedEvent,
    /// Hash of the audit record that its sequence number names.
    pub mark: Digest,
}

impl FeedEvent {
    /// Where to resume after this.
    pub(super) fn sequence(&self) -> RecordNumber {
        match self {
            Self::Ended { sequence, .. }
            | Self::Heartbeat { sequence, .. }
            | Self::Opened { sequence, .. } => *sequence,
        }
    }
}

/// Who has subscribed: nobody else may acknowledge for it. Of a workload elsewhere only its SVID is known, which its
/// twins have too, under one key where they share a node; a connection or certificate would bind no better and would
/// not outlive a reconnect or a rotation. So the subscription's number is random besides, and told on its stream alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subscriber {
    Process(ProcessKey),
    Remote(SpiffeId),
}

/// Whose places a subscription takes: there are as many for each. All workloads elsewhere together have half of all
/// places, so that the points of this node always find some.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tenant {
    User(u32),
    Remote(SpiffeId),
}

impl Tenant {
    fn of(peer: &Peer) -> Self {
        match peer {
            Peer::Local(local) => Self::User(local.uid),
            Peer::Remote(remote) => Self::Remote(remote.spiffe_id.clone()),
        }
    }
}

impl Subscriber {
    pub(super) fn of(peer: &Peer) -> Self {
        match peer {
            Peer::Local(local) => Self::Process(local.key),
            Peer::Remote(remote) => Self::Remote(remote.spiffe_id.clone()),
        }
    }

    fn pid(&self) -> Option<i32> {
        match self {
            Self::Process(process) => Some(process.pid),
            Self::Remote(_) => None,
        }
    }
}

/// An enforcement point in a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its SPIFFE ID.
    pub spiffe_id: SpiffeId,
    /// Its process, on this node.
    pub pid: Option<i32>,
    /// Whether it has stopped.
    pub state: PointState,
}

/// Whether an enforcement point has stopped what a revocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointState {
    /// Its stream closed before it acknowledged: it stops by itself for want of heartbeats.
    Gone,
    /// It has not acknowledged yet.
    Silent,
    /// It acknowledged this long after the commit.
    Stopped(Duration),
    /// It does not watch revocations: its effect may go on until its `act_by`.
    Unwatched,
}

/// Who had to stop for one revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The audit record of the commit.
    pub sequence: RecordNumber,
    /// Everybody who was subscribed at the time and is concerned, and who has an effect in hand and was not.
    pub points: Vec<Point>,
}

#[derive(Debug)]
struct Subscription {
    subscriber: Subscriber,
    tenant: Tenant,
    ids: Vec<SpiffeId>,
    told: RecordNumber,
    acknowledged: RecordNumber,
}

#[derive(Debug)]
struct Awaited {
    ended: Ended,
    committed: Duration,
    points: BTreeMap<u64, Point>,
    /// Where an effect may be going on that nobody can be told to stop.
    unwatched: Option<Point>,
}

#[derive(Debug, Default)]
struct Table {
    open: BTreeMap<u64, Subscription>,
    receipts: VecDeque<(RecordNumber, Awaited)>,
}

/// Every open subscription.
#[derive(Debug)]
pub(super) struct Feed {
    clock: Arc<dyn Clock>,
    open_max: usize,
    per_tenant_max: usize,
    /// Of all workloads elsewhere together: there are as many of them as certificates are issued.
    remote_max: usize,
    /// Receipts that are kept; the oldest is forgotten.
    receipts_max: usize,
    ended: watch::Sender<()>,
    /// Something ended that may have ended legs of other tasks with it.
    pub(super) wide: Notify,
    table: Mutex<Table>,
}

/// A subscription; closed when dropped.
#[derive(Debug)]
pub(super) struct Subscribed {
    feed: Arc<Feed>,
    pub(super) number: u64,
    pub(super) ended: watch::Receiver<()>,
}

impl Subscribed {
    /// What is about to be told, and may be acknowledged from now on.
    pub(super) fn told(&self, sequence: RecordNumber) {
        if let Some(open) = self.feed.lock().open.get_mut(&self.number) {
            open.told = open.told.max(sequence);
        }
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        let mut table = self.feed.lock();
        table.open.remove(&self.number);
        for (_, awaited) in &mut table.receipts {
            if let Some(point) = awaited.points.get_mut(&self.number)
                && point.state == PointState::Silent
            {
                point.state = PointState::Gone;
            }
        }
    }
}

impl Feed {
    pub(super) fn new(clock: Arc<dyn Clock>, settings: &Settings) -> Self {
        Self {
            clock,
            open_max: settings.revocation_subscribers_max,
            per_tenant_max: settings.revocation_subscribers_per_uid_max,
            remote_max: settings.revocation_subscribers_max.div_ceil(2),
            receipts_max: settings.receipts_max,
            ended: watch::Sender::new(()),
            wide: Notify::new(),
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something ended, durably.
    pub(super) fn wake(&self, ended: &Ended) {
        self.ended.send_replace(());
        if matches!(ended, Ended::Wide(_)) {
            self.wide.notify_one();
        }
    }

    /// Opens a subscription for a caller with these IDs, under this random number.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        peer: &Peer,
        (number, ids): (u64, Vec<SpiffeId>),
    ) -> Result<Subscribed, &'static str> {
        let tenant = Tenant::of(peer);
        let mut table = self.lock();
        let is_remote = |open: &&Subscription| matches!(open.tenant, Tenant::Remote(_));
        let is_full = table.open.len() >= self.open_max
            || (matches!(tenant, Tenant::Remote(_))
                && table.open.values().filter(is_remote).count() >= self.remote_max);
        // A number that is taken is another's: no place is free under it. Of 2^64 random ones it is never seen, so it
        // has no error of its own; whoever met it would subscribe again, under another number.
        if is_full || table.open.contains_key(&number) {
            return Err("limits.revocation_subscribers");
        }
        let of_tenant = |open: &&Subscription| open.tenant == tenant;
        if table.open.values().filter(of_tenant).count() >= self.per_tenant_max {
            return Err("limits.revocation_subscribers_per_uid");
        }
        let subscription = Subscription {
            subscriber: Subscriber::of(peer),
            tenant,
            ids,
            told: RecordNumber(0),
            acknowledged: RecordNumber(0),
        };
        table.open.insert(number, subscription);
        drop(table);
        Ok(Subscribed {
            feed: Arc::clone(self),
            number,
            ended: self.ended.subscribe(),
        })
    }

    /// A subscriber has stopped everything up to here. `false` where the subscription is not its own.
    pub(super) fn acknowledge(
        &self,
        subscriber: &Subscriber,
        number: u64,
        sequence: RecordNumber,
    ) -> bool {
        let now = self.clock.monotonic();
        let mut table = self.lock();
        let own = table.open.get_mut(&number);
        let Some(own) = own.filter(|open| open.subscriber == *subscriber) else {
            return false;
        };
        // Nobody stops what it was not told of.
        let sequence = sequence.min(own.told);
        own.acknowledged = own.acknowledged.max(sequence);
        let reached = |(awaited, _): &&mut (RecordNumber, Awaited)| *awaited <= sequence;
        for (_, awaited) in table.receipts.iter_mut().filter(reached) {
            if let Some(point) = awaited.points.get_mut(&number)
                && point.state == PointState::Silent
            {
                point.state = PointState::Stopped(now.saturating_sub(awaited.committed));
            }
        }
        true
    }

    /// Who is subscribed: number and IDs.
    pub(super) fn subscriptions(&self) -> Vec<(u64, Vec<SpiffeId>)> {
        let table = self.lock();
        let open = table.open.iter();
        open.map(|(number, open)| (*number, open.ids.clone()))
            .collect()
    }

    /// Awaits the acknowledgement of these subscriptions from now on; some may have come already. Where none of
    /// them is `acting`, at whom an effect may be going on, that one is in the receipt too.
    pub(super) fn expect(
        &self,
        (sequence, ended): (RecordNumber, Ended),
        committed: Duration,
        (concerned, acting): (&[u64], Option<SpiffeId>),
    ) {
        let now = self.clock.monotonic();
        let mut table = self.lock();
        let mut points = BTreeMap::new();
        for number in concerned {
            // Closed since the commit: it is not told any more, and stops by itself.
            let Some(open) = table.open.get(number) else {
                continue;
            };
            let Some(spiffe_id) = open.ids.first().cloned() else {
                continue;
            };
            let state = if open.acknowledged >= sequence {
                PointState::Stopped(now.saturating_sub(committed))
            } else {
                PointState::Silent
            };
            let pid = open.subscriber.pid();
            let point = Point {
                spiffe_id,
                pid,
                state,
            };
            points.insert(*number, point);
        }
        let mut told = points.keys().filter_map(|number| table.open.get(number));
        let unwatched = acting.filter(|id| !told.any(|open| open.ids.contains(id)));
        let unwatched = unwatched.map(|spiffe_id| Point {
            spiffe_id,
            pid: None,
            state: PointState::Unwatched,
        });
        while table.receipts.len() >= self.receipts_max.max(1) {
            table.receipts.pop_front();
        }
        let awaited = Awaited {
            ended,
            committed,
            points,
            unwatched,
        };
        table.receipts.push_back((sequence, awaited));
    }

    /// The newest revocation that ended exactly this, while its receipt is remembered.
    pub(super) fn awaited(&self, ended: &Ended) -> Option<RecordNumber> {
        let table = self.lock();
        let mut receipts = table.receipts.iter().rev();
        let found = receipts.find(|(_, awaited)| awaited.ended == *ended);
        found.map(|(sequence, _)| *sequence)
    }

    /// Who has stopped so far; `None` for a revocation that is not remembered.
    pub(super) fn receipt(&self, sequence: RecordNumber) -> Option<Receipt> {
        let table = self.lock();
        let mut receipts = table.receipts.iter();
        let (_, awaited) = receipts.find(|(number, _)| *number == sequence)?;
        Some(Receipt {
            sequence,
            points: awaited
                .points
                .values()
                .chain(&awaited.unwatched)
                .cloned()
                .collect(),
        })
    }
}
