//! JWT-SVIDs, signed and verified with one ES256 key that lives as long as the provider.

use crate::domain::id::SpiffeId;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Length of a coordinate of a P-256 point.
const COORDINATE_LEN: usize = 32;

/// Signs and verifies JWT-SVIDs.
pub(super) struct JwtKey {
    key: EcdsaKeyPair,
    kid: String,
}

/// What a verified JWT-SVID says.
pub(super) struct Verified {
    pub(super) spiffe_id: SpiffeId,
    pub(super) claims: serde_json::Map<String, Value>,
}

/// A key could not be made or used.
#[derive(Debug, thiserror::Error)]
#[error("JWT-SVID key failed")]
pub(super) struct JwtKeyError;

impl JwtKey {
    pub(super) fn generate() -> Result<Self, JwtKeyError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_unspecified| JwtKeyError)?;
        let der: PublicKeyX509Der<'_> = key
            .public_key()
            .as_der()
            .map_err(|_unspecified| JwtKeyError)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der.as_ref());
        let kid = URL_SAFE_NO_PAD.encode(digest);
        Ok(Self { key, kid })
    }

    /// A compact JWS: `alg`, `kid`, `typ` and nothing else in its header (JWT-SVID §2).
    pub(super) fn sign(
        &self,
        spiffe_id: &SpiffeId,
        audience: &[String],
        (now, ttl): (SystemTime, Duration),
    ) -> Result<String, JwtKeyError> {
        let issued_at = seconds(now);
        let header = json!({ "alg": "ES256", "kid": self.kid, "typ": "JWT" });
        let claims = json!({
            "aud": audience,
            "exp": issued_at.saturating_add(ttl.as_secs()),
            "iat": issued_at,
            "sub": spiffe_id.to_string(),
        });
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self
            .key
            .sign(&SystemRandom::new(), token.as_bytes())
            .map_err(|_unspecified| JwtKeyError)?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }

    /// Verifies a token that this provider signed. `None`: not ours, not for this audience, or
    /// expired.
    pub(super) fn verify(&self, token: &str, audience: &str, now: SystemTime) -> Option<Verified> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key())
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.get("kid")?.as_str()? != self.kid {
            return None;
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let claims: serde_json::Map<String, Value> = serde_json::from_slice(&payload).ok()?;
        let audiences = claims.get("aud")?.as_array()?;
        if !audiences
            .iter()
            .any(|value| value.as_str() == Some(audience))
        {
            return None;
        }
        if seconds(now) >= claims.get("exp")?.as_u64()? {
            return None;
        }
        let spiffe_id = SpiffeId::new(claims.get("sub")?.as_str()?).ok()?;
        Some(Verified { spiffe_id, claims })
    }

    /// The verification key as a JSON Web Key Set.
    pub(super) fn bundle(&self) -> Vec<u8> {
        // Uncompressed point: one format byte, then both coordinates.
        let point = self.key.public_key().as_ref();
        let mut coordinates = point.get(1..).unwrap_or_default().chunks(COORDINATE_LEN);
        let mut next = || URL_SAFE_NO_PAD.encode(coordinates.next().unwrap_or_default());
        let (x, y) = (next(), next());
        json!({ "keys": [{
            "alg": "ES256", "crv": "P-256", "kid": self.kid, "kty": "EC", "use": "jwt-svid",
            "x": x, "y": y,
        }] })
        .to_string()
        .into_bytes()
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
