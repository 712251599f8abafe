//! Attestation: from a process number to what is known about the process.
//!
//! Names `domain` and `service::ports`.

pub mod broker;
pub mod delegated;
pub mod directory;
