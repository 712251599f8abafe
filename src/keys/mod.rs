//! The key file, and everything that is derived from it: digests of names, work references, decision IDs.
//!
//! Names `domain` and `service::ports`. The one thing to know: each use has a subkey of its own (HKDF-SHA-256
//! with the use as its label), so that no value made for one can be taken for another, and the file's own
//! bytes are used for nothing else. What is derived here is in the ledger: changing a label loses it.

mod file;
mod handle;

#[cfg(test)]
mod tests;

pub use file::{KEY_BYTES, KeyFile, KeyFileError};
pub use handle::{HANDLE_BITS_MIN, handle_is_strong};

use crate::domain::evidence::ProcessKey;
use crate::domain::grant::ToolCall;
use crate::domain::id::{
    Digest, NameHash, PrincipalHash, RecordNumber, SpiffeId, StepNumber, TaskId,
};
use crate::service::ports::{Entropy, Names};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

const SALT: &[u8] = b"handfast key file v1";
const TAG_BYTES: usize = 16;
const TASK_BYTES: usize = 16;
const NUMBER_BYTES: usize = 8;
const WORK_BYTES: usize = TASK_BYTES + KEY_BYTES;
const DECISION_BYTES: usize = NONCE_LEN + NUMBER_BYTES + TAG_BYTES;

/// The subkeys of the key file, one for each use. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    entropy: Arc<dyn Entropy>,
    subkeys: Arc<Subkeys>,
}

struct Subkeys {
    decision: LessSafeKey,
    handle: hmac::Key,
    principal: hmac::Key,
    request: hmac::Key,
    step: hmac::Key,
    work: hmac::Key,
}

/// A subkey could not be derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key derivation failed")]
pub struct DeriveError;

impl Keys {
    /// Derives the subkeys.
    ///
    /// # Errors
    /// [`DeriveError`].
    pub fn derive(file: &KeyFile, entropy: Arc<dyn Entropy>) -> Result<Self, DeriveError> {
        let prk = Salt::new(HKDF_SHA256, SALT).extract(file.expose());
        let decision = expand(&prk, b"decision")?;
        let decision = UnboundKey::new(&AES_256_GCM_SIV, decision.as_ref())
            .map_err(|_unspecified| DeriveError)?;
        let mac = |label| -> Result<hmac::Key, DeriveError> {
            Ok(hmac::Key::new(HMAC_SHA256, expand(&prk, label)?.as_ref()))
        };
        let subkeys = Subkeys {
            decision: LessSafeKey::new(decision),
            handle: mac(b"handle")?,
            principal: mac(b"principal")?,
            request: mac(b"request")?,
            step: mac(b"step")?,
            work: mac(b"work")?,
        };
        Ok(Self {
            entropy,
            subkeys: Arc::new(subkeys),
        })
    }

    /// What is kept of a handle that `server` minted.
    #[must_use]
    pub fn name_hash(&self, server: &SpiffeId, handle: &str) -> NameHash {
        let server = server.to_string();
        keyed(
            &self.subkeys.handle,
            &[server.as_bytes(), handle.as_bytes()],
        )
    }

    /// What is kept of an OAuth principal.
    #[must_use]
    pub fn principal_hash(&self, issuer: &str, subject: &str) -> PrincipalHash {
        keyed(
            &self.subkeys.principal,
            &[issuer.as_bytes(), subject.as_bytes()],
        )
    }

    /// A keyed digest of the parts of a request, by which a repeat is recognised. The parts cannot run together.
    #[must_use]
    pub fn request_hash(&self, parts: &[&[u8]]) -> Digest {
        keyed(&self.subkeys.request, parts)
    }

    /// The name of a task for the queue: base64url of `TaskId ‖ HMAC`. The same at every call.
    #[must_use]
    pub fn work_reference(&self, task: TaskId) -> String {
        let tag = keyed(&self.subkeys.work, &[&task.0]);
        URL_SAFE_NO_PAD.encode([task.0.as_slice(), tag.0.as_slice()].concat())
    }

    /// The task that a work reference names; `None` if it was not made here.
    ///
    /// A text that is no reference costs the same computation as one with a wrong tag; the caller does the
    /// rest of the equal work by loading a fixed absent key.
    #[must_use]
    pub fn parse_work_reference(&self, reference: &str) -> Option<TaskId> {
        let decoded = decode::<WORK_BYTES>(reference);
        let bytes = decoded.unwrap_or([0; WORK_BYTES]);
        let (task, tag) = bytes.split_first_chunk::<TASK_BYTES>()?;
        let expected = keyed(&self.subkeys.work, &[task]);
        let genuine = constant_time_eq(&expected.0, tag);
        (genuine && decoded.is_some()).then_some(TaskId(*task))
    }

