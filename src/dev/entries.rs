//! Registration entries: which processes have which SPIFFE ID.

use super::process::Facts;
use crate::domain::id::{SpiffeId, TrustDomain};
use std::path::PathBuf;

/// One registration entry. Its selectors must all match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The identity that matching processes share, with its key.
    pub spiffe_id: SpiffeId,
    /// What a process must show; never empty.
    pub selectors: Vec<Selector>,
    /// Whether this identity may use the Broker API, as SPIRE's `brokers` list says.
    pub broker: bool,
}

/// One thing the kernel says about a process, written `unix:<kind>:<value>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Effective group ID.
    Gid(u32),
    /// Resolved path of the executable.
    Path(PathBuf),
    /// Effective user ID.
    Uid(u32),
}

/// Why an entries file was refused.
#[derive(Debug, thiserror::Error)]
pub enum EntriesError {
    /// The file is not TOML of the expected shape.
    #[error("entries file is malformed at line {line}: {message}")]
    Form {
        /// Line, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// An entry lies in another trust domain.
    #[error("entry `{0}` is not in the served trust domain")]
    Foreign(SpiffeId),
    /// An entry's name is not a SPIFFE ID.
    #[error("`{text}` is not a SPIFFE ID")]
    Id {
        /// As written.
        text: String,
        /// Why not.
        #[source]
        source: spiffe::SpiffeIdError,
    },
    /// An entry names the trust domain itself, or the provider.
    #[error("`{0}` cannot be given to a workload")]
    Reserved(SpiffeId),
    /// A selector is not one the provider knows.
    #[error("selector `{0}` is not `unix:uid:N`, `unix:gid:N` or `unix:path:/ABSOLUTE`")]
    Selector(String),
    /// An entry without selectors would match every process.
    #[error("entry `{0}` has no selectors")]
    Unbounded(SpiffeId),
}

impl Entry {
    pub(super) fn matches(&self, facts: &Facts) -> bool {
        self.selectors.iter().all(|selector| match selector {
            Selector::Gid(gid) => *gid == facts.gid,
            Selector::Path(path) => facts.executable.as_ref() == Some(path),
            Selector::Uid(uid) => *uid == facts.uid,
        })
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    entry: Vec<Row>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    spiffe_id: String,
    selectors: Vec<String>,
    #[serde(default)]
    broker: bool,
}

/// Reads an entries file: a list of `[[entry]]` tables with `spiffe_id`, `selectors` and,
/// optionally, `broker`.
///
/// # Errors
/// See [`EntriesError`]; the first mistake is reported and nothing is taken.
pub fn parse_entries(text: &str, trust_domain: &TrustDomain) -> Result<Vec<Entry>, EntriesError> {
    let file: File = toml::from_str(text).map_err(|error| malformed(text, &error))?;
    file.entry
        .into_iter()
        .map(|row| entry(row, trust_domain))
        .collect()
}

fn malformed(text: &str, error: &toml::de::Error) -> EntriesError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    EntriesError::Form {
        line: before.matches('\n').count().saturating_add(1),
        message: error.message().to_owned(),
    }
}

fn entry(row: Row, trust_domain: &TrustDomain) -> Result<Entry, EntriesError> {
    let spiffe_id = SpiffeId::new(&row.spiffe_id).map_err(|source| EntriesError::Id {
        text: row.spiffe_id,
        source,
    })?;
    if !spiffe_id.is_member_of(trust_domain) {
        return Err(EntriesError::Foreign(spiffe_id));
    }
    // SPIFFE reserves nothing below the path, SPIRE reserves `/spire/`: a workload there could pose
    // as an agent.
    if spiffe_id.path().is_empty() || spiffe_id.path().starts_with("/spire/") {
        return Err(EntriesError::Reserved(spiffe_id));
    }
    let selectors = row
        .selectors
        .iter()
        .map(|text| selector(text))
        .collect::<Result<Vec<_>, _>>()?;
    if selectors.is_empty() {
        return Err(EntriesError::Unbounded(spiffe_id));
    }
    Ok(Entry {
        spiffe_id,
        selectors,
        broker: row.broker,
    })
}

fn selector(text: &str) -> Result<Selector, EntriesError> {
    let refused = || EntriesError::Selector(text.to_owned());
    let number = |value: &str| value.parse::<u32>().map_err(|_not_a_number| refused());
    match text
        .strip_prefix("unix:")
        .and_then(|rest| rest.split_once(':'))
    {
        Some(("gid", value)) => number(value).map(Selector::Gid),
        Some(("path", value)) if value.starts_with('/') => Ok(Selector::Path(value.into())),
        Some(("uid", value)) => number(value).map(Selector::Uid),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            uid: 1001,
            gid: 1002,
            executable: Some("/usr/bin/worker".into()),
        }
    }

    fn parse(text: &str) -> Result<Vec<Entry>, EntriesError> {
        parse_entries(text, &TrustDomain::new("dev.test").unwrap())
    }

    fn one(selectors: &str) -> Entry {
        parse(&format!(
            "[[entry]]\nspiffe_id = \"spiffe://dev.test/a\"\nselectors = {selectors}"
        ))
        .unwrap()
        .remove(0)
    }

    #[test]
    fn every_selector_must_match() {
        for (selectors, expected) in [
            (r#"["unix:uid:1001"]"#, true),
            (r#"["unix:uid:1002"]"#, false),
            (r#"["unix:gid:1002", "unix:uid:1001"]"#, true),
            (r#"["unix:gid:1", "unix:uid:1001"]"#, false),
            (r#"["unix:path:/usr/bin/worker"]"#, true),
            (r#"["unix:path:/usr/bin/work"]"#, false),
        ] {
            assert_eq!(one(selectors).matches(&facts()), expected, "{selectors}");
        }
    }

    #[test]
    fn an_unreadable_executable_matches_no_path() {
        let unreadable = Facts {
            executable: None,
            ..facts()
        };
        assert!(!one(r#"["unix:path:/usr/bin/worker"]"#).matches(&unreadable));
    }

    #[test]
    fn mistakes_are_refused() {
        for (id, selectors) in [
            ("spiffe://other.test/a", r#"["unix:uid:1"]"#),
            ("spiffe://dev.test", r#"["unix:uid:1"]"#),
            ("spiffe://dev.test/spire/agent/x", r#"["unix:uid:1"]"#),
            ("https://dev.test/a", r#"["unix:uid:1"]"#),
            ("spiffe://dev.test/a", "[]"),
            ("spiffe://dev.test/a", r#"["unix:uid:-1"]"#),
            ("spiffe://dev.test/a", r#"["unix:path:relative"]"#),
            ("spiffe://dev.test/a", r#"["docker:label:x"]"#),
        ] {
            let text = format!("[[entry]]\nspiffe_id = \"{id}\"\nselectors = {selectors}");
            assert!(parse(&text).is_err(), "{text}");
        }
        assert!(parse("[[entry]]\nspiffe_id = 1").is_err());
        assert!(parse("entries = []").is_err());
        assert!(parse("").unwrap().is_empty());
    }
}
