//! Room on the disk: a reserve file, a size that the ledger may reach, and the backend that knows both.
//!
//! The reserve is what lets a cancel be recorded on a full disk. It is given up at the first write
//! that finds no space, so that the commit under way still succeeds, and taken again when there is
//! room. From then until that moment only what ends tasks or takes authority back is written.

use redb::{BackendError, StorageBackend};
use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Bound;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// `st_blocks` counts in these, whatever the file system's block size is.
const BLOCK: u64 = 512;
/// Freed pages stay in the file. Once the file has its full size, new rows are welcome again when
/// the live ones take less than this part of it, for then there are free pages for them.
const LIVE_PART: u64 = 4;

/// What may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    /// Everything.
    Free,
    /// What ends tasks or takes authority back, removals, and notes.
    Reserved,
    /// What ends tasks or takes authority back, and removals.
    Last,
}

/// The size limits and the reserve.
pub(super) struct Space {
    ledger: File,
    reserve: Option<File>,
    reserve_bytes: u64,
    max_bytes: u64,
    /// The reserve was given up.
    spent: AtomicBool,
    room: AtomicU8,
    disk_free: Box<dyn Fn() -> io::Result<u64> + Send + Sync>,
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space")
            .field("spent", &self.spent)
            .field("room", &self.room())
            .finish_non_exhaustive()
    }
}

impl Space {
    /// Opens the reserve beside the ledger and fills it as far as the disk allows.
    ///
    /// # Errors
    /// Anything but a full disk.
    pub(super) fn open(
        ledger: File,
        reserve: &Path,
        reserve_bytes: u64,
        max_bytes: u64,
    ) -> io::Result<Self> {
        let reserve = if reserve_bytes == 0 {
            None
        } else {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(reserve)?;
            Some(file)
        };
        let statistics = ledger.try_clone()?;
        let space = Self {
            ledger,
            reserve,
            reserve_bytes,
            max_bytes,
            spent: AtomicBool::new(false),
            room: AtomicU8::new(0),
            disk_free: Box::new(move || {
                let disk = fstatvfs(&statistics)?;
                Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
            }),
        };
        let filled = space.fill()?;
        space.spent.store(!filled, Ordering::SeqCst);
        Ok(space)
    }

    /// Replaces the measure of free disk space.
    #[cfg(test)]
    pub(super) fn with_disk_free(
        mut self,
        disk_free: impl Fn() -> io::Result<u64> + Send + Sync + 'static,
    ) -> Self {
        self.disk_free = Box::new(disk_free);
        self
    }

    /// What [`Space::assess`] last found.
    pub(super) fn room(&self) -> Room {
        match self.room.load(Ordering::SeqCst) {
            0 => Room::Free,
            1 => Room::Reserved,
            _ => Room::Last,
        }
    }

    /// Bytes that the ledger takes on the disk.
    ///
    /// # Errors
    /// The file cannot be looked at.
    pub(super) fn disk_bytes(&self) -> io::Result<u64> {
        Ok(self.ledger.metadata()?.blocks().saturating_mul(BLOCK))
    }

    /// Looks at the disk before a commit; `live_bytes` is what the rows take.
    ///
    /// # Errors
    /// File or file system cannot be looked at.
    pub(super) fn assess(&self, live_bytes: u64) -> io::Result<Room> {
        let room = self.by_size(live_bytes)?.max(self.by_disk()?);
        let number = match room {
            Room::Free => 0,
            Room::Reserved => 1,
            Room::Last => 2,
        };
        self.room.store(number, Ordering::SeqCst);
        Ok(room)
    }

    fn by_size(&self, live_bytes: u64) -> io::Result<Room> {
        let bytes = self.disk_bytes()?;
        if bytes < self.max_bytes || live_bytes < self.max_bytes.div_euclid(LIVE_PART) {
            return Ok(Room::Free);
        }
        let last = self.max_bytes.saturating_add(self.half_reserve());
        Ok(if bytes < last {
            Room::Reserved
        } else {
            Room::Last
        })
    }

    fn by_disk(&self) -> io::Result<Room> {
        if !self.spent.load(Ordering::SeqCst) {
            return Ok(Room::Free);
        }
        let free = (self.disk_free)()?;
        if free >= self.reserve_bytes.saturating_mul(2) && self.fill()? {
            self.spent.store(false, Ordering::SeqCst);
            return Ok(Room::Free);
        }
        Ok(if free < self.half_reserve() {
            Room::Last
        } else {
            Room::Reserved
        })
    }

    fn half_reserve(&self) -> u64 {
        self.reserve_bytes.div_euclid(2)
    }

    /// Fills the reserve; `false` where the disk has no room for it.
    fn fill(&self) -> io::Result<bool> {
        let Some(reserve) = &self.reserve else {
            return Ok(true);
        };
        let filled = match fallocate(reserve, FallocateFlags::empty(), 0, self.reserve_bytes) {
            Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(reserve, self.reserve_bytes),
            other => other.map_err(io::Error::from),
        };
        match filled.and_then(|()| reserve.sync_all()) {
            Ok(()) => Ok(true),
            Err(error) if is_full(&error) => {
                reserve.set_len(0)?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the reserve up; `false` where that was done before.
    fn spend(&self) -> io::Result<bool> {
        let Some(reserve) = &self.reserve else {
            return Ok(false);
        };
        if self.spent.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        reserve.set_len(0)?;
        // Some file systems hand freed blocks out again only after a sync.
        reserve.sync_all()?;
        Ok(true)
    }
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    let have = file.metadata()?.len();
    io::Seek::seek(&mut file, io::SeekFrom::Start(have))?;
    io::copy(
        &mut io::Read::take(io::repeat(0), bytes.saturating_sub(have)),
        &mut file,
    )?;
    file.flush()
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A backend that gives up the reserve where a write finds no space, and writes again.
#[derive(Debug)]
pub(super) struct Spacious<B> {
    inner: B,
    space: Arc<Space>,
}

impl<B: StorageBackend> Spacious<B> {
    pub(super) fn new(inner: B, space: Arc<Space>) -> Self {
        Self { inner, space }
    }

    fn with_reserve(&self, write: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match write() {
            Err(error) if is_full(&error) && self.space.spend()? => write(),
            other => other,
        }
    }
}

impl<B: StorageBackend> StorageBackend for Spacious<B> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with_reserve(|| self.inner.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with_reserve(|| self.inner.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
