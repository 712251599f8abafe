//! Where a policy set comes from, and how its file is read without surprise.

use super::DEFAULT_POLICY;
use super::error::{PolicyError, Problem};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The longest policy text taken unless configured otherwise, in bytes: 1 MiB.
pub const BYTES_MAX_DEFAULT: u64 = 1024 * 1024;

/// The most policies in a set unless configured otherwise.
pub const POLICIES_MAX_DEFAULT: usize = 1_000;

/// Where a policy set comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySource {
    /// The file; `None` for the default set.
    pub path: Option<PathBuf>,
    /// The longest text taken, in bytes (`limits.policy_bytes`).
    pub bytes_max: u64,
    /// The most policies taken (`limits.policies`).
    pub policies_max: usize,
}

impl Default for PolicySource {
    fn default() -> Self {
        Self {
            path: None,
            bytes_max: BYTES_MAX_DEFAULT,
            policies_max: POLICIES_MAX_DEFAULT,
        }
    }
}

impl PolicySource {
    /// A file, with the default limits.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            path: Some(path.into()),
            ..Self::default()
        }
    }

    /// How the source is called in logs.
    pub(super) fn name(&self) -> impl fmt::Display {
        self.path
            .as_ref()
            .map_or_else(|| "default".to_owned(), |path| path.display().to_string())
    }

    /// Says in which file an error is.
    pub(super) fn blame(&self, error: PolicyError) -> PolicyError {
        match &self.path {
            Some(path) => PolicyError::File {
                path: path.clone(),
                source: Box::new(error),
            },
            None => error,
        }
    }

    /// Holds a text that was not read from a file to the limit.
    pub(super) fn fits(&self, text: &str) -> Result<(), PolicyError> {
        let fits = u64::try_from(text.len()).is_ok_and(|length| length <= self.bytes_max);
        fits.then_some(()).ok_or(PolicyError::TooLong {
            bytes_max: self.bytes_max,
        })
    }

    /// Reads the text, and what its file looked like.
    pub(super) fn read(&self) -> Result<(String, Option<Stamp>), PolicyError> {
        let Some(path) = &self.path else {
            return Ok((DEFAULT_POLICY.to_owned(), None));
        };
        let failed = |source| PolicyError::Read {
            path: path.clone(),
            source,
        };
        // Looked at before it is opened: opening a pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(PolicyError::NotAFile { path: path.clone() });
        }
        let file = File::open(path).map_err(failed)?;
        let before = file.metadata().map_err(failed)?;
        if replaceable(path, &before).map_err(failed)? {
            return Err(PolicyError::WorldWritable { path: path.clone() });
        }
        let mut bytes = Vec::new();
        let limit = self.bytes_max.saturating_add(1);
        let length = (&file)
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if u64::try_from(length).is_ok_and(|length| length > self.bytes_max) {
            return Err(self.blame(PolicyError::TooLong {
                bytes_max: self.bytes_max,
            }));
        }
        let stamp = Stamp::new(&before);
        if Stamp::of(path).as_ref() != Some(&stamp) {
            return Err(PolicyError::Changing { path: path.clone() });
        }
        let text = String::from_utf8(bytes).map_err(|error| self.not_text(&error))?;
        Ok((text, Some(stamp)))
    }

    fn not_text(&self, error: &std::string::FromUtf8Error) -> PolicyError {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default());
        let problem = Problem::at(&before, good, "not UTF-8");
        self.blame(PolicyError::invalid(vec![problem]))
    }
}

/// Whether anybody on this machine could write another policy in this place.
fn replaceable(path: &Path, file: &Metadata) -> std::io::Result<bool> {
    const OTHERS_WRITE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    if file.mode() & OTHERS_WRITE != 0 {
        return Ok(true);
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mode = std::fs::metadata(parent)?.mode();
    Ok(mode & OTHERS_WRITE != 0 && mode & STICKY == 0)
}

/// What a file looks like from the outside; another look means that it should be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn new(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Looks at a file; `None` where there is nothing to see.
    pub(super) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|file| Self::new(&file))
    }
}
