//! Values fixed for ever, both sides of every check of the file, and properties of what is derived.

use super::*;
use crate::service::ports::EntropyError;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

/// Hands out 1, 1, 1, … then 2, 2, 2, …
#[derive(Debug, Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        buffer.fill(self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1));
        Ok(())
    }
}

#[derive(Debug)]
struct Broken;

impl Entropy for Broken {
    fn fill(&self, _buffer: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}

fn keys() -> Keys {
    let entropy = Arc::new(Counting::default());
    let file = KeyFile::ephemeral(entropy.as_ref()).expect("entropy works");
    Keys::derive(&file, entropy).expect("derivation works")
}

fn server() -> SpiffeId {
    SpiffeId::new("spiffe://example.org/server").expect("is a SPIFFE ID")
}

fn hex(digest: &Digest) -> String {
    crate::domain::id::Hex(&digest.0).to_string()
}

#[test]
fn derived_values_never_change() {
    let keys = keys();
    let task = TaskId([7; 16]);
    assert_eq!(hex(&keys.name_hash(&server(), "h")), NAME);
    assert_eq!(
        hex(&keys.principal_hash("https://issuer.example", "alice")),
        PRINCIPAL
    );
    assert_eq!(hex(&keys.request_hash(&[b"a", b"bc"])), REQUEST);
    assert_eq!(keys.work_reference(task), WORK);
    assert_eq!(keys.decision_id(RecordNumber(9)), DECISION);
}

#[test]
fn parts_cannot_run_together_nor_uses_be_confused() {
    let keys = keys();
    assert_ne!(
        keys.request_hash(&[b"ab", b"c"]),
        keys.request_hash(&[b"a", b"bc"])
    );
    assert_ne!(keys.request_hash(&[b"a"]), keys.request_hash(&[b"a", b""]));
    assert_ne!(
        keys.principal_hash("ab", "c"),
        keys.principal_hash("a", "bc")
    );
    let other = SpiffeId::new("spiffe://example.org/serve").expect("is a SPIFFE ID");
    assert_ne!(keys.name_hash(&other, "rh"), keys.name_hash(&server(), "h"));
    assert_ne!(
        keys.principal_hash("spiffe://example.org/server", "h"),
        keys.name_hash(&server(), "h")
    );
}

#[test]
fn an_idempotency_key_is_of_the_step_and_its_call_alone() {
    let keys = keys();
    let call = ToolCall {
        audience: server(),
        tool: "pay".to_owned(),
        arguments: Digest([1; 32]),
        definition: None,
    };
    let key = |task, step, call: &ToolCall| {
        Names::idempotency_key(&keys, TaskId([task; 16]), StepNumber(step), call)
    };
    let first = key(1, 1, &call);
    assert_eq!(first, key(1, 1, &call));
    assert_ne!(first, key(2, 1, &call));
    assert_ne!(first, key(1, 2, &call));
    for other in [
        ToolCall {
            tool: "pax".to_owned(),
            ..call.clone()
        },
        ToolCall {
            arguments: Digest([2; 32]),
            ..call.clone()
        },
        ToolCall {
            audience: SpiffeId::new("spiffe://example.org/o").expect("is one"),
            ..call.clone()
        },
    ] {
        assert_ne!(first, key(1, 1, &other));
    }
    let process = ProcessKey {
        boot_id: [1; 16],
        pidfd_inode: 2,
        pid: 3,
        start_ticks: 4,
    };
    let again = ProcessKey {
        start_ticks: 5,
        ..process
    };
    let request = |process: &ProcessKey, method| Names::request(&keys, process, method, b"id");
    assert_ne!(request(&process, "m"), request(&again, "m"));
    assert_ne!(request(&process, "m"), request(&process, "n"));
    assert_eq!(request(&process, "m"), request(&process, "m"));
}

#[test]
fn a_work_reference_names_its_task_under_its_own_key_only() {
    let keys = keys();
    let task = TaskId([9; 16]);
    let reference = keys.work_reference(task);
    assert_eq!(keys.parse_work_reference(&reference), Some(task));
    assert_eq!(reference, keys.work_reference(task));

    let entropy = Arc::new(Counting(AtomicU8::new(40)));
    let file = KeyFile::ephemeral(entropy.as_ref()).expect("entropy works");
    let foreign = Keys::derive(&file, entropy).expect("derivation works");
    assert_eq!(foreign.parse_work_reference(&reference), None);

    for at in 0..reference.len() {
        let mut bytes = reference.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("is ASCII");
        assert_eq!(keys.parse_work_reference(&changed), None, "at {at}");
    }
    for wrong in [
        String::new(),
        format!("{reference}="),
        format!(" {reference}"),
        "A".repeat(64),
    ] {
        assert_eq!(keys.parse_work_reference(&wrong), None, "{wrong}");
    }
}

#[test]
fn a_decision_id_is_another_at_each_call_and_opens() {
    let keys = keys();
    let a = keys.decision_id(RecordNumber(7));
    let b = keys.decision_id(RecordNumber(7));
    assert_ne!(a, b);
    assert_eq!(a.len(), b.len());
    assert_eq!(keys.open_decision_id(&a), Some(RecordNumber(7)));
    assert_eq!(keys.open_decision_id(&b), Some(RecordNumber(7)));
    for at in 0..a.len() {
        let mut bytes = a.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("is ASCII");
        assert_eq!(keys.open_decision_id(&changed), None, "at {at}");
    }
    let file = KeyFile::ephemeral(&Counting::default()).expect("entropy works");
    let broken = Keys::derive(&file, Arc::new(Broken)).expect("derivation works");
    let a = broken.decision_id(RecordNumber(7));
    assert_eq!(broken.open_decision_id(&a), Some(RecordNumber(7)));
    assert_ne!(broken.decision_id(RecordNumber(8)), a);
}

#[test]
fn debug_shows_no_key() {
    let entropy = Counting(AtomicU8::new(0x5a));
    let file = KeyFile::ephemeral(&entropy).expect("entropy works");
    let shown = format!("{file:?} {:?}", keys());
    assert!(!shown.contains("91") && !shown.contains("5b"), "{shown}");
    assert!(shown.contains("REDACTED"), "{shown}");
}

/// Two folders, and in the first the place of a key file.
fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("makes a folder");
    fs::create_dir(folder.path().join("keys")).expect("makes a folder");
    fs::create_dir(folder.path().join("state")).expect("makes a folder");
    let key = folder.path().join("keys/handfast.key");
    let ledger = folder.path().join("state/ledger");
    (folder, key, ledger)
}

