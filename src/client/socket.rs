//! Is the process behind the socket the agent? Asked before a byte is sent.
//!
//! Names nothing of the project. The kernel authenticates the agent to us as it does us to the agent: by who
//! may have put the socket there, and by who answers. Whoever binds the path before the agent does is
//! refused (A58).

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

const WRITE_FOR_GROUP_AND_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// Why the socket is not trusted to be the agent's.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nobody listens, or the socket does not exist.
    #[error("cannot connect to the agent at `{}`", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Somebody else than the expected user owns the folder, or a folder or link on the way to it.
    #[error(
        "`{}` belongs to user {owner}, not to {}: if that user runs the agent, name it as expected",
        path.display(), users(expected)
    )]
    Owner {
        /// The folder or link.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who may own it.
        expected: BTreeSet<u32>,
    },
    /// Another user answers than the one that owns the folder.
    #[error(
        "user {answers} (pid {pid}) answers at `{}`, not {}: that is not the agent",
        path.display(), users(expected)
    )]
    Peer {
        /// The socket.
        path: PathBuf,
        /// Who answers.
        answers: u32,
        /// Its process, where the kernel tells.
        pid: i32,
        /// Who may answer.
        expected: BTreeSet<u32>,
    },
    /// The path is relative, has no folder, or is no socket.
    #[error("`{}` is not the absolute path of a socket", path.display())]
    Path {
        /// As given.
        path: PathBuf,
    },
    /// Others can replace what lies in the folder.
    #[error(
        "folder `{}` (mode {mode:04o}) can be written by others: whoever does could pose as the agent",
        folder.display()
    )]
    Writable {
        /// The folder.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A folder on the way cannot be looked at.
    #[error("cannot look at `{}`", path.display())]
    Stat {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Connects, and makes sure that it is the agent that answers.
///
/// `expected` are the users that may run the agent; empty means whoever owns the socket's folder.
pub(super) async fn connect(
    path: &Path,
    expected: &BTreeSet<u32>,
) -> Result<UnixStream, SocketError> {
    let may_answer = trusted_folder(path, expected)?;
    let stream = UnixStream::connect(path)
        .await
        .map_err(|source| SocketError::Connect {
            path: path.to_owned(),
            source,
        })?;
    check_peer(&stream, path, may_answer)?;
    Ok(stream)
}

/// Whoever listens must be one of those who may answer.
fn check_peer(
    stream: &UnixStream,
    path: &Path,
    may_answer: BTreeSet<u32>,
) -> Result<(), SocketError> {
    let peer = stream.peer_cred().map_err(|source| SocketError::Connect {
        path: path.to_owned(),
        source,
    })?;
    if may_answer.contains(&peer.uid()) {
        return Ok(());
    }
    Err(SocketError::Peer {
        path: path.to_owned(),
        answers: peer.uid(),
        pid: peer.pid().unwrap_or_default(),
        expected: may_answer,
    })
}

/// Who may answer at a socket: the owner of its folder, or root where the socket unit listens.
///
/// Trust is handed down from `/`. In a folder that only trusted users can write, whatever lies there was put
/// there by one of them, so its owner is trusted below it. In a folder that everybody can write (sticky, such
/// as `/tmp`) only what belongs to root, to ourselves or to an expected user counts.
fn trusted_folder(socket: &Path, expected: &BTreeSet<u32>) -> Result<BTreeSet<u32>, SocketError> {
    let not_a_socket = || SocketError::Path {
        path: socket.to_owned(),
    };
    let folder = socket
        .parent()
        .filter(|folder| folder.is_absolute())
        .ok_or_else(not_a_socket)?;
    // A link is judged by its own owner, and then what it leads to is judged like any other path.
    let resolved = folder.canonicalize().map_err(stat_error(folder))?;
    if resolved != folder {
        walk(folder, expected)?;
    }
    let owner = walk(&resolved, expected)?;
    let found = std::fs::symlink_metadata(socket).map_err(|source| SocketError::Connect {
        path: socket.to_owned(),
        source,
    })?;
    if !found.file_type().is_socket() {
        return Err(not_a_socket());
    }
    let mut may_answer = if expected.is_empty() {
        BTreeSet::from([owner])
    } else if expected.contains(&owner) || owner == ROOT {
        expected.clone()
    } else {
        return Err(SocketError::Owner {
            path: resolved,
            owner,
            expected: expected.clone(),
        });
    };
    may_answer.insert(ROOT);
    Ok(may_answer)
}

/// Walks from `/` down to a folder and gives its owner.
fn walk(folder: &Path, expected: &BTreeSet<u32>) -> Result<u32, SocketError> {
    let mut known = expected.clone();
    known.extend([ROOT, rustix::process::geteuid().as_raw()]);
    let mut trusted = known.clone();
    let mut everybody_can_write = false;
    let mut owner = ROOT;
    let mut folders: Vec<&Path> = folder.ancestors().collect();
    folders.reverse();
    for path in folders {
        let metadata = std::fs::symlink_metadata(path).map_err(stat_error(path))?;
        owner = metadata.uid();
        let placed_by_anybody = everybody_can_write || metadata.is_symlink();
        if placed_by_anybody && !trusted.contains(&owner) {
            return Err(SocketError::Owner {
                path: path.to_owned(),
                owner,
                expected: known,
            });
        }
        trusted.insert(owner);
        everybody_can_write = !metadata.is_symlink() && written_by_others(&metadata);
        let last = path == folder;
        if everybody_can_write && (last || metadata.mode() & STICKY == 0) {
            return Err(SocketError::Writable {
                folder: path.to_owned(),
                mode: metadata.mode() & 0o7777,
            });
        }
    }
    Ok(owner)
}

fn written_by_others(metadata: &Metadata) -> bool {
    metadata.mode() & WRITE_FOR_GROUP_AND_OTHERS != 0
}

fn stat_error(path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Stat { path, source }
}

fn users(expected: &BTreeSet<u32>) -> String {
    let users: Vec<String> = expected.iter().map(ToString::to_string).collect();
    users.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::{SocketError, check_peer, connect, trusted_folder};
    use std::collections::BTreeSet;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use tokio::net::{UnixListener, UnixStream};

    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
    }

    #[tokio::test]
    async fn a_socket_in_a_folder_of_ours_is_the_agents() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("agent.sock");
        let _listener = UnixListener::bind(&path).expect("bind");
        connect(&path, &BTreeSet::new()).await.expect("connect");
        connect(&path, &BTreeSet::from([own()]))
            .await
            .expect("expected");
    }

    #[tokio::test]
    async fn a58_a_folder_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("agent.sock");
        let _listener = UnixListener::bind(&path).expect("bind");
        connect(&path, &BTreeSet::new()).await.expect("control");
        for bits in [0o777, 0o770, 0o1777, 0o722] {
            mode(folder.path(), bits);
            let refused = connect(&path, &BTreeSet::new()).await;
            assert!(
                matches!(refused, Err(SocketError::Writable { .. })),
                "{bits:o}: {refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn a58_a_folder_above_that_others_can_write_is_refused() {
        let above = tempfile::tempdir().expect("folder");
        let folder = above.path().join("public");
        std::fs::create_dir(&folder).expect("mkdir");
        mode(&folder, 0o755);
        let path = folder.join("agent.sock");
        let _listener = UnixListener::bind(&path).expect("bind");
        connect(&path, &BTreeSet::new()).await.expect("control");
        mode(above.path(), 0o777);
        let refused = connect(&path, &BTreeSet::new()).await;
        assert!(matches!(refused, Err(SocketError::Writable { .. })));
    }

    #[tokio::test]
    async fn a58_another_user_than_the_expected_one_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("agent.sock");
        let _listener = UnixListener::bind(&path).expect("bind");
        let other = BTreeSet::from([own().wrapping_add(4321)]);
        match connect(&path, &other).await {
            // Root may always answer: the socket unit listens as root.
            Ok(_) => assert_eq!(own(), 0),
            Err(error) => assert!(matches!(error, SocketError::Owner { .. }), "{error}"),
        }
    }

    #[tokio::test]
    async fn a58_whoever_else_listens_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("agent.sock");
        let _listener = UnixListener::bind(&path).expect("bind");
        let stream = UnixStream::connect(&path).await.expect("connect");
        let check = |uid| check_peer(&stream, &path, BTreeSet::from([uid]));
        check(own()).expect("control");
        let refused = check(own().wrapping_add(1)).expect_err("another user");
        assert!(
            matches!(refused, SocketError::Peer { answers, .. } if answers == own()),
            "{refused}"
        );
    }

    #[test]
    fn what_is_no_socket_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("agent.sock");
        std::fs::write(&file, "").expect("file");
        for path in [file.as_path(), Path::new("agent.sock"), Path::new("/")] {
            let refused = trusted_folder(path, &BTreeSet::new());
            assert!(
                matches!(refused, Err(SocketError::Path { .. })),
                "{refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_missing_socket_is_named() {
        let path = Path::new("/nonexistent/agent.sock");
        let error = connect(path, &BTreeSet::new()).await.expect_err("missing");
        assert!(matches!(error, SocketError::Stat { .. }), "{error}");
    }
}
