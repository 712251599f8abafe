//! Who is calling: the pinned peer of a connection, and the port that turns it into evidence.

use super::BoxFuture;
use crate::domain::evidence::{Evidence, Image, ProcessKey};
use crate::domain::id::SpiffeId;
use crate::domain::time::Time;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// The other end of one connection, pinned when it was accepted.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A process on this node, over the Unix socket.
    Local(Arc<LocalPeer>),
    /// A workload elsewhere, over TCP with mutual TLS.
    Remote(Arc<RemotePeer>),
}

/// A process pinned by the kernel at `accept` (`SO_PEERPIDFD`).
#[derive(Debug)]
pub struct LocalPeer {
    /// Refers to the connecting process itself, never to a later one with the same number.
    pub pidfd: OwnedFd,
    /// The process instance.
    pub key: ProcessKey,
    /// User ID at `connect` (`SO_PEERCRED`); the evidence carries the one read afresh.
    pub uid: u32,
    /// Group ID at `connect`.
    pub gid: u32,
    /// The program at `accept`: after an `exec` the process is no longer this peer.
    /// Absent where the agent may not look (no `CAP_SYS_PTRACE`).
    pub image: Option<Image>,
}

/// The workload named by the X.509-SVID of a TLS connection.
#[derive(Debug)]
pub struct RemotePeer {
    /// The one SPIFFE ID in the leaf certificate.
    pub spiffe_id: SpiffeId,
    /// `notAfter` of the leaf certificate: no request is served at or after it.
    pub not_after: Time,
}

/// How old SPIRE's answer may be. The kernel's part is always checked anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Ask SPIRE now.
    Now,
    /// An answer of at most `reattest_interval` will do.
    Recent,
}

/// A caller whose evidence was just established. Only the `attest` room makes one.
#[derive(Clone, Debug)]
pub struct AttestedWorkload {
    evidence: Evidence,
    local: Option<Arc<LocalPeer>>,
}

impl AttestedWorkload {
    /// Wraps evidence that was just established. For the `attest` room alone (kept by `tests/tidy.rs`).
    #[must_use]
    pub fn attested(evidence: Evidence, local: Option<Arc<LocalPeer>>) -> Self {
        Self { evidence, local }
    }

    /// What was learned.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The pinned process, for watching its exit; absent for a remote workload.
    #[must_use]
    pub fn local(&self) -> Option<&Arc<LocalPeer>> {
        self.local.as_ref()
    }
}

/// Why a caller could not be attested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The process exited, or its executable, user or start time changed while it was looked at.
    #[error("the calling process changed or exited while it was attested")]
    Changed,
    /// The TLS certificate of the connection has expired since the handshake.
    #[error("the peer's certificate has expired")]
    Expired,
    /// SPIRE knows no identity for this process. Carries what was seen, for the operator and `WhoAmI`.
    #[error("no registration entry matches the calling process")]
    NoIdentity,
    /// SPIRE or `/proc` did not answer; nothing is known either way.
    #[error("attestation is not available: {0}")]
    Unavailable(String),
}

/// Turns a pinned peer into evidence.
pub trait Attestor: Send + Sync + std::fmt::Debug {
    /// Attests the peer: snapshot, ask SPIRE (or reuse a recent answer), check that nothing changed.
    ///
    /// # Errors
    /// See [`AttestError`]; every error means "not attested".
    fn attest<'a>(
        &'a self,
        peer: &'a Peer,
        freshness: Freshness,
    ) -> BoxFuture<'a, Result<AttestedWorkload, AttestError>>;

    /// What the kernel says about a local peer, without asking SPIRE: for `WhoAmI` hints.
    ///
    /// # Errors
    /// [`AttestError::Changed`] or [`AttestError::Unavailable`].
    fn observe(&self, peer: &LocalPeer) -> Result<Observed, AttestError>;
}

/// What the kernel alone says about a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Process ID.
    pub pid: i32,
    /// Effective user ID.
    pub uid: u32,
    /// Effective group ID.
    pub gid: u32,
    /// Whole cgroup path, absent for `/`.
    pub cgroup: Option<String>,
    /// Resolved path of the executable, where it can be read.
    pub executable_path: Option<String>,
}

/// Answers "which SPIFFE IDs does process `pid` have": SPIRE's Broker API or Delegated Identity API.
pub trait ProcessDirectory: Send + Sync + std::fmt::Debug {
    /// Asks about a process number. The caller holds a pidfd and checks it again afterwards.
    ///
    /// # Errors
    /// See [`DirectoryError`]; an empty answer is [`DirectoryError::NotEntitled`].
    fn spiffe_ids(&self, pid: i32) -> BoxFuture<'_, Result<Vec<SpiffeId>, DirectoryError>>;

    /// The longest time one question may take.
    fn deadline(&self) -> Duration;
}

/// Why SPIRE named no identity for a process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// SPIRE answered: no registration entry matches.
    #[error("no identity issued")]
    NotEntitled,
    /// No answer, or one that decides nothing (also a PID that SPIRE could not find).
    #[error("workload attestation backend unavailable: {0}")]
    Unavailable(String),
}

/// Processes as the kernel knows them, for legs: their end, and finding one again after a restart.
pub trait Processes: Send + Sync + std::fmt::Debug {
    /// Completes when the pinned process has exited.
    fn exited(&self, peer: Arc<LocalPeer>) -> BoxFuture<'static, ()>;

    /// Pins a process again by its key; `None` only if that instance is gone for certain.
    ///
    /// # Errors
    /// [`AttestError::Unavailable`] where the kernel did not answer: nothing is known either way.
    fn reopen(&self, key: &ProcessKey) -> Result<Option<Arc<LocalPeer>>, AttestError>;
}
