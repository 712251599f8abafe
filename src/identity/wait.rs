//! Why there is no identity yet, in words that tell an operator what to do.

use super::endpoint::UnixEndpoint;
use super::source::IdentityConfig;
use crate::domain::id::SpiffeId;
use spiffe::x509_source::X509SourceError;
use spiffe::{WorkloadApiClient, WorkloadApiError};
use std::collections::BTreeSet;
use std::fmt;

/// What the agent waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Several identities are offered and none is configured.
    Ambiguous(BTreeSet<SpiffeId>),
    /// No registration entry matches this process.
    NoEntry,
    /// The configured identity is not among those offered.
    OtherIdentity {
        /// Configured.
        wanted: SpiffeId,
        /// Offered.
        offered: BTreeSet<SpiffeId>,
    },
    /// Nothing listens at the socket, or it may not be opened.
    Refused(std::io::ErrorKind),
    /// There is no socket.
    SocketMissing,
    /// Anything else the Workload API said, or nothing at all in time.
    Unavailable(String),
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ambiguous(offered) => write!(
                f,
                "several identities are offered ({}): configure one of them",
                list(offered)
            ),
            Self::NoEntry => {
                let executable = std::env::current_exe().unwrap_or_default();
                write!(
                    f,
                    "no registration entry matches this process (uid {}, executable `{}`): \
                     create one, or wait for it to reach this node",
                    rustix::process::geteuid().as_raw(),
                    executable.display()
                )
            }
            Self::OtherIdentity { wanted, offered } => {
                write!(f, "`{wanted}` is not offered, only {}", list(offered))
            }
            Self::Refused(kind) => write!(f, "the Workload API socket cannot be used: {kind}"),
            Self::SocketMissing => f.write_str(
                "the Workload API socket does not exist: is the SPIRE agent running on this node?",
            ),
            Self::Unavailable(detail) => write!(f, "the Workload API does not answer: {detail}"),
        }
    }
}

fn list(ids: &BTreeSet<SpiffeId>) -> String {
    let quoted: Vec<_> = ids.iter().map(|id| format!("`{id}`")).collect();
    quoted.join(", ")
}

/// Looks for what is missing: socket, listener, entry, or a choice between identities.
pub async fn waiting_for(config: &IdentityConfig) -> Waiting {
    if let Err(error) = tokio::net::UnixStream::connect(config.endpoint.path()).await {
        let kind = error.kind();
        return if kind == std::io::ErrorKind::NotFound {
            Waiting::SocketMissing
        } else {
            Waiting::Refused(kind)
        };
    }
    let asked = tokio::time::timeout(config.initial_sync_timeout, offered(&config.endpoint));
    let offered = match asked.await {
        Ok(Ok(offered)) => offered,
        Ok(Err(WorkloadApiError::NoIdentityIssued | WorkloadApiError::PermissionDenied(_))) => {
            return Waiting::NoEntry;
        }
        Ok(Err(error)) => return Waiting::Unavailable(error.to_string()),
        Err(_elapsed) => return Waiting::Unavailable("timed out".to_owned()),
    };
    match &config.spiffe_id {
        Some(wanted) if !offered.contains(wanted) => Waiting::OtherIdentity {
            wanted: wanted.clone(),
            offered,
        },
        None if offered.len() > 1 => Waiting::Ambiguous(offered),
        // An identity is there by now: the next attempt takes it.
        _ => Waiting::Unavailable("it has only just begun to answer".to_owned()),
    }
}

async fn offered(endpoint: &UnixEndpoint) -> Result<BTreeSet<SpiffeId>, WorkloadApiError> {
    let client = WorkloadApiClient::connect_to(endpoint.to_string()).await?;
    let context = client.fetch_x509_context().await?;
    let ids = context.svids().iter().map(|svid| svid.spiffe_id().clone());
    Ok(ids.collect())
}

/// Whether an attempt may succeed later without anybody changing this agent's configuration.
pub(super) fn keeps_waiting(error: &X509SourceError) -> bool {
    if let X509SourceError::Source(source) = error {
        return !matches!(source, WorkloadApiError::Endpoint(_)) && !source.is_invalid_argument();
    }
    !matches!(error, X509SourceError::UnsupportedRpc(_))
}
