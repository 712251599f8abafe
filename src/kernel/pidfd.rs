//! Pinning a process: pidfds, the peer of a socket, process keys, and the notice of exit.

use super::{KernelError, Snapshot, proc};
use crate::domain::evidence::{Image, ProcessKey};
use nix::errno::Errno as NixErrno;
use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// `PID_FS_MAGIC`: a pidfd of this file system has an inode of its own (Linux ≥ 6.9).
const PIDFS_MAGIC: u32 = 0x5049_4446;

/// The process at the other end of a Unix socket, as it was at `accept`.
#[derive(Debug)]
pub struct Pinned {
    /// Refers to the connecting process itself.
    pub pidfd: OwnedFd,
    /// The process instance.
    pub key: ProcessKey,
    /// User ID at `connect`.
    pub uid: u32,
    /// Group ID at `connect`.
    pub gid: u32,
    /// The program now; absent where the agent may not look.
    pub image: Option<Image>,
}

/// Pins the process that called `connect` on the other end of an accepted Unix socket.
///
/// # Errors
/// [`KernelError::KernelTooOld`] before Linux 6.5; [`KernelError::Gone`] when the process has
/// exited; [`KernelError::Invisible`] from a foreign PID namespace. No error is ever read as "do
/// without".
pub fn pin(socket: &impl AsFd) -> Result<Pinned, KernelError> {
    let pidfd = getsockopt(&socket.as_fd(), sockopt::PeerPidfd).map_err(peer_error)?;
    let peer = getsockopt(&socket.as_fd(), sockopt::PeerCredentials)
        .map_err(|e| KernelError::Failed("getsockopt(SO_PEERCRED)", e.into()))?;
    let pid = pid_of(pidfd.as_fd())?;
    if pid != peer.pid() {
        return Err(KernelError::Invisible);
    }
    let snapshot = Snapshot::take(pidfd.as_fd(), pid)?;
    Ok(Pinned {
        key: process_key(pidfd.as_fd(), pid, snapshot.start_ticks)?,
        pidfd,
        uid: peer.uid(),
        gid: peer.gid(),
        image: snapshot.image,
    })
}

/// Maps the errors of `getsockopt(SO_PEERPIDFD)`; all of them refuse.
fn peer_error(error: NixErrno) -> KernelError {
    if error == NixErrno::ENOPROTOOPT {
        KernelError::KernelTooOld
    } else if error == NixErrno::EINVAL || error == NixErrno::ESRCH || error == NixErrno::ENODATA {
        // Before about Linux 6.16 a peer that is already reaped gives EINVAL, later a stale pidfd.
        KernelError::Gone
    } else {
        KernelError::Failed("getsockopt(SO_PEERPIDFD)", error.into())
    }
}

/// Opens a pidfd by number. The number must be checked against something else afterwards.
///
/// # Errors
/// [`KernelError::Gone`] when no process has this number (a thread's number is none).
pub fn open(pid: i32) -> Result<OwnedFd, KernelError> {
    // `Pid` must not be made of a negative number.
    let pid = Some(pid)
        .filter(|pid| pid.is_positive())
        .and_then(Pid::from_raw)
        .ok_or(KernelError::Gone)?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|error| {
        if matches!(error, Errno::SRCH | Errno::NOENT | Errno::INVAL) {
            KernelError::Gone
        } else {
            KernelError::Failed("pidfd_open", error.into())
        }
    })
}

/// The number of a pinned process in our PID namespace, from `/proc/self/fdinfo`.
fn pid_of(pidfd: BorrowedFd<'_>) -> Result<i32, KernelError> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(path)
        .map_err(|e| KernelError::Failed("read /proc/self/fdinfo", e))?;
    let pid = proc::line(&text, "Pid")
        .and_then(|pid| pid.parse::<i32>().ok())
        .ok_or(KernelError::Malformed("fdinfo"))?;
    match pid {
        ..0 => Err(KernelError::Gone),
        0 => Err(KernelError::Invisible),
        1.. => Ok(pid),
    }
}

