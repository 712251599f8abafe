//! `handfast`: a task handle that only the right hand can use.
//!
//! A SPIFFE-native node agent for asynchronous MCP work. Start reading at [`domain`]: the rules, pure and
//! synchronous. Then [`service`], which runs one request through them, and the edges that serve it;
//! `app` puts them together.

pub mod app;
pub mod attest;
pub mod canonical;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod dev;
pub mod domain;
pub mod failpoint;
pub mod grpc;
pub mod identity;
pub mod kernel;
pub mod keys;
pub mod ledger;
pub mod oidc;
pub mod policy;
pub mod proto;
pub mod service;
pub mod token;
