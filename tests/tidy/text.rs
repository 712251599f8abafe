//! Sizes, names, and text that must not be in the tree.

use crate::tree::{self, Source};

const LINES_MAX: usize = 400;
const LINE_CHARS_MAX: usize = 120;

/// Files named by kind instead of meaning.
const BANNED_FILES: &[&str] = &[
    "common.rs",
    "errors.rs",
    "helpers.rs",
    "misc.rs",
    "types.rs",
    "utils.rs",
    "util.rs",
];

/// Endings of type names that say nothing.
const BANNED_TYPES: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils"];

/// Text of Rust code that must not be there. Written in two halves, so as not to find itself.
const BANNED_CODE: &[(&str, &str, &str)] = &[
    ("#[ig", "nore", "run it or delete it"),
    ("#[should", "_panic", "check the error instead"),
    (
        "#[al",
        "low(",
        "`#[expect(…, reason)]` says why and when it is over",
    ),
    (
        "#![al",
        "low(",
        "`#[expect(…, reason)]` says why and when it is over",
    ),
    ("to", "do!(", "build it or leave it out"),
    ("unimple", "mented!(", "build it or leave it out"),
];

/// Places of one machine, and hosts that only a package client should know.
const BANNED_TEXT: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("index.cra", "tes.io"),
    ("static.cra", "tes.io"),
    ("proxy.gol", "ang.org"),
    ("registry.np", "mjs.org"),
    ("pypi", ".org"),
    ("arti", "factory"),
];

/// Generated or taken over word by word.
const FOREIGN: &[&str] = &[
    "Cargo.lock",
    "LICENSE",
    "spire-config/tools/go.mod",
    "spire-config/tools/go.sum",
];

fn too_long(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        let what = format_args!("{lines} lines, at most {LINES_MAX}: split by meaning");
        offences.push(source.offence(LINES_MAX, what));
    }
    for (index, line) in source.text.lines().enumerate() {
        let chars = line.chars().count();
        if chars > LINE_CHARS_MAX {
            let what = format_args!("{chars} characters, at most {LINE_CHARS_MAX}");
            offences.push(source.offence(index + 1, what));
        }
    }
    offences
}

fn undocumented(source: &Source) -> Vec<String> {
    // A test file of a room and a shell's entry point say what they are in their name.
    if source.text.starts_with("//!") {
        return Vec::new();
    }
    vec![source.offence(
        1,
        "a module begins with `//!`: purpose, what it may name, the one thing",
    )]
}

fn badly_named(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    let file = source.path.rsplit('/').next().unwrap_or_default();
    if BANNED_FILES.contains(&file) {
        offences.push(source.offence(1, "a file is named by what it means, not by its kind"));
    }
    for (line, code) in source.code_lines() {
        for keyword in ["struct ", "enum ", "trait ", "type "] {
            let Some((before, name)) = code.split_once(keyword) else {
                continue;
            };
            let declared = before.trim().is_empty() || before.trim_start().starts_with("pub");
            let name = name.split(|c: char| !c.is_alphanumeric()).next();
            let name = name.unwrap_or_default();
            if declared && BANNED_TYPES.iter().any(|banned| name.ends_with(banned)) {
                offences.push(source.offence(line, format_args!("`{name}` says nothing")));
            }
        }
    }
    offences
}

fn banned_code(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    for (line, code) in source.code_lines() {
        for (one, two, instead) in BANNED_CODE {
            let banned = format!("{one}{two}");
            if code.contains(&banned) {
                offences.push(source.offence(line, format_args!("`{banned}`: {instead}")));
            }
        }
    }
    offences
}

fn sleeping(source: &Source) -> Vec<String> {
    if !source.is_under("tests") && !source.path.contains("/tests") {
        return Vec::new();
    }
    let sleeps = ["thread", "time"].map(|module| format!("{module}::sleep("));
    source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| sleeps.iter().any(|sleep| line.contains(sleep)))
        .filter(|(_, line)| !line.contains("// poll:"))
        .map(|(index, _)| {
            let what = "sleeping is not synchronising; a polled condition says `// poll:`";
            source.offence(index + 1, what)
        })
        .collect()
}

fn of_this_machine(source: &Source) -> Vec<String> {
    if FOREIGN.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let mut offences = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for (one, two) in BANNED_TEXT {
            let banned = format!("{one}{two}");
            if line.contains(&banned) {
                offences.push(source.offence(index + 1, format_args!("`{banned}`")));
            }
        }
    }
    offences
}

