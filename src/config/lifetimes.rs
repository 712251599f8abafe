//! `[tokens]`, `[tasks]` and `[timeouts]`: how long things live and how long anybody waits.
//!
//! Names `domain` only. The promise bounds two of them in code: a token lives at most 60
//! s, a query token at most 10 s.

use super::refusal::ConfigError;
use super::table::Table;
use crate::domain::lineage::DEPTH_MAX;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// `[tokens]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// Life of a token for create, cancel or a step; at most 60 s.
    pub ttl: Duration,
    /// Life of a query token; at most 10 s.
    pub query_ttl: Duration,
    /// How long after `fresh` an effect may still begin; at most 60 s.
    pub act_by: Duration,
    /// How long after `act_by` the outcome of a step is still awaited before it is unknown.
    pub act_by_grace: Duration,
}

impl TokenConfig {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let config = Self {
            ttl: table.duration("ttl", secs(30), secs(60))?,
            query_ttl: table.duration("query_ttl", secs(10), secs(10))?,
            act_by: table.duration("act_by", secs(5), secs(60))?,
            act_by_grace: table.duration("act_by_grace", secs(2), secs(60))?,
        };
        table.finish()?;
        Ok(config)
    }
}

/// `[tasks]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskConfig {
    /// The longest life of a task, and that of a task for which none was asked.
    pub deadline_max: Duration,
    /// A worker is told this long before its task's deadline.
    pub deadline_notice: Duration,
    /// A task whose owner has not asked about it within this time is cancelled.
    pub claim_by: Duration,
    /// Without a sign of its owner for this long a task starts no leg and begins no step.
    pub owner_seen_max: Duration,
    /// How long an ended task can still be read; longer than any token lives.
    pub retention: Duration,
    /// A leg without a step or an open `Hold` for this time ends.
    pub lease_idle: Duration,
    /// How long after the agent is ready again a suspended leg waits for its process.
    pub reattach_window: Duration,
    /// What a performer is told to wait while another one holds the leg.
    pub held_retry_after: Duration,
    /// How often deadlines are swept for the audit and for watchers; each touch judges them anyway.
    pub sweep_interval: Duration,
    /// The highest step number of one task.
    pub steps_max: u32,
    /// Steps of one task that are neither done nor pending.
    pub open_steps_max: usize,
    /// Tokens of one task's owner and its delegates but for reads, in the life of a token; at least 4.
    pub owner_tokens_max: u32,
    /// Delegations of a task, ended ones included.
    pub delegations_max: usize,
    /// Processes from which one task is taken over.
    pub takeovers_max: usize,
    /// Generations that a grant may allow below its task.
    pub depth_max: u32,
    /// Children that a grant may allow, over all generations.
    pub children_max: u32,
}

impl TaskConfig {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        // The longest token, plus the clock difference that a verifier may have.
        const RETENTION_MIN: Duration = Duration::from_secs(2 * MINUTE);
        let config = Self {
            deadline_max: table.duration("deadline_max", secs(7 * DAY), secs(YEAR))?,
            deadline_notice: table.duration("deadline_notice", secs(30), secs(DAY))?,
            claim_by: table.duration("claim_by", secs(5 * MINUTE), secs(YEAR))?,
            owner_seen_max: table.duration("owner_seen_max", secs(7 * DAY), secs(YEAR))?,
            retention: table.duration("retention", secs(DAY), secs(YEAR))?,
            lease_idle: table.duration("lease_idle", secs(MINUTE), secs(DAY))?,
            reattach_window: table.duration("reattach_window", secs(MINUTE), secs(HOUR))?,
            held_retry_after: table.duration("held_retry_after", secs(2), secs(HOUR))?,
            sweep_interval: table.duration("sweep_interval", secs(1), secs(MINUTE))?,
            steps_max: table.count("steps_max", 10_000)?,
            open_steps_max: table.count("open_steps_max", 256)?,
            owner_tokens_max: table.count("owner_tokens_max", 256)?,
            delegations_max: table.count("delegations_max", 16)?,
            takeovers_max: table.count("takeovers_max", 16)?,
            depth_max: table.count("depth_max", 8)?,
            children_max: table.count("children_max", 100_000)?,
        };
        if usize::try_from(config.depth_max).map_or(true, |depth| depth > DEPTH_MAX) {
            let want = format!("at most {DEPTH_MAX}");
            return Err(table.refuse("depth_max", &config.depth_max.to_string(), &want));
        }
        if config.retention < RETENTION_MIN {
            let shown = super::duration::show(config.retention);
            return Err(table.refuse("retention", &shown, "at least `2m`"));
        }
        if config.owner_tokens_max < 4 {
            // So that each part of them is one at least.
            let shown = config.owner_tokens_max.to_string();
            return Err(table.refuse("owner_tokens_max", &shown, "at least 4"));
        }
        table.finish()?;
        Ok(config)
    }
}

/// `[timeouts]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From `accept` to the first bytes, and to a finished handshake.
    pub handshake: Duration,
    /// One unary request, queueing included.
    pub request: Duration,
    /// A connection without an open stream.
    pub idle: Duration,
    /// How often a quiet connection is pinged.
    pub keepalive_interval: Duration,
    /// How long the answer to a ping may take.
    pub keepalive: Duration,
    /// The greatest age of a connection; lowered by up to a tenth at random.
    pub connection_age: Duration,
    /// How long an aged connection may finish what is open.
    pub connection_age_grace: Duration,
    /// Equal denials, and equal reads, within this time share one audit record.
    pub fold: Duration,
}

impl Timeouts {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let config = Self {
            handshake: table.duration("handshake", secs(3), secs(MINUTE))?,
            request: table.duration("request", secs(10), secs(10 * MINUTE))?,
            idle: table.duration("idle", secs(5 * MINUTE), secs(DAY))?,
            keepalive_interval: table.duration("keepalive_interval", secs(20), secs(HOUR))?,
            keepalive: table.duration("keepalive", secs(10), secs(HOUR))?,
            connection_age: table.duration("connection_age", secs(HOUR), secs(DAY))?,
            connection_age_grace: table.duration("connection_age_grace", secs(30), secs(HOUR))?,
            fold: table.duration("fold", secs(10), secs(HOUR))?,
        };
        table.finish()?;
        Ok(config)
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
