//! What was learned about a caller, and what a role requires of one.
//!
//! Nothing here comes from the caller's own word: `attest` fills it from the kernel and from SPIRE.

use super::id::{Digest, Hex, SpiffeId};
use super::time::Time;
use std::collections::BTreeMap;
use std::fmt;

/// How strongly the caller was identified. Ordered from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Assurance {
    /// No SVID: an attested server vouches for an OAuth principal.
    Principal,
    /// mTLS with an X.509-SVID only; shared by every process of a registration entry.
    Svid,
    /// Kernel-pinned process plus SPIRE's answer for exactly that process.
    Process,
}

/// Names one process instance until the machine reboots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: [u8; 16],
    /// Inode of the process's pidfd (pidfs, Linux ≥ 6.9), unique until reboot; 0 where the kernel has none.
    pub pidfd_inode: u64,
    /// Process ID in the agent's PID namespace.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`, in clock ticks since boot.
    pub start_ticks: u64,
}

/// Names one version of one executable file on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExecutableId {
    /// Major and minor number of the device.
    pub device: (u32, u32),
    /// Inode on that device.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last modification: seconds and nanoseconds since the Unix epoch.
    pub modified: (i64, u32),
    /// Last status change: seconds and nanoseconds since the Unix epoch.
    pub changed: (i64, u32),
}

/// Names one start of a program within a process: every `exec` changes it.
///
/// Tells that a process runs another program than before. It is not evidence of *which* program that is.
/// Two are equal when file and start are: while a program runs its file cannot be written, and its inode
/// number cannot be another file's; but its status changes when an upgrade replaces it or a link to it goes.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// The file.
    pub executable: ExecutableId,
    /// Where the stack began, drawn at random by each `exec`: tells two starts of one file apart.
    pub stack_start: u64,
}

impl Image {
    fn key(&self) -> ((u32, u32), u64, u64) {
        (
            self.executable.device,
            self.executable.inode,
            self.stack_start,
        )
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Image {}

impl std::hash::Hash for Image {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// What the kernel and SPIRE said about a caller, at `attested_at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Every SPIFFE ID that SPIRE gives this process; never empty, sorted, no order of preference.
    pub spiffe_ids: Vec<SpiffeId>,
    /// How it was learned.
    pub assurance: Assurance,
    /// The pinned process; absent at `svid` assurance.
    pub process: Option<ProcessKey>,
    /// Effective user ID; absent at `svid` assurance.
    pub uid: Option<u32>,
    /// Whole path of the `0::` line of `/proc/<pid>/cgroup`, else of `name=systemd`; absent for `/`.
    pub cgroup: Option<String>,
    /// SHA-256 of the executable, where some role of the configuration asks for it.
    pub executable: Option<Digest>,
    /// The configured releases that this executable belongs to, by name.
    pub releases: Vec<String>,
    /// The process is being traced by another one.
    pub traced: bool,
    /// When SPIRE gave its answer.
    pub attested_at: Time,
}

/// Releases by name: the executables (SHA-256) that count as one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Releases(pub BTreeMap<String, Vec<Digest>>);

impl Releases {
    /// The names of the releases that this executable belongs to.
    #[must_use]
    pub fn of(&self, executable: Option<Digest>) -> Vec<String> {
        let holds = |digests: &&Vec<Digest>| executable.is_some_and(|it| digests.contains(&it));
        let named = self.0.iter().filter(|(_, digests)| holds(digests));
        named.map(|(name, _)| name.clone()).collect()
    }
}

/// What a role requires besides its SPIFFE ID. All fields present must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Required {
    /// Effective user ID.
    pub uid: Option<u32>,
    /// Whole cgroup path; a final `/*` admits exactly one more segment.
    pub cgroup: Option<String>,
    /// SHA-256 of the executable. Never enough alone.
    pub executable: Option<Digest>,
    /// A configured release that the executable must belong to: a list of digests under one name, so that a task
    /// outlives a deploy. Never enough alone.
    pub release: Option<String>,
    /// Exactly this process.
    pub process: Option<ProcessKey>,
}

/// Why evidence does not meet a requirement; for the operator only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mismatch {
    /// Another cgroup, or none.
    Cgroup,
    /// Another executable, or none known.
    Executable,
    /// Another process.
    Process,
    /// An executable of no such release, or none known.
    Release,
    /// The role demands nothing that could be checked; refused rather than passed.
    Unbounded,
    /// Another user ID.
    Uid,
}

/// What must be shown, in words.
impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            uid,
            cgroup,
            executable,
            release,
            process,
        } = self;
        let mut parts = Vec::new();
        parts.extend(uid.map(|uid| format!("uid {uid}")));
        parts.extend(cgroup.as_ref().map(|path| format!("cgroup {path}")));
        parts.extend(executable.map(|digest| format!("executable {}", Hex(&digest.0))));
        parts.extend(release.as_ref().map(|name| format!("release {name}")));
        parts.extend(process.map(|process| format!("pid {}", process.pid)));
        f.write_str(&parts.join(", "))
    }
}

impl Required {
    /// Whether this demands something an identical binary elsewhere would lack (A59).
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.uid.is_some() || self.cgroup.is_some() || self.process.is_some()
    }

    /// Checks evidence against this requirement.
    ///
    /// # Errors
    /// The first field that differs. A requirement that demands neither user, cgroup nor process never matches.
    pub fn matches(&self, evidence: &Evidence) -> Result<(), Mismatch> {
        if !self.is_bounded() {
            return Err(Mismatch::Unbounded);
        }
        if self.process.is_some() && self.process != evidence.process {
            return Err(Mismatch::Process);
        }
        if self.uid.is_some() && self.uid != evidence.uid {
            return Err(Mismatch::Uid);
        }
        if let Some(pattern) = &self.cgroup
            && !evidence
                .cgroup
                .as_deref()
                .is_some_and(|path| cgroup_matches(pattern, path))
        {
            return Err(Mismatch::Cgroup);
        }
        if self.executable.is_some() && self.executable != evidence.executable {
            return Err(Mismatch::Executable);
        }
        if let Some(name) = &self.release
            && !evidence.releases.contains(name)
        {
            return Err(Mismatch::Release);
        }
        Ok(())
    }
}

impl Required {
    /// Whether this demands a cgroup that the process of this evidence provably is not in.
    #[must_use]
    pub fn excludes_cgroup_of(&self, evidence: &Evidence) -> bool {
        match (&self.cgroup, &evidence.cgroup) {
            (Some(pattern), Some(path)) => !cgroup_matches(pattern, path),
            (None, _) | (_, None) => false,
        }
    }
}

/// Compares whole paths from the root, so that a delegated subtree named like the unit is another (A76).
fn cgroup_matches(pattern: &str, path: &str) -> bool {
    if path == "/" || path.is_empty() {
        return false;
    }
    match pattern.strip_suffix("/*") {
        Some(parent) => path
            .strip_prefix(parent)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|segment| !segment.is_empty() && !segment.contains('/')),
        None => path == pattern,
    }
}
