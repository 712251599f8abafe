//! The agent as a process: its memory is its own, and nobody else is taken for it.

use crate::bare::{Bare, Running, finish, handfast, is_ready, until};
use crate::node::distinct_uids;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Nobody's account.
const OTHER_UID: u32 = 30_901;
const FAKE: &str = "HANDFAST_TEST_FAKE_SOCKET";

#[test]
fn a79_the_agent_dumps_no_core() {
    let bare = Bare::new();
    let agent = bare.start(&[]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{words:?}");
    assert!(
        agent.log().contains("core_dumps_off=true"),
        "{}",
        agent.log()
    );
    assert!(agent.log().contains("not_dumpable=true"), "{}", agent.log());
}

#[test]
fn a79_the_agent_hides_its_memory_from_its_own_user() {
    if !distinct_uids("a79_the_agent_hides_its_memory_from_its_own_user") {
        return;
    }
    let bare = Bare::new();
    let program = bare.path("handfast");
    fs::copy(env!("CARGO_BIN_EXE_handfast"), &program).unwrap();
    for name in [
        "",
        "public",
        "private",
        "data",
        "key",
        "policy.cedar",
        "handfast.toml",
    ] {
        std::os::unix::fs::chown(bare.path(name), Some(OTHER_UID), Some(OTHER_UID)).unwrap();
    }
    // A process that may be dumped belongs to its user in /proc, one that may not to root.
    for (flags, owner) in [(&[][..], 0), (&["--development"][..], OTHER_UID)] {
        let mut command = Command::new(&program);
        command
            .args(["run", "--config"])
            .arg(bare.path("handfast.toml"))
            .args(flags)
            .uid(OTHER_UID)
            .gid(OTHER_UID);
        let mut agent = Running::spawn(command);
        agent.says("listening");
        let maps = fs::metadata(format!("/proc/{}/mem", agent.pid())).unwrap();
        assert_eq!(maps.uid(), owner, "{flags:?}");
        agent.terminate();
        assert!(agent.ended().success());
    }
}

/// The impostor's part. In an ordinary run of the tests it has nothing to do.
#[test]
fn fake_agent() {
    let Some(path) = std::env::var_os(FAKE) else {
        return;
    };
    let listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    // Whoever connects is listened to; the test kills this process.
    let mut kept = Vec::new();
    for connection in listener.incoming() {
        kept.push(connection);
    }
}

#[test]
fn a58_a_fake_agent_that_was_there_first_is_not_believed() {
    if !distinct_uids("a58_a_fake_agent_that_was_there_first_is_not_believed") {
        return;
    }
    let bare = Bare::new();
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&bare.path(""), 0o755);
    // The folder was open once, for long enough.
    open(&bare.path("public"), 0o777);
    let program = bare.path("fake");
    let own = std::env::current_exe().unwrap();
    fs::copy(&own, &program).unwrap();
    let mut command = Command::new(&program);
    command
        .args(["--exact", "process::fake_agent", "--nocapture"])
        .env(FAKE, bare.socket())
        .uid(OTHER_UID)
        .gid(OTHER_UID);
    let fake = Running::spawn(command);
    until("the fake", || {
        let mode = fs::metadata(bare.socket()).ok()?.mode();
        (mode & 0o777 == 0o666).then_some(())
    });
    open(&bare.path("public"), 0o755);
    let mut health = handfast();
    health
        .args(["healthcheck", "--socket-path"])
        .arg(bare.socket());
    let output = finish(health);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains(&OTHER_UID.to_string()),
        "{said}"
    );
    // The agent does not push it aside while it lives: an operator must look.
    let refused = bare.refused();
    assert!(refused.contains("another process listens"), "{refused}");
    drop(fake);
    // The control: at the same path the genuine one answers, if only "not ready".
    let agent = bare.start(&[]);
    let mut health = handfast();
    health
        .args(["healthcheck", "--socket-path"])
        .arg(bare.socket());
    let said = String::from_utf8(finish(health).stdout).unwrap();
    assert!(said.contains("not ready"), "{said}");
    assert!(!is_ready(&bare.socket()));
    drop(agent);
}