#[test]
fn a_key_file_is_made_once_for_its_owner_alone_and_read_again() {
    let (folder, key, ledger) = place();
    assert!(matches!(
        KeyFile::open(&key, &ledger),
        Err(KeyFileError::Io {
            operation: "look at",
            ..
        })
    ));
    // One left by a crash is no obstacle.
    fs::write(folder.path().join("keys/handfast.key.new"), b"half").expect("writes");
    let entropy = Counting::default();
    let made = KeyFile::open_or_create(&key, &ledger, &entropy).expect("is made");
    let again = KeyFile::open_or_create(&key, &ledger, &entropy).expect("is read");
    assert_eq!(made.expose(), again.expose());
    let permissions = fs::metadata(&key).expect("exists").permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(folder.path().join("keys"))
            .expect("lists")
            .count(),
        1
    );
    assert!(matches!(
        KeyFile::create(&key, &ledger, &entropy),
        Err(KeyFileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists
    ));
}

#[test]
fn a_key_file_that_others_may_read_or_of_another_size_is_refused() {
    let (_folder, key, ledger) = place();
    KeyFile::create(&key, &ledger, &Counting::default()).expect("is made");
    for (mode, accepted) in [
        (0o600, true),
        (0o400, true),
        (0o640, false),
        (0o620, false),
        (0o604, false),
        (0o601, false),
    ] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("is ours");
        let opened = KeyFile::open(&key, &ledger);
        assert_eq!(opened.is_ok(), accepted, "{mode:o}");
        let refused =
            matches!(opened, Err(KeyFileError::Open { mode: found, .. }) if found == mode);
        assert_eq!(refused, !accepted, "{mode:o}");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("is ours");
    for length in [0, 31, 33] {
        fs::write(&key, vec![1; length]).expect("writes");
        let found = u64::try_from(length).expect("fits");
        assert!(
            matches!(KeyFile::open(&key, &ledger), Err(KeyFileError::Size { length, .. }) if length == found)
        );
    }
}

#[test]
fn a37_a_key_file_beside_the_ledger_is_refused_however_it_is_spelled() {
    let (folder, key, ledger) = place();
    let beside = folder.path().join("state/handfast.key");
    let detour = folder.path().join("keys/../state/handfast.key");
    symlink(folder.path().join("state"), folder.path().join("alias")).expect("links");
    let alias = folder.path().join("alias/handfast.key");
    for path in [&beside, &detour, &alias] {
        let made = KeyFile::open_or_create(path, &ledger, &Counting::default());
        assert!(
            matches!(made, Err(KeyFileError::BesideLedger { .. })),
            "{path:?}"
        );
    }
    assert!(!beside.exists());
    KeyFile::create(&key, &ledger, &Counting::default()).expect("is made");
    let linked = folder.path().join("handfast.key");
    symlink(&key, &linked).expect("links");
    assert!(matches!(
        KeyFile::open(&linked, &ledger),
        Err(KeyFileError::NotAFile { .. })
    ));
}

