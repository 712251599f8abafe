//! The times and counts that the rules work with. Set by configuration, never by a caller.

use super::grant::{Grant, ToolRisks};
use super::role::Role;
use std::time::Duration;

/// Times and counts of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Life of a token for create, cancel or a step; at most 60 s.
    pub token_ttl: Duration,
    /// Life of a token for query; at most 10 s.
    pub query_ttl: Duration,
    /// How long after `fresh` the effect may begin.
    pub act_by: Duration,
    /// How long after `act_by` a missing report counts as unknown.
    pub act_by_grace: Duration,
    /// A task whose owner does not ask about it for this long after creation is cancelled.
    pub claim_by: Duration,
    /// The longest life of a task.
    pub deadline_max: Duration,
    /// How long an ended task can still be read; longer than any token lives.
    pub retention: Duration,
    /// What a refused starter is told to wait.
    pub held_retry_after: Duration,
    /// The most steps of a task.
    pub steps_max: u32,
    /// The most steps of a task that are neither done nor pending.
    pub open_steps_max: usize,
    /// The most performers of a task.
    pub performers_max: usize,
    /// The most permissions in one grant.
    pub permissions_max: usize,
    /// The most delegations of a task, ended ones included.
    pub delegations_max: usize,
    /// The most tokens of a task's owner and delegates, but for reads, within the life of one; at least 4.
    pub owner_tokens_max: u32,
    /// The most processes from which a task is taken over.
    pub takeovers_max: usize,
    /// The most answers and decisions that a task waits for at a time.
    pub inputs_max: usize,
    /// How long a person may take to decide; never longer than the task's deadline.
    pub decide_by: Duration,
    /// How long after a person's yes the step may still be asked for.
    pub use_within: Duration,
    /// Without a sign of its owner for this long a task starts no leg and begins no step.
    pub owner_seen_max: Duration,
    /// The pause after a request for approval that came to nothing; it doubles with each in a row.
    pub approval_pause: Duration,
    /// The longest that it becomes.
    pub approval_pause_max: Duration,
    /// Bytes of the arguments as a person is shown them.
    pub approval_text_bytes: usize,
    /// The most requests for approval of one owner that are open at a time.
    pub approvals_per_owner: usize,
    /// The most SPIFFE IDs that are revoked, or were within the life of a task.
    pub revoked_ids_max: usize,
    /// The most tasks of one owner that have not ended. One that its clock has ended counts until that is
    /// written, for about a second.
    pub tasks_per_owner: u64,
    /// The most generations that a grant may allow; at most [`super::lineage::DEPTH_MAX`].
    pub depth_max: u32,
    /// The most children that a grant may allow.
    pub children_max: u32,
    /// The most children of one `Spawn`.
    pub children_per_spawn: usize,
    /// How much harm each tool can do.
    pub tool_risks: ToolRisks,
}

impl Limits {
    /// How old a sighting of an owner may be before the next is written: a sixteenth of the time within which it
    /// must be seen.
    #[must_use]
    pub fn sighting(&self) -> Duration {
        self.owner_seen_max.checked_div(16).unwrap_or_default()
    }

    /// The first pause after a request for approval that came to nothing, and the longest.
    #[must_use]
    pub fn approval_pauses(&self) -> (Duration, Duration) {
        (self.approval_pause, self.approval_pause_max)
    }

    /// Whether a grant and these performers keep to the limits.
    ///
    /// # Errors
    /// The name of the limit that is passed.
    pub fn admit(&self, grant: &Grant, performers: &[Role]) -> Result<(), &'static str> {
        let limits = [
            (
                grant.permissions.len() <= self.permissions_max,
                "limits.grant_pairs",
            ),
            (grant.depth_left <= self.depth_max, "tasks.depth_max"),
            (
                grant.children_left <= self.children_max,
                "tasks.children_max",
            ),
            (performers.len() <= self.performers_max, "limits.performers"),
        ];
        match limits.into_iter().find(|(kept, _)| !kept) {
            Some((_, name)) => Err(name),
            None => Ok(()),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            token_ttl: Duration::from_secs(30),
            query_ttl: Duration::from_secs(10),
            act_by: Duration::from_secs(5),
            act_by_grace: Duration::from_secs(2),
            claim_by: Duration::from_secs(300),
            deadline_max: Duration::from_secs(7 * 24 * 3600),
            retention: Duration::from_secs(24 * 3600),
            held_retry_after: Duration::from_secs(2),
            steps_max: 10_000,
            open_steps_max: 256,
            performers_max: 16,
            permissions_max: 64,
            delegations_max: 16,
            owner_tokens_max: 256,
            takeovers_max: 16,
            inputs_max: 16,
            decide_by: Duration::from_secs(7 * 24 * 3600),
            use_within: Duration::from_secs(300),
            owner_seen_max: Duration::from_secs(7 * 24 * 3600),
            approval_pause: Duration::from_secs(30),
            approval_pause_max: Duration::from_secs(3600),
            approval_text_bytes: 16 * 1024,
            approvals_per_owner: 16,
            revoked_ids_max: 1_024,
            tasks_per_owner: 10_000,
            depth_max: 8,
            children_max: 100_000,
            children_per_spawn: 1_000,
            tool_risks: ToolRisks::default(),
        }
    }
}
