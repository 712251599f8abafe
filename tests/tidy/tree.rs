//! The files of the project, and how a rule reports.

use std::fs;
use std::path::Path;

/// One text file. `path` is relative to the package, with `/`.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// A file that exists only in a test.
    pub(crate) fn made_up(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }

    pub(crate) fn is_under(&self, folder: &str) -> bool {
        self.path.starts_with(&format!("{folder}/"))
    }

    /// Lines with their number, line comments cut off.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, without_comment(line)))
    }

    /// One offence, placed.
    pub(crate) fn offence(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// Cuts a line comment. A `//` inside a string literal (a URL) follows a `:` and is left alone.
fn without_comment(line: &str) -> &str {
    let comment = line
        .match_indices("//")
        .find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// Every text file that is, or could be, committed.
pub(crate) fn files() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(root, root, &mut files);
    assert!(files.len() > 10, "the tree was not found");
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .collect();
    entries.sort();
    for path in entries {
        let relative = path.strip_prefix(root).expect("below the root");
        let relative = relative.to_str().expect("UTF-8").to_owned();
        // Built, fetched or kept by tools; none of it is committed.
        let skipped = matches!(relative.as_str(), "target" | ".git" | ".spire" | ".demo");
        if skipped {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            files.push(Source {
                path: relative,
                text,
            });
        }
    }
}

/// Fails with all offences, one a line.
pub(crate) fn none(offences: &[String]) {
    assert!(
        offences.is_empty(),
        "{} offences:\n{}",
        offences.len(),
        offences.join("\n")
    );
}
