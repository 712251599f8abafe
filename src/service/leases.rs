//! Leases: which legs are up, in memory. The ledger knows who has a leg; only this knows that its process
//! still holds it (an open `Hold`, or a step within `lease_idle`).

use super::Settings;
use super::ports::{Clock, LocalPeer};
use crate::domain::id::{Epoch, LegNumber, TaskId};
use crate::domain::task::Leg;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// What a worker is told on its `Hold` stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldKind {
    /// The task was cancelled.
    Cancelled,
    /// The task's deadline is near.
    DeadlineNear,
    /// The agent is about to stop.
    Draining,
    /// Another start took this leg's place.
    Fenced,
    /// The task or leg has ended.
    Finished,
    /// The stream is up.
    Holding,
    /// A new policy set is in force.
    PolicyChanged,
    /// The performer's entitlement was withdrawn.
    Revoked,
}

impl HoldKind {
    /// Whether nothing can follow.
    #[must_use]
    pub fn is_last(self) -> bool {
        match self {
            Self::DeadlineNear | Self::Draining | Self::Holding | Self::PolicyChanged => false,
            Self::Cancelled | Self::Fenced | Self::Finished | Self::Revoked => true,
        }
    }
}

#[derive(Debug)]
struct Lease {
    leg: LegNumber,
    /// The holder; absent for a suspended leg whose process could not be pinned again yet.
    peer: Arc<LocalPeer>,
    /// Suspended since the agent restarted, until its process takes it up again.
    suspended: bool,
    /// The tasks that its task descends from, with which it may die.
    ancestors: Vec<TaskId>,
    active: Duration,
    holds: HashMap<u64, mpsc::Sender<HoldKind>>,
    deadline_told: bool,
    /// Waits for the process to exit; ends with the lease.
    _watch: AbortOnDrop,
}

/// Ends a task when the value is dropped.
#[derive(Debug)]
pub(super) struct AbortOnDrop(pub(super) tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A leg that comes up.
#[derive(Debug)]
pub(super) struct Up {
    /// Its number.
    pub(super) leg: LegNumber,
    /// Its process.
    pub(super) peer: Arc<LocalPeer>,
    /// Whether it still has to be taken up after a restart of the agent.
    pub(super) suspended: bool,
    /// The tasks that its task descends from, with which it may die.
    pub(super) ancestors: Vec<TaskId>,
    /// What waits for the process to exit.
    pub(super) watch: AbortOnDrop,
}

/// All leases of this agent.
#[derive(Debug)]
pub(super) struct Leases {
    clock: Arc<dyn Clock>,
    idle: Duration,
    legs_max: usize,
    holds_max: usize,
    queue_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    leases: HashMap<TaskId, Lease>,
    next_hold: u64,
}

/// A `Hold` stream: while it lives, the lease renews itself.
#[derive(Debug)]
pub struct HoldStream {
    events: mpsc::Receiver<HoldKind>,
    _ticket: Option<Ticket>,
}

#[derive(Debug)]
struct Ticket {
    leases: Arc<Leases>,
    task: TaskId,
    hold: u64,
}

impl HoldStream {
    /// A stream that says one thing and ends.
    pub(super) fn closing(kind: HoldKind) -> Self {
        let (sender, events) = mpsc::channel(1);
        if sender.try_send(kind).is_err() {
            tracing::debug!("a new channel is never full");
        }
        Self {
            events,
            _ticket: None,
        }
    }

    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<HoldKind> {
        self.events.recv().await
    }

    /// As [`HoldStream::next`], for whoever polls.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<HoldKind>> {
        self.events.poll_recv(cx)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let now = self.leases.clock.monotonic();
        let mut table = self.leases.lock();
        if let Some(lease) = table.leases.get_mut(&self.task)
            && lease.holds.remove(&self.hold).is_some()
        {
            lease.active = now;
        }
    }
}

impl Leases {
    pub(super) fn new(clock: Arc<dyn Clock>, settings: &Settings) -> Self {
        Self {
            clock,
            idle: settings.lease_idle,
            legs_max: settings.legs_max,
            holds_max: settings.holds_per_leg_max,
            queue_max: settings.hold_queue_max,
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another leg may come up.
    pub(super) fn room(&self, task: TaskId) -> Result<(), &'static str> {
        let table = self.lock();
        if table.leases.len() < self.legs_max || table.leases.contains_key(&task) {
            Ok(())
        } else {
            Err("limits.legs")
        }
    }

    /// A leg is up, or up again: earlier streams of the task are fenced off.
    pub(super) fn up(&self, task: TaskId, up: Up) {
        let Up {
            leg,
            peer,
            suspended,
            ancestors,
            watch,
        } = up;
        let lease = Lease {
            leg,
            peer,
            suspended,
            ancestors,
            active: self.clock.monotonic(),
            holds: HashMap::new(),
            deadline_told: false,
            _watch: watch,
        };
        let mut table = self.lock();
        if table.leases.get(&task).is_some_and(|newer| newer.leg > leg) {
            // This word came late: another leg is up by now.
            return;
        }
        let before = table.leases.insert(task, lease);
        drop(table);
        if let Some(before) = before {
            tell_all(&before, HoldKind::Fenced);
        }
    }

    /// Whether the holder of this leg may still act.
    ///
    /// A leg of this epoch that is not in the table was committed a moment ago and is about to be:
    /// legs leave the ledger before they leave the table. A leg of an earlier epoch counts only while
    /// it is in the table, suspended.
    pub(super) fn may_act(&self, task: TaskId, leg: &Leg, epoch: Epoch) -> bool {
        let now = self.clock.monotonic();
        match self.lock().leases.get(&task) {
            Some(lease) if lease.leg == leg.number => !self.is_idle(lease, now),
            Some(_) | None => leg.epoch == epoch,
        }
    }

    fn is_idle(&self, lease: &Lease, now: Duration) -> bool {
        !lease.suspended && lease.holds.is_empty() && now.saturating_sub(lease.active) >= self.idle
    }

    /// A step renews the lease.
    pub(super) fn touch(&self, task: TaskId, leg: LegNumber) {
        let now = self.clock.monotonic();
        if let Some(lease) = self.lock().leases.get_mut(&task)
            && lease.leg == leg
        {
            lease.active = now;
        }
    }

    /// Opens a `Hold` stream.
    pub(super) fn hold(
        self: &Arc<Self>,
        task: TaskId,
        leg: LegNumber,
    ) -> Result<HoldStream, &'static str> {
        let mut table = self.lock();
        table.next_hold = table.next_hold.saturating_add(1);
        let hold = table.next_hold;
        let Some(lease) = table.leases.get_mut(&task).filter(|lease| lease.leg == leg) else {
            return Ok(HoldStream::closing(HoldKind::Fenced));
        };
        if lease.holds.len() >= self.holds_max {
            return Err("limits.holds_per_leg");
        }
        let (sender, events) = mpsc::channel(self.queue_max.max(1));
        if sender.try_send(HoldKind::Holding).is_err() {
            return Err("limits.hold_notices");
        }
        lease.holds.insert(hold, sender);
        let ticket = Ticket {
            leases: Arc::clone(self),
            task,
            hold,
        };
        drop(table);
        Ok(HoldStream {
            events,
            _ticket: Some(ticket),
        })
    }

