//! The `Handfast-Token` header: one token, at most 4 KiB, never shown.
//!
//! Names nothing of the project. `Authorization` stays the user's: the two travel side by side.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// Name of the header that carries a continuation token; in gRPC the metadata key.
pub const HANDFAST_TOKEN: HeaderName = HeaderName::from_static("handfast-token");

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// A continuation token. Its `Debug` shows nothing of it.
#[derive(Clone, Debug)]
pub struct Token(SecretString);

/// Why a request's token was refused before anybody was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenHeaderError {
    /// Something else than the printable ASCII of a JWS.
    #[error("header Handfast-Token is not a token")]
    Malformed,
    /// The header is there twice, so that two readers could see different tokens.
    #[error("header Handfast-Token occurs more than once")]
    Repeated,
    /// Longer than any token is.
    #[error("header Handfast-Token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
}

impl Token {
    /// Takes a token as text.
    ///
    /// # Errors
    /// [`TokenHeaderError::Malformed`] and [`TokenHeaderError::TooLong`].
    pub fn new(text: impl Into<String>) -> Result<Self, TokenHeaderError> {
        let text = text.into();
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenHeaderError::TooLong);
        }
        let of_a_jws =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || !text.bytes().all(of_a_jws) {
            return Err(TokenHeaderError::Malformed);
        }
        Ok(Self(text.into()))
    }

    /// The header's value, marked so that HTTP libraries neither log nor index it.
    ///
    /// # Errors
    /// [`TokenHeaderError::Malformed`], which [`Token::new`] has excluded.
    pub fn header_value(&self) -> Result<HeaderValue, TokenHeaderError> {
        let mut value = HeaderValue::from_str(self.expose())
            .map_err(|_not_ascii| TokenHeaderError::Malformed)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The token itself: for the one request it was issued for, and for `Check`.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Takes the token out of a request's headers; `None` where there is none.
///
/// # Errors
/// See [`TokenHeaderError`]: such a request is refused, not served without its token.
pub fn token_from_headers(headers: &HeaderMap) -> Result<Option<Token>, TokenHeaderError> {
    let mut values = headers.get_all(HANDFAST_TOKEN).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(TokenHeaderError::Repeated);
    }
    let text = value
        .to_str()
        .map_err(|_not_ascii| TokenHeaderError::Malformed)?;
    Token::new(text).map(Some)
}

#[cfg(test)]
mod tests {
    use super::{HANDFAST_TOKEN, TOKEN_BYTES_MAX, Token, TokenHeaderError, token_from_headers};
    use http::header::{HeaderMap, HeaderValue};

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HANDFAST_TOKEN, HeaderValue::from_str(value).expect("value"));
        }
        headers
    }

    #[test]
    fn one_token_is_taken() {
        let token = token_from_headers(&headers(&["aa.bb.c-_"]))
            .expect("header")
            .expect("token");
        assert_eq!(token.expose(), "aa.bb.c-_");
        assert!(token.header_value().expect("value").is_sensitive());
        assert!(!format!("{token:?}").contains("aa"));
        assert!(token_from_headers(&headers(&[])).expect("none").is_none());
    }

    #[test]
    fn two_tokens_are_refused() {
        let refused = token_from_headers(&headers(&["a.b.c", "a.b.c"]));
        assert_eq!(refused.err(), Some(TokenHeaderError::Repeated));
    }

    #[test]
    fn the_longest_token_is_4_kib() {
        let longest = "a".repeat(TOKEN_BYTES_MAX);
        assert!(token_from_headers(&headers(&[&longest])).is_ok());
        let longer = format!("{longest}a");
        let refused = token_from_headers(&headers(&[&longer]));
        assert_eq!(refused.err(), Some(TokenHeaderError::TooLong));
    }

    #[test]
    fn what_is_no_jws_is_refused() {
        for text in ["", "a b", "a,b", "Bearer a.b.c", "a.b.c="] {
            let refused = Token::new(text).err();
            assert_eq!(refused, Some(TokenHeaderError::Malformed), "{text}");
        }
    }
}
