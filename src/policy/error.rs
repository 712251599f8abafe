//! Why a policy set is not taken, and where in its text.

use miette::Diagnostic;
use std::fmt;
use std::path::PathBuf;

/// How many problems of one stage are told: each is looked up in the text, and nobody reads more.
const FOUND_MAX: usize = 100;

/// One problem in a policy text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, counted from 1; 0 where it is about the whole text.
    pub line: usize,
    /// Column in characters, counted from 1; 0 where `line` is.
    pub column: usize,
    /// The policy, by its ID, once that is known.
    pub policy: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What may have been meant.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        if let Some(policy) = &self.policy {
            write!(f, "policy `{policy}`: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl Problem {
    /// A problem at a byte offset of the text.
    pub(super) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = position(text, offset);
        Self {
            line,
            column,
            policy: None,
            message: message.into(),
            help: None,
        }
    }

    /// What Cedar found in a policy that begins at `offset`.
    pub(super) fn of(text: &str, offset: usize, found: &dyn Diagnostic) -> Self {
        let offset = offset.saturating_add(within(found));
        Self {
            help: found.help().map(|help| help.to_string()),
            ..Self::at(text, offset, found.to_string())
        }
    }
}

/// Where in a policy something was found, in bytes: at its first label, else where the policy begins.
pub(super) fn within(found: &dyn Diagnostic) -> usize {
    let label = found.labels().and_then(|mut labels| labels.next());
    label.map_or(0, |label| label.offset())
}

/// The problems of one stage, as far as they are told.
#[derive(Debug, Default)]
pub(super) struct Problems {
    told: Vec<Problem>,
    more: bool,
}

impl Problems {
    pub(super) fn of(found: impl IntoIterator<Item = Problem>) -> Self {
        let mut problems = Self::default();
        problems.extend(found);
        problems
    }

    /// Whether there is one that is not told: no need to look for others.
    pub(super) fn is_full(&self) -> bool {
        self.more
    }

    pub(super) fn extend(&mut self, found: impl IntoIterator<Item = Problem>) {
        let mut found = found.into_iter();
        let room = FOUND_MAX.saturating_sub(self.told.len());
        self.told.extend(found.by_ref().take(room));
        self.more |= found.next().is_some();
    }

    /// In the order of the text, and whether that is all.
    pub(super) fn told(self) -> Vec<Problem> {
        let mut told = self.told;
        told.sort_by_key(|problem| (problem.line, problem.column));
        if self.more {
            told.push(Problem {
                line: 0,
                column: 0,
                policy: None,
                message: format!("there are more than {FOUND_MAX}: the others are not told"),
                help: None,
            });
        }
        told
    }

    /// # Errors
    /// [`PolicyError::Invalid`] where there are any.
    pub(super) fn none(self) -> Result<(), PolicyError> {
        match self.told() {
            none if none.is_empty() => Ok(()),
            problems => Err(PolicyError::invalid(problems)),
        }
    }
}

/// Line and column, counted from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let column = before
        .chars()
        .rev()
        .take_while(|c| *c != '\n')
        .count()
        .saturating_add(1);
    (line, column)
}

/// Why a policy set is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The built-in schema is broken: a fault of this program.
    #[error("built-in policy schema is broken: {0}")]
    BuiltIn(String),
    /// The file changed while it was read.
    #[error("policy file `{path}` changed while it was read", path = path.display())]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// Nothing would be permitted, which is never meant: most likely half of a write.
    #[error("policy set has no policy")]
    Empty,
    /// The set of this file is not taken.
    #[error("policy file `{path}` is not taken", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<PolicyError>,
    },
    /// The text is not Cedar, names what the schema does not know, or breaks a rule for sets.
    #[error("policy set is invalid: {}", list(problems))]
    Invalid {
        /// The problems found, up to a hundred; never empty.
        problems: Vec<Problem>,
    },
    /// Everything would be permitted. Annotate the policy with `@allow_everything("true")` if that
    /// is meant.
    #[error("policy set permits everything: {problem}")]
    PermitsEverything {
        /// The policy that does.
        problem: Box<Problem>,
    },
    /// The path leads to a folder, a pipe or a device.
    #[error("policy path `{path}` is not a regular file", path = path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("policy file `{path}` cannot be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No thread could be started to check the set.
    #[error("policy set cannot be checked")]
    Resources {
        /// Why.
        source: std::io::Error,
    },
    /// The text is longer than the limit.
    #[error("policy set is longer than `limits.policy_bytes` = {bytes_max}")]
    TooLong {
        /// The limit.
        bytes_max: u64,
    },
    /// The set has more policies, or what ends like one, than the limit.
    #[error("policy set has {policies} policies, more than `limits.policies` = {policies_max}")]
    TooMany {
        /// How many it has.
        policies: usize,
        /// The limit.
        policies_max: usize,
    },
    /// Everybody on this machine could replace the policy.
    #[error("policy file `{path}` can be replaced by everybody: it or its folder is world-writable",
        path = path.display())]
    WorldWritable {
        /// The file.
        path: PathBuf,
    },
}

impl PolicyError {
    /// Cedar's word on what should never fail.
    pub(super) fn built_in(error: &dyn std::error::Error) -> Self {
        Self::BuiltIn(error.to_string())
    }

    /// The problems of the text, up to a hundred; the last may say that there are more.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::File { source, .. } => source.problems(),
            Self::Invalid { problems } => problems,
            Self::PermitsEverything { problem } => std::slice::from_ref(problem),
            Self::BuiltIn(_)
            | Self::Changing { .. }
            | Self::Empty
            | Self::NotAFile { .. }
            | Self::Read { .. }
            | Self::Resources { .. }
            | Self::TooLong { .. }
            | Self::TooMany { .. }
            | Self::WorldWritable { .. } => &[],
        }
    }

    /// The message with its causes, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut told = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            told.push_str(": ");
            told.push_str(&error.to_string());
            cause = error.source();
        }
        told
    }

    /// Whether the same file may be taken a moment later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Changing { .. } | Self::Read { .. } | Self::Resources { .. } => true,
            Self::File { source, .. } => source.may_pass(),
            Self::BuiltIn(_)
            | Self::Empty
            | Self::Invalid { .. }
            | Self::NotAFile { .. }
            | Self::PermitsEverything { .. }
            | Self::TooLong { .. }
            | Self::TooMany { .. }
            | Self::WorldWritable { .. } => false,
        }
    }

    /// An error of one or more problems.
    pub(super) fn invalid(problems: Vec<Problem>) -> Self {
        Self::Invalid { problems }
    }
}

/// The most problems told in one message.
const TOLD_MAX: usize = 8;

fn list(problems: &[Problem]) -> String {
    let told: Vec<String> = problems
        .iter()
        .take(TOLD_MAX)
        .map(ToString::to_string)
        .collect();
    match problems.len().saturating_sub(TOLD_MAX) {
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    }
}
