//! `handfast`: a task handle that only the right hand can use.
//!
//! A SPIFFE-native node agent for asynchronous MCP work. Start reading at [`domain`]: the rules, pure and
//! synchronous. Then `service`, which runs one request through them, and the edges that serve it.

pub mod clock;
pub mod config;
pub mod domain;
pub mod failpoint;
pub mod canonical;
pub mod client;
pub mod keys;
pub mod ledger;
pub mod policy;
pub mod attest;
pub mod dev;
pub mod domain;
pub mod identity;
pub mod attest;
pub mod domain;
pub mod failpoint;
pub mod grpc;
pub mod kernel;
pub mod service;
pub mod token;
