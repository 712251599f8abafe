//! Strict JSON and its one canonical form (RFC 8785, JCS), from which digests are made.
//!
//! Names `domain` only. The one thing to know: two documents that are accepted here have the same canonical
//! form exactly if they mean the same, so that what was approved is what is executed (A64). Whatever a
//! canonical form could not tell apart is refused: a number that is not equal to its own shortest form, a
//! member given twice, bytes that are not UTF-8, half of a surrogate pair.

mod number;
mod parse;
mod write;

#[cfg(test)]
mod tests;

pub use number::Number;

use crate::domain::id::Digest;

/// How much JSON is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest document, in bytes.
    pub bytes_max: usize,
    /// Deepest nesting of arrays and objects; a document without any has depth 0.
    pub depth_max: u8,
}

/// Largest `depth_max` that a configuration may ask for: the parser recurses once per level.
pub const DEPTH_CEILING: u8 = 128;

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 262_144,
            depth_max: 32,
        }
    }
}

/// A parsed JSON document in which every value has exactly one canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An array.
    Array(Vec<Value>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// A number that equals its canonical form.
    Number(Number),
    /// An object.
    Object(Members),
    /// A string; no Unicode normalisation is applied (RFC 8785 §3.2.2.2).
    String(String),
}

/// The members of an object, each name once, ordered by UTF-16 code units (RFC 8785 §3.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(Vec<(String, Value)>);

impl Members {
    /// The value of a member.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self
            .0
            .binary_search_by(|(key, _)| utf16_order(key, name))
            .ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// The members in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The same members without one of them.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(key, _)| key != name);
        self
    }

    /// Orders members, refusing a name that occurs twice.
    fn new(mut members: Vec<(String, Value)>) -> Option<Self> {
        members.sort_by(|(a, _), (b, _)| utf16_order(a, b));
        let twice = members
            .windows(2)
            .any(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
        (!twice).then_some(Self(members))
    }
}

impl Value {
    /// The canonical form (RFC 8785).
    #[must_use]
    pub fn canonical(&self) -> String {
        write::canonical(self)
    }

    /// SHA-256 of the canonical form.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(self.canonical().as_bytes())
    }

    /// The members, if this is an object.
    #[must_use]
    pub fn members(&self) -> Option<&Members> {
        match self {
            Self::Object(members) => Some(members),
            Self::Array(_) | Self::Bool(_) | Self::Null | Self::Number(_) | Self::String(_) => None,
        }
    }
}

/// Why bytes are not JSON that can be digested. Carries positions, never contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// Arrays and objects are nested too deeply.
    #[error("nested deeper than {depth_max} levels at byte {offset}")]
    Depth {
        /// The limit.
        depth_max: u8,
        /// Where it was passed.
        offset: usize,
    },
    /// An object gives the same member twice.
    #[error("member given twice in the object that ends at byte {offset}")]
    Duplicate {
        /// Where the object ends.
        offset: usize,
    },
    /// The document is not an object, where one is required.
    #[error("not an object")]
    NotAnObject,
    /// Not UTF-8.
    #[error("not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// The first byte that is not.
        offset: usize,
    },
    /// A number that a double cannot hold exactly.
    #[error("number at byte {offset} cannot be held exactly")]
    Number {
        /// Where the number ends.
        offset: usize,
    },
    /// The document is too long.
    #[error("longer than {bytes_max} bytes")]
    Size {
        /// The limit.
        bytes_max: usize,
    },
    /// `\uD800` to `\uDFFF` that is not half of a pair.
    #[error("unpaired surrogate at byte {offset}")]
    Surrogate {
        /// Where it is.
        offset: usize,
    },
    /// Not JSON (RFC 8259).
    #[error("not JSON at byte {offset}")]
    Syntax {
        /// Where it stops being JSON.
        offset: usize,
    },
}

/// Parses a JSON document strictly.
///
/// # Errors
/// See [`CanonicalError`]; the first fault found.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Value, CanonicalError> {
    if bytes.len() > limits.bytes_max {
        return Err(CanonicalError::Size {
            bytes_max: limits.bytes_max,
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| CanonicalError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    parse::document(text, limits.depth_max.min(DEPTH_CEILING))
}

/// SHA-256 of the canonical form of a JSON document: the digest of a tool's arguments.
///
/// # Errors
/// As [`parse`].
pub fn digest(bytes: &[u8], limits: &Limits) -> Result<Digest, CanonicalError> {
    Ok(parse(bytes, limits)?.digest())
}

/// Digest of a tool's definition: its object of a `tools/list` answer without the member `_meta`.
///
/// # Errors
/// As [`parse`], and [`CanonicalError::NotAnObject`].
pub fn tool_definition_digest(bytes: &[u8], limits: &Limits) -> Result<Digest, CanonicalError> {
    match parse(bytes, limits)? {
        Value::Object(members) => Ok(Value::Object(members.without("_meta")).digest()),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {
            Err(CanonicalError::NotAnObject)
        }
    }
}

/// SHA-256 of some bytes as they are.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0_u8; 32];
    for (slot, byte) in out.iter_mut().zip(digest.as_ref()) {
        *slot = *byte;
    }
    Digest(out)
}

fn utf16_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}
