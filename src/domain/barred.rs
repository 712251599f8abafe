//! Processes that lost a leg to a takeover: they start no other, in that task or in one that descends from it, and
//! what they cut and nobody has spent is worth nothing.

use super::evidence::ProcessKey;
use super::id::{Digest, LegNumber};

/// One takeover, or the newest of several that are kept as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// The process that had the leg.
    pub process: ProcessKey,
    /// The leg.
    pub leg: LegNumber,
    /// Keyed digest of the request, for repeats.
    pub request: Digest,
    /// Whether earlier legs, and processes of that boot that are no younger, count as well: there were too many to
    /// keep them apart.
    pub and_older: bool,
}

/// The takeovers of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takeovers(pub Vec<Barred>);

impl Takeovers {
    /// Whether this process may start no leg.
    #[must_use]
    pub fn bar(&self, process: &ProcessKey) -> bool {
        self.0.iter().any(|it| {
            let older = process.boot_id == it.process.boot_id
                && process.start_ticks <= it.process.start_ticks;
            it.process == *process || (it.and_older && older)
        })
    }

    /// Whether this leg was taken over.
    #[must_use]
    pub fn ended(&self, leg: LegNumber) -> bool {
        let mut all = self.0.iter();
        all.any(|it| it.leg == leg || (it.and_older && leg <= it.leg))
    }

    /// The leg that this request took over before.
    #[must_use]
    pub fn repeated(&self, request: Digest) -> Option<LegNumber> {
        let mut all = self.0.iter();
        all.find(|it| it.request == request).map(|it| it.leg)
    }

    /// Remembers one more. Where `max` are remembered they become one, which bars at least as many processes.
    pub(super) fn remember(&mut self, barred: Barred, max: usize) {
        if self.0.len() < max {
            self.0.push(barred);
            return;
        }
        let of_this_boot = |it: &&Barred| it.process.boot_id == barred.process.boot_id;
        let before = self.0.iter().filter(of_this_boot);
        let youngest = before.map(|it| it.process.start_ticks).max();
        let mut merged = barred.clone();
        merged.and_older = true;
        merged.process.start_ticks = merged.process.start_ticks.max(youngest.unwrap_or(0));
        self.0 = if merged.process == barred.process {
            vec![merged]
        } else {
            // The youngest that there was is another process: both count.
            vec![merged, barred]
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, start_ticks: u64, boot: u8) -> ProcessKey {
        ProcessKey {
            boot_id: [boot; 16],
            pidfd_inode: 0,
            pid,
            start_ticks,
        }
    }

    fn barred(pid: i32, start_ticks: u64, leg: u32) -> Barred {
        Barred {
            process: process(pid, start_ticks, 1),
            leg: LegNumber(leg),
            request: Digest([u8::try_from(leg).unwrap_or(0); 32]),
            and_older: false,
        }
    }

    #[test]
    fn more_than_are_kept_apart_stay_barred_together() {
        let mut all = Takeovers::default();
        for (pid, ticks, leg) in [(7, 70, 1), (9, 90, 2), (8, 80, 3), (5, 50, 4)] {
            all.remember(barred(pid, ticks, leg), 2);
            assert!(all.0.len() <= 2, "{all:?}");
        }
        for (pid, ticks) in [(7, 70), (9, 90), (8, 80), (5, 50)] {
            assert!(all.bar(&process(pid, ticks, 1)), "{pid} {all:?}");
        }
        assert!(!all.bar(&process(10, 100, 1)), "a younger one may start");
        assert!(!all.bar(&process(7, 70, 2)), "another boot");
        for leg in 1..=4 {
            assert!(all.ended(LegNumber(leg)));
        }
        assert!(!all.ended(LegNumber(5)));
        assert_eq!(all.repeated(Digest([4; 32])), Some(LegNumber(4)));
    }

    #[test]
    fn one_process_and_no_other_is_barred() {
        let mut all = Takeovers::default();
        all.remember(barred(7, 70, 2), 2);
        assert!(all.bar(&process(7, 70, 1)));
        assert!(!all.bar(&process(6, 60, 1)) && !all.bar(&process(7, 71, 1)));
        assert!(all.ended(LegNumber(2)) && !all.ended(LegNumber(1)));
        assert_eq!(all.repeated(Digest([2; 32])), Some(LegNumber(2)));
        assert_eq!(all.repeated(Digest([1; 32])), None);
    }
}
