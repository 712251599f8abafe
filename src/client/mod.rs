//! The library for workloads: what an MCP client, worker, server or tool links to.
//!
//! Names `domain`, `canonical` and `token`. The one thing to know: a process has one key per leg and one per
//! audience (a [`hand::Hand`]), made in its memory and shown only in TLS handshakes; a token is worth nothing
//! on a connection of any other hand.

pub mod hand;
pub mod peer;
pub mod pool;
pub mod tls;
