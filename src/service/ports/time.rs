//! Time and randomness are arguments; these two ports are where they come from.

use crate::domain::time::Time;
use std::time::Duration;

/// Wall time for validity, monotonic time for waiting.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall time now. Never goes backwards: a wall clock that was set back is held until it catches up.
    ///
    /// # Errors
    /// `None` when the wall clock is behind the held time by more than the configured limit:
    /// nothing that depends on time can be decided then.
    fn now(&self) -> Option<Time>;

    /// Time since an arbitrary fixed point, unaffected by changes of the wall clock.
    fn monotonic(&self) -> Duration;
}

/// A source of random bytes that an attacker cannot predict.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// Fills the whole buffer.
    ///
    /// # Errors
    /// The system's generator failed; the caller must refuse the request.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError>;
}

/// The system's random generator failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("random generator failed")]
pub struct EntropyError;
