//! Who waits for news: of one task, or of requests for approval. A watcher is woken and looks for itself, so
//! that nothing is told to whoever may no longer hear it, and nothing piles up.

use super::Failure;
use super::Settings;
use super::leases::AbortOnDrop;
use super::ports::Peer;
use crate::domain::id::TaskId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{mpsc, watch};

/// Every open watch.
#[derive(Debug)]
pub(super) struct Watchers {
    open_max: usize,
    per_user_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    topics: HashMap<Topic, (watch::Sender<()>, usize)>,
    users: HashMap<Option<u32>, usize>,
    open: usize,
}

/// What a watcher wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Topic {
    Approvals,
    Task(TaskId),
}

/// An open watch; closed when dropped.
#[derive(Debug)]
pub(super) struct Changes {
    watchers: Arc<Watchers>,
    topic: Topic,
    user: Option<u32>,
    changed: watch::Receiver<()>,
}

impl Changes {
    /// Waits until something may have changed since the last look.
    pub(super) async fn next(&mut self) {
        if self.changed.changed().await.is_err() {
            // INVARIANT: the sender lives in the table as long as this does.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let mut table = self.watchers.lock();
        table.open = table.open.saturating_sub(1);
        if let Some((_, watching)) = table.topics.get_mut(&self.topic) {
            *watching = watching.saturating_sub(1);
            if *watching == 0 {
                table.topics.remove(&self.topic);
            }
        }
        if let Some(watching) = table.users.get_mut(&self.user) {
            *watching = watching.saturating_sub(1);
            if *watching == 0 {
                table.users.remove(&self.user);
            }
        }
    }
}

impl Watchers {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            open_max: settings.watches_max,
            per_user_max: settings.watches_per_uid_max,
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches one task.
    pub(super) fn task(
        self: &Arc<Self>,
        task: TaskId,
        peer: &Peer,
    ) -> Result<Changes, &'static str> {
        self.open(Topic::Task(task), peer)
    }

    /// Watches requests for approval.
    pub(super) fn approvals(self: &Arc<Self>, peer: &Peer) -> Result<Changes, &'static str> {
        self.open(Topic::Approvals, peer)
    }

    fn open(self: &Arc<Self>, topic: Topic, peer: &Peer) -> Result<Changes, &'static str> {
        let user = match peer {
            Peer::Local(local) => Some(local.uid),
            Peer::Remote(_) => None,
        };
        let mut table = self.lock();
        if table.open >= self.open_max {
            return Err("limits.watches");
        }
        let watching = table.users.entry(user).or_default();
        if *watching >= self.per_user_max {
            return Err("limits.watches_per_uid");
        }
        *watching = watching.saturating_add(1);
        table.open = table.open.saturating_add(1);
        let (sender, watching) = table
            .topics
            .entry(topic)
            .or_insert_with(|| (watch::Sender::new(()), 0));
        *watching = watching.saturating_add(1);
        let changed = sender.subscribe();
        drop(table);
        Ok(Changes {
            watchers: Arc::clone(self),
            topic,
            user,
            changed,
        })
    }

    /// Something of this task may have changed.
    pub(super) fn touch(&self, task: TaskId) {
        self.wake(Topic::Task(task));
    }

    /// A person is to be asked.
    pub(super) fn asked(&self) {
        self.wake(Topic::Approvals);
    }

    fn wake(&self, topic: Topic) {
        if let Some((sender, _)) = self.lock().topics.get(&topic) {
            sender.send_replace(());
        }
    }
}

/// What a watcher is told. Ends with the task that feeds it, and that with this.
#[derive(Debug)]
pub struct WatchStream<E> {
    events: mpsc::Receiver<Result<E, Failure>>,
    _feed: AbortOnDrop,
}

impl<E: Send + 'static> WatchStream<E> {
    /// A stream of at most `queue` waiting events that begins with `first`, if there is one, and is fed by this.
    pub(super) fn fed<F: Future<Output = ()> + Send + 'static>(
        queue: usize,
        first: Option<E>,
        feed: impl FnOnce(mpsc::Sender<Result<E, Failure>>) -> F,
    ) -> Self {
        let (sender, events) = mpsc::channel(queue.max(1));
        if let Some(first) = first
            && sender.try_send(Ok(first)).is_err()
        {
            tracing::debug!("a new channel is never full");
        }
        let feed = tokio::spawn(feed(sender));
        Self {
            events,
            _feed: AbortOnDrop(feed.abort_handle()),
        }
    }

    /// The next event; `None` at the end, which may be preceded by a failure.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<E, Failure>>> {
        self.events.poll_recv(cx)
    }
}
