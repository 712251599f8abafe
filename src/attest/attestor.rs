//! The attestor: snapshot, question, snapshot again.

use super::answers::{Answer, Answers};
use super::questions::Questions;
use crate::domain::evidence::{Assurance, Evidence, Releases};
use crate::domain::id::Digest;
use crate::domain::time::Time;
use crate::kernel::{self, DigestLimits, Digests, KernelError, Snapshot};
use crate::service::ports::{
    AttestError, AttestedWorkload, Attestor, BoxFuture, Clock, DirectoryError, Freshness,
    LocalPeer, Observed, Peer, ProcessDirectory, RemotePeer,
};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// Limits of the attestation. Each field is the configuration key of the same name.
#[derive(Clone, Copy, Debug)]
pub struct AttestLimits {
    /// How old SPIRE's answer may be where [`Freshness::Recent`] will do.
    pub reattest_interval: Duration,
    /// Answers remembered.
    pub answers_max: usize,
    /// Questions to SPIRE at once.
    pub questions_max: usize,
    /// Callers that wait for a question.
    pub waiting_max: usize,
    /// How long a caller waits for its turn, beyond the deadlines of the questions themselves.
    pub queue_wait_max: Duration,
    /// Some role asks for the SHA-256 of the executable; else it is not computed.
    pub executable_digests: bool,
    /// Limits of the digests.
    pub digests: DigestLimits,
}

impl Default for AttestLimits {
    fn default() -> Self {
        Self {
            reattest_interval: Duration::from_secs(10),
            answers_max: 4096,
            questions_max: 16,
            waiting_max: 1024,
            queue_wait_max: Duration::from_secs(2),
            executable_digests: false,
            digests: DigestLimits::default(),
        }
    }
}

/// Attests peers by the kernel's evidence and SPIRE's answer.
#[derive(Debug)]
pub struct KernelAttestor {
    clock: Arc<dyn Clock>,
    questions: Arc<Questions>,
    answers: Answers,
    digests: Option<Digests>,
    releases: Releases,
}

impl KernelAttestor {
    /// Asks `directory` about processes. Must be used within a tokio runtime.
    #[must_use]
    pub fn new(
        directory: Arc<dyn ProcessDirectory>,
        clock: Arc<dyn Clock>,
        limits: &AttestLimits,
    ) -> Self {
        Self {
            clock,
            questions: Questions::new(
                directory,
                limits.questions_max,
                limits.waiting_max,
                limits.queue_wait_max,
            ),
            answers: Answers::new(limits.answers_max, limits.reattest_interval),
            digests: limits
                .executable_digests
                .then(|| Digests::new(limits.digests)),
            releases: Releases::default(),
        }
    }

    /// Says of an executable which of these releases it belongs to.
    #[must_use]
    pub fn naming(self, releases: Releases) -> Self {
        Self { releases, ..self }
    }

    /// Forgets every answer: SPIRE's entries or bundles have changed.
    pub fn forget_answers(&self) {
        self.answers.forget_all();
    }

    fn now(&self) -> Result<Time, AttestError> {
        self.clock
            .now()
            .ok_or_else(|| AttestError::Unavailable("the wall clock is not usable".to_owned()))
    }

    fn remote(&self, peer: &RemotePeer) -> Result<AttestedWorkload, AttestError> {
        let now = self.now()?;
        if now.reached(peer.not_after) {
            return Err(AttestError::Expired);
        }
        let evidence = Evidence {
            spiffe_ids: vec![peer.spiffe_id.clone()],
            assurance: Assurance::Svid,
            process: None,
            uid: None,
            cgroup: None,
            executable: None,
            releases: Vec::new(),
            traced: false,
            attested_at: now,
        };
        Ok(AttestedWorkload::attested(evidence, None))
    }

    async fn local(
        &self,
        peer: &Arc<LocalPeer>,
        freshness: Freshness,
    ) -> Result<AttestedWorkload, AttestError> {
        let before = look(peer)?;
        let (answer, is_new) = self.answer(peer, &before, freshness).await?;
        let executable = self.digest(peer, &before).await?;
        if !is_new && executable.is_none() {
            // Nothing was waited for since that look.
            return Ok(self.attested(peer, before, &answer, None));
        }
        // What SPIRE said about the number counts for this process only if that never was another
        // one's and is still the same program under the same user.
        let after = look(peer)?;
        if !after.is_same_as(&before) {
            self.answers.forget(&peer.key);
            return Err(AttestError::Changed);
        }
        let seen = Snapshot {
            traced: before.traced || after.traced,
            ..after
        };
        let workload = self.attested(peer, seen, &answer, executable);
        if is_new {
            // Only now: an answer about a process that changed meanwhile is worth nothing.
            self.answers.remember(peer.key, answer);
        }
        Ok(workload)
    }

