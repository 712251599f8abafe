//! What an agent says to a configuration, ledger or policy that it cannot work with, and that it changes
//! nothing then. The positive control is the same folder with the mistake taken away.

use crate::bare::{Bare, POLICY, Running, finish, handfast, is_ready, until};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::fs;
use std::path::Path;

/// Refused with all of these words, and nothing on the disk is another.
fn refused(bare: &Bare, words: &[&str]) {
    let before = bare.state();
    let said = bare.refused();
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
    assert!(before == bare.state(), "a refused start changed a file");
}

/// The good configuration with one text in place of another.
fn with(bare: &Bare, old: &str, new: &str) {
    let good = bare.good();
    assert!(good.contains(old), "no `{old}`");
    bare.write_config(&good.replace(old, new));
}

fn starts(bare: &Bare) {
    let mut agent = bare.start(&[]);
    agent.terminate();
    assert!(agent.ended().success(), "{}", agent.log());
}

#[test]
fn unknown_keys_are_named_with_their_path() {
    let bare = Bare::new();
    with(&bare, "data_dir =", "data_dri =");
    refused(&bare, &["`agent.data_dri`"]);
    bare.write("[limits]\nstream = 1\n");
    refused(&bare, &["`limits.stream`"]);
    bare.write("[[workload]]\nspiffe_id = \"spiffe://faults.test/w\"\nuid = 1\npid = 1\n");
    refused(&bare, &["`workload[0].pid`"]);
    bare.write("");
    starts(&bare);
}

#[test]
fn bad_spiffe_ids_are_named_with_their_key() {
    let bare = Bare::new();
    for bad in [
        "https://faults.test/agent",
        "spiffe://faults.test:80/agent",
        "spiffe://faults.test/a/../b",
        "spiffe://faults.test/a?b",
        "",
    ] {
        with(&bare, "spiffe://faults.test/handfast/agent", bad);
        refused(&bare, &["`agent.spiffe_id`"]);
    }
    bare.write("[[workload]]\nspiffe_id = \"spiffe://faults.test/a//b\"\nuid = 1\n");
    refused(&bare, &["`workload[0].spiffe_id`", "a//b"]);
    bare.write("[[workload]]\nspiffe_id = \"spiffe://faults.test/a/b\"\nuid = 1\n");
    starts(&bare);
}

#[test]
fn a59_an_agent_with_a_role_by_executable_alone_does_not_start() {
    let bare = Bare::new();
    let row = format!(
        "[[workload]]\nspiffe_id = \"spiffe://faults.test/worker\"\nexecutable_s256 = \"{}\"\n",
        "ab".repeat(32)
    );
    bare.write(&row);
    refused(
        &bare,
        &[
            "`workload[0]`",
            "spiffe://faults.test/worker",
            "an executable alone is not an identity",
        ],
    );
    bare.write(&format!("{row}uid = 1\n"));
    starts(&bare);
}

#[test]
fn a_policy_with_a_type_error_is_refused_with_its_position() {
    let bare = Bare::new();
    let broken = "@id(\"x\")\npermit (principal, action == Action::\"query\", resource)\n\
                  when { resource.server.trust_domain == 3 };\n";
    fs::write(bare.path("policy.cedar"), broken).unwrap();
    refused(&bare, &["policy.cedar", "line 3", "type"]);
    fs::write(bare.path("policy.cedar"), "permit (principal").unwrap();
    refused(&bare, &["policy.cedar", "line 1"]);
    fs::write(bare.path("policy.cedar"), POLICY).unwrap();
    starts(&bare);
}

#[test]
fn a_policy_with_a_type_error_on_reload_leaves_the_last_good_one() {
    let bare = Bare::new();
    let agent = bare.start(&[]);
    let broken = POLICY.replace("principal == resource.owner };", "principal == 3 };");
    assert_ne!(broken, POLICY);
    fs::write(bare.path("policy.cedar"), broken).unwrap();
    agent.says("the last good set stays");
    assert!(agent.log().contains("line "), "{}", agent.log());
    fs::write(bare.path("policy.cedar"), POLICY).unwrap();
    agent.says("policy file is good again");
}

#[test]
fn a_ledger_of_another_version_is_refused_and_left_as_it_is() {
    let bare = Bare::new();
    starts(&bare);
    let ledger = bare.path("data/ledger.redb");
    let kept = fs::read(&ledger).unwrap();
    set_schema_version(&ledger, 99);
    let before = rows(&ledger);
    let said = bare.refused();
    assert!(
        said.contains("schema version 99") && said.contains("ledger.redb"),
        "{said}"
    );
    assert!(before == rows(&ledger), "a refused ledger was changed");
    fs::write(&ledger, b"not a ledger at all").unwrap();
    refused(&bare, &["is not a usable ledger"]);
    fs::write(&ledger, kept).unwrap();
    starts(&bare);
}

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("handfast");

