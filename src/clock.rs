//! The only place that reads the clock and the random generator.

use crate::domain::time::Time;
use crate::service::ports::{Clock, Entropy, EntropyError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// The system's clocks. Wall time never goes backwards: it is held until the clock catches up.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    /// The latest wall time given out, in milliseconds.
    latest: AtomicU64,
    backward_jump_max: Duration,
}

impl SystemClock {
    /// A clock that refuses once the wall clock is behind by more than `backward_jump_max`.
    #[must_use]
    pub fn new(backward_jump_max: Duration) -> Self {
        Self {
            started: Instant::now(),
            latest: AtomicU64::new(0),
            backward_jump_max,
        }
    }

    /// Never tells a time before this one: what an earlier run saw pass stays past.
    ///
    /// A wall clock that was set back between two runs is held, or refused, as if it had been set back
    /// during one.
    pub fn not_before(&self, earliest: Time) {
        self.latest.fetch_max(earliest.0, Ordering::AcqRel);
    }

    fn hold(&self, wall: Time) -> Option<Time> {
        let latest = Time(self.latest.fetch_max(wall.0, Ordering::AcqRel));
        if latest.since(wall) > self.backward_jump_max {
            return None;
        }
        Some(latest.max(wall))
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock port")]
    fn now(&self) -> Option<Time> {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()?;
        self.hold(Time(u64::try_from(since.as_millis()).ok()?))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The system's random generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the Entropy port")]
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        aws_lc_rs::rand::fill(buffer).map_err(|_unspecified| EntropyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a20_a_clock_set_back_is_held_and_then_refused() {
        let clock = SystemClock::new(Duration::from_secs(2));
        assert_eq!(clock.hold(Time(10_000)), Some(Time(10_000)));
        assert_eq!(clock.hold(Time(8_000)), Some(Time(10_000)));
        assert_eq!(clock.hold(Time(7_999)), None);
        assert_eq!(clock.hold(Time(10_001)), Some(Time(10_001)));
    }

    #[test]
    fn a20_what_an_earlier_run_saw_pass_stays_past() {
        let clock = SystemClock::new(Duration::from_secs(2));
        clock.not_before(Time(10_000));
        assert_eq!(clock.hold(Time(9_000)), Some(Time(10_000)));
        assert_eq!(clock.hold(Time(7_000)), None);
        clock.not_before(Time(1));
        assert_eq!(clock.hold(Time(9_000)), Some(Time(10_000)));
        let far = SystemClock::new(Duration::from_secs(2));
        far.not_before(Time(u64::MAX));
        assert_eq!(far.now(), None);
    }
}
