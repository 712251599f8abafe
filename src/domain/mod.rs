//! The rules: who may do what with a task, decided from plain values.
//!
//! Names no other room. No async, no I/O, no clock, no logger, no serde: time, evidence and the policy's
//! verdict are arguments, and everything that changes is returned as a value. Read [`task`], then
//! [`role`] (who), then [`decide`] (what follows).

pub mod approval;
pub mod arguments;
pub mod barred;
pub mod child;
pub mod claims;
pub mod decide;
pub mod delegation;
pub mod denial;
pub mod event;
pub mod evidence;
pub mod grant;
pub mod id;
pub mod input;
pub mod limits;
pub mod lineage;
pub mod order;
pub mod policy;
pub mod revocation;
pub mod role;
pub mod step;
pub mod task;
pub mod time;
