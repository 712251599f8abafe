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

/// How old a login may be, and what issuers' clocks may be apart from ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginTimes {
    /// How long after it was issued an ID token still counts, whatever its `exp` says.
    pub age_max: Duration,
    /// How far an issuer's clock may be ahead of ours, or behind.
    pub skew_max: Duration,
}

/// Verifies ID tokens of the configured issuers; of none where none is.
#[derive(Clone, Debug, Default)]
pub struct IdTokens {
    issuers: Vec<Issuer>,
    times: LoginTimes,
    jwks_bytes_max: u64,
}

impl IdTokens {
    /// People of these issuers, whose key sets have at most so many bytes.
    #[must_use]
    pub fn new(issuers: Vec<Issuer>, times: LoginTimes, jwks_bytes_max: u64) -> Self {
        Self {
            issuers,
            times,
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
            let due = (nonce(digest, verdict), now);
            unverified
                .verify(&keys, (&issuer.audience, self.times), due)
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
        (audience, times): (&str, LoginTimes),
        (due, now): (String, Time),
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
        let seconds = |whole: u64| Time(whole.saturating_mul(1000));
        if now.reached(seconds(exp)) {
            return Err("id_token_expired");
        }
        if seconds(iat) > now.after(times.skew_max) {
            return Err("id_token_issued_later");
        }
        // The latest that it can have been by our clock: whole seconds, and theirs may be behind.
        let issued_by = seconds(iat.saturating_add(1)).after(times.skew_max);
        if now > issued_by.after(times.age_max) {
            return Err("id_token_too_old");
        }
        if nbf.is_some_and(|from| seconds(from) > now.after(times.skew_max)) {
            return Err("id_token_not_yet");
        }
        // The login was for this very decision, and for no other.
        if nonce.as_ref() != Some(&due) {
            return Err("id_token_nonce");
        }
        if sub.is_empty() {
            return Err("id_token_claims");
        }
        Ok(VerifiedPerson {
            issuer: iss,
            subject: sub,
            issued_by,
        })
    }
}
