//! `[[workload]]` and `[[audience]]`: what a role must show, and which URL belongs to which SPIFFE
//! ID.
//!
//! Names `domain` only. A row that demands an executable alone is refused: the genuine program
//! started with another environment is another program (A59).

use super::refusal::ConfigError;
use super::table::Table;
use crate::domain::evidence::Required;
use crate::domain::grant::Risk;
use crate::domain::id::{Digest, SpiffeId};
use std::collections::HashMap;
use std::hash::Hash;

/// One `[[workload]]` row: what a workload must show, besides its SPIFFE ID, to hold a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadRow {
    /// Whom the row is about.
    pub spiffe_id: SpiffeId,
    /// What it must show; the process is added when the role is taken.
    pub evidence: Required,
    /// Whether one live process is pinned.
    pub process: bool,
}

impl WorkloadRow {
    /// Whether the executable's digest is needed to judge this row.
    #[must_use]
    pub fn needs_executable(&self) -> bool {
        self.evidence.executable.is_some() || self.evidence.release.is_some()
    }

    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let spiffe_id = table.spiffe_id("spiffe_id")?;
        let evidence = Required {
            uid: table.user_id("uid")?,
            cgroup: cgroup(table)?,
            executable: executable(table)?,
            release: table.text("release")?,
            process: None,
        };
        if let (Some(_), Some(name)) = (evidence.executable, &evidence.release) {
            let want = "without `executable_s256`: one of the two says which program it is";
            return Err(table.refuse("release", name, want));
        }
        let process = table.flag("process", false)?;
        if !evidence.is_bounded() && !process {
            return Err(ConfigError::Unbounded {
                key: table.path_of_table().to_owned(),
                spiffe_id: spiffe_id.to_string(),
            });
        }
        Ok(Self {
            spiffe_id,
            evidence,
            process,
        })
    }
}

/// One `[[tool]]` row: how much harm a tool can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolRow {
    /// SPIFFE ID of the tool's workload.
    pub audience: SpiffeId,
    /// The tool's or method's name.
    pub tool: String,
    /// How much harm it can do.
    pub risk: Risk,
}

impl ToolRow {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let audience = table.spiffe_id("audience")?;
        let tool = table
            .text("tool")?
            .ok_or_else(|| table.missing("tool", "the tool's name"))?;
        let risks = Risk::ALL.map(|risk| (risk.name(), risk));
        // Without a word it is as one without a row.
        let risk = table.choice("risk", Risk::default().name(), &risks)?;
        Ok(Self {
            audience,
            tool,
            risk,
        })
    }
}

/// One `[[audience]]` row: the URL under which a server or tool is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudienceRow {
    /// Its SPIFFE ID, the `aud` of tokens.
    pub spiffe_id: SpiffeId,
    /// Its URL, as clients spell it.
    pub url: String,
}

impl AudienceRow {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let spiffe_id = table.spiffe_id("spiffe_id")?;
        let url = table
            .text("url")?
            .ok_or_else(|| table.missing("url", "the audience's `https://` URL"))?;
        let rest = url
            .strip_prefix("https://")
            .filter(|rest| !rest.is_empty() && !rest.starts_with('/'))
            .filter(|rest| !rest.contains(|c: char| c.is_whitespace() || c == '#' || c == '@'));
        if rest.is_none() {
            let want = "an `https://` URL without user or fragment";
            return Err(table.refuse("url", &url, want));
        }
        Ok(Self { spiffe_id, url })
    }
}

/// Refuses rows that repeat a value.
pub(super) fn refuse_repeats<T, V: Eq + Hash + ToString>(
    rows: &[T],
    array: &str,
    field: &str,
    value: impl Fn(&T) -> V,
) -> Result<(), ConfigError> {
    let mut seen: HashMap<V, usize> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        let repeated = value(row).to_string();
        if let Some(first) = seen.insert(value(row), index) {
            return Err(ConfigError::Duplicate {
                key: format!("{array}[{index}].{field}"),
                value: repeated,
                first: format!("{array}[{first}].{field}"),
            });
        }
    }
    Ok(())
}

/// Reads `cgroup`: a whole path from the root, whose last segment may be `*`.
fn cgroup(table: &mut Table<'_>) -> Result<Option<String>, ConfigError> {
    let Some(pattern) = table.text("cgroup")? else {
        return Ok(None);
    };
    let parent = pattern.strip_suffix("/*").unwrap_or(&pattern);
    let whole = parent.strip_prefix('/').is_some_and(|path| {
        path.split('/')
            .all(|segment| !matches!(segment, "" | "." | "..") && !segment.contains('*'))
    });
    if whole {
        Ok(Some(pattern))
    } else {
        Err(table.refuse(
            "cgroup",
            &pattern,
            "a whole path below `/` as in `/proc/<pid>/cgroup`; only its last segment may be `*`",
        ))
    }
}

fn executable(table: &mut Table<'_>) -> Result<Option<Digest>, ConfigError> {
    const KEY: &str = "executable_s256";
    const WANT: &str = "64 lower-case hexadecimal digits of a SHA-256";
    let Some(text) = table.text(KEY)? else {
        return Ok(None);
    };
    digest(&text)
        .map(Some)
        .ok_or_else(|| table.refuse(KEY, &text, WANT))
}

pub(super) fn digest(text: &str) -> Option<Digest> {
    let bytes = text.as_bytes();
    if bytes.len() != 64
        || text
            .bytes()
            .any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    {
        return None;
    }
    let mut digest = [0_u8; 32];
    for (slot, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Digest(digest))
}
