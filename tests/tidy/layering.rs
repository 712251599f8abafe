//! Names point inward only: which room may name which.

use crate::tree::{self, Source};

/// Rooms that only `app` and the command line may combine, and what each may name besides itself.
///
/// A new room fails the test until it has a row here.
const ROOMS: &[(&str, &[&str])] = &[
    // The rules.
    ("domain", &[]),
    // One request through the rules.
    ("service", &["domain"]),
    // Edges: each names the domain and the ports, never another edge.
    ("attest", INWARD),
    ("clock", INWARD),
    (
        "grpc",
        &["domain", "service", "proto", "kernel", "canonical"],
    ),
    ("identity", INWARD),
    ("ledger", INWARD),
    ("oidc", INWARD),
    ("policy", INWARD),
    ("token", &["domain", "service", "canonical"]),
    // Pieces without a will of their own.
    ("canonical", &["domain"]),
    ("config", &["domain"]),
    ("failpoint", &[]),
    ("kernel", &["domain"]),
    ("keys", &["domain", "service"]),
    ("proto", &[]),
    ("telemetry", &[]),
    // The library for workloads, and the development provider.
    (
        "client",
        &["domain", "proto", "token", "canonical", "kernel"],
    ),
    ("dev", &["domain", "proto"]),
    // Those who put it together.
    ("app", EVERYTHING),
    ("cli", EVERYTHING),
];

const INWARD: &[&str] = &["domain", "service", "kernel"];
const EVERYTHING: &[&str] = &["*"];

/// Named from anywhere outside the domain: they decide nothing.
const EVERYWHERE: &[&str] = &["failpoint", "telemetry"];

/// Rooms of which the ports are all that an edge may name.
const PORTS_ONLY: &str = "service";
const PORTS_ONLY_EXEMPT: &[&str] = &["service", "grpc", "app", "cli"];

/// Crates that one room alone names, so that replacing one is a change to one room.
const CRATE_HOMES: &[(&str, &[&str])] = &[
    ("axum::", &[]),
    ("cedar_policy::", &["policy"]),
    ("cedar_policy_symcc::", &["policy"]),
    ("clap::", &["cli", "main"]),
    ("redb::", &["ledger"]),
    ("spire_api::", &["attest"]),
    ("toml::", &["config", "dev", "policy"]),
    ("tonic_health::", &["grpc", "client"]),
];

/// Reads one file and returns its offences.
type Rule = fn(&Source) -> Vec<String>;

/// The first component below `src/`, without the extension.
fn room(source: &Source) -> &str {
    let below = source.path.strip_prefix("src/").unwrap_or_default();
    let first = below.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Every `crate::a::b` of a file as (line, "a", "b"); groups in braces are taken apart.
fn crate_paths(source: &Source) -> Vec<(usize, String, String)> {
    let lines: Vec<&str> = source.code_lines().map(|(_, code)| code).collect();
    let code = lines.join("\n");
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + "crate::".len()..];
        let group = rest.strip_prefix('{').map(group_members);
        for path in group.unwrap_or_else(|| vec![rest]) {
            let mut parts = path.split("::").map(identifier);
            let first = parts.next().unwrap_or_default().to_owned();
            let second = parts.next().unwrap_or_default().to_owned();
            if !first.is_empty() {
                paths.push((line, first, second));
            }
        }
    }
    paths
}

/// The members of `a::b, c::{d, e}}…`, split at the commas of the outermost group.
fn group_members(text: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                members.push(text[start..at].trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members
}

/// The identifier at the beginning.
fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    &text[..end.unwrap_or(text.len())]
}

/// Offences of one file against the layering.
fn layering(source: &Source) -> Vec<String> {
    let own = room(source);
    if !source.is_under("src") || matches!(own, "lib" | "main") {
        return Vec::new();
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == own) else {
        return vec![source.offence(1, format_args!("room `{own}` has no row in ROOMS"))];
    };
    let mut offences = Vec::new();
    for (line, named, inner) in crate_paths(source) {
        let everywhere = own != "domain" && EVERYWHERE.contains(&named.as_str());
        let free = *allowed == EVERYTHING || named == own || everywhere;
        if !free && !allowed.contains(&named.as_str()) {
            offences.push(source.offence(line, format_args!("`{own}` names `{named}`")));
        }
        if named == PORTS_ONLY && inner != "ports" && !PORTS_ONLY_EXEMPT.contains(&own) {
            let what = format_args!("`{own}` names `service::{inner}`: only the ports");
            offences.push(source.offence(line, what));
        }
    }
    offences
}

/// `super` that climbs out of its room, which would pass unseen by [`layering`].
fn climbing(source: &Source) -> Vec<String> {
    if !source.is_under("src") {
        return Vec::new();
    }
    // How many `super` lead from this file to the crate's root.
    let depth = source.path.matches('/').count() - usize::from(source.path.ends_with("/mod.rs"));
    let climb = format!("use {}", "super::".repeat(depth.max(1)));
    source
        .code_lines()
        .filter(|(_, code)| code.starts_with(&climb))
        .map(|(line, _)| source.offence(line, "climbs out of its room: write `crate::`"))
        .collect()
}

