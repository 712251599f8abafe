//! Opening a ledger file: made whole or not at all, held by one agent, and one epoch further.

use super::config::LedgerConfig;
use super::failure::{Failure, OnFailure};
use super::reserve::Reserve;
use super::shared::Shared;
use super::space::{Space, Spacious};
use super::store::{self, Head, ReadError, TABLE};
use super::writer::Writer;
use super::{RedbLedger, chain, keys};
use crate::domain::id::Epoch;
use crate::domain::revocation::Revocations;
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, Durability, ReadableDatabase, StorageBackend, TableError};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

/// The layout of keys and rows that this program reads and writes.
pub const SCHEMA_VERSION: u64 = 6;

/// Mode of the ledger and its reserve: nobody but the agent's own user.
const MODE: u32 = 0o600;
/// Permission bits of everybody else.
const OTHERS: u32 = 0o077;

/// What opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// This run. Durable already.
    pub epoch: Epoch,
    /// Whether the ledger was made now.
    pub created: bool,
}

/// Why a ledger file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A configured limit cannot be worked with.
    #[error("`{key}` must be at least {least}")]
    Config {
        /// The limit.
        key: &'static str,
        /// Its least value.
        least: u64,
    },
    /// Another process has the ledger open.
    #[error("ledger `{}` is in use by another agent", path.display())]
    InUse {
        /// The ledger.
        path: PathBuf,
    },
    /// A file could not be made, opened, read or written.
    #[error("ledger `{}`: cannot {operation}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is something else, or damaged.
    #[error("`{}` is not a usable ledger: {why}", path.display())]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Others may read or write the file.
    #[error("ledger `{}` has mode {mode:o}; take access from group and others", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file was written by a program with another layout.
    #[error(
        "ledger `{}` has schema version {found}, this program has {}; use the program that wrote it",
        path.display(),
        SCHEMA_VERSION
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u64,
    },
}

impl RedbLedger {
    /// Opens the ledger, or makes it, and starts its writer.
    ///
    /// `on_failure` is called once if a write or sync fails; the process must end then, for nothing is
    /// written or read any more.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing was made, or the file is as it was before.
    pub fn open(config: &LedgerConfig, on_failure: OnFailure) -> Result<(Self, Opened), OpenError> {
        config.check()?;
        let path = config.path.as_path();
        let created = match fs::metadata(path) {
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path, config)?,
            Err(error) => return Err(io_error(path, "look at it")(error)),
        };
        let file = open_file(path)?;
        let backend = FileBackend::new(file.try_clone().map_err(io_error(path, "clone handle"))?)
            .map_err(|error| database_error(path, error))?;
        let (ledger, epoch) = Self::start(config, backend, file, on_failure)?;
        Ok((ledger, Opened { epoch, created }))
    }

    /// Raises the epoch of an existing ledger on this backend, and starts its writer.
    pub(super) fn start(
        config: &LedgerConfig,
        backend: impl StorageBackend,
        file: File,
        on_failure: OnFailure,
    ) -> Result<(Self, Epoch), OpenError> {
        let reserve = config.reserve_path();
        let space = Space::open(file, &reserve, config.reserve_bytes, config.max_bytes)
            .map_err(io_error(&reserve, "make the reserve"))?;
        Self::start_in(config, backend, space, on_failure)
    }

    /// Does the same with limits that are set up already.
    pub(super) fn start_in(
        config: &LedgerConfig,
        backend: impl StorageBackend,
        space: Space,
        on_failure: OnFailure,
    ) -> Result<(Self, Epoch), OpenError> {
        let path = config.path.as_path();
        let space = Arc::new(space);
        let database = Database::builder()
            .set_cache_size(config.cache_bytes)
            .create_with_backend(Spacious::new(backend, Arc::clone(&space)))
            .map_err(|error| database_error(path, error))?;
        check_schema(&database, path)?;
        let (epoch, head, revocations) = raise_epoch(&database, path)?;
        let waiting = chain::Waiting::after(&head, config.pending_notes_max);
        let shared = Arc::new(Shared {
            database,
            waiting,
            space,
            failure: Failure::new(on_failure),
            woken: AtomicBool::new(false),
            revocations: Mutex::new(revocations),
        });
        let (sender, orders) = sync_channel(config.queue_len_max);
        let writer = Writer {
            shared: Arc::clone(&shared),
            orders,
            head,
            batch_max: config.batch_max,
            note_flush_interval: config.note_flush_interval,
            reserve: Reserve::of(config.reserve_bytes),
        };
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(io_error(path, "start its writer"))?;
        let ledger = Self {
            shared,
            path: path.to_owned(),
            orders: Some(sender),
            writer: Some(thread),
        };
        Ok((ledger, epoch))
    }
}

/// Begins a durable transaction: two syncs, and an allocator state from which a crash is mended at once.
pub(super) fn begin(database: &Database) -> Result<redb::WriteTransaction, String> {
    let mut txn = database.begin_write().map_err(|error| error.to_string())?;
    txn.set_durability(Durability::Immediate)
        .map_err(|error| error.to_string())?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    Ok(txn)
}

pub(super) fn io_error(
    path: &Path,
    operation: &'static str,
) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        path,
        operation,
        source,
    }
}