/// Crash points are compiled in only where somebody asked for them, and never into a release.
fn failpoints(files: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    let manifest = files.iter().find(|file| file.path == "Cargo.toml");
    if !manifest.is_some_and(|file| file.text.contains("\ndefault = []\n")) {
        offences.push("Cargo.toml: the list of default features is not empty".to_owned());
    }
    let in_src = |text: &str| {
        let mut rust = files.iter().filter(|file| file.is_under("src"));
        rust.any(|file| file.text.contains(text))
    };
    if in_src("feature = \"failpoints\"") {
        let guard = "all(feature = \"failpoints\", not(debug_assertions))";
        if !in_src(guard) || !in_src("compile_error!") {
            offences.push(format!("src: no compile_error! under `{guard}`"));
        }
    }
    offences
}

/// Applies a rule to the Rust files of the tree.
fn in_rust(rule: fn(&Source) -> Vec<String>) -> Vec<String> {
    let files = tree::files();
    files
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(rule)
        .collect()
}

#[test]
fn files_are_small() {
    tree::none(&in_rust(too_long));
}

#[test]
fn every_module_says_what_it_is_for() {
    tree::none(&in_rust(undocumented));
}

#[test]
fn names_mean_something() {
    tree::none(&in_rust(badly_named));
}

#[test]
fn nothing_is_skipped_silenced_or_unbuilt() {
    tree::none(&in_rust(banned_code));
}

#[test]
fn tests_do_not_sleep() {
    tree::none(&in_rust(sleeping));
}

#[test]
fn nothing_speaks_of_one_machine() {
    let offences: Vec<String> = tree::files().iter().flat_map(of_this_machine).collect();
    tree::none(&offences);
}

#[test]
fn crash_points_stay_out_of_releases() {
    tree::none(&failpoints(&tree::files()));
}

#[test]
fn each_text_rule_finds_an_offence() {
    type Rule = fn(&Source) -> Vec<String>;
    let join = |(one, two): (&str, &str)| format!("{one}{two}");
    let sleep = join(("std::thread::sl", "eep(d);"));
    let found: [(Rule, &str, String); 9] = [
        (too_long, "src/a.rs", "\n".repeat(LINES_MAX + 1)),
        (too_long, "src/a.rs", "x".repeat(LINE_CHARS_MAX + 1)),
        (undocumented, "src/a.rs", "fn f() {}".to_owned()),
        (badly_named, "src/utils.rs", String::new()),
        (
            badly_named,
            "src/a.rs",
            "pub(crate) struct TaskManager;".to_owned(),
        ),
        (banned_code, "src/a.rs", join(("    to", "do!();"))),
        (banned_code, "src/a.rs", join(("#[al", "low(dead_code)]"))),
        (sleeping, "tests/a.rs", sleep.clone()),
        (of_this_machine, "README.md", join(("see /ro", "ot/x"))),
    ];
    for (rule, path, text) in found {
        assert_eq!(
            rule(&Source::made_up(path, &text)).len(),
            1,
            "{path}: {text}"
        );
    }
    let fine: [(Rule, &str, String); 5] = [
        (too_long, "src/a.rs", "\n".repeat(LINES_MAX)),
        (badly_named, "src/a.rs", "struct Manageress;".to_owned()),
        (banned_code, "src/a.rs", join(("// to", "do!(): words"))),
        (
            sleeping,
            "tests/a.rs",
            format!("{sleep} // poll: until it is ready"),
        ),
        (of_this_machine, "README.md", "/run/handfast".to_owned()),
    ];
    for (rule, path, text) in fine {
        assert!(
            rule(&Source::made_up(path, &text)).is_empty(),
            "{path}: {text}"
        );
    }
    let manifest = |text: &str| Source::made_up("Cargo.toml", text);
    let guarded =
        "#[cfg(all(feature = \"failpoints\", not(debug_assertions)))]\ncompile_error!(\"\");";
    let empty = manifest("[features]\ndefault = []\n");
    let source = |text| Source::made_up("src/failpoint.rs", text);
    assert_eq!(
        failpoints(&[manifest("default = [\"failpoints\"]")]).len(),
        1
    );
    assert_eq!(
        failpoints(&[empty.clone(), source("feature = \"failpoints\"")]).len(),
        1
    );
    assert!(failpoints(&[empty, source(guarded)]).is_empty());
}
