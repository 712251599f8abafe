//! What the documents promise is there: a row for every attack, and every test they name.

use crate::tree::{self, Source};
use std::collections::BTreeSet;

/// Attacks A1 to A81 and narrowing rules N1 to N12.
const ATTACKS: usize = 81;
const NARROWINGS: usize = 12;
const NOT_YET: &str = "not yet";

/// The rows of SECURITY.md's tables as (row, last cell).
fn rows(security: &str) -> Vec<(String, String)> {
    security
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
            let row = cells.next()?;
            let (kind, number) = row.split_at_checked(1)?;
            let numbered = matches!(kind, "A" | "N") && number.parse::<usize>().is_ok();
            numbered.then(|| (row.to_owned(), cells.last().unwrap_or_default().to_owned()))
        })
        .collect()
}

/// Names in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Names of all functions in Rust files that begin with one of these kinds and a number: `a05_…`, `n1_…`.
fn row_tests(files: &[Source]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        for (_, code) in file.code_lines() {
            let Some((_, name)) = code.split_once("fn ") else {
                continue;
            };
            let name = name
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .next();
            let name = name.unwrap_or_default();
            if row_of(name).is_some() && !file.is_under("tests/tidy") {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// The row that a test's name speaks of: `a05_x` speaks of A5.
fn row_of(test: &str) -> Option<String> {
    let (kind, rest) = test.split_at_checked(1)?;
    let (number, _) = rest.split_once('_')?;
    let number: usize = number.parse().ok()?;
    matches!(kind, "a" | "n").then(|| format!("{}{number}", kind.to_uppercase()))
}

/// Rows that are absent, tests that are named and absent, tests that are there and not named.
fn uncovered(security: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let rows = rows(security);
    let mut offences = Vec::new();
    let attacks = (1..=ATTACKS).map(|number| format!("A{number}"));
    for wanted in attacks.chain((1..=NARROWINGS).map(|number| format!("N{number}"))) {
        match rows.iter().filter(|(row, _)| *row == wanted).count() {
            1 => {}
            count => offences.push(format!("SECURITY.md has {count} rows for {wanted}")),
        }
    }
    let named: BTreeSet<&str> = rows.iter().flat_map(|(_, cell)| quoted(cell)).collect();
    for (row, cell) in &rows {
        if quoted(cell).next().is_none() && !cell.contains(NOT_YET) && !cell.starts_with("stated") {
            offences.push(format!(
                "SECURITY.md: {row} says neither a test nor \"{NOT_YET}\""
            ));
        }
    }
    for name in named.iter().filter(|name| row_of(name).is_some()) {
        if !tests.contains(*name) {
            offences.push(format!("SECURITY.md names `{name}`, which is no test"));
        }
    }
    for test in tests.iter().filter(|test| !named.contains(test.as_str())) {
        let row = row_of(test).unwrap_or_default();
        offences.push(format!(
            "SECURITY.md: row {row} does not name its test `{test}`"
        ));
    }
    offences
}

/// Settings that nobody reads: a limit in the file that limits nothing.
fn unread_settings(files: &[Source]) -> Vec<String> {
    let wired = files.iter().any(|file| file.path.starts_with("src/app"));
    if !wired {
        return Vec::new();
    }
    let readers: Vec<&Source> = files
        .iter()
        .filter(|file| file.is_under("src") && !file.path.starts_with("src/config/tests"))
        .collect();
    let manual = files
        .iter()
        .find(|file| file.path == "spire-config/handfast.toml");
    let manual = manual.map_or("", |file| file.text.as_str());
    let mut section = "";
    let mut offences = Vec::new();
    for line in manual.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let limits = matches!(section, "limits" | "timeouts" | "tasks" | "tokens");
        let Some((key, _)) = line
            .split_once(" = ")
            .filter(|_| limits && !line.starts_with('#'))
        else {
            continue;
        };
        // Read as a field, outside of the check that the room itself makes.
        let field = format!(".{key}");
        let read = readers.iter().any(|file| {
            file.path != "src/config/limits.rs"
                && file.code_lines().any(|(_, code)| {
                    code.match_indices(&field).any(|(at, _)| {
                        let after = code[at + field.len()..].chars().next();
                        !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
                    })
                })
        });
        if !read {
            offences.push(format!(
                "`{section}.{key}` is in the file and nobody reads it"
            ));
        }
    }
    offences
}

fn security(files: &[Source]) -> &str {
    let file = files.iter().find(|file| file.path == "SECURITY.md");
    file.map_or("", |file| &file.text)
}

#[test]
fn every_row_says_which_test_shows_it() {
    let files = tree::files();
    tree::none(&uncovered(security(&files), &row_tests(&files)));
}

#[test]
fn every_setting_is_read_by_somebody() {
    tree::none(&unread_settings(&tree::files()));
}

#[test]
fn the_targets_that_are_promised_exist() {
    let files = tree::files();
    let makefile = files.iter().find(|file| file.path == "Makefile");
    let makefile = &makefile.expect("a Makefile").text;
    for target in [
        "build", "check", "clean", "demo", "figures", "fmt", "long", "spire", "test",
    ] {
        assert!(
            makefile.contains(&format!("\n{target}:")),
            "no `make {target}`"
        );
    }
}

#[test]
fn each_coverage_rule_finds_an_offence() {
    let attacks = (1..=ATTACKS).map(|number| format!("| A{number} | attack | not yet |"));
    let rules = (1..=NARROWINGS).map(|number| format!("| N{number} | rule | not yet |"));
    let table = attacks.chain(rules).collect::<Vec<_>>().join("\n");
    let tests = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert!(uncovered(&table, &tests(&[])).is_empty());

    let named = table.replace("| A5 | attack | not yet |", "| A5 | attack | `a05_once` |");
    assert!(uncovered(&named, &tests(&["a05_once"])).is_empty());
    let found = [
        (table.replace("| A7 | attack | not yet |", ""), tests(&[])),
        (named, tests(&[])),
        (table.clone(), tests(&["a05_once"])),
        (
            table.replace("| N3 | rule | not yet |", "| N3 | rule | soon |"),
            tests(&[]),
        ),
    ];
    for (security, tests) in found {
        assert_eq!(uncovered(&security, &tests).len(), 1, "{tests:?}");
    }

    let app = Source::made_up("src/app.rs", "let n = config.limits.streams;");
    let manual = |text| Source::made_up("spire-config/handfast.toml", text);
    let unread = |text| unread_settings(&[app.clone(), manual(text)]).len();
    assert_eq!(unread("[limits]\nstreams = 1\n"), 0);
    assert_eq!(unread("[limits]\nstream = 1\n"), 1);
}
