//! What the configuration accepts and refuses, key by key.

mod places;
mod rows;

use super::{AgentId, Attestation, Config, ConfigError, LogLevel};
use crate::domain::id::SpiffeId;
use std::time::Duration;

const MINIMAL: &str = "[agent]\nspiffe_id = \"spiffe://example.org/handfast/agent\"\n";
const MANUAL: &str = include_str!("../../../spire-config/handfast.toml");
const SECTIONS: [&str; 12] = [
    "agent",
    "spiffe",
    "enforcement",
    "policy",
    "tokens",
    "tasks",
    "timeouts",
    "limits",
    "clock",
    "drain",
    "log",
    "workload",
];

/// Parses the minimal file with some lines added.
fn parse(lines: &str) -> Result<Config, ConfigError> {
    Config::parse(&format!("{MINIMAL}{lines}"))
}

/// Expects a refusal and returns its message.
fn refusal(lines: &str) -> String {
    match parse(lines) {
        Ok(_) => panic!("accepted:\n{lines}"),
        Err(error) => error.to_string(),
    }
}

fn id(text: &str) -> SpiffeId {
    SpiffeId::new(text).expect("a SPIFFE ID")
}

#[test]
fn the_shipped_file_states_the_defaults() {
    let shipped = Config::parse(MANUAL).expect("the shipped file is valid");
    let defaults = parse("").expect("one key is enough");
    assert_eq!(shipped.settings, defaults.settings);
    assert_eq!(shipped, defaults);
}

#[test]
fn the_shipped_file_names_every_key() {
    for section in SECTIONS {
        let header = match section {
            "agent" => "",
            "workload" => "[[workload]]\nspiffe_id = \"spiffe://example.org/w\"\nuid = 1\n",
            _ => &format!("[{section}]\n"),
        };
        let known = match parse(&format!("{header}stranger = 1\n")) {
            Err(ConfigError::UnknownKey { known, .. }) => known,
            other => panic!("{section}: {other:?}"),
        };
        let (_, rest) = MANUAL
            .split_once(&format!("[{section}]"))
            .expect("the section is in the file");
        let body = rest.split("\n[").next().unwrap_or_default();
        for key in known.split(", ") {
            let stated = body.lines().any(|line| {
                line.trim_start_matches('#')
                    .starts_with(&format!("{key} = "))
            });
            assert!(stated, "`{section}.{key}` is not in the shipped file");
        }
    }
    assert!(MANUAL.contains("#admin_socket = ") && MANUAL.contains("#url = "));
}