/// Crates named outside of their home.
fn homes(source: &Source) -> Vec<String> {
    if !source.is_under("src") {
        return Vec::new();
    }
    let mut offences = Vec::new();
    for (line, code) in source.code_lines() {
        for (name, rooms) in CRATE_HOMES {
            let named = code
                .match_indices(name)
                .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            if named && !rooms.contains(&room(source)) {
                offences
                    .push(source.offence(line, format_args!("`{name}` is at home in {rooms:?}")));
            }
        }
    }
    offences
}

/// Values that only one room may make, and calls that only one room may do.
fn makers(source: &Source) -> Vec<String> {
    const MAKERS: &[(&str, &[&str])] = &[
        ("AttestedWorkload::attested(", &["attest"]),
        ("SystemTime::now(", &["clock"]),
        ("rand::fill(", &["clock"]),
    ];
    // Outside the agent itself the clock and the generator are taken directly, with a reason.
    const REASONED: &[&str] = &["client", "dev"];
    if !source.is_under("src") {
        return Vec::new();
    }
    let own = room(source);
    let reasoned = REASONED.contains(&own)
        && source.text.contains("clippy::disallowed_methods")
        && source.text.contains("reason =");
    let mut offences = Vec::new();
    let mut in_tests = false;
    for (line, code) in source.code_lines() {
        in_tests |= code.trim() == "#[cfg(test)]";
        for (call, rooms) in MAKERS {
            let free = rooms.contains(&own) || is_test_file(source) || in_tests;
            let excused = reasoned && !call.starts_with("Attested");
            if code.contains(call) && !free && !excused {
                offences
                    .push(source.offence(line, format_args!("`{call}…)` belongs to {rooms:?}")));
            }
        }
    }
    offences
}

/// Whether a file under `src` is compiled for tests alone, by its name.
fn is_test_file(source: &Source) -> bool {
    source.path.contains("/tests/") || source.path.ends_with("/tests.rs")
}

/// Applies a rule to the whole tree.
fn offences(rule: Rule) -> Vec<String> {
    let files = tree::files();
    files
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(rule)
        .collect()
}

#[test]
fn names_point_inward_only() {
    tree::none(&offences(layering));
}

#[test]
fn nobody_climbs_out_of_a_room() {
    tree::none(&offences(climbing));
}

#[test]
fn each_crate_has_one_home() {
    tree::none(&offences(homes));
}

#[test]
fn evidence_time_and_randomness_have_one_maker() {
    tree::none(&offences(makers));
}

#[test]
fn each_layering_rule_finds_an_offence() {
    let found: [(Rule, &str, &str); 11] = [
        (
            layering,
            "src/domain/task.rs",
            "use crate::service::ports::Clock;",
        ),
        (layering, "src/ledger/mod.rs", "use crate::policy::Set;"),
        (
            layering,
            "src/ledger/mod.rs",
            "use crate::{\n    domain::id,\n    policy::{Set, Text},\n};",
        ),
        (
            layering,
            "src/ledger/mod.rs",
            "use crate::service::Continuation;",
        ),
        (layering, "src/cellar/mod.rs", "fn f() {}"),
        (climbing, "src/ledger/mod.rs", "use super::policy;"),
        (climbing, "src/ledger/row.rs", "use super::super::policy;"),
        (climbing, "src/clock.rs", "use super::policy;"),
        (homes, "src/grpc/mod.rs", "use redb::Database;"),
        (
            makers,
            "src/grpc/mod.rs",
            "AttestedWorkload::attested(e, None)",
        ),
        (makers, "src/dev/mod.rs", "SystemTime::now()"),
    ];
    for (rule, path, text) in found {
        assert_eq!(
            rule(&Source::made_up(path, text)).len(),
            1,
            "{path}: {text}"
        );
    }
}

#[test]
fn the_layering_rules_let_the_rest_pass() {
    let fine: [(Rule, &str, &str); 9] = [
        (
            layering,
            "src/domain/task.rs",
            "use crate::domain::id::TaskId;",
        ),
        (
            layering,
            "src/ledger/mod.rs",
            "use crate::service::ports::Ledger; // crate::policy",
        ),
        (
            layering,
            "src/grpc/mod.rs",
            "use crate::{proto::v1, service::Continuation};",
        ),
        (layering, "src/app/mod.rs", "use crate::ledger::Redb;"),
        (climbing, "src/ledger/row.rs", "use super::Redb;"),
        (climbing, "src/ledger/mod.rs", "    use super::*;"),
        (homes, "src/ledger/mod.rs", "use redb::Database;"),
        (
            makers,
            "src/attest/mod.rs",
            "AttestedWorkload::attested(e, None)",
        ),
        (
            makers,
            "src/grpc/mod.rs",
            "#[cfg(test)]\nAttestedWorkload::attested(e, None)",
        ),
    ];
    for (rule, path, text) in fine {
        let offences = rule(&Source::made_up(path, text));
        assert!(offences.is_empty(), "{path}: {text}: {offences:?}");
    }
}
