//! Case files: where they are and how they are read.

use super::Case;
use super::request::{self, Request};
use crate::kernel;
use serde::Deserialize;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The longest case file taken, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// The most case files of one folder.
const FILES_MAX: usize = 1_000;

/// The cases of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its cases, in its order; never empty.
    pub cases: Vec<Case>,
}

/// Why case files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A case that says something else than a case can.
    #[error("case file `{path}`, case `{name}`: {problem}", path = path.display())]
    Case {
        /// The file.
        path: PathBuf,
        /// The case's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing to test, which can never fail.
    #[error("`{path}` has no cases", path = path.display())]
    Empty {
        /// File or folder.
        path: PathBuf,
    },
    /// A folder in a folder of cases, which nobody would read.
    #[error("`{path}` is a folder in a folder of cases: test it by itself, or move its files", path = path.display())]
    Folder {
        /// The inner folder.
        path: PathBuf,
    },
    /// The file is not TOML, or has keys that no case file has.
    #[error("case file `{path}`, line {line}, column {column}: {problem}", path = path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column in characters, counted from 1.
        column: usize,
        /// What is wrong.
        problem: String,
    },
    /// A file or folder cannot be read.
    #[error("`{path}` cannot be read", path = path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// More than is ever meant.
    #[error("`{path}` is too large: at most {FILES_MAX} files of {BYTES_MAX} bytes", path = path.display())]
    TooLarge {
        /// File or folder.
        path: PathBuf,
    },
}

/// A case file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// What the requests of this file have in common.
    #[serde(default)]
    request: toml::Table,
    #[serde(default)]
    case: Vec<WrittenCase>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: String,
    expect: Expected,
    policies: Option<Vec<String>>,
    reason: Option<String>,
    /// What differs from the request that the cases have in common.
    #[serde(default)]
    request: toml::Table,
    /// Keys of the common request that this case does without.
    #[serde(default)]
    without: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Permit,
    Refuse,
}

/// Reads a case file, or every `.toml` file of a folder in the order of their names.
///
/// # Errors
/// See [`CaseError`]; the first one.
pub fn read_cases(path: &Path) -> Result<Vec<CaseFile>, CaseError> {
    let failed = |source| CaseError::Read {
        path: path.to_owned(),
        source,
    };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![read(path)?]);
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        // What is passed over could never fail.
        if file.is_dir() {
            return Err(CaseError::Folder { path: file });
        }
        if file.extension().is_some_and(|kind| kind == "toml") {
            paths.push(file);
        }
        if paths.len() > FILES_MAX {
            return Err(CaseError::TooLarge {
                path: path.to_owned(),
            });
        }
    }
    paths.sort_unstable();
    if paths.is_empty() {
        return Err(CaseError::Empty {
            path: path.to_owned(),
        });
    }
    paths.iter().map(|file| read(file)).collect()
}

fn read(path: &Path) -> Result<CaseFile, CaseError> {
    let failed = |source| CaseError::Read {
        path: path.to_owned(),
        source,
    };
    let text = kernel::read_text(path, BYTES_MAX).map_err(|error| {
        if error.kind() == ErrorKind::FileTooLarge {
            CaseError::TooLarge {
                path: path.to_owned(),
            }
        } else {
            failed(error)
        }
    })?;
    let written: Written = toml::from_str(&text).map_err(|error| form(path, &text, &error))?;
    if written.case.is_empty() {
        return Err(CaseError::Empty {
            path: path.to_owned(),
        });
    }
    let cases = written.case.into_iter().map(|case| {
        let name = case.name.clone();
        understood(&written.request, case).map_err(|problem| CaseError::Case {
            path: path.to_owned(),
            name,
            problem,
        })
    });
    Ok(CaseFile {
        path: path.to_owned(),
        cases: cases.collect::<Result<_, _>>()?,
    })
}

fn form(path: &Path, text: &str, error: &toml::de::Error) -> CaseError {
    let offset = error.span().map_or(0, |span| span.start);
    let place = super::super::Problem::at(text, offset, error.message());
    CaseError::Form {
        path: path.to_owned(),
        line: place.line,
        column: place.column,
        problem: place.message,
    }
}

fn understood(common: &toml::Table, case: WrittenCase) -> Result<Case, String> {
    let mut table = common.clone();
    for key in &case.without {
        if table.remove(key).is_none() {
            return Err(format!("`without` names `{key}`, which is not there"));
        }
    }
    merge(&mut table, case.request);
    let request: Request = table
        .try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())?;
    let mut policies = case.policies;
    if let Some(policies) = &mut policies {
        policies.sort_unstable();
    }
    Ok(Case {
        name: case.name,
        input: request::input(request)?,
        permit: case.expect == Expected::Permit,
        policies,
        reason: case.reason,
    })
}

/// Puts the keys of one table over those of another, tables within them too.
fn merge(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}
