//! Faults: crashes at every point, interleavings, bad input, and what must never be seen outside.
//!
//! Real processes against a real agent. The one thing to know: crash points and pauses are set in the
//! agent's environment (`src/failpoint.rs`), so these tests need the feature `failpoints`.

mod bare;
mod startup;
