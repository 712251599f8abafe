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

/// For whom people's ID tokens are.
pub(crate) const APPROVALS: &str = "approvals";

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

    /// The key set with which the agent verifies people's ID tokens.
    pub(crate) fn key_set(&self) -> Result<String, Error> {
        let point = self.0.public_key().as_ref();
        let (x, y) = (point.get(1..33), point.get(33..65));
        let (x, y) = x.zip(y).ok_or("not a point of P-256")?;
        Ok(serde_json::json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "kid": "1", "alg": "ES256", "use": "sig",
            "x": BASE64.encode(x), "y": BASE64.encode(y),
        }] })
        .to_string())
    }

    /// The ID token of a person's login with this `nonce`.
    pub(crate) fn id_token(&self, person: &str, nonce: &str) -> Result<String, Error> {
        let header = serde_json::json!({ "alg": "ES256", "kid": "1", "typ": "JWT" });
        let claims = serde_json::json!({
            "iss": ISSUER, "sub": person, "aud": APPROVALS, "iat": now_s(),
            "exp": now_s().saturating_add(LIFE_SECONDS), "nonce": nonce,
        });
        self.signed(&header.to_string(), claims.to_string().as_bytes())
    }

    fn signed(&self, header: &str, claims: &[u8]) -> Result<String, Error> {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }

    /// An access token for a user.
    pub(crate) fn token(&self, user: &str) -> Result<String, Error> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: user.to_owned(),
            aud: RESOURCE.to_owned(),
            exp: now_s().saturating_add(LIFE_SECONDS),
        };
        self.signed(HEADER, &serde_json::to_vec(&claims)?)
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
