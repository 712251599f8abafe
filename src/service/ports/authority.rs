//! Policy, signatures, certificates and keyed names, as the service needs them.

use super::BoxFuture;
use super::ledger::{Noted, Recorded};
use crate::domain::approval::Verdict;
use crate::domain::claims::TokenClaims;
use crate::domain::evidence::ProcessKey;
use crate::domain::grant::ToolCall;
use crate::domain::id::{
    Digest, Epoch, NameHash, PrincipalHash, RecordNumber, SpiffeId, StepNumber, TaskId, Thumbprint,
};
use crate::domain::policy::{Permit, PolicyGeneration, PolicyInput, Refusal};
use crate::domain::time::Time;
use std::sync::Arc;

/// Policy: narrows what the rules allow. Synchronous and pure over the newest set.
pub trait Policy: Send + Sync + std::fmt::Debug {
    /// Evaluates the newest set.
    ///
    /// # Errors
    /// [`Refusal`]: nothing permits, something forbids, or an evaluation failed.
    fn evaluate(&self, input: &PolicyInput) -> Result<Permit, Refusal>;

    /// Which set is the newest.
    fn generation(&self) -> PolicyGeneration;

    /// Another set of this text, checked as the newest was, to ask what it would say. It decides nothing.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    fn candidate(&self, text: &str) -> Result<Arc<dyn Policy>, String>;
}

/// Signs continuation tokens with the epoch's key, and verifies them.
pub trait Signer: Send + Sync + std::fmt::Debug {
    /// The running epoch.
    fn epoch(&self) -> Epoch;

    /// Begins this epoch with a key of its own, unless it or a later one runs. Nothing that an earlier key
    /// signed verifies from then on.
    ///
    /// # Errors
    /// [`SignError::Key`]: no key could be made; the earlier epoch runs on, and the rules refuse it.
    fn renew(&self, epoch: Epoch) -> Result<(), SignError>;

    /// Signs an effectful token. Its record is durable: there is no other way to such a value.
    ///
    /// # Errors
    /// [`SignError`] if the token would exceed its size limit or the key fails.
    fn sign(&self, claims: &Recorded<TokenClaims>) -> Result<String, SignError>;

    /// Signs a query token, which has no record.
    ///
    /// # Errors
    /// As [`Signer::sign`], and for any operation but query.
    fn sign_read(&self, claims: &Noted<TokenClaims>) -> Result<String, SignError>;

    /// Verifies form, header, signature, epoch and times.
    ///
    /// # Errors
    /// A stable word for what is wrong.
    fn verify(&self, token: &str, now: Time) -> Result<TokenClaims, &'static str>;
}

/// A token could not be signed, or a key not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Its epoch was revoked between its record and its signature.
    #[error("token cannot be signed: its epoch is over")]
    Epoch,
    /// A stable word for what is wrong with the claims or the key.
    #[error("token cannot be signed: {0}")]
    Key(&'static str),
}

/// A leg or hand certificate that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundCertificate {
    /// Its thumbprint.
    pub thumbprint: Thumbprint,
    /// Its `notAfter`.
    pub ends: Time,
}

/// Checks leg and hand certificates.
pub trait Certificates: Send + Sync + std::fmt::Debug {
    /// Checks form, key type, self-signature and times (RFC 8705 §2.2).
    ///
    /// # Errors
    /// A sentence for the caller: what is wrong with the certificate.
    fn check(&self, der: &[u8], now: Time) -> Result<BoundCertificate, String>;
}

/// Keyed digests of names, with the key file's key.
pub trait Names: Send + Sync + std::fmt::Debug {
    /// All that is kept of a handle.
    fn handle(&self, server: &SpiffeId, handle: &str) -> NameHash;

    /// Whether a handle has at least 120 random bits by length and alphabet.
    fn handle_is_strong(&self, handle: &str) -> bool;

    /// All that is kept of a principal.
    fn principal(&self, issuer: &str, subject: &str) -> PrincipalHash;

    /// Names a request by its caller's process and `request_id`.
    fn request(&self, process: &ProcessKey, method: &str, request_id: &[u8]) -> Digest;

    /// Equal over all retries of one step.
    fn idempotency_key(&self, task: TaskId, step: StepNumber, call: &ToolCall) -> Digest;

    /// The name that goes into the queue. The same on every call.
    fn work_reference(&self, task: TaskId) -> String;

    /// The task that a work reference names, if it is genuine.
    fn parse_work_reference(&self, reference: &str) -> Option<TaskId>;

    /// Hides a record number; every call gives another text.
    fn decision_id(&self, number: RecordNumber) -> String;

    /// SHA-256, not keyed.
    fn sha256(&self, bytes: &[u8]) -> Digest;

    /// Opens a decision ID.
    fn open_decision_id(&self, id: &str) -> Option<RecordNumber>;
}

/// A person, as an identity provider says. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedPerson {
    /// `iss` of the ID token.
    pub issuer: String,
    /// `sub` of the ID token.
    pub subject: String,
    /// The latest time at which the ID token can have been issued, by our clock.
    pub issued_by: Time,
}

impl std::fmt::Debug for VerifiedPerson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VerifiedPerson(…)")
    }
}

/// Why an ID token stands for nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    /// The token is not good; a stable word for what is wrong with it.
    #[error("the ID token is not good: {0}")]
    Refused(&'static str),
    /// The issuer's keys could not be read: nothing is known either way.
    #[error("the keys of the issuer cannot be read: {0}")]
    Unavailable(String),
}

/// Verifies people's ID tokens (OIDC Core 1.0 §3.1.3.7).
pub trait Persons: Send + Sync + std::fmt::Debug {
    /// Verifies signature, issuer, audience, times and age, and that the login was for this very verdict on this very
    /// digest: the `nonce` of an approval is its base64url, that of a refusal the same after `refuse.`.
    ///
    /// # Errors
    /// See [`PersonError`].
    fn verify<'a>(
        &'a self,
        id_token: &'a str,
        decision: (Digest, Verdict),
        now: Time,
    ) -> BoxFuture<'a, Result<VerifiedPerson, PersonError>>;
}
