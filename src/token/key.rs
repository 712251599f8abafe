//! The signing key of one epoch: made at start, kept in memory, gone with the process.
//!
//! Names `domain`. The one thing to know: outside this room a token can be signed only through the `Signer`
//! port ([`SigningKeys`](super::SigningKeys)), which takes a value that the ledger has recorded.

use super::found::Found;
use super::{TOKEN_BYTES_MAX, TokenError, check_form, wire};
use crate::canonical::sha256;
use crate::domain::claims::{Operation, TokenClaims};
use crate::domain::id::{Epoch, SpiffeId};
use crate::domain::time::Time;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

const HEADER_START: &str = r#"{"alg":"ES256","typ":"tct+jwt","kid":""#;
const HEADER_END: &str = r#""}"#;
/// Of an uncompressed P-256 point: 4, x, y.
const COORDINATE_BYTES: usize = 32;

/// The ES256 key of one epoch.
pub struct EpochKey {
    epoch: Epoch,
    /// The one header there is, encoded.
    header: String,
    issuer: SpiffeId,
    kid: String,
    pair: EcdsaKeyPair,
    public: ParsedPublicKey,
    /// Claims of query tokens, by the digest of the token: a client polls with one token for its few seconds.
    found: Found<TokenClaims>,
}

/// Claims whose token was verified: form, header, signature, epoch and times. Only [`EpochKey`] makes one.
///
/// It says nothing about the record, the task, the caller or the connection: `Check` judges those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    claims: TokenClaims,
}

impl Verified {
    /// What the token states.
    #[must_use]
    pub fn claims(&self) -> &TokenClaims {
        &self.claims
    }

    /// What the token states, taken out.
    #[must_use]
    pub fn into_claims(self) -> TokenClaims {
        self.claims
    }
}

impl EpochKey {
    /// Makes the key of an epoch. `issuer` is the agent's own SPIFFE ID (`iss`).
    ///
    /// # Errors
    /// [`TokenError::Key`].
    pub fn generate(epoch: Epoch, issuer: SpiffeId) -> Result<Self, TokenError> {
        Self::remembering(epoch, issuer, 0)
    }

    /// As [`EpochKey::generate`]; remembers at most `remembered` verified query tokens.
    ///
    /// # Errors
    /// [`TokenError::Key`].
    pub fn remembering(
        epoch: Epoch,
        issuer: SpiffeId,
        remembered: usize,
    ) -> Result<Self, TokenError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_unspecified| TokenError::Key)?;
        let point = pair.public_key().as_ref();
        let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .map_err(|_rejected| TokenError::Key)?;
        let kid = jwk_thumbprint(point).ok_or(TokenError::Key)?;
        let header = URL_SAFE_NO_PAD.encode(header(&kid));
        Ok(Self {
            epoch,
            header,
            issuer,
            kid,
            pair,
            public,
            found: Found::new(remembered),
        })
    }

    /// The key's name: its JWK thumbprint (RFC 7638).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Verifies a token. `exp` is exclusive, and there is no leeway: the same clock issued it.
    ///
    /// # Errors
    /// See [`TokenError`]; the cheap checks come first.
    pub fn verify(&self, token: &str, now: Time) -> Result<Verified, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Size);
        }
        let digest = sha256(token.as_bytes());
        let claims = if let Some(claims) = self.found.get(&digest) {
            claims
        } else {
            let claims = self.authentic(token)?;
            if claims.operation == Operation::Query {
                self.found.put(digest, claims.clone());
            }
            claims
        };
        if now < claims.issued_at {
            return Err(TokenError::IssuedLater);
        }
        if now.reached(claims.expires_at) {
            return Err(TokenError::Expired);
        }
        Ok(Verified { claims })
    }

    /// Everything that does not depend on the time: form, header, signature and epoch.
    fn authentic(&self, token: &str) -> Result<TokenClaims, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Parts)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Parts)?;
        if payload.contains('.') {
            return Err(TokenError::Parts);
        }
        if header != self.header {
            return Err(foreign_header(header));
        }
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_opaque| TokenError::Signature)?;
        self.public
            .verify_sig(signed.as_bytes(), &signature)
            .map_err(|_unspecified| TokenError::Signature)?;
        let payload = URL_SAFE_NO_PAD
            .decode(payload)
            .map_err(|_opaque| TokenError::Claims)?;
        let claims = wire::read(&self.issuer, &payload)?;
        if claims.epoch != self.epoch {
            return Err(TokenError::Epoch);
        }
        check_form(&claims)?;
        Ok(claims)
    }

    /// Signs claims. Private: see the module.
    pub(super) fn encode(&self, claims: &TokenClaims) -> Result<String, TokenError> {
        check_form(claims)?;
        if claims.epoch != self.epoch {
            return Err(TokenError::Epoch);
        }
        let payload = wire::write(&self.issuer, claims)?;
        let mut token = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(payload));
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        token.push_str(&signature);
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Size);
        }
        Ok(token)
    }

    /// The encoded signature over some bytes.
    pub(super) fn signature(&self, bytes: &[u8]) -> Result<String, TokenError> {
        self.pair
            .sign(&SystemRandom::new(), bytes)
            .map(|signature| URL_SAFE_NO_PAD.encode(signature))
            .map_err(|_unspecified| TokenError::Key)
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochKey")
            .field("epoch", &self.epoch)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

fn header(kid: &str) -> String {
    format!("{HEADER_START}{kid}{HEADER_END}")
}

/// Tells a token of another epoch, which every restart leaves behind, from something that is no token of ours.
fn foreign_header(segment: &str) -> TokenError {
    let decoded = URL_SAFE_NO_PAD.decode(segment).unwrap_or_default();
    let ours = std::str::from_utf8(&decoded)
        .ok()
        .and_then(|text| text.strip_prefix(HEADER_START)?.strip_suffix(HEADER_END))
        .is_some_and(|kid| {
            URL_SAFE_NO_PAD
                .decode(kid)
                .is_ok_and(|hash| hash.len() == 32)
        });
    if ours {
        TokenError::KeyUnknown
    } else {
        TokenError::Header
    }
}

/// RFC 7638 §3 over the required members of an EC key.
fn jwk_thumbprint(point: &[u8]) -> Option<String> {
    let (tag, coordinates) = point.split_first()?;
    let (x, y) = coordinates.split_at_checked(COORDINATE_BYTES)?;
    if *tag != 4 || y.len() != COORDINATE_BYTES {
        return None;
    }
    let jwk = format!(
        r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(x),
        URL_SAFE_NO_PAD.encode(y)
    );
    Some(URL_SAFE_NO_PAD.encode(sha256(jwk.as_bytes()).0))
}
