//! What the kernel room says about processes and about the node.

use crate::again;
use handfast::attest::KernelProcesses;
use handfast::kernel::{self, KernelError, NodeWants, Snapshot};
use handfast::service::ports::{AttestError, Processes as _};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn child() -> Child {
    // Ends when its standard input does.
    Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

#[test]
fn the_maker_of_a_socket_pair_is_its_peer() {
    let pair = socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::empty(),
    );
    let (ours, _theirs) = pair.unwrap();
    let pinned = kernel::pin(&ours).unwrap();
    assert_eq!(pinned.key.pid, i32::try_from(std::process::id()).unwrap());
    assert!(kernel::is_alive(pinned.pidfd.as_fd()));
    let again = kernel::pin(&ours).unwrap();
    assert_eq!(again.key, pinned.key);
    assert_eq!(again.image, pinned.image);
}

#[test]
fn what_is_no_connection_has_no_peer() {
    let pair = socketpair(
        AddressFamily::Inet,
        SockType::Stream,
        None,
        SockFlag::empty(),
    );
    assert!(pair.is_err());
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(kernel::pin(&socket).is_err());
}

#[tokio::test]
async fn the_exit_of_a_process_is_noticed() {
    let mut child = child();
    let pidfd = kernel::open(pid(&child)).unwrap();
    let exited = kernel::exited(pidfd.as_fd());
    tokio::pin!(exited);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut exited).await;
    assert!(early.is_err(), "it still lives");
    drop(child.stdin.take());
    let in_time = tokio::time::timeout(Duration::from_secs(10), &mut exited).await;
    in_time.unwrap().unwrap();
    assert!(!kernel::is_alive(pidfd.as_fd()));
    // Also after it was reaped, and for who asks late.
    child.wait().unwrap();
    kernel::exited(pidfd.as_fd()).await.unwrap();
    assert!(matches!(
        Snapshot::take(pidfd.as_fd(), pid(&child)),
        Err(KernelError::Gone)
    ));
}

#[test]
fn a_process_is_found_again_by_its_key_until_it_ends() {
    let mut child = child();
    let pidfd = kernel::open(pid(&child)).unwrap();
    let seen = Snapshot::take(pidfd.as_fd(), pid(&child)).unwrap();
    let key = kernel::process_key(pidfd.as_fd(), pid(&child), seen.start_ticks).unwrap();
    let found = kernel::reopen(&key).unwrap().unwrap();
    assert!(kernel::is_alive(found.as_fd()));

    let mut other = key;
    other.start_ticks += 1;
    assert!(kernel::reopen(&other).unwrap().is_none());
    let mut other = key;
    other.boot_id[0] ^= 1;
    assert!(kernel::reopen(&other).unwrap().is_none());
    if key.pidfd_inode != 0 {
        let mut other = key;
        other.pidfd_inode += 1;
        assert!(kernel::reopen(&other).unwrap().is_none());
    }

    child.kill().unwrap();
    // A zombie has its number still, but it is no more.
    while kernel::is_alive(pidfd.as_fd()) {
        std::thread::yield_now();
    }
    assert!(kernel::reopen(&key).unwrap().is_none());
    child.wait().unwrap();
    assert!(kernel::reopen(&key).unwrap().is_none());
}

#[test]
fn a_process_that_cannot_be_looked_at_is_not_gone() {
    if !again::is_inside() {
        return again::run("host::a_process_that_cannot_be_looked_at_is_not_gone", &[]);
    }
    let own = i32::try_from(std::process::id()).unwrap();
    let pidfd = kernel::open(own).unwrap();
    let seen = Snapshot::take(pidfd.as_fd(), own).unwrap();
    let key = kernel::process_key(pidfd.as_fd(), own, seen.start_ticks).unwrap();
    let processes = KernelProcesses::default();
    assert!(processes.reopen(&key).unwrap().is_some());
    // No descriptor is left.
    setrlimit(Resource::RLIMIT_NOFILE, 0, 0).unwrap();
    let refused = processes.reopen(&key).map(|found| found.is_some());
    assert!(
        matches!(refused, Err(AttestError::Unavailable(_))),
        "{refused:?}"
    );
}

#[test]
fn a_thread_is_no_process() {
    let thread = std::thread::spawn(|| {
        let own = std::fs::read_link("/proc/thread-self").unwrap();
        let id = own.file_name().unwrap().to_string_lossy().into_owned();
        kernel::open(id.parse().unwrap()).map(drop)
    });
    assert!(matches!(thread.join().unwrap(), Err(KernelError::Gone)));
    assert!(matches!(kernel::open(0), Err(KernelError::Gone)));
    assert!(matches!(kernel::open(-1), Err(KernelError::Gone)));
}

#[test]
fn a79_memory_of_the_agent_is_kept_to_itself() {
    if !again::is_inside() {
        return again::run("host::a79_memory_of_the_agent_is_kept_to_itself", &["env"]);
    }
    let hardened = kernel::harden();
    assert!(hardened.core_limit_zero && hardened.not_dumpable);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<_> = core.unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"]);
    let dumpable = rustix::process::dumpable_behavior().unwrap();
    assert_eq!(dumpable, rustix::process::DumpableBehavior::NotDumpable);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    let locked: u64 = locked
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert_eq!(locked > 0, hardened.memory_locked);
    // Nor is it in its own way.
    the_maker_of_a_socket_pair_is_its_peer();
}

fn is_met(name: &str) -> bool {
    let wants = NodeWants {
        executable_digests: true,
        connections_max: 16,
        legs_max: 16,
    };
    let needs = kernel::self_test(&wants);
    let need = needs.iter().find(|need| need.name == name);
    need.unwrap_or_else(|| panic!("no need named {name}")).met
}

#[test]
fn the_node_is_judged_as_it_is() {
    assert!(is_met("kernel"));
    assert!(is_met("SO_PEERPIDFD"));
    let wants = NodeWants {
        executable_digests: false,
        connections_max: u64::MAX,
        legs_max: u64::MAX,
    };
    let needs = kernel::self_test(&wants);
    assert!(needs.iter().all(|need| need.name != "CAP_DAC_READ_SEARCH"));
    for need in needs {
        let line = need.to_string();
        assert_eq!(line.contains("want "), !need.met, "{line}");
        assert!(!line.contains('\n'));
    }
}

#[test]
fn a_missing_capability_is_named() {
    if !again::is_inside() {
        let without = ["setpriv", "--bounding-set=-sys_ptrace"];
        return again::run_privileged("host::a_missing_capability_is_named", &without);
    }
    assert!(!is_met("CAP_SYS_PTRACE"));
    assert!(is_met("CAP_DAC_READ_SEARCH"));
}
