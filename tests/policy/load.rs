//! What is refused at load, with position and message.

use crate::inputs::{Folder, id, ordinary, permitted, refused, set};
use handfast::domain::policy::Action;
use handfast::policy::{CedarPolicy, PolicyError, PolicySource, Problem, check};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The one problem of a bad set.
#[track_caller]
fn problem(text: &str) -> Problem {
    let error = check(text).expect_err("a bad set");
    let [problem] = error.problems() else {
        panic!("not one problem: {error}");
    };
    problem.clone()
}

/// Line, column, and words of the message or the help.
#[track_caller]
fn refused_at(text: &str, place: (usize, usize), words: &[&str]) {
    let problem = problem(text);
    assert_eq!((problem.line, problem.column), place, "{problem}");
    let told = problem.to_string();
    for word in words {
        assert!(told.contains(word), "no `{word}` in: {told}");
    }
}

#[test]
fn a_type_error_has_position_policy_and_message() {
    let text = "// two lines\n@id(\"young\")\n\
                permit (principal, action == Action::\"query\", resource)\n\
                when { resource.age_ms < \"ten\" };";
    refused_at(
        text,
        (4, 26),
        &["policy `young`", "unexpected type", "Long"],
    );
}

#[test]
fn a_mistyped_attribute_is_answered_with_what_may_be_meant() {
    let text = "permit (principal, action == Action::\"query\", resource)\n\
                when { resource.ownr == principal };";
    let problem = check(text).expect_err("a bad set").problems()[0].clone();
    assert_eq!((problem.line, problem.column), (2, 8));
    assert!(problem.message.contains("`ownr`"), "{problem}");
    let help = problem.help.expect("help");
    assert!(help.contains("did you mean `owner`?"), "{help}");
}

#[test]
fn a_mistyped_action_state_or_type_is_refused() {
    let action = "forbid (principal, action == Action::\"strat\", resource);";
    refused_at(action, (1, 30), &["Action::\"strat\"", "did you mean"]);
    let state = "forbid (principal, action == Action::\"query\", resource)\n\
                 when { resource.state == TaskState::\"workin\" };";
    refused_at(state, (2, 26), &["workin"]);
    let kind = "permit (principal is Wrokload, action == Action::\"query\", resource);";
    let told = check(kind).expect_err("a bad set").to_string();
    assert!(told.contains("did you mean `Workload`?"), "{told}");
}

#[test]
fn an_unguarded_optional_attribute_is_refused() {
    let text = "forbid (principal, action == Action::\"step\", resource)\n\
                when { context.evidence.traced };";
    refused_at(text, (2, 8), &["evidence", "has"]);
    let guarded = "forbid (principal, action == Action::\"step\", resource)\n\
                   when { context has evidence && context.evidence.traced };";
    check(guarded).expect("a good set");
}

#[test]
fn half_a_policy_is_refused_where_it_ends() {
    refused_at(
        "permit (principal,\naction == Action::\"query\", resource",
        (2, 36),
        &["unexpected end of input"],
    );
}

#[test]
fn an_empty_set_is_refused() {
    for text in ["", "\n\n", "// permit (principal, action, resource);\n"] {
        let error = check(text).expect_err("an empty set");
        assert!(matches!(error, PolicyError::Empty), "{error}");
    }
}

#[test]
fn a_set_that_permits_everything_must_say_so() {
    for everything in [
        "permit (principal, action, resource);",
        "permit (principal, action, resource) when { true };",
        "permit (principal, action, resource) unless { 1 == 2 };",
        "permit (principal is Workload, action, resource);",
        "permit (principal, action, resource) when { context.now_ms > 0 };",
    ] {
        let text = format!("// line 1\n{everything}");
        let error = check(&text).expect_err("everything is permitted");
        assert!(
            matches!(error, PolicyError::PermitsEverything { .. }),
            "{error}"
        );
        assert_eq!(error.problems()[0].line, 2);
        assert!(error.to_string().contains("@allow_everything(\"true\")"));
        check(&format!("@allow_everything(\"false\") {everything}")).expect_err("not meant");
        check(&format!("@allow_everything(\"true\") {everything}")).expect("meant");
    }
    // A permit without condition is refused beside a forbid too: the forbid may be edited away.
    let with_forbid = "permit (principal, action, resource);\n\
                       forbid (principal, action == Action::\"vouch\", resource);";
    check(with_forbid).expect_err("everything but one action is permitted");
}

