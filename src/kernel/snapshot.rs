//! One consistent look at a pinned process.

use super::{KernelError, is_alive, proc};
use crate::domain::evidence::{ExecutableId, Image};
use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the kernel says about a process, read while its pidfd was held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// Effective user ID.
    pub uid: u32,
    /// Effective group ID.
    pub gid: u32,
    /// Whole cgroup path; absent for `/`.
    pub cgroup: Option<String>,
    /// Field 22 of `stat`, in clock ticks since boot.
    pub start_ticks: u64,
    /// The program; absent where the agent may not look.
    pub image: Option<Image>,
    /// Another process traces this one.
    pub traced: bool,
}

impl Snapshot {
    /// Reads everything through one held directory, then makes sure that the process still lives.
    ///
    /// # Errors
    /// [`KernelError::Gone`] when the process exited before the reading was over; others when
    /// `/proc` did not answer.
    pub fn take(pidfd: BorrowedFd<'_>, pid: i32) -> Result<Self, KernelError> {
        let directory = open_of(pidfd, pid)?;
        let directory = directory.as_fd();
        let status = proc::read(directory, "status")?;
        let stat = proc::read(directory, "stat")?;
        let stack_start = proc::stack_start(&stat)?;
        let tracer = proc::line(&status, "TracerPid").ok_or(KernelError::Malformed("status"))?;
        let snapshot = Self {
            uid: proc::effective_id(&status, "Uid")?,
            gid: proc::effective_id(&status, "Gid")?,
            cgroup: proc::cgroup_path(&proc::read(directory, "cgroup")?),
            start_ticks: proc::start_ticks(&stat)?,
            image: executable(directory)?.map(|executable| Image {
                executable,
                stack_start,
            }),
            traced: tracer != "0",
        };
        still(pidfd, snapshot)
    }

    /// Reads the start time alone.
    ///
    /// # Errors
    /// As [`Snapshot::take`].
    pub(super) fn start_ticks(pidfd: BorrowedFd<'_>, pid: i32) -> Result<u64, KernelError> {
        let directory = open_of(pidfd, pid)?;
        let ticks = proc::start_ticks(&proc::read(directory.as_fd(), "stat")?)?;
        still(pidfd, ticks)
    }

    /// The path of the executable, for hints to people: it decides nothing. Absent where it cannot
    /// be read.
    #[must_use]
    pub fn executable_path(pidfd: BorrowedFd<'_>, pid: i32) -> Option<String> {
        let directory = open_of(pidfd, pid).ok()?;
        let path = rustix::fs::readlinkat(&directory, "exe", Vec::new()).ok()?;
        still(pidfd, path.to_string_lossy().into_owned()).ok()
    }

    /// Whether this is the same program under the same identity as `earlier`. Tracing may come and
    /// go.
    #[must_use]
    pub fn is_same_as(&self, earlier: &Self) -> bool {
        let Self {
            uid,
            gid,
            cgroup,
            start_ticks,
            image,
            traced: _,
        } = self;
        *uid == earlier.uid
            && *gid == earlier.gid
            && *cgroup == earlier.cgroup
            && *start_ticks == earlier.start_ticks
            && *image == earlier.image
    }
}

/// Opens the executable's bytes and makes sure that they are the ones of `expected`.
pub(super) fn open_executable(
    pidfd: BorrowedFd<'_>,
    pid: i32,
    expected: &ExecutableId,
) -> Result<OwnedFd, KernelError> {
    let directory = open_of(pidfd, pid)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(&directory, "exe", flags, Mode::empty())
        .map_err(|e| KernelError::of_process("open /proc/<pid>/exe", e.into()))?;
    if identity(file.as_fd())? != *expected {
        return Err(KernelError::OtherExecutable);
    }
    still(pidfd, file)
}

/// The identity of an open file.
pub(super) fn identity(file: BorrowedFd<'_>) -> Result<ExecutableId, KernelError> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    rustix::fs::statx(file, "", flags, StatxFlags::BASIC_STATS)
        .map(|stat| from_stat(&stat))
        .map_err(|e| KernelError::Failed("statx of an executable", e.into()))
}

fn executable(directory: BorrowedFd<'_>) -> Result<Option<ExecutableId>, KernelError> {
    // `DONT_SYNC`: a file system in user space or over the network must not hold up this thread.
    let flags = AtFlags::STATX_DONT_SYNC;
    match rustix::fs::statx(directory, "exe", flags, StatxFlags::BASIC_STATS) {
        Ok(stat) => Ok(Some(from_stat(&stat))),
        Err(Errno::ACCESS | Errno::PERM) => Ok(None),
        Err(error) => Err(KernelError::of_process(
            "stat /proc/<pid>/exe",
            error.into(),
        )),
    }
}

fn from_stat(stat: &Statx) -> ExecutableId {
    ExecutableId {
        device: (stat.stx_dev_major, stat.stx_dev_minor),
        inode: stat.stx_ino,
        size: stat.stx_size,
        modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
    }
}

/// The directory of the pinned process: alive after the opening means that it is not a successor's.
fn open_of(pidfd: BorrowedFd<'_>, pid: i32) -> Result<OwnedFd, KernelError> {
    let directory = proc::open_directory(pid)?;
    still(pidfd, directory)
}

fn still<T>(pidfd: BorrowedFd<'_>, value: T) -> Result<T, KernelError> {
    if is_alive(pidfd) {
        Ok(value)
    } else {
        Err(KernelError::Gone)
    }
}
