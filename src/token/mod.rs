//! The continuation token: a JWS that is good for one step, at one audience, on one TLS client key.
//!
//! Names `domain`, `service::ports` and `canonical`. The one thing to know: only this process signs tokens, with a key
//! that lives as long as it does, so there is exactly one spelling of each token. Verifying compares the
//! header byte for byte and writes the claims anew to compare them too; nothing is negotiated, no key is
//! looked up, and no other parser can read something else into it (A45, A46, A47).

pub mod certificate;
mod found;
mod key;
mod keys;
mod wire;

#[cfg(test)]
mod tests;

pub use key::{EpochKey, Verified};
pub use keys::SigningKeys;

use crate::domain::claims::{Operation, TokenClaims};
use std::time::Duration;

/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// The longest life of any token, whatever the configuration says.
pub const TTL_MAX: Duration = Duration::from_secs(60);

/// The longest life of a query token, whatever the configuration says.
pub const QUERY_TTL_MAX: Duration = Duration::from_secs(10);

/// Why a token is refused, or cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum TokenError {
    /// The claims are not the typed object that we write, or a member occurs twice or is unknown.
    #[error("claims are malformed")]
    Claims,
    /// It states another epoch than the one whose key signed it.
    #[error("claims state another epoch")]
    Epoch,
    /// `exp` has been reached.
    #[error("token has expired")]
    Expired,
    /// The claims contradict each other, such as a step without a number.
    #[error("claims contradict each other")]
    Form,
    /// The header is not, byte for byte, the one we write.
    #[error("header is not that of a continuation token")]
    Header,
    /// `iat` is in the future.
    #[error("token was issued in the future")]
    IssuedLater,
    /// The key could not be made, or did not sign.
    #[error("signing key failed")]
    Key,
    /// Signed in another epoch, or by another agent.
    #[error("token was signed with another key")]
    KeyUnknown,
    /// It would live, or lives, longer than any token may.
    #[error("token lives too long")]
    Lifetime,
    /// Not three parts between two dots.
    #[error("not a compact JWS")]
    Parts,
    /// The signature does not verify.
    #[error("signature does not verify")]
    Signature,
    /// More than [`TOKEN_BYTES_MAX`].
    #[error("token is too long")]
    Size,
    /// The claims are ours, but not as we spell them.
    #[error("claims are not spelled as they are signed")]
    Spelling,
}

impl TokenError {
    /// A stable word for the audit record and the operator; never for the caller.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Claims => "token_claims",
            Self::Epoch => "token_epoch",
            Self::Expired => "token_expired",
            Self::Form => "token_form",
            Self::Header => "token_header",
            Self::IssuedLater => "token_issued_later",
            Self::Key => "token_key",
            Self::KeyUnknown => "token_key_unknown",
            Self::Lifetime => "token_lifetime",
            Self::Parts => "token_parts",
            Self::Signature => "token_signature",
            Self::Size => "token_size",
            Self::Spelling => "token_spelling",
        }
    }
}

/// The members that each operation has, and no others; and the longest life.
fn check_form(claims: &TokenClaims) -> Result<(), TokenError> {
    let calls_tool = matches!(
        claims.operation,
        Operation::Create | Operation::Retry | Operation::Step
    );
    let is_step = matches!(claims.operation, Operation::Retry | Operation::Step);
    // An order may be about a step; it is carried out as an update.
    let step_fits = claims.operation == Operation::Update || claims.step.is_some() == is_step;
    let well_formed = claims.tool.is_some() == calls_tool
        && claims.arguments.is_some() == calls_tool
        && (calls_tool || claims.definition.is_none())
        && step_fits
        && claims.name.is_none() == (claims.operation == Operation::Create);
    if !well_formed || claims.expires_at < claims.issued_at {
        return Err(TokenError::Form);
    }
    let longest = match claims.operation {
        Operation::Query => QUERY_TTL_MAX,
        Operation::Cancel
        | Operation::Create
        | Operation::Retry
        | Operation::Step
        | Operation::Update => TTL_MAX,
    };
    if claims.expires_at > claims.issued_at.after(longest) {
        return Err(TokenError::Lifetime);
    }
    Ok(())
}
