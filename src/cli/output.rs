//! What is printed: lines for people, or one JSON value.

use serde_json::Value;
use std::io::Write as _;

/// Standard output and standard error.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints an answer: the JSON value, or the lines.
    pub(super) fn answer(&mut self, json: &Value, lines: &[String]) {
        if self.json {
            self.line(&json.to_string());
        } else {
            for line in lines {
                self.line(line);
            }
        }
    }

    /// A closed pipe is the reader's choice and no error of ours.
    #[expect(clippy::unused_self, reason = "printing is what an `Output` does")]
    fn line(&mut self, line: &str) {
        drop(writeln!(std::io::stdout(), "{line}"));
    }

    /// Prints an error.
    pub(super) fn complain(&mut self, text: &str) {
        if self.json {
            drop(writeln!(
                std::io::stderr(),
                "{}",
                serde_json::json!({ "error": text })
            ));
        } else {
            drop(writeln!(std::io::stderr(), "handfast: {text}"));
        }
    }
}

/// Rows with a heading, in columns as wide as their widest cell.
pub(super) fn columns(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let heading: Vec<String> = heading.iter().map(ToString::to_string).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&heading).chain(rows).collect();
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            all.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    all.iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}
