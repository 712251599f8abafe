//! The ledger's limits. Refusals name the configuration's key, where there is one.

use super::open::OpenError;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The least size that a ledger can be given: an empty one already takes a good part of it.
const MAX_BYTES_LEAST: u64 = 1024 * 1024;

/// Where the ledger is and how much it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerConfig {
    /// The ledger file. Its folder must exist; the reserve lies beside it.
    pub path: PathBuf,
    /// Memory for cached pages, in bytes.
    pub cache_bytes: usize,
    /// The most commits that wait for the writer; beyond it they are refused as busy. At least 1.
    pub queue_len_max: usize,
    /// The most commits of one transaction. At least 1.
    pub batch_max: usize,
    /// The most notes that wait for a commit; beyond it they are refused as busy. At least 1.
    pub pending_notes_max: usize,
    /// How long a note waits at most for a commit to ride with.
    pub note_flush_interval: Duration,
    /// Size of the reserve file, in bytes; 0 for none.
    pub reserve_bytes: u64,
    /// Size of the ledger from which on only what ends tasks is written, in bytes on the disk.
    pub max_bytes: u64,
}

impl LedgerConfig {
    /// A ledger at this path with the usual limits.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: 64 * 1024 * 1024,
            queue_len_max: 8192,
            batch_max: 512,
            pending_notes_max: 8192,
            note_flush_interval: Duration::from_millis(200),
            reserve_bytes: 16 * 1024 * 1024,
            max_bytes: 4 * 1024 * 1024 * 1024,
        }
    }

    /// The reserve file.
    #[must_use]
    pub fn reserve_path(&self) -> PathBuf {
        self.beside("reserve")
    }

    /// A file beside the ledger: its name and one more ending.
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self
            .path
            .file_name()
            .map(ToOwned::to_owned)
            .unwrap_or_default();
        name.push(".");
        name.push(ending);
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let least = |key, value: usize| {
            if value == 0 {
                Err(OpenError::Config { key, least: 1 })
            } else {
                Ok(())
            }
        };
        least("limits.ledger_queue", self.queue_len_max)?;
        least("limits.ledger_batch", self.batch_max)?;
        least("pending_notes_max", self.pending_notes_max)?;
        if self.max_bytes < MAX_BYTES_LEAST {
            return Err(OpenError::Config {
                key: "limits.ledger_bytes",
                least: MAX_BYTES_LEAST,
            });
        }
        Ok(())
    }
}