#[test]
fn a_set_that_means_to_permit_everything_does() {
    let policy =
        set("@id(\"open\") @allow_everything(\"true\") permit (principal, action, resource);");
    for action in Action::ALL {
        assert_eq!(permitted(&policy, &ordinary(action)).policies(), ["open"]);
    }
}

#[test]
fn policies_are_named_by_annotation_or_place() {
    let text = "@id(\"first\") permit (principal, action == Action::\"query\", resource);\n\
                permit (principal, action == Action::\"cancel\", resource);\n\n\
                @id(\"no\") forbid (principal, action == Action::\"end\", resource);";
    let summary = check(text).expect("a good set");
    let lines: Vec<_> = summary
        .policies
        .iter()
        .map(|it| (it.id.as_str(), it.forbids, it.line))
        .collect();
    assert_eq!(
        lines,
        [("first", false, 1), ("policy1", false, 2), ("no", true, 4)]
    );
}

#[test]
fn an_id_is_given_once_and_is_plain() {
    let query = "permit (principal, action == Action::\"query\", resource);";
    let twice = format!("@id(\"a\") {query}\n@id(\"a\") {query}");
    refused_at(&twice, (2, 1), &["`a`", "line 1"]);
    let like_a_place = format!("@id(\"policy1\") {query}\n{query}");
    refused_at(&like_a_place, (2, 1), &["`policy1`"]);
    let long = "a".repeat(129);
    for odd in ["", "a b", "a\\nb", "ä", long.as_str()] {
        refused_at(&format!("@id(\"{odd}\") {query}"), (1, 1), &["@id"]);
    }
    check(&format!("@id(\"{}\") {query}", "a".repeat(128))).expect("a good set");
}

#[test]
fn a_template_is_refused() {
    let text = "\npermit (principal == ?principal, action == Action::\"query\", resource);";
    refused_at(text, (2, 22), &["template"]);
}

#[test]
fn a_literal_that_can_never_match_is_refused() {
    let with = |literal: &str| {
        format!(
            "forbid (principal, action == Action::\"step\", resource)\n\
             when {{ [context.task.server].contains({literal}) }};"
        )
    };
    check(&with("Workload::\"spiffe://prod.test/a\"")).expect("a good set");
    for bad in [
        "prod.test/a",
        "spiffe:/prod.test/a",
        "spiffe://prod.test/a/",
        "spiffe://Prod.test/a",
        "https://prod.test/a",
    ] {
        let text = with(&format!("Workload::\"{bad}\""));
        refused_at(&text, (2, 39), &[bad, "can never match"]);
    }
    let tool = |id: &str| format!("forbid (principal, action, resource == Tool::\"{id}\");");
    check(&tool("spiffe://prod.test/a#send")).expect("a good set");
    refused_at(&tool("send"), (1, 40), &["a tool is"]);
    refused_at(&tool("spiffe://prod.test/a#"), (1, 40), &["a tool is"]);
    let domain = |id: &str| {
        format!(
            "forbid (principal in TrustDomain::\"{id}\", action == Action::\"start\", resource);"
        )
    };
    check(&domain("prod.test")).expect("a good set");
    refused_at(&domain("spiffe://prod.test"), (1, 22), &["bare name"]);
    let principal = |id: &str| {
        format!("forbid (principal == Principal::\"{id}\", action == Action::\"query\", resource);")
    };
    check(&principal(&"0a".repeat(32))).expect("a good set");
    refused_at(&principal(&"0A".repeat(32)), (1, 22), &["hexadecimal"]);
    let task = |id: &str| {
        format!("forbid (principal, action == Action::\"query\", resource == Task::\"{id}\");")
    };
    check(&task(&"0a".repeat(16))).expect("a good set");
    refused_at(&task("1"), (1, 59), &["hexadecimal"]);
}

