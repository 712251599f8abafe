//! The key file: 32 random bytes that only the agent can read, kept away from the ledger.
//!
//! Names `service::ports`. The one thing to know: whoever has both this file and the ledger can test guesses
//! of weak foreign handles, so the two may not lie in one folder, and so not in one backup (A37).

use crate::service::ports::{Entropy, EntropyError};
use secrecy::{ExposeSecret as _, SecretBox};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Size of the key file.
pub const KEY_BYTES: usize = 32;

/// Bits of the mode that let anybody but the owner in.
const OTHERS: u32 = 0o077;

/// The bytes of the key file. `Debug` shows none of them.
#[derive(Debug)]
pub struct KeyFile {
    bytes: SecretBox<[u8; KEY_BYTES]>,
}

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It lies in the ledger's folder.
    #[error("key file `{path}` lies in the ledger's folder; keep it where no backup has both")]
    BesideLedger {
        /// The key file.
        path: PathBuf,
    },
    /// No random bytes for a new one.
    #[error("no random bytes for a new key file")]
    Entropy(#[from] EntropyError),
    /// It could not be read, written or synced.
    #[error("key file `{path}` failed: {operation}")]
    Io {
        /// The key file.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is a link, a folder or a device.
    #[error("key file `{path}` is not a regular file")]
    NotAFile {
        /// The key file.
        path: PathBuf,
    },
    /// Its group or everybody may read or write it, or it is another user's.
    #[error(
        "key file `{path}` has mode {mode:03o} and owner {uid}; want mode 600, or 400, and own it"
    )]
    Open {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        uid: u32,
    },
    /// It has not exactly 32 bytes.
    #[error("key file `{path}` has {length} bytes, not 32")]
    Size {
        /// The key file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
    },
}

impl KeyFile {
    /// Opens the key file, or makes one if there is none.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn open_or_create(
        path: &Path,
        ledger: &Path,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeyFileError> {
        match Self::create(path, ledger, entropy) {
            Err(KeyFileError::Io { source, .. })
                if source.kind() == io::ErrorKind::AlreadyExists =>
            {
                Self::open(path, ledger)
            }
            made => made,
        }
    }

    /// Opens an existing key file. `ledger` is the path of the ledger's file, which need not exist.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn open(path: &Path, ledger: &Path) -> Result<Self, KeyFileError> {
        refuse_beside(path, ledger)?;
        let named = fs::symlink_metadata(path).map_err(io_error(path, "look at"))?;
        if !named.is_file() {
            return Err(KeyFileError::NotAFile { path: path.into() });
        }
        let mut file = File::open(path).map_err(io_error(path, "open"))?;
        let opened = file.metadata().map_err(io_error(path, "look at"))?;
        // A link put in its place meanwhile leads elsewhere.
        if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
            return Err(KeyFileError::NotAFile { path: path.into() });
        }
        let own = rustix::process::geteuid().as_raw();
        if opened.mode() & OTHERS != 0 || opened.uid() != own {
            return Err(KeyFileError::Open {
                path: path.into(),
                mode: opened.mode() & 0o777,
                uid: opened.uid(),
            });
        }
        let size = KeyFileError::Size {
            path: path.into(),
            length: opened.len(),
        };
        if usize::try_from(opened.len()) != Ok(KEY_BYTES) {
            return Err(size);
        }
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        file.read_exact(bytes.as_mut())
            .map_err(io_error(path, "read"))?;
        Ok(Self::of(&bytes))
    }

    /// Makes a key file: written and synced under a temporary name, then given its own.
    ///
    /// # Errors
    /// [`KeyFileError::Io`] of kind `AlreadyExists` if there is one; it is left alone.
    pub fn create(path: &Path, ledger: &Path, entropy: &dyn Entropy) -> Result<Self, KeyFileError> {
        refuse_beside(path, ledger)?;
        if fs::symlink_metadata(path).is_ok() {
            let source = io::ErrorKind::AlreadyExists.into();
            return Err(io_error(path, "create")(source));
        }
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        entropy.fill(bytes.as_mut())?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        // One that was left by a crash was never used.
        match fs::remove_file(&temporary) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(&temporary, "remove")(source));
            }
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(io_error(&temporary, "create"))?;
        file.write_all(bytes.as_ref())
            .and_then(|()| file.sync_all())
            .map_err(io_error(&temporary, "write"))?;
        // A link, unlike a rename, never replaces a file that appeared meanwhile.
        fs::hard_link(&temporary, path).map_err(io_error(path, "create"))?;
        fs::remove_file(&temporary).map_err(io_error(&temporary, "remove"))?;
        File::open(folder(path))
            .and_then(|folder| folder.sync_all())
            .map_err(io_error(path, "sync the folder of"))?;
        Ok(Self::of(&bytes))
    }

    /// A key that lives in memory only, for development and tests: names made with it end with the process.
    ///
    /// # Errors
    /// [`EntropyError`].
    pub fn ephemeral(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        entropy.fill(bytes.as_mut())?;
        Ok(Self::of(&bytes))
    }

    pub(super) fn expose(&self) -> &[u8; KEY_BYTES] {
        self.bytes.expose_secret()
    }

    fn of(bytes: &Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self {
            bytes: SecretBox::new(Box::new(**bytes)),
        }
    }
}

fn refuse_beside(path: &Path, ledger: &Path) -> Result<(), KeyFileError> {
    let key_folder = fs::metadata(folder(path)).map_err(io_error(path, "look at the folder of"))?;
    // A ledger whose folder does not exist yet will be made elsewhere: the key's folder does exist.
    if let Ok(ledger_folder) = fs::metadata(folder(ledger))
        && (key_folder.dev(), key_folder.ino()) == (ledger_folder.dev(), ledger_folder.ino())
    {
        return Err(KeyFileError::BesideLedger { path: path.into() });
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn io_error(path: &Path, operation: &'static str) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_path_buf();
    move |source| KeyFileError::Io {
        path,
        operation,
        source,
    }
}
