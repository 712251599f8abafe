//! Rate limits before anything is attested or read: token buckets by process and by user.

use super::Settings;
use super::ports::{Clock, Peer};
use crate::domain::evidence::ProcessKey;
use crate::domain::id::SpiffeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Caller {
    Process(ProcessKey),
    Remote(SpiffeId),
    Uid(u32),
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Tokens in thousandths, so that integers suffice.
    milli: u64,
    at: Duration,
}

/// Rates of all callers.
#[derive(Debug)]
pub(super) struct Rates {
    clock: Arc<dyn Clock>,
    per_process: (u32, u32),
    per_uid: (u32, u32),
    callers_max: usize,
    buckets: Mutex<HashMap<Caller, Bucket>>,
}

impl Rates {
    pub(super) fn new(clock: Arc<dyn Clock>, settings: &Settings) -> Self {
        Self {
            clock,
            per_process: settings.rate_per_process,
            per_uid: settings.rate_per_uid,
            callers_max: settings.rate_callers_max,
            buckets: Mutex::default(),
        }
    }

    /// Takes one token of each bucket of the caller.
    ///
    /// # Errors
    /// The name of the limit that is used up.
    pub(super) fn admit(&self, peer: &Peer) -> Result<(), &'static str> {
        let now = self.clock.monotonic();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= self.callers_max {
            // Full buckets carry no memory of anything: forget them first.
            buckets.retain(|caller, bucket| {
                let (rate, burst) = self.rate(caller);
                refill(*bucket, now, rate, burst) < u64::from(burst).saturating_mul(1000)
            });
            if buckets.len() >= self.callers_max {
                return Err("limits.rate_callers");
            }
        }
        match peer {
            Peer::Local(local) => {
                // The process first: a noisy one must not use up what its user's others have.
                let process = Caller::Process(local.key);
                self.take(&mut buckets, process, now, "limits.requests_per_process")?;
                let uid = Caller::Uid(local.uid);
                self.take(&mut buckets, uid, now, "limits.requests_per_uid")
            }
            Peer::Remote(remote) => self.take(
                &mut buckets,
                Caller::Remote(remote.spiffe_id.clone()),
                now,
                "limits.requests_per_uid",
            ),
        }
    }

    fn rate(&self, caller: &Caller) -> (u32, u32) {
        match caller {
            Caller::Process(_) => self.per_process,
            Caller::Remote(_) | Caller::Uid(_) => self.per_uid,
        }
    }

    fn take(
        &self,
        buckets: &mut HashMap<Caller, Bucket>,
        caller: Caller,
        now: Duration,
        limit: &'static str,
    ) -> Result<(), &'static str> {
        let (rate, burst) = self.rate(&caller);
        let full = u64::from(burst).saturating_mul(1000);
        let bucket = buckets.entry(caller).or_insert(Bucket {
            milli: full,
            at: now,
        });
        let level = refill(*bucket, now, rate, burst);
        let left = level.checked_sub(1000);
        *bucket = Bucket {
            milli: left.unwrap_or(level),
            at: now,
        };
        left.map(drop).ok_or(limit)
    }
}

fn refill(bucket: Bucket, now: Duration, rate: u32, burst: u32) -> u64 {
    let elapsed_us = u64::try_from(now.saturating_sub(bucket.at).as_micros()).unwrap_or(u64::MAX);
    // rate/s = rate thousandths per millisecond = rate/1000 thousandths per microsecond.
    let earned = elapsed_us
        .saturating_mul(u64::from(rate))
        .checked_div(1000)
        .unwrap_or_default();
    bucket
        .milli
        .saturating_add(earned)
        .min(u64::from(burst).saturating_mul(1000))
}
