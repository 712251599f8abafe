//! The gRPC edge: accepts connections, pins who is at the other end, and serves the routes to them.
//!
//! Names `domain`, `service`, `proto`, `canonical` and `kernel`. The one thing to know: a request's
//! caller is the [`Peer`](crate::service::ports::Peer) in its extensions, put there by this room
//! from the kernel or the TLS handshake alone; no header and no message field says anything about
//! the caller.

pub mod convert;
mod handover;
pub mod health;
pub mod listener;
pub mod observe;
pub mod operator;
pub mod pinned;
pub mod routes;
pub mod serve;
pub mod status;

mod access;
mod admission;
mod approvals;
mod connection;
mod enforcement;
mod legs;
mod metered;
mod page;
mod requests;
mod tasks;
mod tls;
mod watch;
mod whoami;
