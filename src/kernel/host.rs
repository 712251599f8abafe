//! What the agent needs of its node, and how it protects its own memory.

use super::{KernelError, is_alive, open, pidfd, proc};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socketpair, sockopt};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use std::fmt;
use std::os::fd::AsFd;

const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SYS_PTRACE: u32 = 19;
/// `SO_PEERPIDFD`.
const KERNEL_MIN: (u32, u32) = (6, 5);
/// Descriptors that the agent needs besides one socket and one pidfd per connection.
const OWN_DESCRIPTORS: u64 = 256;

/// What the configuration asks of the node.
#[derive(Clone, Copy, Debug)]
pub struct NodeWants {
    /// Some role asks for the digest of an executable.
    pub executable_digests: bool,
    /// The most connections of each listener.
    pub connections_max: u64,
    /// The most legs that are up.
    pub legs_max: u64,
}

/// One need of the agent: what it has, what it wants, and how to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What is needed.
    pub name: &'static str,
    /// What the node has.
    pub have: String,
    /// What the agent wants.
    pub want: String,
    /// How to get it.
    pub how: &'static str,
    /// Whether `have` is enough.
    pub met: bool,
    /// Without it the agent does not serve; the others only weaken it.
    pub required: bool,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, have, want, ..
        } = self;
        match (self.met, self.required) {
            (true, _) => write!(f, "ok    {name}: {have}"),
            (false, true) => write!(f, "FAIL  {name}: have {have}, want {want}: {}", self.how),
            (false, false) => write!(f, "warn  {name}: have {have}, want {want}: {}", self.how),
        }
    }
}

/// Looks at the node as it is for this very process: run it under the unit's user and capabilities.
#[must_use]
pub fn self_test(wants: &NodeWants) -> Vec<Need> {
    let mut needs = vec![kernel(), peer_pidfd(), own_inode()];
    needs.push(capability(
        "CAP_SYS_PTRACE",
        CAP_SYS_PTRACE,
        "AmbientCapabilities=CAP_SYS_PTRACE in the unit, to read /proc/<pid>/exe of other users",
    ));
    if wants.executable_digests {
        needs.push(capability(
            "CAP_DAC_READ_SEARCH",
            CAP_DAC_READ_SEARCH,
            "AmbientCapabilities=CAP_DAC_READ_SEARCH in the unit, or no `executable_s256` evidence",
        ));
    }
    needs.push(limit(
        "core dumps",
        Resource::Core,
        |have| have == Some(0),
        "LimitCORE=0 in the unit",
    ));
    needs.push(limit(
        "locked memory",
        Resource::Memlock,
        |have| have.is_none(),
        "LimitMEMLOCK=infinity and MemorySwapMax=0 in the unit, to keep keys out of swap",
    ));
    needs.push(descriptors(wants.connections_max, wants.legs_max));
    needs
}

fn kernel() -> Need {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|n| n.parse::<u32>().ok());
    let version = number().zip(number());
    Need {
        name: "kernel",
        have: format!("Linux {}", release.trim()),
        want: format!("Linux {}.{} or later", KERNEL_MIN.0, KERNEL_MIN.1),
        how: "a newer kernel",
        met: version.is_some_and(|version| version >= KERNEL_MIN),
        required: true,
    }
}

fn peer_pidfd() -> Need {
    let works = || -> Result<bool, KernelError> {
        let failed = |e: nix::Error| KernelError::Failed("SO_PEERPIDFD", e.into());
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, _theirs) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, flags).map_err(failed)?;
        let peer = getsockopt(&ours, sockopt::PeerPidfd).map_err(failed)?;
        Ok(is_alive(peer.as_fd()))
    };
    let outcome = works();
    Need {
        name: "SO_PEERPIDFD",
        have: match &outcome {
            Ok(true) => "works".to_owned(),
            Ok(false) => "gives a dead process".to_owned(),
            Err(error) => error.to_string(),
        },
        want: "a pidfd of the peer".to_owned(),
        how: "Linux 6.5 or later, and a seccomp profile that lets getsockopt pass",
        met: matches!(outcome, Ok(true)),
        required: true,
    }
}

fn own_inode() -> Need {
    let inode = i32::try_from(std::process::id())
        .map_err(|_range| KernelError::Malformed("process ID"))
        .and_then(open)
        .and_then(|own| pidfd::pidfs_inode(own.as_fd()));
    let met = matches!(inode, Ok(Some(_)));
    Need {
        name: "process inodes",
        have: match inode {
            Ok(Some(_)) => "unique until reboot".to_owned(),
            Ok(None) => "none, start times are used".to_owned(),
            Err(error) => error.to_string(),
        },
        want: "unique until reboot".to_owned(),
        how: "Linux 6.9 or later",
        met,
        required: false,
    }
}

fn capability(name: &'static str, bit: u32, how: &'static str) -> Need {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = proc::line(&status, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let met = effective.is_some_and(|set| set.checked_shr(bit).unwrap_or(0) & 1 == 1);
    Need {
        name,
        have: if met { "effective" } else { "not effective" }.to_owned(),
        want: "effective".to_owned(),
        how,
        met,
        required: true,
    }
}

fn limit(
    name: &'static str,
    resource: Resource,
    enough: fn(Option<u64>) -> bool,
    how: &'static str,
) -> Need {
    let have = rustix::process::getrlimit(resource).current;
    Need {
        name,
        have: have.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{bytes} bytes")),
        want: if enough(None) { "unlimited" } else { "0 bytes" }.to_owned(),
        how,
        met: enough(have),
        required: false,
    }
}

fn descriptors(connections_max: u64, legs_max: u64) -> Need {
    // Three listeners; at the two local ones a connection holds a socket and a pidfd. A leg holds a pidfd, and the
    // watch over its process another.
    let want = connections_max
        .saturating_mul(5)
        .saturating_add(legs_max.saturating_mul(2))
        .saturating_add(OWN_DESCRIPTORS);
    let have = rustix::process::getrlimit(Resource::Nofile).current;
    Need {
        name: "file descriptors",
        have: have.map_or_else(|| "unlimited".to_owned(), |n| n.to_string()),
        want: want.to_string(),
        how: "LimitNOFILE= in the unit, or smaller `limits.connections` and `limits.legs`",
        met: have.is_none_or(|n| n >= want),
        required: false,
    }
}

/// What [`harden`] could do; each `false` is said at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardened {
    /// `RLIMIT_CORE` is 0 for good.
    pub core_limit_zero: bool,
    /// Same-user processes can neither trace us nor read our memory, and no core is dumped.
    pub not_dumpable: bool,
    /// No page of ours goes to swap.
    pub memory_locked: bool,
}

/// Keeps the agent's keys out of core dumps, of other processes of its user, and of swap.
///
/// Memory is locked only where `RLIMIT_MEMLOCK` is unlimited: under a limit a later allocation
/// would fail.
#[must_use]
pub fn harden() -> Hardened {
    Hardened {
        not_dumpable: rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok(),
        ..harden_but_readable()
    }
}

/// As [`harden`], but other processes of this user may still look at this one: a development provider
/// without capabilities must see its executable.
#[must_use]
pub fn harden_but_readable() -> Hardened {
    let no_core = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let unlimited = rustix::process::getrlimit(Resource::Memlock)
        .current
        .is_none();
    Hardened {
        core_limit_zero: rustix::process::setrlimit(Resource::Core, no_core).is_ok(),
        not_dumpable: false,
        memory_locked: unlimited
            && mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).is_ok(),
    }
}
