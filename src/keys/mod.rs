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

use crate::domain::id::{Digest, NameHash, PrincipalHash, RecordNumber, SpiffeId, TaskId};
use crate::service::ports::{Entropy, EntropyError};
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
    work: hmac::Key,
}

/// Why a derived value could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// A subkey could not be derived.
    #[error("key derivation failed")]
    Derive,
    /// A decision ID needs a fresh nonce.
    #[error("no nonce for a decision ID")]
    Entropy(#[from] EntropyError),
    /// A decision ID could not be encrypted.
    #[error("encryption of a decision ID failed")]
    Seal,
}

impl Keys {
    /// Derives the subkeys.
    ///
    /// # Errors
    /// [`KeysError::Derive`].
    pub fn derive(file: &KeyFile, entropy: Arc<dyn Entropy>) -> Result<Self, KeysError> {
        let prk = Salt::new(HKDF_SHA256, SALT).extract(file.expose());
        let decision = expand(&prk, b"decision")?;
        let decision = UnboundKey::new(&AES_256_GCM_SIV, decision.as_ref())
            .map_err(|_unspecified| KeysError::Derive)?;
        let mac = |label| -> Result<hmac::Key, KeysError> {
            Ok(hmac::Key::new(HMAC_SHA256, expand(&prk, label)?.as_ref()))
        };
        let subkeys = Subkeys {
            decision: LessSafeKey::new(decision),
            handle: mac(b"handle")?,
            principal: mac(b"principal")?,
            request: mac(b"request")?,
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
    /// AES-256-GCM-SIV (RFC 8452): one ID is made for every answer, and nonces of 96 random bits would be
    /// used up for plain GCM (2^32 of them, NIST SP 800-38D §8.3) within days on a busy node.
    ///
    /// # Errors
    /// [`KeysError::Entropy`], [`KeysError::Seal`].
    pub fn decision_id(&self, record: RecordNumber) -> Result<String, KeysError> {
        let mut nonce = [0_u8; NONCE_LEN];
        self.entropy.fill(&mut nonce)?;
        let mut sealed = record.0.to_be_bytes().to_vec();
        self.subkeys
            .decision
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut sealed,
            )
            .map_err(|_unspecified| KeysError::Seal)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
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

fn expand(prk: &Prk, label: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeysError> {
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    prk.expand(&[label], KeyLength)
        .and_then(|okm| okm.fill(key.as_mut()))
        .map_err(|_unspecified| KeysError::Derive)?;
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
