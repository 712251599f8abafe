//! Wall time as milliseconds since the Unix epoch. Durations are `std::time::Duration`.

use std::time::Duration;

/// A point in wall time, in milliseconds since 1970-01-01T00:00:00Z.
///
/// Ends are exclusive everywhere: at `now >= end` a thing has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// This time plus a duration, saturating at the end of time.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(ms))
    }

    /// This time less a duration; `None` before 1970.
    #[must_use]
    pub fn before(self, duration: Duration) -> Option<Self> {
        let ms = u64::try_from(duration.as_millis()).ok()?;
        self.0.checked_sub(ms).map(Self)
    }

    /// How long ago `earlier` was; zero if it is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whether a thing that ends at `end` has ended now.
    #[must_use]
    pub fn reached(self, end: Self) -> bool {
        self >= end
    }

    /// Whole seconds since the Unix epoch, rounded down (JWT `NumericDate`).
    #[must_use]
    pub fn as_seconds(self) -> u64 {
        self.0.checked_div(1000).unwrap_or_default()
    }
}