#[test]
fn a37_handles_without_room_for_120_random_bits_are_weak() {
    for strong in [
        "9f0c2a74-6b1e-4d3a-8c55-02d7e9b1a6f4",
        "9F0C2A74-6B1E-4D3A-8C55-02D7E9B1A6F4",
        "urn:uuid:9f0c2a74-6b1e-4d3a-8c55-02d7e9b1a6f4",
        "task-9f0c2a74-6b1e-4d3a-8c55-02d7e9b1a6f4",
        "9f0c2a746b1e4d3a8c5502d7e9b1a6f4",
        "9f0c2a746b1e4d3a8c5502d7e9b1a6",
        "3FbKq-Zw_8Lx0TnYpE7uRg",
        "task_3FbKq-Zw_8Lx0TnYpE7uRg",
        "V1StGXR8_Z5jdHi6B-myT",
        "tz4a98xxat96iws9zmbrgj3a",
        "4918273650918273645091827364509182736",
    ] {
        assert!(handle_is_strong(strong), "{strong}");
    }
    for weak in [
        "",
        "1",
        "task-42",
        "018f2c9e-7b3a-7c1d-9e4f-5a6b7c8d9e0f",
        "task-018f2c9e-7b3a-7c1d-9e4f-5a6b7c8d9e0f",
        "c232ab00-9414-11ec-b3c8-9f6bdeced846",
        "00000000-0000-4000-8000-000000000000",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "task-00000000000000000000000000000000000000000001",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "9f0c2a746b1e4d3a8c5502d7e9b1a",
        "https://example.org/tenants/acme/projects/blue/tasks/42",
        "491827365091827364509182736450918273",
        "3FbKqZw8Lx0TnYpE7uR",
    ] {
        assert!(!handle_is_strong(weak), "{weak}");
    }
}

proptest! {
    #[test]
    fn garbage_never_panics_and_never_opens(text in "\\PC{0,80}", more in "[A-Za-z0-9_-]{40,72}") {
        let keys = keys();
        for text in [&text, &more] {
            prop_assert_eq!(keys.parse_work_reference(text), None);
            prop_assert_eq!(keys.open_decision_id(text), None);
            let _judged = handle_is_strong(text);
        }
    }

    #[test]
    fn every_task_and_record_comes_back(task in any::<[u8; 16]>(), record in any::<u64>()) {
        let keys = keys();
        prop_assert_eq!(keys.parse_work_reference(&keys.work_reference(TaskId(task))), Some(TaskId(task)));
        let id = keys.decision_id(RecordNumber(record));
        prop_assert_eq!(keys.open_decision_id(&id), Some(RecordNumber(record)));
    }

    #[test]
    fn random_uuids_and_hex_are_strong(bytes in any::<[u8; 16]>()) {
        prop_assume!(distinct_nibbles(&bytes) >= 8);
        let hex = crate::domain::id::Hex(&bytes).to_string();
        prop_assert!(handle_is_strong(&hex));
        let mut uuid = String::new();
        for (at, digit) in hex.chars().enumerate() {
            uuid.push_str(if matches!(at, 8 | 12 | 16 | 20) { "-" } else { "" });
            uuid.push(if at == 12 { '4' } else { digit });
        }
        prop_assume!(distinct_nibbles(&bytes) >= 10);
        prop_assert!(handle_is_strong(&uuid));
    }
}

fn distinct_nibbles(bytes: &[u8]) -> usize {
    let nibbles: std::collections::BTreeSet<u8> =
        bytes.iter().flat_map(|b| [b >> 4, b & 15]).collect();
    nibbles.len()
}

// Computed once by an independent program from RFC 5869, RFC 2104 and RFC 8452.
const NAME: &str = "9f27f537ecf3b04e3d8eddd5abe08d16bdb1c38ee8bbd486b98a8839207f6bee";
const PRINCIPAL: &str = "8bc8ec1a81c0218c9c3a1c8f4190ba41ed745d7697e51de55d8b9237bebbbe4d";
const REQUEST: &str = "4283e902d9631e13b27745110719c6f54b793361e349701021134eb840ab16cc";
const WORK: &str = "BwcHBwcHBwcHBwcHBwcHBzqJ8RKiiIDbRKFynH3ycPzqzcQmEfV7-cpNsIU1fb8G";
const DECISION: &str = "AgICAgICAgICAgICmDGPy901Xq3o1ywyJY1ZsMAZjXbGwaeM";
