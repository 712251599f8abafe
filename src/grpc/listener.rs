//! The Unix socket: bound with care, or taken over from the service manager.
//!
//! A live socket is never unlinked, nor replaced by a second agent: a lock file beside the socket
//! is held as long as the listener lives, and a socket that answers is left alone.

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind as bind_socket, connect, getsockopt,
    listen, setsockopt, socket, sockopt,
};
use rustix::fs::{FlockOperation, Gid, Mode, OFlags};
use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// `sun_path` has 108 bytes, one of them for the terminating NUL.
const PATH_BYTES_MAX: usize = 107;
const WORLD_WRITABLE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct UnixSocket {
    /// Absolute path of the socket.
    pub path: PathBuf,
    /// Mode of the folder if it has to be made, for example `0o750`. An existing folder is left as
    /// it is.
    pub directory_mode: u32,
    /// Mode of the socket, for example `0o660`.
    pub mode: u32,
    /// Group of the socket; the process's own if absent.
    pub group: Option<u32>,
    /// Connections that may wait to be accepted.
    pub backlog: i32,
}

/// Why a Unix socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Relative paths depend on where the process was started.
    #[error("the socket path `{0}` is not absolute")]
    Relative(PathBuf),
    /// The kernel takes at most 107 bytes.
    #[error("the socket path `{0}` is longer than 107 bytes")]
    TooLong(PathBuf),
    /// Anybody could put a socket of his own in its place.
    #[error("the folder `{0}` is writable by everybody and has no sticky bit")]
    WorldWritable(PathBuf),
    /// The path exists and is not a socket.
    #[error("`{0}` exists and is not a socket")]
    NotASocket(PathBuf),
    /// Another process listens there, or may.
    #[error("another process listens on `{0}`")]
    InUse(PathBuf),
    /// Without per-read credentials a forked child could speak on its parent's connection.
    #[error("the inherited socket lacks SO_PASSCRED, set PassCredentials=yes in the socket unit")]
    NoPassCredentials,
    /// The inherited descriptor is not what a socket unit passes.
    #[error("the inherited descriptor is not a listening Unix stream socket")]
    NotListening,
    /// A call failed.
    #[error("cannot {0}")]
    Failed(&'static str, #[source] io::Error),
}

/// A listening Unix socket whose connections carry credentials with every read.
#[derive(Debug)]
pub struct PinnedListener {
    pub(super) listener: UnixListener,
    _lock: Option<File>,
}

impl PinnedListener {
    /// Binds and listens. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn bind(at: &UnixSocket) -> Result<Self, ListenError> {
        let directory = check_path(&at.path)?;
        make_directory(directory, at.directory_mode)?;
        check_directories(directory)?;
        let lock = lock(&at.path)?;
        remove_stale(&at.path)?;
        let fd = new_socket()?;
        let address = UnixAddr::new(&at.path).map_err(failed("name the socket"))?;
        setsockopt(&fd, sockopt::PassCred, &true).map_err(failed("set SO_PASSCRED"))?;
        bind_socket(fd.as_raw_fd(), &address).map_err(failed("bind the socket"))?;
        // Nobody can connect before `listen`: until then the mode may be anything.
        set_access(at)?;
        let backlog = Backlog::new(at.backlog).map_err(failed("use this backlog"))?;
        listen(&fd, backlog).map_err(failed("listen on the socket"))?;
        Self::from_fd(fd, Some(lock))
    }

    /// Takes over a socket that the service manager listens on. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`ListenError::NotListening`], [`ListenError::NoPassCredentials`] or
    /// [`ListenError::Failed`].
    pub fn adopt(fd: OwnedFd) -> Result<Self, ListenError> {
        let stream = getsockopt(&fd, sockopt::SockType).is_ok_and(|kind| kind == SockType::Stream);
        let listening = getsockopt(&fd, sockopt::AcceptConn).unwrap_or(false);
        let unix = rustix::net::sockopt::socket_domain(&fd) == Ok(rustix::net::AddressFamily::UNIX);
        if !(stream && listening && unix) {
            return Err(ListenError::NotListening);
        }
        if !getsockopt(&fd, sockopt::PassCred).unwrap_or(false) {
            return Err(ListenError::NoPassCredentials);
        }
        Self::from_fd(fd, None)
    }

    fn from_fd(fd: OwnedFd, lock: Option<File>) -> Result<Self, ListenError> {
        let listener = std::os::unix::net::UnixListener::from(fd);
        let failed = |e| ListenError::Failed("watch the socket", e);
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            listener: UnixListener::from_std(listener).map_err(failed)?,
            _lock: lock,
        })
    }
}

fn failed<E: Into<io::Error>>(call: &'static str) -> impl Fn(E) -> ListenError {
    move |error| ListenError::Failed(call, error.into())
}

fn check_path(path: &Path) -> Result<&Path, ListenError> {
    if !path.is_absolute() {
        return Err(ListenError::Relative(path.to_owned()));
    }
    if path.as_os_str().as_bytes().len() > PATH_BYTES_MAX {
        return Err(ListenError::TooLong(path.to_owned()));
    }
    path.parent()
        .ok_or_else(|| ListenError::NotASocket(path.to_owned()))
}

