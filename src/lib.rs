//! `handfast`: a task handle that only the right hand can use.
//!
//! A SPIFFE-native node agent for asynchronous MCP work. Start reading at [`domain`]: the rules, pure and
//! synchronous. Then `service`, which runs one request through them, and the edges that serve it.

pub mod canonical;
pub mod domain;
pub mod failpoint;
pub mod keys;
pub mod service;
pub mod token;
