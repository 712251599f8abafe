//! The SHA-256 of an executable: read off the runtime's threads, bounded, and kept per file
//! version.

use super::{KernelError, snapshot};
use crate::domain::evidence::ExecutableId;
use crate::domain::id::Digest;
use aws_lc_rs::digest::{Context, SHA256};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// `FUSE_SUPER_MAGIC`: such a file may read differently each time.
const FUSE_MAGIC: u32 = 0x6573_5546;

/// Bytes per read while hashing.
const READ_BYTES: usize = 256 * 1024;

/// Limits of [`Digests`].
#[derive(Clone, Copy, Debug)]
pub struct DigestLimits {
    /// `executable_bytes_max`: a larger executable has no digest. Default 512 MiB.
    pub executable_bytes_max: u64,
    /// `executable_digests_max`: how many file versions are remembered. Default 1024.
    pub entries_max: usize,
    /// `executable_readers_max`: how many files are read at once. Default 2.
    pub readers_max: usize,
}

impl Default for DigestLimits {
    fn default() -> Self {
        Self {
            executable_bytes_max: 512 * 1024 * 1024,
            entries_max: 1024,
            readers_max: 2,
        }
    }
}

/// Digests of executables, remembered per file version.
#[derive(Debug)]
pub struct Digests {
    limits: DigestLimits,
    known: Mutex<HashMap<ExecutableId, Digest>>,
    readers: Arc<Semaphore>,
}

impl Digests {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(limits: DigestLimits) -> Self {
        Self {
            limits,
            known: Mutex::default(),
            readers: Arc::new(Semaphore::new(limits.readers_max.max(1))),
        }
    }

    /// The SHA-256 of the executable that the pinned process runs, if that is `expected`.
    ///
    /// # Errors
    /// [`KernelError::OtherExecutable`] when it runs another one, [`KernelError::TooLarge`],
    /// [`KernelError::UserFileSystem`], [`KernelError::NotPermitted`] without
    /// `CAP_DAC_READ_SEARCH`, and the failures of the kernel.
    pub async fn of(
        &self,
        pidfd: &OwnedFd,
        pid: i32,
        expected: ExecutableId,
    ) -> Result<Digest, KernelError> {
        if let Some(digest) = self.remembered(&expected) {
            return Ok(digest);
        }
        let stopped =
            || KernelError::Failed("read an executable", std::io::ErrorKind::Other.into());
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let permit = permit.map_err(|_closed| stopped())?;
        if let Some(digest) = self.remembered(&expected) {
            return Ok(digest);
        }
        let pidfd = pidfd
            .try_clone()
            .map_err(|e| KernelError::Failed("dup a pidfd", e))?;
        let bytes_max = self.limits.executable_bytes_max;
        // The permit goes along: a caller that gives up does not make room for one more reader.
        let digest = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let file = snapshot::open_executable(pidfd.as_fd(), pid, &expected)?;
            hash(File::from(file), &expected, bytes_max)
        })
        .await
        .map_err(|_stopped| stopped())??;
        self.remember(expected, digest);
        Ok(digest)
    }

    fn remembered(&self, executable: &ExecutableId) -> Option<Digest> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(executable).copied()
    }

    fn remember(&self, executable: ExecutableId, digest: Digest) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.limits.entries_max {
            // Rare (an upgrade of every program on the node), and reading again is only slow.
            known.clear();
        }
        known.insert(executable, digest);
    }
}

fn hash(mut file: File, expected: &ExecutableId, bytes_max: u64) -> Result<Digest, KernelError> {
    let failed = |e| KernelError::Failed("read an executable", e);
    if expected.size > bytes_max {
        return Err(KernelError::TooLarge(expected.size));
    }
    let filesystem = rustix::fs::fstatfs(&file).map_err(|e| failed(e.into()))?;
    if u32::try_from(filesystem.f_type) == Ok(FUSE_MAGIC) {
        return Err(KernelError::UserFileSystem);
    }
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0_u8; READ_BYTES];
    let mut left = expected.size;
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        // A file that grows while it is read is another version.
        left = u64::try_from(read)
            .ok()
            .and_then(|read| left.checked_sub(read))
            .ok_or(KernelError::OtherExecutable)?;
        context.update(buffer.get(..read).unwrap_or_default());
    }
    if left != 0 || snapshot::identity(file.as_fd())? != *expected {
        return Err(KernelError::OtherExecutable);
    }
    let digest = context.finish();
    digest
        .as_ref()
        .try_into()
        .map(Digest)
        .map_err(|_length| KernelError::Malformed("digest"))
}