#[test]
fn optional_lines_of_the_shipped_file_are_valid_too() {
    let uncommented: String = MANUAL
        .lines()
        .filter(|line| !line.contains("admin_socket"))
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
            _ => line,
        })
        .map(|line| match line {
            "allowed = []" => "allowed = [\"spiffe://example.org/tool\"]",
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let config = Config::parse(&uncommented).expect("every optional line is valid");
    assert!(config.enforcement.listen.is_some());
    assert_eq!(config.workloads.len(), 3);
    assert_eq!(config.releases.len(), 1);
    assert_eq!(config.approvers.len(), 1);
    assert_eq!(config.person_issuers.len(), 1);
    assert_eq!(config.audiences.len(), 1);
}

#[test]
fn an_unknown_key_is_named_with_its_path() {
    for (lines, key) in [
        ("[limits]\nmax_foo = 1\n", "limits.max_foo"),
        ("socket = \"/a/b\"\n", "agent.socket"),
        ("[unheard]\nof = 1\n", "unheard"),
        (
            "[[workload]]\nspiffe_id = \"spiffe://example.org/w\"\nuid = 1\npath = \"/x\"\n",
            "workload[0].path",
        ),
    ] {
        assert!(
            refusal(lines).starts_with(&format!("`{key}` is not a known key")),
            "{}",
            refusal(lines)
        );
    }
}

#[test]
fn a_syntax_error_is_placed() {
    match parse("[log]\nlevel = \n") {
        Err(ConfigError::Syntax { line: 4, .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// Lines of the file, and how their refusal begins.
const OUT_OF_RANGE: &[(&str, &str)] = &[
    (
        "[limits]\nstreams = \"many\"\n",
        "`limits.streams` must be a whole number, found string",
    ),
    (
        "[limits]\nstreams = 0\n",
        "`limits.streams` is `0`: must be more than zero",
    ),
    ("[limits]\nstreams = -1\n", "`limits.streams` is `-1`"),
    (
        "[limits]\nstreams = 4294967296\n",
        "`limits.streams` is `4294967296`",
    ),
    (
        "[limits]\nframe_bytes = 16383\n",
        "`limits.frame_bytes` is `16383`",
    ),
    (
        "[limits]\nframe_bytes = 16777216\n",
        "`limits.frame_bytes` is `16777216`",
    ),
    (
        "[limits]\nstream_window_bytes = 1\n",
        "`limits.stream_window_bytes` is `1`",
    ),
    (
        "[limits]\nargument_bytes = 65537\n",
        "`limits.argument_bytes` and `limits.message_bytes`",
    ),
    (
        "[limits]\nledger_queue = 100\n",
        "`limits.ledger_batch` and `limits.ledger_queue`",
    ),
    (
        "[tokens]\nttl = \"0s\"\n",
        "`tokens.ttl` is `0s`: must be more than zero",
    ),
    (
        "[tokens]\nttl = \"61s\"\n",
        "`tokens.ttl` is `61s`: must be at most `1m`",
    ),
    (
        "[tokens]\nquery_ttl = \"10001ms\"\n",
        "`tokens.query_ttl` is `10001ms`",
    ),
    (
        "[tokens]\nact_by = 5\n",
        "`tokens.act_by` must be a duration",
    ),
    (
        "[tokens]\nact_by = \"5 seconds\"\n",
        "`tokens.act_by` is `5 seconds`",
    ),
    (
        "[spiffe]\nreattest_interval = \"11s\"\n",
        "`spiffe.reattest_interval` is `11s`",
    ),
    ("[tasks]\nretention = \"1m\"\n", "`tasks.retention` is `1m`"),
    (
        "[tasks]\nowner_tokens_max = 3\n",
        "`tasks.owner_tokens_max` is `3`",
    ),
    (
        "[log]\nlevel = \"loud\"\n",
        "`log.level` is `loud`: must be one of error, warn",
    ),
    ("[log]\nlevel = \"\"\n", "`log.level` is ``"),
    ("limits = 3\n[log]\n", "`agent.limits` is not a known key"),
];

#[test]
fn wrong_types_zeros_and_excesses_are_refused() {
    for (lines, message) in OUT_OF_RANGE {
        assert!(refusal(lines).starts_with(message), "{}", refusal(lines));
    }
}

#[test]
fn the_last_admitted_value_of_each_limit_is_accepted() {
    let config = parse(
        "[tokens]\nttl = \"60s\"\nquery_ttl = \"10s\"\n[tasks]\nretention = \"2m\"\n\
         [limits]\nframe_bytes = 16777215\nargument_bytes = 65536\nledger_queue = 512\nstreams = 1\n\
         [log]\nlevel = \"trace\"\n",
    )
    .expect("all are at their limit");
    assert_eq!(config.tokens.query_ttl, Duration::from_secs(10));
    assert_eq!(config.limits.streams, 1);
    assert_eq!(config.log.level, LogLevel::Trace);
}

#[test]
fn identities_are_checked() {
    let agent = |value: &str| Config::parse(&format!("[agent]\nspiffe_id = \"{value}\"\n"));
    for value in [
        "agent",
        "https://example.org/a",
        "spiffe://example.org/a//b",
        "spiffe://",
    ] {
        match agent(value) {
            Err(ConfigError::SpiffeId { key, .. }) => assert_eq!(key, "agent.spiffe_id"),
            other => panic!("{value}: {other:?}"),
        }
    }
    assert!(matches!(
        agent("spiffe://example.org"),
        Err(ConfigError::Value { .. })
    ));
    assert!(matches!(
        Config::parse(""),
        Err(ConfigError::Missing { .. })
    ));
    for (lines, message) in [
        (
            "[enforcement]\nlisten = \"127.0.0.1:1\"\n",
            "`enforcement.allowed` and `enforcement.listen`",
        ),
        (
            "[enforcement]\nlisten = \"localhost:1\"\n",
            "`enforcement.listen` is `localhost:1`",
        ),
        (
            "[enforcement]\nallowed = [\"spiffe://other.test/t\"]\n",
            "`enforcement.allowed` is `spiffe://other.test/t`",
        ),
        (
            "[enforcement]\nfederated = [\"example.org\"]\n",
            "`enforcement.federated` is",
        ),
        (
            "[enforcement]\nfederated = [\"a b\"]\n",
            "`enforcement.federated[0]`: `a b` is not",
        ),
        (
            "[enforcement]\nallowed = [1]\n",
            "`enforcement.allowed[0]` must be a text",
        ),
        (
            "[[workload]]\nspiffe_id = \"spiffe://other.test/w\"\nuid = 1\n",
            "`workload[0].spiffe_id` is `spiffe://other.test/w`",
        ),
    ] {
        assert!(refusal(lines).starts_with(message), "{}", refusal(lines));
    }
    let federated = "[enforcement]\nfederated = [\"other.test\"]\nallowed = [\"spiffe://other.test/t\"]\n\
                     listen = \"127.0.0.1:1\"\n";
    assert!(parse(federated).is_ok());
}

#[test]
fn spire_is_asked_one_way_only() {
    let config = parse("").expect("defaults");
    let Attestation::Broker { agent_id, .. } = &config.spiffe.attestation else {
        panic!("the broker is the default");
    };
    assert!(agent_id.admits(&id("spiffe://example.org/spire/agent/join_token/x")));
    for stranger in [
        "spiffe://example.org/spire/agents/x",
        "spiffe://example.org/worker",
        "spiffe://other.test/spire/agent/join_token/x",
    ] {
        assert!(!agent_id.admits(&id(stranger)), "{stranger}");
    }
    let exact = parse("[spiffe]\nbroker_agent_id = \"spiffe://example.org/node/1\"\n");
    let exact = exact.expect("an exact ID").spiffe.attestation;
    assert!(matches!(
        exact,
        Attestation::Broker {
            agent_id: AgentId::Exact(_),
            ..
        }
    ));
    let delegated = "[spiffe]\nattestation = \"delegated\"\n";
    assert!(parse(delegated).is_ok());
    for (lines, message) in [
        (
            format!("{delegated}broker_socket = \"/run/b/b.sock\"\n"),
            "`spiffe.broker_socket` and `spiffe.attestation`",
        ),
        (
            "[spiffe]\nadmin_socket = \"/run/b/b.sock\"\n".to_owned(),
            "`spiffe.admin_socket` and `spiffe.attestation`",
        ),
        (
            "[spiffe]\nbroker_agent_id = \"spiffe://other.test/spire/agent/*\"\n".to_owned(),
            "`spiffe.broker_agent_id` is",
        ),
        (
            "[spiffe]\nbroker_agent_id = \"spiffe://example.org/*\"\n".to_owned(),
            "`spiffe.broker_agent_id` is",
        ),
    ] {
        assert!(refusal(&lines).starts_with(message), "{}", refusal(&lines));
    }
}

#[test]
fn the_default_rules_are_the_domains_own() {
    let config = parse("").expect("defaults");
    assert_eq!(config.rules(), crate::domain::limits::Limits::default());
}