    /// The leg has ended: its streams are told why and close.
    pub(super) fn end(&self, task: TaskId, kind: HoldKind) {
        let lease = self.lock().leases.remove(&task);
        if let Some(lease) = lease {
            tell_all(&lease, kind);
        }
    }

    /// As [`Leases::end`], if it is still this leg.
    pub(super) fn end_leg(&self, task: TaskId, leg: LegNumber, kind: HoldKind) {
        let mut table = self.lock();
        if table
            .leases
            .get(&task)
            .is_some_and(|lease| lease.leg == leg)
        {
            let lease = table.leases.remove(&task);
            drop(table);
            if let Some(lease) = lease {
                tell_all(&lease, kind);
            }
        }
    }

    /// Every leg has to be taken up again: its streams are told and close, and its process has as long as an
    /// idle one.
    pub(super) fn fence_all(&self) {
        let now = self.clock.monotonic();
        for lease in self.lock().leases.values_mut() {
            tell_all(lease, HoldKind::Fenced);
            lease.holds.clear();
            lease.active = now;
        }
    }

    /// The tasks of all legs that may die with an ancestor.
    pub(super) fn descending(&self) -> Vec<TaskId> {
        let table = self.lock();
        let descends = |(_, lease): &(&TaskId, &Lease)| !lease.ancestors.is_empty();
        let leases = table.leases.iter().filter(descends);
        leases.map(|(task, _)| *task).collect()
    }

    /// The tasks of all legs that die with this one.
    pub(super) fn below(&self, ancestor: TaskId) -> Vec<TaskId> {
        let table = self.lock();
        let leases = table.leases.iter();
        let below = leases.filter(|(_, lease)| lease.ancestors.contains(&ancestor));
        below.map(|(task, _)| *task).collect()
    }

    /// Where the lease of this task is, if its leg is up.
    pub(super) fn state(&self, task: TaskId) -> Option<LeaseState> {
        let now = self.clock.monotonic();
        let table = self.lock();
        table
            .leases
            .get(&task)
            .map(|lease| self.state_of(lease, now))
    }

    fn state_of(&self, lease: &Lease, now: Duration) -> LeaseState {
        if lease.suspended {
            LeaseState::Suspended
        } else if self.is_idle(lease, now) {
            LeaseState::Idle
        } else {
            LeaseState::Live
        }
    }

    /// Tells every stream.
    pub(super) fn tell_everybody(&self, kind: HoldKind) {
        let table = self.lock();
        table
            .leases
            .values()
            .for_each(|lease| tell_all(lease, kind));
    }

    /// Tells the streams of one task once that its deadline is near.
    pub(super) fn tell_deadline(&self, task: TaskId) {
        let mut table = self.lock();
        if let Some(lease) = table.leases.get_mut(&task)
            && !lease.deadline_told
        {
            lease.deadline_told = true;
            tell_all(lease, HoldKind::DeadlineNear);
        }
    }

    /// Every leg that is up: task, leg, holder, and whether it is idle or suspended.
    pub(super) fn all(&self) -> Vec<(TaskId, LegNumber, Arc<LocalPeer>, LeaseState)> {
        let now = self.clock.monotonic();
        self.lock()
            .leases
            .iter()
            .map(|(task, lease)| {
                let peer = Arc::clone(&lease.peer);
                (*task, lease.leg, peer, self.state_of(lease, now))
            })
            .collect()
    }
}

/// Where a lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseState {
    /// Neither held nor used for `lease_idle`.
    Idle,
    /// Held or used.
    Live,
    /// Waiting for its process after a restart of the agent.
    Suspended,
}

/// A stream that does not keep up loses events but never its end: dropping the sender closes it.
fn tell_all(lease: &Lease, kind: HoldKind) {
    for sender in lease.holds.values() {
        if sender.try_send(kind).is_err() {
            tracing::debug!(?kind, "a hold stream did not take an event");
        }
    }
}