pub(super) fn not_a_ledger(path: &Path, why: impl std::fmt::Display) -> OpenError {
    OpenError::NotALedger {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

pub(super) fn database_error(path: &Path, error: DatabaseError) -> OpenError {
    if let DatabaseError::DatabaseAlreadyOpen = error {
        return OpenError::InUse {
            path: path.to_owned(),
        };
    }
    if let DatabaseError::Storage(redb::StorageError::Io(source)) = error {
        // How the store says that the bytes are not its own.
        return if source.kind() == io::ErrorKind::InvalidData {
            not_a_ledger(path, source)
        } else {
            io_error(path, "read or write it")(source)
        };
    }
    not_a_ledger(path, error)
}

/// Opens an existing ledger file. An empty one is refused: the store would fill it as if it were new.
fn open_file(path: &Path) -> Result<File, OpenError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io_error(path, "open it"))?;
    let metadata = file.metadata().map_err(io_error(path, "look at it"))?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Err(not_a_ledger(path, "not a file, or empty"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(OpenError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(file)
}

/// Makes the file under a name of this process and gives it its own name when it is whole and synced.
/// `false` where another agent was faster: then its file is opened, or found to be in use.
fn create(path: &Path, config: &LedgerConfig) -> Result<bool, OpenError> {
    let temporary = config.beside(&format!("new.{}", std::process::id()));
    match fs::remove_file(&temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error(&temporary, "remove it")(error)),
    }
    let made = fill(&temporary, config).and_then(|()| {
        // Unlike a rename, a link never replaces a ledger that is already there.
        match fs::hard_link(&temporary, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(io_error(path, "name it")(error)),
        }
    });
    let removed = fs::remove_file(&temporary).map_err(io_error(&temporary, "remove it"));
    let created = made?;
    removed?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error(folder, "sync the folder"))?;
    Ok(created)
}

fn fill(temporary: &Path, config: &LedgerConfig) -> Result<(), OpenError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(temporary)
        .map_err(io_error(temporary, "make it"))?;
    // Whatever the umask took away or left.
    file.set_permissions(Permissions::from_mode(MODE))
        .map_err(io_error(temporary, "set its mode"))?;
    let synced = file
        .try_clone()
        .map_err(io_error(temporary, "clone handle"))?;
    let backend = FileBackend::new(file).map_err(|error| database_error(temporary, error))?;
    let database = Database::builder()
        .set_cache_size(config.cache_bytes)
        .create_with_backend(backend)
        .map_err(|error| database_error(temporary, error))?;
    initialise(&database).map_err(|why| not_a_ledger(temporary, why))?;
    database
        .close()
        .map_err(|error| database_error(temporary, error))?;
    synced.sync_all().map_err(io_error(temporary, "sync it"))
}

/// Writes what makes an empty store a ledger.
pub(super) fn initialise(database: &Database) -> Result<(), String> {
    let txn = begin(database)?;
    {
        let mut table = txn.open_table(TABLE).map_err(|error| error.to_string())?;
        for (key, value) in [(keys::SCHEMA, SCHEMA_VERSION), (keys::EPOCH, 0)] {
            table
                .insert(key, value.to_be_bytes().as_slice())
                .map_err(|error| error.to_string())?;
        }
        table
            .insert(keys::HEAD, Head::START.encode().as_slice())
            .map_err(|error| error.to_string())?;
    }
    txn.commit().map_err(|error| error.to_string())
}

/// Refuses what another program wrote, before anything is changed.
pub(super) fn check_schema(database: &impl ReadableDatabase, path: &Path) -> Result<(), OpenError> {
    let txn = database
        .begin_read()
        .map_err(|error| not_a_ledger(path, error))?;
    let table = match txn.open_table(TABLE) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => {
            return Err(not_a_ledger(path, "it belongs to another program"));
        }
        Err(error) => return Err(not_a_ledger(path, error)),
    };
    match store::read_counter(&table, keys::SCHEMA).map_err(|error| unreadable(path, &error))? {
        Some(SCHEMA_VERSION) => Ok(()),
        Some(found) => Err(OpenError::Schema {
            path: path.to_owned(),
            found,
        }),
        None => Err(not_a_ledger(path, "it has no schema version")),
    }
}

pub(super) fn unreadable(path: &Path, error: &ReadError) -> OpenError {
    not_a_ledger(path, error)
}

/// Counts this run, durably, before anything is answered in it.
fn raise_epoch(
    database: &Database,
    path: &Path,
) -> Result<(Epoch, Head, Arc<Revocations>), OpenError> {
    let txn = begin(database).map_err(|why| not_a_ledger(path, why))?;
    let raised = {
        let mut table = txn
            .open_table(TABLE)
            .map_err(|error| not_a_ledger(path, error))?;
        let last = store::read_counter(&table, keys::EPOCH)
            .map_err(|error| unreadable(path, &error))?
            .ok_or_else(|| not_a_ledger(path, "it has no epoch"))?;
        let epoch = last
            .checked_add(1)
            .ok_or_else(|| not_a_ledger(path, "its epoch is exhausted"))?;
        table
            .insert(keys::EPOCH, epoch.to_be_bytes().as_slice())
            .map_err(|error| not_a_ledger(path, error))?;
        let head = Head::read(&table).map_err(|error| unreadable(path, &error))?;
        let revocations = store::revocations(&table).map_err(|error| unreadable(path, &error))?;
        (Epoch(epoch), head, revocations)
    };
    txn.commit().map_err(|error| not_a_ledger(path, error))?;
    Ok(raised)
}