#[test]
fn an_impossible_policy_is_a_warning() {
    let text = "permit (principal, action == Action::\"query\", resource);\n\
                forbid (principal, action == Action::\"query\", resource) when { false };";
    let summary = check(text).expect("a good set");
    let [warning] = summary.warnings.as_slice() else {
        panic!("not one warning: {:?}", summary.warnings);
    };
    assert_eq!(warning.line, 2);
    assert!(warning.message.contains("impossible"), "{warning}");
}

#[test]
fn a_file_that_cannot_be_trusted_or_read_is_refused() {
    let good = "permit (principal, action == Action::\"query\", resource);";
    let folder = Folder::with(good);
    let load = |path: std::path::PathBuf| CedarPolicy::load(PolicySource::file(path));

    let missing = load(folder.folder().join("none")).expect_err("no file");
    assert!(matches!(missing, PolicyError::Read { .. }), "{missing}");
    assert!(missing.chain().contains("No such file"), "{missing}");

    let a_folder = load(folder.folder().to_owned()).expect_err("a folder");
    assert!(
        matches!(a_folder, PolicyError::NotAFile { .. }),
        "{a_folder}"
    );

    let mode = |mode| fs::set_permissions(folder.file(), fs::Permissions::from_mode(mode));
    mode(0o666).expect("chmod");
    let writable = load(folder.file()).expect_err("world-writable");
    assert!(matches!(writable, PolicyError::WorldWritable { .. }));
    mode(0o644).expect("chmod");
    load(folder.file()).expect("a good file");

    let folder_mode = |mode| fs::set_permissions(folder.folder(), fs::Permissions::from_mode(mode));
    folder_mode(0o777).expect("chmod");
    let replaceable = load(folder.file()).expect_err("a world-writable folder");
    assert!(matches!(replaceable, PolicyError::WorldWritable { .. }));
    folder_mode(0o1777).expect("chmod");
    load(folder.file()).expect("a sticky folder is safe");
    folder_mode(0o700).expect("chmod");

    fs::write(folder.file(), b"permit\n \xff").expect("write");
    let garbage = load(folder.file()).expect_err("not text");
    assert!(garbage.chain().contains("line 2, column 2: not UTF-8"));
}

#[test]
fn the_size_of_a_set_is_limited() {
    let good = "permit (principal, action == Action::\"query\", resource);";
    let folder = Folder::with(good);
    let load = |bytes_max, policies_max| {
        CedarPolicy::load(PolicySource {
            path: Some(folder.file()),
            bytes_max,
            policies_max,
        })
    };
    let length = u64::try_from(good.len()).expect("a length");
    load(length, 1).expect("just small enough");
    let error = load(length - 1, 1).expect_err("one byte too long");
    assert!(error.chain().contains("`limits.policy_bytes`"), "{error}");
    let error = load(length, 0).expect_err("one policy too many");
    assert!(error.chain().contains("`limits.policies`"), "{error}");
    // Counted before anything is parsed.
    fs::write(folder.file(), "permit;permit;").expect("a file");
    let error = load(length, 1).expect_err("one policy too many");
    assert!(error.chain().contains("2 policies"), "{error}");
}

#[test]
fn an_error_names_its_file() {
    let folder = Folder::with("permit");
    let error = CedarPolicy::load(PolicySource::file(folder.file())).expect_err("a bad set");
    let told = error.chain();
    assert!(
        told.contains(&folder.file().display().to_string()),
        "{told}"
    );
    assert!(told.contains("line 1, column 7"), "{told}");
}

#[test]
fn an_exact_workload_is_that_workload() {
    let policy = set(
        "permit (principal == Workload::\"spiffe://prod.test/ns/shop/sa/client\",\n\
                 action, resource);",
    );
    permitted(&policy, &ordinary(Action::Create));
    let mut other = ordinary(Action::Create);
    other.actor = Some(id("spiffe://prod.test/ns/shop/sa/client2"));
    refused(&policy, &other);
}
