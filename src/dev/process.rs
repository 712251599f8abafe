//! What the kernel says about a process, read while a pidfd proves that it is still the same one.

use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// A process that cannot be confused with a later one of the same number.
#[derive(Debug)]
pub(super) struct Pinned {
    pidfd: OwnedFd,
    pid: i32,
}

/// What selectors can ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) executable: Option<PathBuf>,
}

impl Pinned {
    /// The process that connected to a Unix socket.
    pub(super) fn peer(stream: &impl AsFd) -> io::Result<Self> {
        let pidfd = getsockopt(stream, sockopt::PeerPidfd)?;
        let pid = getsockopt(stream, sockopt::PeerCredentials)?.pid();
        if pid <= 0 {
            return Err(io::Error::other("the peer is in another PID namespace"));
        }
        Ok(Self { pidfd, pid })
    }

    /// The process that has this number now.
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        // Checked before: rustix panics on a negative number.
        let number = (pid > 0)
            .then_some(pid)
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = pidfd_open(number, PidfdFlags::empty())?;
        Ok(Self { pidfd, pid })
    }

    /// Reads `/proc`, and then makes sure that the process lived on meanwhile: only then was it
    /// this process.
    pub(super) fn facts(&self) -> io::Result<Facts> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let executable = std::fs::read_link(format!("/proc/{}/exe", self.pid)).ok();
        let facts = Facts {
            uid: effective(&status, "Uid:")?,
            gid: effective(&status, "Gid:")?,
            executable,
        };
        if self.has_exited()? {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(facts)
    }

    fn has_exited(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        Ok(poll(&mut fds, Some(&at_once))? > 0)
    }
}

/// The second number of a line `Uid: real effective saved filesystem`.
fn effective(status: &str, label: &str) -> io::Result<u32> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(label))
        .and_then(|ids| ids.split_whitespace().nth(1))
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn an_exited_process_has_no_facts_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let pinned = Pinned::open(child.id().try_into().unwrap()).unwrap();
        let facts = pinned.facts().unwrap();
        assert_eq!(facts.uid, rustix::process::geteuid().as_raw());
        assert!(facts.executable.is_some());

        child.kill().unwrap();
        let deadline = Instant::now().checked_add(Duration::from_secs(30)).unwrap();
        while pinned.facts().is_ok() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(pinned.facts().is_err());
    }

    #[test]
    fn only_positive_numbers_name_a_process() {
        for pid in [0, -1, i32::MIN] {
            assert!(Pinned::open(pid).is_err(), "{pid}");
        }
    }
}
