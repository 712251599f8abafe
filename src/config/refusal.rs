//! Why a configuration was refused, with the key's whole path and what to write instead.
//!
//! Names nothing of the project. Values are echoed: a configuration file holds no secrets, only
//! paths to them.

use spiffe::SpiffeIdError;
use std::path::PathBuf;

/// A configuration that the agent does not start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Two keys contradict each other.
    #[error("`{key}` and `{other}` do not go together: {reason}")]
    Conflict {
        /// Path of the key that was read last.
        key: String,
        /// Path of the key it contradicts.
        other: String,
        /// Why, and what to change.
        reason: &'static str,
    },
    /// Two rows say the same thing, or two different things about the same name.
    #[error("`{key}` repeats `{value}`, which `{first}` already has: keep one row")]
    Duplicate {
        /// Path of the later key.
        key: String,
        /// The repeated value.
        value: String,
        /// Path of the earlier key.
        first: String,
    },
    /// A file or socket lies where every user of the machine can put another in its place.
    #[error(
        "`{key}`: folder `{}` can be written by every user: use one that only its owner can write",
        folder.display()
    )]
    Exposed {
        /// Path of the key.
        key: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A key without which there is no sensible meaning is absent.
    #[error("`{key}` is missing: set it to {want}")]
    Missing {
        /// Path of the key.
        key: String,
        /// What to set it to.
        want: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read configuration file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A text that should be a SPIFFE ID or the name of a trust domain is none.
    #[error("`{key}`: `{value}` is not a SPIFFE ID or trust domain")]
    SpiffeId {
        /// Path of the key.
        key: String,
        /// What the file says.
        value: String,
        /// The rule it breaks.
        #[source]
        source: SpiffeIdError,
    },
    /// The file is not TOML.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// A value of another type.
    #[error("`{key}` must be {want}, found {found}")]
    Type {
        /// Path of the key.
        key: String,
        /// The type wanted.
        want: &'static str,
        /// The type found.
        found: &'static str,
    },
    /// A `[[workload]]` row that an identical program started elsewhere would meet (A59).
    #[error(
        "`{key}` for `{spiffe_id}` demands neither `uid`, `cgroup` nor `process`: \
         an executable alone is not an identity, add one of them"
    )]
    Unbounded {
        /// Path of the row.
        key: String,
        /// The row's SPIFFE ID.
        spiffe_id: String,
    },
    /// A key that does not exist.
    #[error("`{key}` is not a known key: known here are {known}")]
    UnknownKey {
        /// Path of the key.
        key: String,
        /// The keys that exist beside it.
        known: String,
    },
    /// A value out of its range or form.
    #[error("`{key}` is `{value}`: must be {want}")]
    Value {
        /// Path of the key.
        key: String,
        /// What the file says.
        value: String,
        /// What it may say.
        want: String,
    },
}
