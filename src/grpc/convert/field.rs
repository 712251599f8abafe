//! Single fields: text, bytes, names and numbers, and what can be wrong with them.

use super::Forms;
use crate::canonical::{self, CanonicalError, Value};
use crate::domain::arguments::{Argument, Arguments, Number, Scalar};
use crate::domain::id::{LegNumber, SpiffeId, StepNumber, TaskId, Thumbprint};
use crate::service::Failure;
use secrecy::SecretString;
use std::borrow::Cow;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The longest SPIFFE ID (SPIFFE-ID §2.3).
const SPIFFE_ID_BYTES: usize = 2048;

/// A field of a request that is not as it must be. Never shows its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {wrong}")]
pub struct InvalidField {
    /// The path of the field: `asked.permissions[2].audience`.
    pub field: Cow<'static, str>,
    /// What is wrong with it.
    #[source]
    pub wrong: FormError,
}

/// What can be wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Not an approval ID.
    #[error("not an approval ID of 64 lower-case hexadecimal digits")]
    ApprovalId,
    /// A URL that the configuration does not map.
    #[error("neither a SPIFFE ID nor a URL that an `[[audience]]` row maps")]
    Audience,
    /// Arguments that cannot be digested.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// Not a certificate.
    #[error("not exactly one X.509 certificate in DER")]
    Certificate,
    /// A character that is not printable ASCII.
    #[error("holds a character that is not printable ASCII")]
    Characters,
    /// A decision ID that opens no record.
    #[error("not of this agent, or its record is not durable yet")]
    Decision,
    /// Of another length than the only one.
    #[error("must be {bytes} bytes long")]
    Length {
        /// The only length.
        bytes: usize,
    },
    /// Not there.
    #[error("is required")]
    Missing,
    /// A number that is not one.
    #[error("not a JSON number")]
    Number,
    /// A prefix that has more than one reading.
    #[error(
        "not a path without empty, `.` or `..` segments, backslashes or percent-encoded forms of them"
    )]
    Path,
    /// A range without a number in it.
    #[error("has its least above its greatest number")]
    Range,
    /// An array or object in the place of a scalar.
    #[error("not a JSON scalar")]
    Scalar,
    /// A name that another entry of the list has.
    #[error("is there twice")]
    Twice,
    /// Beside a field that excludes it, or without one that it needs.
    #[error("is only for a request {0}")]
    OutOfPlace(&'static str),
    /// Not a SPIFFE ID of a workload.
    #[error("not the SPIFFE ID of a workload (`spiffe://trust-domain/path`)")]
    SpiffeId,
    /// Not a task ID.
    #[error("not a task ID of 32 lower-case hexadecimal digits")]
    TaskId,
    /// Too long.
    #[error("longer than {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// A number above its limit.
    #[error("greater than {max}")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// Not a value of the enumeration, or its zero.
    #[error("must be one of the named values")]
    Unnamed,
    /// Zero, where counting begins at one.
    #[error("is counted from 1")]
    Zero,
}

impl FormError {
    /// Says in which field.
    pub(in crate::grpc) fn at(self, field: impl Into<Cow<'static, str>>) -> InvalidField {
        InvalidField {
            field: field.into(),
            wrong: self,
        }
    }
}

impl InvalidField {
    /// Says in which field this field is.
    pub(super) fn within(self, outer: impl std::fmt::Display) -> Self {
        Self {
            field: format!("{outer}.{}", self.field).into(),
            wrong: self.wrong,
        }
    }
}