    fn attested(
        &self,
        peer: &Arc<LocalPeer>,
        seen: Snapshot,
        answer: &Answer,
        executable: Option<Digest>,
    ) -> AttestedWorkload {
        let evidence = Evidence {
            spiffe_ids: answer.spiffe_ids.to_vec(),
            assurance: Assurance::Process,
            process: Some(peer.key),
            uid: Some(seen.uid),
            cgroup: seen.cgroup,
            executable,
            releases: self.releases.of(executable),
            traced: seen.traced,
            attested_at: answer.asked_at,
        };
        AttestedWorkload::attested(evidence, Some(Arc::clone(peer)))
    }

    /// SPIRE's answer, and whether it was asked for just now.
    async fn answer(
        &self,
        peer: &LocalPeer,
        snapshot: &Snapshot,
        freshness: Freshness,
    ) -> Result<(Answer, bool), AttestError> {
        let asked = self.clock.monotonic();
        let asked_at = self.now()?;
        if freshness == Freshness::Recent
            && let Some(answer) = self.answers.recent(&peer.key, snapshot, asked)
        {
            return Ok((answer, false));
        }
        match self.questions.ask(peer.key, snapshot).await {
            Ok(spiffe_ids) => {
                let snapshot = snapshot.clone();
                let answer = Answer {
                    spiffe_ids,
                    asked_at,
                    asked,
                    snapshot,
                };
                Ok((answer, true))
            }
            Err(error) => {
                // SPIRE cannot tell a dead process from one without an identity, or from its own
                // trouble.
                let alive = kernel::is_alive(peer.pidfd.as_fd());
                Err(match error {
                    _ if !alive => {
                        self.answers.forget(&peer.key);
                        AttestError::Changed
                    }
                    DirectoryError::NotEntitled => {
                        self.answers.forget(&peer.key);
                        AttestError::NoIdentity
                    }
                    DirectoryError::Unavailable(why) => AttestError::Unavailable(why),
                })
            }
        }
    }

    /// The digest, where one is asked for. An executable that has none (too large, not readable) is
    /// no obstacle to the caller, except where its digest is required.
    async fn digest(
        &self,
        peer: &LocalPeer,
        snapshot: &Snapshot,
    ) -> Result<Option<Digest>, AttestError> {
        let (Some(digests), Some(image)) = (&self.digests, snapshot.image) else {
            return Ok(None);
        };
        match digests
            .of(&peer.pidfd, peer.key.pid, image.executable)
            .await
        {
            Ok(digest) => Ok(Some(digest)),
            Err(KernelError::Gone | KernelError::OtherExecutable) => Err(AttestError::Changed),
            Err(
                error @ (KernelError::TooLarge(_)
                | KernelError::UserFileSystem
                | KernelError::NotPermitted(_)),
            ) => {
                tracing::warn!(pid = peer.key.pid, %error, "an executable has no digest");
                Ok(None)
            }
            Err(error) => Err(unavailable(&error)),
        }
    }
}

/// Looks at a pinned process, which must be what it was when it was pinned.
fn look(peer: &LocalPeer) -> Result<Snapshot, AttestError> {
    let seen = take(peer)?;
    let Some(image) = seen.image else {
        let why = "the executable cannot be looked at, the agent needs CAP_SYS_PTRACE";
        return Err(AttestError::Unavailable(why.to_owned()));
    };
    // An `exec` keeps process and connection, but makes another program of them.
    if seen.start_ticks != peer.key.start_ticks || peer.image != Some(image) {
        return Err(AttestError::Changed);
    }
    Ok(seen)
}

fn take(peer: &LocalPeer) -> Result<Snapshot, AttestError> {
    Snapshot::take(peer.pidfd.as_fd(), peer.key.pid).map_err(|error| {
        if matches!(error, KernelError::Gone) {
            AttestError::Changed
        } else {
            unavailable(&error)
        }
    })
}

fn unavailable(error: &KernelError) -> AttestError {
    AttestError::Unavailable(error.to_string())
}

impl Attestor for KernelAttestor {
    fn attest<'a>(
        &'a self,
        peer: &'a Peer,
        freshness: Freshness,
    ) -> BoxFuture<'a, Result<AttestedWorkload, AttestError>> {
        Box::pin(async move {
            match peer {
                Peer::Local(peer) => self.local(peer, freshness).await,
                Peer::Remote(peer) => self.remote(peer),
            }
        })
    }

    fn observe(&self, peer: &LocalPeer) -> Result<Observed, AttestError> {
        let seen = take(peer)?;
        Ok(Observed {
            pid: peer.key.pid,
            uid: seen.uid,
            gid: seen.gid,
            cgroup: seen.cgroup,
            executable_path: Snapshot::executable_path(peer.pidfd.as_fd(), peer.key.pid),
        })
    }
}
