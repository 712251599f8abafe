//! `handfast policy`, as a person types it.

use crate::inputs::Folder;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs the verb; whether it succeeded, and what it printed.
fn handfast(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_handfast"))
        .arg("policy")
        .args(arguments)
        .env_remove("HANDFAST_POLICY")
        .output()
        .expect("handfast runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn shipped(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("spire-config/policy");
    folder.join(name).display().to_string()
}

#[test]
fn a_command_line_that_cannot_be_read_is_no_answer_of_any_verb() {
    let status = |arguments: &[&str]| {
        let mut handfast = Command::new(env!("CARGO_BIN_EXE_handfast"));
        handfast
            .args(arguments)
            .output()
            .expect("handfast runs")
            .status
            .code()
    };
    assert_eq!(status(&["--help"]), Some(0));
    assert_eq!(
        status(&["policy", "validate", &shipped("default.cedar")]),
        Some(0)
    );
    assert_eq!(status(&["policy", "validate", "no such file"]), Some(1));
    // `revoke` says by 2 that it is in force: whatever revokes nothing must not.
    for wrong in [
        &["revoke", "task", "ID"][..],
        &["revoke", "--why"],
        &["revok"],
        &[],
    ] {
        assert_eq!(status(wrong), Some(64), "{wrong:?}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success_and_a_reader_that_has_enough_is_none_of_ours() {
    let mut handfast = Command::new(env!("CARGO_BIN_EXE_handfast"));
    handfast.args(["policy", "validate", &shipped("default.cedar")]);
    let full = fs::File::options().write(true).open("/dev/full");
    let output = handfast.stdout(full.expect("/dev/full")).output();
    let output = output.expect("handfast runs");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("the answer could not be written"), "{told}");

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = handfast.stdout(writer).status().expect("handfast runs");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn what_is_no_file_holds_nobody_up() {
    let folder = Folder::with("");
    let cases = folder.folder().join("cases");
    fs::create_dir(&cases).expect("a folder");
    std::os::unix::fs::symlink("/dev/zero", cases.join("evil.toml")).expect("a link");
    let cases = cases.display().to_string();
    for arguments in [
        &["test", &cases][..],
        &["test", "/dev/zero"],
        &["prove", "/dev/zero"],
    ] {
        let (good, _, told) = handfast(arguments);
        assert!(!good);
        let because = told.contains("not a regular file") || told.contains("no prover");
        assert!(because, "{told}");
    }
}

#[test]
fn a_command_line_moves_no_terminal() {
    let (good, _, told) = handfast(&["val\u{1b}[2Jidate"]);
    assert!(!good && told.contains("val\\u{1b}[2Jidate"), "{told}");
    assert!(!told.contains('\u{1b}'), "{told}");
}

/// With the prover and its solver; `tests/policy/proofs.rs` says where there are none.
#[cfg(feature = "prove")]
#[test]
fn prove_tells_each_rail_and_fails_with_a_request_that_leaves_one() {
    let (good, told, complaint) = handfast(&["prove", &shipped("default.cedar")]);
    if complaint.contains("cvc5") && std::env::var_os("PROVE").is_none() {
        return;
    }
    assert!(good, "{told}{complaint}");
    assert!(told.contains("proved  foreign-owner: "), "{told}");
    assert!(told.contains("proved for every request of "), "{told}");

    let default = fs::read_to_string(shipped("default.cedar")).expect("the shipped set");
    let stray = "@id(\"stray\") permit (principal, action, resource) when { context.now_ms > 0 };";
    let folder = Folder::with(&format!("{default}\n{stray}\n"));
    let policy = folder.file().display().to_string();
    let (good, told, _) = handfast(&["prove", &policy]);
    assert!(!good && told.contains("FAILS   foreign-owner: "), "{told}");
    assert!(told.contains("permitted by policy `stray`"), "{told}");

    let rails = folder.folder().join("rails.cedar");
    let own = "@id(\"nobody-ends\") forbid (principal, action == Action::\"end\", resource);";
    fs::write(&rails, own).expect("write");
    let rails = rails.display().to_string();
    let (good, told, _) = handfast(&["prove", &shipped("default.cedar"), "--guards", &rails]);
    assert!(!good && told.contains("FAILS   nobody-ends: "), "{told}");
}

#[test]
fn validate_tells_file_line_column_and_message_of_every_problem() {
    let (good, told, _) = handfast(&["validate", &shipped("default.cedar")]);
    assert!(good && told.starts_with("ok "), "{told}");

    let folder = Folder::with(
        "permit (principal, action == Action::\"query\", resource)\n\
         when { resource.age_ms < \"ten\" };\n\
         forbid (principal, action == Action::\"strat\", resource);",
    );
    let path = folder.file().display().to_string();
    let (good, told, _) = handfast(&["validate", &path]);
    assert!(!good);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(
        lines[0].starts_with(&format!("{path}:2:26: error: ")),
        "{told}"
    );
    assert!(
        lines[1].starts_with(&format!("{path}:3:30: error: ")),
        "{told}"
    );
    assert!(lines[1].contains("did you mean"), "{told}");

    let (good, told, _) = handfast(&["validate", &path, "--output", "json"]);
    assert!(!good);
    let json: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(json[0]["ok"], false);
    assert_eq!(json[0]["problems"][0]["line"], 2);
    assert_eq!(json[0]["problems"][0]["column"], 26);
}

#[test]
fn test_prints_a_line_a_case_and_fails_with_the_difference() {
    let (good, told, _) = handfast(&["test", &shipped("cases")]);
    assert!(good, "{told}");
    assert!(
        told.contains("ok    owner: an owner reads its task"),
        "{told}"
    );
    assert!(told.trim_end().ends_with(" 0 failed"), "{told}");

    let folder = Folder::with("permit (principal, action == Action::\"query\", resource);");
    let policy = folder.file().display().to_string();
    let arguments = ["test", &shipped("cases"), "--policy", &policy];
    let (good, told, _) = handfast(&arguments);
    assert!(!good);
    assert!(
        told.contains("FAIL  owner: another workload reads nothing"),
        "{told}"
    );
    assert!(told.contains("      - expect: refuse"), "{told}");
    assert!(
        told.contains("      + expect: permit (permitted by policy `policy0`)"),
        "{told}"
    );

    let json = [&arguments[..], &["--output", "json"]].concat();
    let (good, told, _) = handfast(&json);
    assert!(!good);
    let json: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(json["ok"], false);
    assert!(json["failed"].as_u64() > Some(0), "{told}");
}

#[test]
fn a_bad_case_file_is_told_with_its_place() {
    let folder = Folder::with("");
    let path = folder.folder().join("cases.toml");
    fs::write(&path, "[[case]]\nname = 1\n").expect("write");
    let (good, _, told) = handfast(&["test", &path.display().to_string()]);
    assert!(!good);
    assert!(told.contains("line 2, column 8"), "{told}");
}

#[test]
fn explain_names_the_policies_that_decide_or_says_that_none_permits() {
    let (good, told, _) = handfast(&["explain", &shipped("cases/performer.toml")]);
    assert!(good, "{told}");
    assert!(
        told.contains("permitted by policy `perform-within-trust-domain`"),
        "{told}"
    );
    assert!(
        told.contains("forbidden by policy `no-traced-hands`"),
        "{told}"
    );
    assert!(told.contains("no policy permits `start`"), "{told}");
}

#[test]
fn names_that_others_wrote_move_no_terminal() {
    let folder = Folder::with(
        "@id(\"a\u{1b}[2Kb\u{202e}\")\nforbid (principal, action, resource) when { 1 };",
    );
    let policy = folder.file().display().to_string();
    let (good, told, _) = handfast(&["validate", &policy]);
    assert!(!good);
    assert!(told.contains("`@id` is `a\\u{1b}[2Kb\\u{202e}`"), "{told}");
    assert!(
        !told.contains('\u{1b}') && !told.contains('\u{202e}'),
        "{told}"
    );

    let case = "[[case]]\nname = \"one\\u001b[1A\\nok    two\"\nexpect = \"refuse\"\n\
                [case.request]\naction = \"approve\"\nwrong = 1\n";
    let path = folder.folder().join("cases.toml");
    fs::write(&path, case).expect("write");
    let (good, told, complaint) = handfast(&["test", &path.display().to_string()]);
    assert!(!good, "{told}");
    assert!(
        complaint.contains("one\\u{1b}[1A\\u{a}ok    two"),
        "{complaint}"
    );
    // The advice stays on a line of its own.
    assert!(complaint.contains("\n  spire-config"), "{complaint}");

    // Readable names and JSON stay as they are.
    let (_, told, _) = handfast(&["validate", &policy, "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let message = json[0]["problems"][0]["message"]
        .as_str()
        .expect("a message");
    assert!(message.contains("`a\u{1b}[2Kb\u{202e}`"), "{message}");
    let (_, told, _) = handfast(&["explain", &shipped("cases/owner.toml")]);
    assert!(told.contains("owner: an owner reads its task\n"), "{told}");
}
