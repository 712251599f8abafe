//! What both ways of asking SPIRE about a process have in common: limits, and how answers are read.
//!
//! The one thing to know: only a complete, well-formed answer about this trust domain names an
//! identity. "No" and "no answer" are kept apart, because a "no" ends what a process holds and
//! silence must not.

use crate::domain::id::{SpiffeId, TrustDomain};
use crate::service::ports::{DirectoryError, ProcessDirectory};
use std::time::Duration;
use tonic::{Code, Status};

/// The audience of the JWT-SVIDs that an answer comes with. No endpoint may ever accept it, so that
/// none of these tokens is a login anywhere.
pub const ATTESTATION_AUDIENCE: &str = "urn:handfast:attestation";

/// How SPIRE is asked.
#[derive(Clone, Debug)]
pub struct DirectoryConfig {
    /// The agent's own trust domain; an answer that names another is refused whole.
    pub trust_domain: TrustDomain,
    /// Audience of the JWT-SVIDs; see [`ATTESTATION_AUDIENCE`].
    pub audience: String,
    /// The longest time one question may take, including connecting.
    pub deadline: Duration,
    /// The most identities one process may have.
    pub identities_max: usize,
    /// The largest answer, in bytes.
    pub answer_bytes_max: usize,
}

impl DirectoryConfig {
    /// Defaults for a trust domain.
    #[must_use]
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            audience: ATTESTATION_AUDIENCE.to_owned(),
            deadline: Duration::from_secs(2),
            identities_max: 64,
            answer_bytes_max: 1024 * 1024,
        }
    }

    /// Asks about a process, and once more where the call failed below gRPC: all within the deadline.
    pub(super) async fn answer<T, F>(
        &self,
        pid: i32,
        fetch: impl Fn() -> F,
    ) -> Result<T, DirectoryError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        if pid <= 0 {
            return Err(unavailable("process is not in this PID namespace"));
        }
        let answer = tokio::time::timeout(self.deadline, async {
            match fetch().await {
                Err(status) if is_transport(&status) => fetch().await,
                answer => answer,
            }
        });
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(refusal(&status)),
            Err(_elapsed) => Err(unavailable("deadline exceeded")),
        }
    }

    /// Checks the names in an answer: none is [`DirectoryError::NotEntitled`], a bad one spoils
    /// them all.
    pub(super) fn identities(
        &self,
        names: impl ExactSizeIterator<Item = String>,
    ) -> Result<Vec<SpiffeId>, DirectoryError> {
        if names.len() > self.identities_max {
            return Err(unavailable("too many identities in one answer"));
        }
        let mut ids = names
            .map(|name| {
                let id = SpiffeId::new(name)
                    .map_err(|_malformed| unavailable("answer holds a malformed SPIFFE ID"))?;
                if id.is_member_of(&self.trust_domain) && !id.path().is_empty() {
                    Ok(id)
                } else {
                    Err(unavailable(
                        "answer holds an identity of another trust domain",
                    ))
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Err(DirectoryError::NotEntitled);
        }
        Ok(ids)
    }
}

/// The agent is not what it takes itself for, or SPIRE sees other processes than it does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    /// SPIRE did not answer, or knows no identity for this process.
    #[error("asking SPIRE about this very process failed")]
    Directory(#[from] DirectoryError),
    /// SPIRE knows another process under this number: another PID namespace, most likely.
    #[error("SPIRE takes this process for another: `{expected}` is not among its identities")]
    OtherProcess {
        /// The agent's own identity.
        expected: SpiffeId,
    },
}

/// Asks about the agent itself, which must have its own SPIFFE ID. Shows at once that the agent is
/// registered and allowed to ask, and that SPIRE means the same processes by the same numbers.
///
/// # Errors
/// See [`SelfTestError`].
pub async fn self_test(
    directory: &dyn ProcessDirectory,
    own: &SpiffeId,
) -> Result<(), SelfTestError> {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let found = directory.spiffe_ids(pid).await?;
    if found.contains(own) {
        Ok(())
    } else {
        Err(SelfTestError::OtherProcess {
            expected: own.clone(),
        })
    }
}

pub(super) fn unavailable(reason: &str) -> DirectoryError {
    DirectoryError::Unavailable(reason.to_owned())
}

/// Whether the call failed below gRPC, so that SPIRE may not have seen it: it may be made again.
fn is_transport(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// How SPIRE and the development provider word a denial of this agent, which says nothing about the
/// process.
const DENIES_THE_ASKER: [&str; 3] = [
    "is not allowed",
    "is not authorized",
    "not configured as an authorized delegate",
];

/// Reads a failed call. `PermissionDenied` is SPIRE's "no", unless it means this agent and not the
/// process.
fn refusal(status: &Status) -> DirectoryError {
    let message = status.message();
    let denies_the_asker = DENIES_THE_ASKER.iter().any(|text| message.contains(text));
    if status.code() == Code::PermissionDenied && !denies_the_asker {
        return DirectoryError::NotEntitled;
    }
    let mut reason = format!("{:?}: {}", status.code(), status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let text = error.to_string();
        if !reason.ends_with(&text) {
            reason.push_str(": ");
            reason.push_str(&text);
        }
        cause = error.source();
    }
    DirectoryError::Unavailable(reason)
}
