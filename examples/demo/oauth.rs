//! The demo's OAuth issuer: a key pair and signed JWTs for two users and a third one.
//!
//! ES256 JWTs with `iss sub aud exp`, checked as a resource server must: signature, issuer, audience, expiry.

use crate::Error;
use crate::harness::now_ms;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use handfast::client::Principal;
use serde::{Deserialize, Serialize};

/// Who issues the users' tokens.
pub(crate) const ISSUER: &str = "https://login.demo.test";

/// For whom they are.
pub(crate) const RESOURCE: &str = "https://reports.demo.test/mcp";

const HEADER: &str = r#"{"alg":"ES256","typ":"at+jwt"}"#;
const LIFE_SECONDS: u64 = 600;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
}

/// Signs users' access tokens.
pub(crate) struct Issuer(EcdsaKeyPair);

impl Issuer {
    pub(crate) fn generate() -> Result<Self, Error> {
        Ok(Self(EcdsaKeyPair::generate(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
        )?))
    }

    /// The key with which servers verify, base64url.
    pub(crate) fn public_key(&self) -> String {
        BASE64.encode(self.0.public_key().as_ref())
    }

    /// An access token for a user.
    pub(crate) fn token(&self, user: &str) -> Result<String, Error> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: user.to_owned(),
            aud: RESOURCE.to_owned(),
            exp: now_s().saturating_add(LIFE_SECONDS),
        };
        let claims = BASE64.encode(serde_json::to_vec(&claims)?);
        let signed = format!("{}.{claims}", BASE64.encode(HEADER));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }
}

/// Verifies users' access tokens.
#[derive(Clone)]
pub(crate) struct Verifier(UnparsedPublicKey<Vec<u8>>);

impl Verifier {
    pub(crate) fn new(public_key: &str) -> Result<Self, Error> {
        let key = BASE64.decode(public_key)?;
        Ok(Self(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)))
    }

    /// The principal of a `Authorization` header; `None` for anything but a valid token for us.
    pub(crate) fn principal(&self, authorization: &str) -> Option<Principal> {
        let token = authorization.strip_prefix("Bearer ")?;
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if header != BASE64.encode(HEADER) {
            return None;
        }
        let signature = BASE64.decode(signature).ok()?;
        self.0.verify(signed.as_bytes(), &signature).ok()?;
        let claims: Claims = serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()?;
        let good = claims.iss == ISSUER && claims.aud == RESOURCE && now_s() < claims.exp;
        good.then_some(Principal {
            issuer: claims.iss,
            subject: claims.sub,
        })
    }
}

fn now_s() -> u64 {
    now_ms().checked_div(1000).unwrap_or_default()
}