/// Whether the pinned process still runs. Any doubt is "no".
#[must_use]
pub fn is_alive(pidfd: BorrowedFd<'_>) -> bool {
    const AT_ONCE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    loop {
        match rustix::event::poll(&mut fds, Some(&AT_ONCE)) {
            Ok(0) => return true,
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return false,
        }
    }
}

/// The name of the pinned process until the machine reboots.
///
/// # Errors
/// [`KernelError::Failed`] or [`KernelError::Malformed`] when `/proc` or the pidfd cannot be read.
pub fn process_key(
    pidfd: BorrowedFd<'_>,
    pid: i32,
    start_ticks: u64,
) -> Result<ProcessKey, KernelError> {
    Ok(ProcessKey {
        boot_id: boot_id()?,
        pidfd_inode: pidfs_inode(pidfd)?.unwrap_or(0),
        pid,
        start_ticks,
    })
}

/// The inode of a pidfd, where the kernel gives each process one of its own.
pub(super) fn pidfs_inode(pidfd: BorrowedFd<'_>) -> Result<Option<u64>, KernelError> {
    let filesystem =
        rustix::fs::fstatfs(pidfd).map_err(|e| KernelError::Failed("fstatfs", e.into()))?;
    if u32::try_from(filesystem.f_type) != Ok(PIDFS_MAGIC) {
        return Ok(None);
    }
    rustix::fs::statx(pidfd, "", AtFlags::EMPTY_PATH, StatxFlags::INO)
        .map(|stat| Some(stat.stx_ino))
        .map_err(|e| KernelError::Failed("statx", e.into()))
}

/// `/proc/sys/kernel/random/boot_id`, which does not change while we run.
fn boot_id() -> Result<[u8; 16], KernelError> {
    static BOOT_ID: OnceLock<[u8; 16]> = OnceLock::new();
    if let Some(id) = BOOT_ID.get() {
        return Ok(*id);
    }
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_err(|e| KernelError::Failed("read boot_id", e))?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id = u128::from_str_radix(&digits, 16)
        .ok()
        .filter(|_| digits.len() == 32)
        .ok_or(KernelError::Malformed("boot_id"))?
        .to_be_bytes();
    Ok(*BOOT_ID.get_or_init(|| id))
}

/// Pins a process again by its key, for example after a restart of the agent.
///
/// `None` means for certain that this process is gone; an error means that nothing is known.
///
/// # Errors
/// [`KernelError::Failed`] and the like when the kernel did not answer.
pub fn reopen(key: &ProcessKey) -> Result<Option<OwnedFd>, KernelError> {
    if key.boot_id != boot_id()? {
        return Ok(None);
    }
    let found = open(key.pid).and_then(|pidfd| {
        let start_ticks = Snapshot::start_ticks(pidfd.as_fd(), key.pid)?;
        let same = process_key(pidfd.as_fd(), key.pid, start_ticks)? == *key;
        Ok(same.then_some(pidfd))
    });
    match found {
        Err(KernelError::Gone) => Ok(None),
        other => other,
    }
}

/// Completes when the pinned process has exited.
///
/// # Errors
/// [`KernelError::Failed`] when the descriptor cannot be watched (no descriptor left, for example);
/// says nothing about the process.
pub async fn exited(pidfd: BorrowedFd<'_>) -> Result<(), KernelError> {
    let failed = |e| KernelError::Failed("watch a pidfd", e);
    let own = pidfd.try_clone_to_owned().map_err(failed)?;
    // Never read from: a pidfd only tells readiness, which is all that is asked of the receiver.
    let receiver =
        tokio::net::unix::pipe::Receiver::from_owned_fd_unchecked(own).map_err(failed)?;
    receiver.readable().await.map_err(failed)
}
