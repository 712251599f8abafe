//! A call's arguments as far as a constraint may look at them: the top-level members and their scalars.
//!
//! Filled from the canonical form (RFC 8785), so that two documents that mean the same look the same here.
//! Rows keep digests only: where values are not at hand a constraint that needs them refuses.

use super::id::Digest;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A finite number. Minus zero is zero, as in RFC 8785 §3.2.2.3.
#[derive(Clone, Copy, Debug)]
pub struct Number(f64);

impl Number {
    /// A number; `None` for a NaN or an infinity.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns minus zero into zero and leaves every other value alone.
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The number as a double.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0
    }
}

/// Finite, so that equality is an equivalence.
impl Eq for Number {}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A value that a rule can name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// A number.
    Number(Number),
    /// A string.
    Text(String),
}

/// The value of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// An array or object: only a rule that admits anything admits it.
    Composite,
    /// A scalar.
    Scalar(Scalar),
}

/// What is known of the arguments' members.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing: only the digest is at hand.
    Digest,
    /// The arguments are an object with these members, each name once.
    Object(Vec<(String, Argument)>),
    /// The arguments are not an object.
    Other,
}

/// Arguments behind digests, as shown by whoever names the digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnesses(BTreeMap<Digest, Arguments>);

impl Witnesses {
    /// Adds what is shown.
    pub fn show(&mut self, arguments: Arguments) {
        self.0.insert(arguments.digest, arguments);
    }

    /// The arguments behind this digest, if they are shown.
    #[must_use]
    pub fn of(&self, digest: Digest) -> Option<&Arguments> {
        self.0.get(&digest)
    }
}

impl FromIterator<Arguments> for Witnesses {
    fn from_iter<I: IntoIterator<Item = Arguments>>(shown: I) -> Self {
        let mut witnesses = Self::default();
        shown
            .into_iter()
            .for_each(|arguments| witnesses.show(arguments));
        witnesses
    }
}

/// A call's arguments: their digest, and what is known of their members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    digest: Digest,
    seen: Seen,
}

impl Arguments {
    /// An object with these members. The digest must be that of the same document.
    #[must_use]
    pub fn object(digest: Digest, members: Vec<(String, Argument)>) -> Self {
        Self {
            digest,
            seen: Seen::Object(members),
        }
    }

    /// Something else than an object.
    #[must_use]
    pub fn other(digest: Digest) -> Self {
        Self {
            digest,
            seen: Seen::Other,
        }
    }

    /// Arguments of which only the digest is at hand.
    #[must_use]
    pub fn unseen(digest: Digest) -> Self {
        Self {
            digest,
            seen: Seen::Digest,
        }
    }

    /// SHA-256 of the RFC 8785 form.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The members, if the arguments are an object and at hand.
    #[must_use]
    pub fn members(&self) -> Option<&[(String, Argument)]> {
        match &self.seen {
            Seen::Object(members) => Some(members),
            Seen::Digest | Seen::Other => None,
        }
    }
}