/// Every row: the store keeps its own books in the file, so its bytes tell nothing.
fn rows(ledger: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let database = Database::open(ledger).unwrap();
    let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
    let rows = table.iter().unwrap().map(|row| {
        let (key, value) = row.unwrap();
        (key.value().to_vec(), value.value().to_vec())
    });
    rows.collect()
}

fn set_schema_version(ledger: &Path, version: u64) {
    let database = Database::open(ledger).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(TABLE)
        .unwrap()
        .insert(b"\x00schema".as_slice(), version.to_be_bytes().as_slice())
        .unwrap();
    txn.commit().unwrap();
}

#[test]
fn a_second_agent_on_the_same_ledger_is_refused() {
    let bare = Bare::new();
    let agent = bare.start(&[]);
    let folder = bare.path("");
    let folder = folder.display();
    fs::create_dir(bare.path("public2")).unwrap();
    fs::create_dir(bare.path("private2")).unwrap();
    let second = bare
        .good()
        .replace(
            &format!("{folder}public/agent"),
            &format!("{folder}public2/agent"),
        )
        .replace(
            &format!("{folder}private/op"),
            &format!("{folder}private2/op"),
        );
    assert_ne!(second, bare.good());
    bare.write_config(&second);
    let said = bare.refused();
    assert!(said.contains("is in use by another agent"), "{said}");
    drop(agent);
    starts(&bare);
}

#[test]
fn a58_the_agent_takes_no_live_socket_from_another_process() {
    let bare = Bare::new();
    let first = std::os::unix::net::UnixListener::bind(bare.socket()).unwrap();
    refused_listening(&bare);
    // Nobody listens any more: a crashed agent leaves such a file.
    drop(first);
    assert!(bare.socket().exists());
    starts(&bare);
}

/// Whoever was there first still answers there.
fn refused_listening(bare: &Bare) {
    let said = bare.refused();
    assert!(said.contains("agent.sock"), "{said}");
    assert!(std::os::unix::net::UnixStream::connect(bare.socket()).is_ok());
}

#[test]
fn without_a_spire_socket_the_agent_waits_and_says_so() {
    let bare = Bare::new();
    let mut agent = bare.start(&[]);
    agent.says("the Workload API socket does not exist");
    assert!(!is_ready(&bare.socket()));
    let mut command = handfast();
    command
        .args(["api", "whoami", "--socket-path"])
        .arg(bare.socket());
    let output = finish(command);
    assert!(
        !output.status.success(),
        "an agent without identity attested somebody"
    );
    agent.terminate();
    assert!(agent.ended().success());
}

#[test]
fn sigterm_ends_an_agent_with_a_silent_client_within_the_drain_deadline() {
    let bare = Bare::new();
    bare.write("[drain]\ndeadline = \"1s\"\n\n[timeouts]\nhandshake = \"60s\"\n");
    let mut agent: Running = bare.start(&[]);
    // One that never speaks, and one that has spoken and then falls silent.
    let silent = std::os::unix::net::UnixStream::connect(bare.socket()).unwrap();
    let mut greeted = std::os::unix::net::UnixStream::connect(bare.socket()).unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    std::io::Write::write_all(&mut greeted, preface).unwrap();
    let mut settings = [0_u8; 9];
    std::io::Read::read_exact(&mut greeted, &mut settings).unwrap();
    let begun = std::time::Instant::now();
    agent.terminate();
    let status = agent.ended();
    let took = begun.elapsed();
    assert!(status.success(), "{status}: {}", agent.log());
    assert!(
        took < std::time::Duration::from_secs(3),
        "{took:?}: {}",
        agent.log()
    );
    drop((silent, greeted));
}

#[test]
fn the_agent_becomes_ready_when_the_spiffe_provider_comes() {
    let bare = Bare::new();
    let provider_id = "spiffe://faults.test/spire/agent/dev";
    let config = bare
        .good()
        .replace("spiffe://faults.test/spire/agent/*", provider_id);
    bare.write_config(&config);
    let program = env!("CARGO_BIN_EXE_handfast");
    let uid = nix::unistd::geteuid().as_raw();
    let entry = format!(
        "[[entry]]\nspiffe_id = \"spiffe://faults.test/handfast/agent\"\n\
         selectors = [\"unix:path:{program}\", \"unix:uid:{uid}\"]\nbroker = true\n"
    );
    fs::write(bare.path("entries.toml"), entry).unwrap();
    // Another user than root cannot look at an agent that hides its memory.
    let flags: &[&str] = if uid == 0 { &[] } else { &["--development"] };
    let mut agent = bare.start(flags);
    agent.says("the Workload API socket does not exist");
    assert!(!is_ready(&bare.socket()));
    let mut dev = handfast();
    dev.args(["dev", "--trust-domain", "faults.test", "--folder"])
        .arg(bare.path("spiffe"))
        .arg("--entries")
        .arg(bare.path("entries.toml"));
    let provider = Running::spawn(dev);
    agent.says("ready epoch");
    until("readiness", || is_ready(&bare.socket()).then_some(()));
    agent.terminate();
    assert!(agent.ended().success(), "{}", agent.log());
    drop(provider);
}
