//! The agent's own SPIFFE identity: its SVID from the Workload API, and the TLS that is made of it.
//!
//! Names `domain` and the `spiffe` crates, no other edge. The one thing to know: everything here
//! fails closed. Without a usable SVID there is no handshake, in either direction, and a withdrawn
//! or expired one is never used again.

mod broker;
mod endpoint;
mod source;
mod tls;
mod wait;

pub use broker::{AgentRule, BrokerChannelConfig};
pub use endpoint::{EndpointError, UnixEndpoint};
pub use source::{
    Identity, IdentityConfig, IdentityCounts, IdentityError, IdentityLimits, IdentityUpdates,
    Standing,
};
pub use tls::{PeerRules, PeerRulesError};
pub use wait::{Waiting, waiting_for};