    /// An opaque name for an audit record: base64url of nonce, ciphertext and tag; another one at every call.
    ///
    /// AES-256-GCM-SIV (RFC 8452) and not plain GCM: an ID is made for every answer, so that a busy node would
    /// use up nonces of 96 random bits (2^32 of them, NIST SP 800-38D §8.3) within days. It also lets a failing
    /// random generator take nothing but the difference between two IDs of one record.
    #[must_use]
    pub fn decision_id(&self, record: RecordNumber) -> String {
        let mut nonce = [0_u8; NONCE_LEN];
        if self.entropy.fill(&mut nonce).is_err() {
            nonce = [0; NONCE_LEN];
        }
        let mut number = record.0.to_be_bytes();
        let tag = self.subkeys.decision.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut number,
        );
        // Sealing 8 bytes cannot fail; if it did, an ID that opens nothing is the harmless answer.
        let parts = match &tag {
            Ok(tag) => [nonce.as_slice(), &number, tag.as_ref()].concat(),
            Err(_unspecified) => vec![0; DECISION_BYTES],
        };
        URL_SAFE_NO_PAD.encode(parts)
    }

    /// The audit record that a decision ID names; `None` if it was not made here.
    #[must_use]
    pub fn open_decision_id(&self, id: &str) -> Option<RecordNumber> {
        let mut bytes = decode::<DECISION_BYTES>(id)?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let number = self
            .subkeys
            .decision
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), sealed)
            .ok()?;
        let number: &[u8; NUMBER_BYTES] = (&*number).try_into().ok()?;
        Some(RecordNumber(u64::from_be_bytes(*number)))
    }
}

impl Names for Keys {
    fn handle(&self, server: &SpiffeId, handle: &str) -> NameHash {
        self.name_hash(server, handle)
    }

    fn handle_is_strong(&self, handle: &str) -> bool {
        handle_is_strong(handle)
    }

    fn principal(&self, issuer: &str, subject: &str) -> PrincipalHash {
        self.principal_hash(issuer, subject)
    }

    fn request(&self, process: &ProcessKey, method: &str, request_id: &[u8]) -> Digest {
        self.request_hash(&[
            &process.boot_id,
            &process.pidfd_inode.to_be_bytes(),
            &process.pid.to_be_bytes(),
            &process.start_ticks.to_be_bytes(),
            method.as_bytes(),
            request_id,
        ])
    }

    fn idempotency_key(&self, task: TaskId, step: StepNumber, call: &ToolCall) -> Digest {
        let audience = call.audience.to_string();
        keyed(
            &self.subkeys.step,
            &[
                &task.0,
                &step.0.to_be_bytes(),
                audience.as_bytes(),
                call.tool.as_bytes(),
                &call.arguments.0,
            ],
        )
    }

    fn work_reference(&self, task: TaskId) -> String {
        Self::work_reference(self, task)
    }

    fn parse_work_reference(&self, reference: &str) -> Option<TaskId> {
        Self::parse_work_reference(self, reference)
    }

    fn decision_id(&self, number: RecordNumber) -> String {
        Self::decision_id(self, number)
    }

    fn sha256(&self, bytes: &[u8]) -> Digest {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        Digest(digest.as_ref().try_into().unwrap_or_default())
    }

    fn open_decision_id(&self, id: &str) -> Option<RecordNumber> {
        Self::open_decision_id(self, id)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Compares without telling by its duration where the difference is. Lengths are not secret.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// HMAC over each part preceded by its length (8 bytes, big-endian), so that parts cannot run together.
fn keyed(key: &hmac::Key, parts: &[&[u8]]) -> Digest {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        context.update(&length.to_be_bytes());
        context.update(part);
    }
    let mut out = [0_u8; 32];
    for (slot, byte) in out.iter_mut().zip(context.sign().as_ref()) {
        *slot = *byte;
    }
    Digest(out)
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

fn expand(prk: &Prk, label: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, DeriveError> {
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    prk.expand(&[label], KeyLength)
        .and_then(|okm| okm.fill(key.as_mut()))
        .map_err(|_unspecified| DeriveError)?;
    Ok(key)
}

/// Exactly `N` bytes of unpadded base64url, in its one spelling.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Checked first, so that a long text is not decoded.
    if text.len() != base64::encoded_len(N, false)? {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}
