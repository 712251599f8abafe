//! `[[release]]`: the executables that count as one program.
//!
//! A role that demands a release, and not one digest, outlives a deploy: the new program's digest joins the list
//! before the deploy, the old one leaves it afterwards.

use super::refusal::ConfigError;
use super::rows::{WorkloadRow, digest};
use super::table::Table;
use crate::domain::evidence::Releases;
use crate::domain::id::Digest;

const KEY: &str = "executables_s256";

/// One `[[release]]` row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseRow {
    /// What `[[workload]]` rows call it.
    pub name: String,
    /// SHA-256 of each executable that belongs to it; at least one.
    pub executables: Vec<Digest>,
}

impl ReleaseRow {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let name = table
            .text("name")?
            .filter(|name| !name.is_empty())
            .ok_or_else(|| table.missing("name", "the name that `[[workload]]` rows use"))?;
        let mut executables = Vec::new();
        for text in table.texts(KEY)? {
            let want = "lists of 64 lower-case hexadecimal digits, each of a SHA-256";
            let known = digest(&text).filter(|it| !executables.contains(it));
            executables.push(known.ok_or_else(|| table.refuse(KEY, &text, want))?);
        }
        if executables.is_empty() {
            return Err(table.missing(KEY, "the SHA-256 of at least one executable"));
        }
        Ok(Self { name, executables })
    }
}

/// The releases by name.
pub(super) fn named(rows: &[ReleaseRow]) -> Releases {
    let pairs = rows.iter();
    Releases(
        pairs
            .map(|row| (row.name.clone(), row.executables.clone()))
            .collect(),
    )
}

/// Refuses a workload row that demands a release which there is not: nobody could ever fill it.
pub(super) fn refuse_strangers(
    workloads: &[WorkloadRow],
    releases: &[ReleaseRow],
) -> Result<(), ConfigError> {
    for (index, row) in workloads.iter().enumerate() {
        let Some(name) = &row.evidence.release else {
            continue;
        };
        if !releases.iter().any(|it| it.name == *name) {
            return Err(ConfigError::Value {
                key: format!("workload[{index}].release"),
                value: name.clone(),
                want: "the name of a `[[release]]` row".to_owned(),
            });
        }
    }
    Ok(())
}