/// Names the field of a refused value.
pub(in crate::grpc) trait InField<T> {
    /// Of this field.
    fn field(self, name: impl Into<Cow<'static, str>>) -> Result<T, InvalidField>;
}

impl<T> InField<T> for Result<T, FormError> {
    fn field(self, name: impl Into<Cow<'static, str>>) -> Result<T, InvalidField> {
        self.map_err(|wrong| wrong.at(name))
    }
}

impl From<InvalidField> for Failure {
    fn from(invalid: InvalidField) -> Self {
        Self::Invalid(invalid.to_string())
    }
}

/// A field that must be there.
pub(super) fn required<T>(value: Option<T>) -> Result<T, FormError> {
    value.ok_or(FormError::Missing)
}

/// A text of 1 to `bytes_max` bytes.
pub(super) fn text(value: String, bytes_max: usize) -> Result<String, FormError> {
    bounded(value.len(), bytes_max)?;
    Ok(value)
}

/// A secret text of 1 to `bytes_max` bytes.
pub(super) fn secret(value: String, bytes_max: usize) -> Result<SecretString, FormError> {
    // Secret first, so that a refused one is wiped too.
    let len = value.len();
    let value = SecretString::from(value);
    bounded(len, bytes_max)?;
    Ok(value)
}

fn bounded(len: usize, bytes_max: usize) -> Result<(), FormError> {
    match len {
        0 => Err(FormError::Missing),
        _ if len > bytes_max => Err(FormError::TooLong { bytes_max }),
        _ => Ok(()),
    }
}

/// A task's identifier.
pub(super) fn task_id(text: &str) -> Result<TaskId, FormError> {
    if text.is_empty() {
        return Err(FormError::Missing);
    }
    TaskId::parse(text).ok_or(FormError::TaskId)
}

/// A leg's number.
pub(super) fn leg(number: u32) -> Result<LegNumber, FormError> {
    if number == 0 {
        return Err(FormError::Zero);
    }
    Ok(LegNumber(number))
}

/// A step's number.
pub(super) fn step(number: u32) -> Result<StepNumber, FormError> {
    if number == 0 {
        return Err(FormError::Zero);
    }
    Ok(StepNumber(number))
}

/// Exactly `N` bytes.
pub(super) fn bytes<const N: usize>(value: &[u8]) -> Result<[u8; N], FormError> {
    if value.is_empty() {
        return Err(FormError::Missing);
    }
    <[u8; N]>::try_from(value).map_err(|_length| FormError::Length { bytes: N })
}

/// A workload's SPIFFE ID: one with a path (SPIFFE-ID §2.2), since a trust domain calls and serves nothing.
pub(super) fn spiffe_id(text: &str) -> Result<SpiffeId, FormError> {
    bounded(text.len(), SPIFFE_ID_BYTES)?;
    SpiffeId::new(text)
        .ok()
        .filter(|id| !id.path().is_empty())
        .ok_or(FormError::SpiffeId)
}

/// The scalar that a value is; `None` for an array or object.
pub(super) fn scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::Array(_) | Value::Object(_) => None,
        Value::Bool(value) => Some(Scalar::Bool(*value)),
        Value::Null => Some(Scalar::Null),
        Value::Number(number) => Number::new(number.as_f64()).map(Scalar::Number),
        Value::String(text) => Some(Scalar::Text(text.clone())),
    }
}

impl Forms {
    /// A server or tool, by its SPIFFE ID or a mapped URL.
    pub(super) fn audience(&self, text: &str) -> Result<SpiffeId, FormError> {
        if text.is_empty() || text.starts_with("spiffe:") {
            return spiffe_id(text);
        }
        self.audiences
            .by_url(text)
            .cloned()
            .ok_or(FormError::Audience)
    }

    /// The name of a tool or method. Printable ASCII: it is shown to people who decide by it.
    pub(super) fn tool(&self, name: String) -> Result<String, FormError> {
        let name = text(name, self.tool_bytes)?;
        if name.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(name)
        } else {
            Err(FormError::Characters)
        }
    }

    /// A server's name for an answer. Printable ASCII: it is shown to people.
    pub(super) fn input_key(&self, key: String) -> Result<String, FormError> {
        let key = text(key, self.input_key_bytes)?;
        if key.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(key)
        } else {
            Err(FormError::Characters)
        }
    }

    /// Arguments: their digest, and what a constraint may look at.
    pub(super) fn arguments(&self, json: &[u8]) -> Result<Arguments, FormError> {
        let value = self.json(json)?;
        let digest = value.digest();
        let Some(members) = value.members() else {
            return Ok(Arguments::other(digest));
        };
        let seen = |(name, value): (&str, &Value)| {
            let argument = scalar(value).map_or(Argument::Composite, Argument::Scalar);
            (name.to_owned(), argument)
        };
        Ok(Arguments::object(
            digest,
            members.iter().map(seen).collect(),
        ))
    }

    /// Any JSON.
    pub(super) fn json(&self, json: &[u8]) -> Result<Value, FormError> {
        if json.is_empty() {
            return Err(FormError::Missing);
        }
        Ok(canonical::parse(json, &self.arguments)?)
    }

    /// A handle.
    pub(super) fn handle(&self, handle: String) -> Result<SecretString, FormError> {
        secret(handle, self.handle_bytes)
    }

    /// A request's own name, where the method needs one.
    pub(super) fn request_id(&self, id: Vec<u8>) -> Result<Vec<u8>, FormError> {
        bounded(id.len(), self.request_id_bytes)?;
        Ok(id)
    }

    /// A request's own name, where the method does without.
    pub(super) fn optional_request_id(&self, id: Vec<u8>) -> Result<Vec<u8>, FormError> {
        if id.is_empty() {
            return Ok(id);
        }
        self.request_id(id)
    }

    /// Why an operator revokes a task.
    pub(in crate::grpc) fn reason(&self, reason: String) -> Result<String, InvalidField> {
        text(reason, self.reason_bytes).field("reason")
    }

    /// A certificate that the service will check.
    pub(super) fn certificate(&self, der: Vec<u8>) -> Result<Vec<u8>, FormError> {
        bounded(der.len(), self.certificate_bytes)?;
        Ok(der)
    }

    /// The thumbprint of a certificate that another server's TLS has seen (RFC 8705 §3.1).
    pub(super) fn peer_certificate(&self, der: &[u8]) -> Result<Thumbprint, FormError> {
        bounded(der.len(), self.certificate_bytes)?;
        match X509Certificate::from_der(der) {
            Ok(([], _)) => Ok(canonical::sha256(der)),
            Ok(_) | Err(_) => Err(FormError::Certificate),
        }
    }
}
