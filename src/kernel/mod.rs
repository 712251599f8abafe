//! What Linux says about a process: pinning, snapshots, exit notices, and the agent's own
//! protection.
//!
//! A leaf room: names `domain` only, and `grpc`, `attest`, `app` and `client` may name it. The one
//! thing to know: a process number alone is never trusted. Everything is read while a pidfd is
//! held, and the pidfd is polled *after* the reading; still alive then means that the number was
//! never another process's meanwhile.

mod digest;
mod file;
mod host;
mod pidfd;
mod proc;
mod snapshot;

pub use digest::{DigestLimits, Digests};
pub use file::read_text;
pub use host::{Hardened, Need, NodeWants, harden, harden_but_readable, self_test};
pub use pidfd::{Pinned, exited, is_alive, open, pin, process_key, reopen};
pub use snapshot::Snapshot;

use std::io;

/// Why the kernel did not say what was asked. Every variant means "refuse".
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The process has exited, or its number belongs to another one by now.
    #[error("the process has exited")]
    Gone,
    /// The peer lives where its process number means nothing here.
    #[error("the process is not visible in this PID namespace")]
    Invisible,
    /// `getsockopt(SO_PEERPIDFD)` is unknown.
    #[error("the kernel has no SO_PEERPIDFD, Linux 6.5 or later is needed")]
    KernelTooOld,
    /// A file has an unexpected form.
    #[error("`{0}` has an unexpected form")]
    Malformed(&'static str),
    /// Not permitted to look at another user's process, or at its executable.
    #[error("not permitted: {0}")]
    NotPermitted(&'static str),
    /// A call failed for another reason.
    #[error("{0} failed")]
    Failed(&'static str, #[source] io::Error),
    /// An executable is larger than `executable_bytes_max`.
    #[error("the executable has {0} bytes, more than the configured limit")]
    TooLarge(u64),
    /// The executable's file system answers as a user process likes.
    #[error("the executable is on a file system in user space")]
    UserFileSystem,
    /// The process runs another executable than the one that was asked about.
    #[error("the process runs another executable by now")]
    OtherExecutable,
}

impl KernelError {
    /// Maps an error of a call about a process: gone, not permitted, or failed.
    fn of_process(call: &'static str, error: io::Error) -> Self {
        use rustix::io::Errno;
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::SRCH) => Self::Gone,
            Some(Errno::ACCESS | Errno::PERM) => Self::NotPermitted(call),
            Some(_) | None => Self::Failed(call, error),
        }
    }
}