fn make_directory(directory: &Path, mode: u32) -> Result<(), ListenError> {
    match DirBuilder::new().mode(mode).create(directory) {
        // The umask may have taken bits away.
        Ok(()) => std::fs::set_permissions(directory, PermissionsExt::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(|e| ListenError::Failed("make the socket's folder", e))
}

/// Looks at the folder and at all above it: who can rename one of them can replace the socket.
fn check_directories(directory: &Path) -> Result<(), ListenError> {
    let real = directory
        .canonicalize()
        .map_err(|e| ListenError::Failed("resolve the socket's folder", e))?;
    for folder in real.ancestors() {
        let mode = std::fs::metadata(folder)
            .map_err(|e| ListenError::Failed("look at the socket's folder", e))?
            .mode();
        if mode & WORLD_WRITABLE != 0 && mode & STICKY == 0 {
            return Err(ListenError::WorldWritable(folder.to_owned()));
        }
    }
    Ok(())
}

/// Two agents that start at once must not both take a stale socket for theirs to remove.
fn lock(path: &Path) -> Result<File, ListenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::open(PathBuf::from(name), flags, Mode::RUSR | Mode::WUSR)
        .map_err(|e| ListenError::Failed("open the socket's lock file", e.into()))?;
    match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(File::from(fd)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(ListenError::InUse(path.to_owned())),
        Err(error) => Err(ListenError::Failed("lock the socket", error.into())),
    }
}

fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let metadata: Metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ListenError::Failed("look at the socket", error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.to_owned()));
    }
    let probe = new_socket()?;
    let address = UnixAddr::new(path).map_err(failed("name the socket"))?;
    // Only this one answer says that nobody listens; a full backlog, for example, says the
    // opposite.
    match connect(probe.as_raw_fd(), &address) {
        Err(nix::errno::Errno::ECONNREFUSED) => {}
        Ok(()) | Err(_) => return Err(ListenError::InUse(path.to_owned())),
    }
    std::fs::remove_file(path).map_err(|e| ListenError::Failed("remove a stale socket", e))
}

fn set_access(at: &UnixSocket) -> Result<(), ListenError> {
    if let Some(group) = at.group {
        rustix::fs::chown(&at.path, None, Some(Gid::from_raw(group)))
            .map_err(|e| ListenError::Failed("give the socket to its group", e.into()))?;
    }
    std::fs::set_permissions(&at.path, PermissionsExt::from_mode(at.mode))
        .map_err(|e| ListenError::Failed("set the socket's mode", e))
}

fn new_socket() -> Result<OwnedFd, ListenError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed("make a socket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: PathBuf) -> UnixSocket {
        UnixSocket {
            path,
            directory_mode: 0o750,
            mode: 0o660,
            group: None,
            backlog: 16,
        }
    }

    #[tokio::test]
    async fn folder_and_socket_get_their_modes() {
        let root = tempfile::tempdir().unwrap();
        let socket = at(root.path().join("run/agent.sock"));
        let _listener = PinnedListener::bind(&socket).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&socket.path), 0o660);
        assert_eq!(mode(socket.path.parent().unwrap()), 0o750);
    }

    #[tokio::test]
    async fn a_live_socket_is_left_alone_and_a_stale_one_replaced() {
        let root = tempfile::tempdir().unwrap();
        let socket = at(root.path().join("agent.sock"));
        let first = PinnedListener::bind(&socket).unwrap();
        assert!(matches!(
            PinnedListener::bind(&socket),
            Err(ListenError::InUse(_))
        ));
        drop(first);
        PinnedListener::bind(&socket).unwrap();

        // A foreign listener holds no lock file of ours, but it answers.
        let foreign = at(root.path().join("foreign.sock"));
        let live = std::os::unix::net::UnixListener::bind(&foreign.path).unwrap();
        assert!(matches!(
            PinnedListener::bind(&foreign),
            Err(ListenError::InUse(_))
        ));
        drop(live);
        PinnedListener::bind(&foreign).unwrap();
    }

    #[tokio::test]
    async fn what_is_no_socket_is_never_removed() {
        let root = tempfile::tempdir().unwrap();
        let socket = at(root.path().join("precious"));
        std::fs::write(&socket.path, "data").unwrap();
        assert!(matches!(
            PinnedListener::bind(&socket),
            Err(ListenError::NotASocket(_))
        ));
        assert_eq!(std::fs::read(&socket.path).unwrap(), b"data");
    }

    #[tokio::test]
    async fn unsafe_places_are_refused() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(
            PinnedListener::bind(&at(PathBuf::from("agent.sock"))),
            Err(ListenError::Relative(_))
        ));
        let open = root.path().join("open");
        std::fs::create_dir(&open).unwrap();
        let mode = |bits| std::fs::set_permissions(&open, PermissionsExt::from_mode(bits)).unwrap();
        mode(0o777);
        assert!(matches!(
            PinnedListener::bind(&at(open.join("s"))),
            Err(ListenError::WorldWritable(_))
        ));
        assert!(matches!(
            PinnedListener::bind(&at(open.join("below/s"))),
            Err(ListenError::WorldWritable(_))
        ));
        mode(0o1777);
        PinnedListener::bind(&at(open.join("s"))).unwrap();
    }

    #[tokio::test]
    async fn the_path_has_at_most_107_bytes() {
        let root = tempfile::tempdir().unwrap();
        let fill = |length: usize| {
            let base = root.path().as_os_str().len() + 1;
            at(root.path().join("s".repeat(length - base)))
        };
        assert!(matches!(
            PinnedListener::bind(&fill(108)),
            Err(ListenError::TooLong(_))
        ));
        PinnedListener::bind(&fill(107)).unwrap();
    }

    #[tokio::test]
    async fn an_inherited_socket_must_pass_credentials() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s");
        let inherited = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let fd = || OwnedFd::from(inherited.try_clone().unwrap());
        assert!(matches!(
            PinnedListener::adopt(fd()),
            Err(ListenError::NoPassCredentials)
        ));
        setsockopt(&inherited, sockopt::PassCred, &true).unwrap();
        PinnedListener::adopt(fd()).unwrap();

        let connected = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(matches!(
            PinnedListener::adopt(connected.into()),
            Err(ListenError::NotListening)
        ));
    }
}
