//! The gRPC edge: accepts connections, pins who is at the other end, and serves the routes to them.
//!
//! Names `domain`, `kernel` and `service::ports`. The one thing to know: a request's caller is the
//! [`Peer`](crate::service::ports::Peer) in its extensions, put there by this room from the kernel or the TLS
//! handshake alone; no header and no message field says anything about the caller.

pub mod listener;
pub mod observe;
pub mod pinned;
pub mod serve;

mod admission;
mod connection;
mod metered;
mod tls;
//! The gRPC edge.
