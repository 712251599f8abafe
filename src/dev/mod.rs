//! The development SPIFFE provider: a Workload API and a Broker API over Unix sockets, without
//! SPIRE.
//!
//! For `handfast dev`, tests and demonstrations. Names `domain` and the generated SPIFFE messages,
//! never an edge. The one thing to know: it behaves like a SPIRE agent where that matters to
//! `handfast` (one key per entry shared by every matching process, new key at half life, answers
//! about a PID), and its authority lives in memory, so nothing it signs outlives it. It serves
//! trust domains reserved for testing only.

mod authority;
mod broker_api;
mod config;
mod entries;
mod jwt;
pub mod pb;
mod process;
mod provider;
mod registry;
mod serve;
mod workload_api;

pub use authority::AuthorityError;
pub use config::{DevConfig, PROVIDER_PATH, is_reserved};
pub use entries::{EntriesError, Entry, Selector, parse_entries};
pub use provider::{DevError, DevProvider, run};
pub use registry::RegistryError;

/// Wall time, for certificates and tokens that only this provider signs.
#[expect(
    clippy::disallowed_methods,
    reason = "the provider is a process of its own beside the agent and has no Clock port"
)]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
