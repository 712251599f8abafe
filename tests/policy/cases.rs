//! Case files: those that are shipped, and what is wrong with bad ones.

use crate::inputs::{Folder, default_set, set};
use handfast::domain::policy::Action;
use handfast::policy::{CaseError, read_cases};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("spire-config/policy/cases")
}

#[test]
fn the_default_set_answers_every_shipped_case() {
    let policy = default_set();
    for file in read_cases(&shipped()).expect("good case files") {
        for case in &file.cases {
            let report = case.ask(&policy);
            let told = report.differences.join("\n");
            assert!(
                report.holds(),
                "{}: {}\n{told}",
                file.path.display(),
                case.name
            );
        }
    }
}

#[test]
fn shipped_cases_have_a_permit_and_a_refusal_for_every_action() {
    let files = read_cases(&shipped()).expect("good case files");
    let seen: BTreeSet<(Action, bool)> = files
        .iter()
        .flat_map(|file| &file.cases)
        .map(|case| (case.input.action, case.permit))
        .collect();
    for action in Action::ALL {
        assert!(seen.contains(&(action, false)), "no refusal of {action:?}");
        // The default set lets nobody vouch, or go on past an unknown effect.
        let nobody = [Action::SkipUnknown, Action::Vouch].contains(&action);
        let permitted = seen.contains(&(action, true)) || nobody;
        assert!(permitted, "no permit of {action:?}");
    }
}

#[test]
fn a_set_that_answers_otherwise_fails_the_cases_that_say_so() {
    let policy = set("permit (principal, action == Action::\"create\", resource);");
    let files = read_cases(&shipped()).expect("good case files");
    let failed: Vec<&str> = files
        .iter()
        .flat_map(|file| &file.cases)
        .filter(|case| !case.ask(&policy).holds())
        .map(|case| case.name.as_str())
        .collect();
    assert!(failed.contains(&"the same path in another trust domain is another workload"));
    assert!(failed.contains(&"an owner reads its task"));
    assert!(!failed.contains(&"another workload reads nothing"));
}

const GOOD: &str = r#"
[[case]]
name = "one"
expect = "permit"
[case.request]
action = "create"
actor = "spiffe://prod.test/a"
tool = { audience = "spiffe://prod.test/b", name = "x" }
"#;

/// The error of a folder with this one file.
#[track_caller]
fn refused(text: &str, words: &[&str]) -> CaseError {
    let folder = Folder::with("");
    let path = folder.folder().join("one.toml");
    fs::write(&path, text).expect("write");
    let error = read_cases(folder.folder()).expect_err("a bad case file");
    let told = error.to_string();
    for word in words {
        assert!(told.contains(word), "no `{word}` in: {told}");
    }
    assert!(told.contains("one.toml"), "{told}");
    error
}

#[test]
fn a_bad_case_file_is_a_clear_error() {
    let folder = Folder::with("");
    fs::write(folder.folder().join("one.toml"), GOOD).expect("write");
    assert_eq!(read_cases(folder.folder()).expect("good").len(), 1);

    let broken = refused("[[case]]\nname = 1", &["line 2, column 8", "string"]);
    assert!(matches!(broken, CaseError::Form { line: 2, .. }));
    refused(&GOOD.replace("expect", "expects"), &["expects"]);
    refused(&GOOD.replace("permit", "allow"), &["allow", "refuse"]);
    refused(
        &GOOD.replace("\"create\"", "\"creat\""),
        &["case `one`", "`creat`", "create"],
    );
    refused(&GOOD.replace("actor =", "actr ="), &["case `one`", "actr"]);
    refused(
        &GOOD.replace("spiffe://prod.test/a", "prod.test/a"),
        &["`actor`", "prod.test/a"],
    );
    refused(
        &GOOD.replace("name = \"one\"", "name = \"one\"\nwithout = [\"task\"]"),
        &["`task`"],
    );
    refused("", &["has no cases"]);
}

#[test]
fn a_case_that_lacks_what_its_action_needs_holds_for_no_set() {
    let text = GOOD.replace("permit", "refuse").replace("create", "start");
    let folder = Folder::with("");
    fs::write(folder.folder().join("one.toml"), text).expect("write");
    let files = read_cases(folder.folder()).expect("good form");
    let report = files[0].cases[0].ask(&default_set());
    assert!(!report.holds(), "a refusal for want of facts is no answer");
    assert!(
        report.differences[0].contains("without evidence"),
        "{report:?}"
    );
}

#[test]
fn an_empty_folder_is_an_error_and_not_a_success() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = read_cases(folder.path()).expect_err("nothing to test");
    assert!(matches!(error, CaseError::Empty { .. }), "{error}");
}

#[test]
fn policies_see_tree_leg_and_budget_of_a_task() {
    let root = "0".repeat(31) + "1";
    let policy = set(&format!(
        "permit (principal, action == Action::\"start\", resource)\n\
         when {{ resource.lineage.depth < 2 && resource.lineage.root == \"{root}\" }}\n\
         unless {{ resource has leg && resource.leg > 1 }}\n\
         unless {{ resource.budget has uses_left && resource.budget.uses_left < 1 }};"
    ));
    let case = |facts: &str| {
        let folder = Folder::with("");
        let text = format!(
            "[[case]]\nname = \"one\"\nexpect = \"permit\"\n[case.request]\naction = \"start\"\n\
             actor = \"spiffe://prod.test/w\"\nevidence = {{}}\n\
             task = {{ server = \"spiffe://prod.test/s\", tool = \"x\", {facts} }}\n"
        );
        let path = folder.folder().join("one.toml");
        fs::write(&path, text).expect("write");
        read_cases(&path).expect("good form")[0].cases[0]
            .ask(&policy)
            .holds()
    };
    let tree = format!("root = \"{root}\", parent = \"{root}\"");
    assert!(case(&format!("{tree}, depth = 1, leg = 1, uses_left = 1")));
    assert!(case(&format!("id = \"{root}\"")), "a root is its own root");
    assert!(!case(&format!("{tree}, depth = 2")));
    assert!(!case(&format!("{tree}, leg = 2")));
    assert!(!case(&format!("{tree}, uses_left = 0")));
    assert!(!case("depth = 1"), "of another tree");
}

#[test]
fn a_folder_in_a_folder_of_cases_is_not_passed_over() {
    let folder = Folder::with("");
    let case = "[[case]]\nname = \"one\"\nexpect = \"refuse\"\n";
    let shipped = fs::read_to_string(shipped().join("owner.toml")).expect("a file");
    let cases = folder.folder().join("cases");
    fs::create_dir_all(cases.join("more")).expect("a folder");
    fs::write(cases.join("owner.toml"), &shipped).expect("write");
    fs::write(cases.join("more/bad.toml"), case).expect("write");
    let refused = read_cases(&cases);
    let inner = cases.join("more");
    assert!(
        matches!(&refused, Err(CaseError::Folder { path }) if *path == inner),
        "{refused:?}"
    );
    fs::remove_dir_all(inner).expect("removed");
    assert_eq!(read_cases(&cases).expect("good cases").len(), 1);
}
