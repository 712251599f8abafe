//! An issuer's public keys, from a JWK set on disk (RFC 7517).
//!
//! A key counts if it is for signatures and says its name and its one algorithm:
//! ES256 or RS256. Others are passed over, as RFC 7517 §5 wants.

use crate::kernel;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// The usable keys of one issuer, by name.
#[derive(Debug, Default)]
pub(super) struct KeySet(BTreeMap<String, Key>);

#[derive(Debug)]
enum Key {
    /// ES256: the uncompressed point.
    P256(Vec<u8>),
    /// RS256.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// RFC 7517 §4 and RFC 7518 §6.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl KeySet {
    /// Reads a set of at most so many bytes.
    pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Self, String> {
        let text = kernel::read_text(path, bytes_max).map_err(|error| {
            if error.kind() == ErrorKind::FileTooLarge {
                "longer than `limits.jwks_bytes`".to_owned()
            } else {
                error.to_string()
            }
        })?;
        let set: Jwks = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let mut keys = BTreeMap::new();
        for jwk in set.keys {
            let Some((kid, key)) = jwk.usable() else {
                continue;
            };
            if keys.insert(kid, key).is_some() {
                return Err("two keys of one `kid`".to_owned());
            }
        }
        Ok(Self(keys))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies a signature by the key of this name, in that key's one algorithm.
    pub(super) fn verify(
        &self,
        (kid, alg): (&str, &str),
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), &'static str> {
        let key = self.0.get(kid).ok_or("id_token_key")?;
        let verified = match (key, alg) {
            (Key::P256(point), "ES256") => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            (Key::Rsa { modulus, exponent }, "RS256") => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature),
            (Key::P256(_) | Key::Rsa { .. }, _) => return Err("id_token_algorithm"),
        };
        verified.map_err(|_unspecified| "id_token_signature")
    }
}

impl Jwk {
    fn usable(self) -> Option<(String, Key)> {
        if self.used_for.is_some_and(|it| it != "sig") {
            return None;
        }
        let part = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let key = match (self.kty.as_str(), self.alg?.as_str(), self.crv.as_deref()) {
            ("EC", "ES256", Some("P-256")) => {
                let (x, y) = (part(self.x)?, part(self.y)?);
                Key::P256([&[4], x.as_slice(), y.as_slice()].concat())
            }
            ("RSA", "RS256", None) => Key::Rsa {
                modulus: part(self.n)?,
                exponent: part(self.e)?,
            },
            _ => return None,
        };
        Some((self.kid?, key))
    }
}
