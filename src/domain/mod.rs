//! The rules: who may do what with a task, decided from plain values.
//!
//! Names no other room. No async, no I/O, no clock, no logger, no serde: time, evidence and the policy's
//! verdict are arguments, and everything that changes is returned as a value.

pub mod evidence;
pub mod id;
pub mod time;
