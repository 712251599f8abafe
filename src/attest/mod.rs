//! Who is calling: what the kernel says about a pinned process, and what SPIRE says about its
//! number.
//!
//! Names `domain`, `kernel` and `service::ports`. The one thing to know: SPIRE answers about a
//! *number*. The answer counts for the pinned process only because that still lives, unchanged,
//! after the answer came.

pub mod broker;
pub mod delegated;
pub mod directory;

mod answers;
mod attestor;
mod processes;
mod questions;

pub use attestor::{AttestLimits, KernelAttestor};
pub use processes::KernelProcesses;
