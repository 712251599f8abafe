//! An identity provider of our own, for people who approve.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const ISSUER: &str = "https://login.demo.test";
const AUDIENCE: &str = "approvals";

/// The lines of a configuration by which an agent believes it; `{folder}` stands for that of its keys.
pub(crate) const TABLE: &str = r#"
[[person_issuer]]
issuer = "https://login.demo.test"
audience = "approvals"
jwks_path = "{folder}/jwks.json"
"#;

/// An identity provider with one key.
pub(crate) struct Provider(EcdsaKeyPair);

impl Provider {
    /// A key that nobody knows yet.
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// What whoever believes it has to know.
    pub(crate) fn jwks(&self) -> String {
        let point = self.0.public_key().as_ref();
        let jwks = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "kid": "1", "alg": "ES256", "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        }] });
        jwks.to_string()
    }

    /// The ID token of a login with this nonce, now.
    pub(crate) fn login(&self, subject: &str, nonce: &str) -> String {
        self.login_ago(subject, nonce, 0)
    }

    /// The ID token of a login so many seconds ago; it ends late.
    pub(crate) fn login_ago(&self, subject: &str, nonce: &str, seconds: u64) -> String {
        #[expect(
            clippy::disallowed_methods,
            reason = "an identity provider has a clock of its own"
        )]
        let now = SystemTime::now();
        let now = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({ "alg": "ES256", "kid": "1", "typ": "JWT" });
        let claims = json!({
            "iss": ISSUER, "sub": subject, "aud": AUDIENCE, "iat": now.saturating_sub(seconds),
            "exp": now.saturating_add(300), "nonce": nonce,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.unwrap()))
    }
}

/// The `nonce` of a login for this digest.
pub(crate) fn nonce(digest: &str) -> String {
    URL_SAFE_NO_PAD.encode(unhex(digest))
}

fn unhex(text: &str) -> Vec<u8> {
    let pair = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).unwrap();
        u8::from_str_radix(digits, 16).unwrap()
    };
    text.as_bytes().chunks(2).map(pair).collect()
}
