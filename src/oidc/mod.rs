//! People's ID tokens (OIDC Core 1.0): who decided, by the word of an issuer in the configuration.
//!
//! Names `domain` and `service::ports`. The one thing to know: keys come from a file on this node and never from
//! the token; each key has one algorithm, and the token must say that one. Nothing is fetched.

mod keys;

#[cfg(test)]
mod tests;

use crate::domain::approval::Verdict;
use crate::domain::id::Digest;
use crate::domain::time::Time;
use crate::service::ports::{BoxFuture, PersonError, Persons, VerifiedPerson};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keys::KeySet;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::PathBuf;
use std::time::Duration;

/// How far ahead an issuer's clock may be.
const AHEAD_MAX: Duration = Duration::from_secs(30);

/// The longest ID token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// An issuer whose people may decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// `iss`, exactly.
    pub issuer: String,
    /// The client whose logins count: must be in `aud`.
    pub audience: String,
    /// The issuer's JWK set (RFC 7517 §5), read anew at each decision.
    pub jwks_path: PathBuf,
}

/// Verifies ID tokens of the configured issuers; of none where none is.
#[derive(Clone, Debug, Default)]
pub struct IdTokens {
    issuers: Vec<Issuer>,
    jwks_bytes_max: u64,
}

impl IdTokens {
    /// People of these issuers, whose key sets have at most so many bytes.
    #[must_use]
    pub fn new(issuers: Vec<Issuer>, jwks_bytes_max: u64) -> Self {
        Self {
            issuers,
            jwks_bytes_max,
        }
    }

    /// Reads every issuer's keys, for the log at start.
    ///
    /// # Errors
    /// A sentence for each that cannot be read or has no usable key.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let complaints: Vec<String> = self
            .issuers
            .iter()
            .filter_map(|issuer| {
                let path = issuer.jwks_path.display();
                match KeySet::read(&issuer.jwks_path, self.jwks_bytes_max) {
                    Ok(keys) if keys.is_empty() => Some(format!("{path}: no usable key")),
                    Ok(_) => None,
                    Err(why) => Some(format!("{path}: {why}")),
                }
            })
            .collect();
        if complaints.is_empty() {
            Ok(())
        } else {
            Err(complaints)
        }
    }
}

impl Persons for IdTokens {
    fn verify<'a>(
        &'a self,
        id_token: &'a str,
        (digest, verdict): (Digest, Verdict),
        now: Time,
    ) -> BoxFuture<'a, Result<VerifiedPerson, PersonError>> {
        Box::pin(async move {
            let unverified = Unverified::parse(id_token).map_err(PersonError::Refused)?;
            let issuer = self.issuers.iter();
            let issuer = issuer
                .clone()
                .find(|row| row.issuer == unverified.claims.iss)
                .ok_or(PersonError::Refused("issuer"))?;
            let (path, bytes_max) = (issuer.jwks_path.clone(), self.jwks_bytes_max);
            let read = tokio::task::spawn_blocking(move || KeySet::read(&path, bytes_max)).await;
            let keys = read
                .map_err(|error| PersonError::Unavailable(error.to_string()))?
                .map_err(PersonError::Unavailable)?;
            unverified
                .verify(&keys, &issuer.audience, (&nonce(digest, verdict), now))
                .map_err(PersonError::Refused)
        })
    }
}

/// What a login for this verdict carries: a refusal is not to be brought as an approval.
fn nonce(digest: Digest, verdict: Verdict) -> String {
    let digest = URL_SAFE_NO_PAD.encode(digest.0);
    match verdict {
        Verdict::Approved => digest,
        Verdict::Refused => format!("refuse.{digest}"),
    }
}

/// A token whose signature is still to be checked.
struct Unverified<'a> {
    header: Header,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

/// RFC 7515 §4.1. Whatever else an issuer puts here says nothing about the key.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

/// OIDC Core 1.0 §2. `serde` refuses a member given twice.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    exp: u64,
    iat: u64,
    nbf: Option<u64>,
    nonce: Option<String>,
    azp: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<String>),
    One(String),
}

impl<'a> Unverified<'a> {
    fn parse(token: &'a str) -> Result<Self, &'static str> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err("id_token_size");
        }
        let (signed, signature) = token.rsplit_once('.').ok_or("id_token_form")?;
        let (header, payload) = signed.split_once('.').ok_or("id_token_form")?;
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_malformed| "id_token_form")
        };
        let (header, payload) = (decode(header)?, decode(payload)?);
        Ok(Self {
            header: serde_json::from_slice(&header).map_err(|_malformed| "id_token_header")?,
            claims: serde_json::from_slice(&payload).map_err(|_malformed| "id_token_claims")?,
            signed,
            signature: decode(signature)?,
        })
    }

    fn verify(
        self,
        keys: &KeySet,
        audience: &str,
        (due, now): (&str, Time),
    ) -> Result<VerifiedPerson, &'static str> {
        let Header {
            alg,
            kid,
            typ,
            crit,
        } = self.header;
        // An access token, or one of our own, is no login.
        let typed = typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
        if !typed || crit.is_some() {
            return Err("id_token_header");
        }
        let kid = kid.ok_or("id_token_key")?;
        keys.verify((&kid, &alg), self.signed.as_bytes(), &self.signature)?;
        let Claims {
            iss,
            sub,
            aud,
            exp,
            iat,
            nbf,
            nonce,
            azp,
        } = self.claims;
        let ours = match &aud {
            OneOrMany::One(only) => only == audience,
            // §3.1.3.7: among several audiences, the one authorised must be us.
            OneOrMany::Many(several) => {
                several.iter().any(|it| it == audience)
                    && (several.len() == 1 || azp.as_deref() == Some(audience))
            }
        };
        if !ours || azp.is_some_and(|azp| azp != audience) {
            return Err("id_token_audience");
        }
        if now.reached(Time(exp.saturating_mul(1000))) {
            return Err("id_token_expired");
        }
        if Time(iat.saturating_mul(1000)) > now.after(AHEAD_MAX) {
            return Err("id_token_issued_later");
        }
        if nbf.is_some_and(|from| Time(from.saturating_mul(1000)) > now.after(AHEAD_MAX)) {
            return Err("id_token_not_yet");
        }
        // The login was for this very decision, and for no other.
        if nonce.as_deref() != Some(due) {
            return Err("id_token_nonce");
        }
        if sub.is_empty() {
            return Err("id_token_claims");
        }
        Ok(VerifiedPerson {
            issuer: iss,
            subject: sub,
        })
    }
}
