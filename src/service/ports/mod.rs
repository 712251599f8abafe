//! What the service needs from the outside, as traits. Each edge implements one; `app` chooses.

mod attestation;
mod authority;
pub mod ledger;
mod time;

pub use attestation::{
    AttestError, AttestedWorkload, Attestor, DirectoryError, Freshness, LocalPeer, Observed, Peer,
    ProcessDirectory, Processes, RemotePeer,
};
pub use authority::{
    BoundCertificate, Certificates, Names, PersonError, Persons, Policy, SignError, Signer,
    VerifiedPerson,
};
pub use ledger::{Ledger, LedgerError};
pub use time::{Clock, Entropy, EntropyError};

/// A boxed future, so that ports stay object-safe.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
