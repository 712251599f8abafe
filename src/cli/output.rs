//! What is printed: lines for people, or one JSON value.
//!
//! The one thing to know: whatever a value holds, a line stays one line and moves no terminal (see [`plain`]).

use super::Complaint;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};

/// Standard output and standard error.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
    /// Something of the answer could not be written.
    lost: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json, lost: false }
    }

    /// Whether the answer is out.
    pub(super) fn is_whole(&self) -> bool {
        !self.lost
    }

    /// Prints an answer: the JSON value, or the lines.
    pub(super) fn answer(&mut self, json: &Value, lines: &[String]) {
        if self.json {
            self.line(&json.to_string());
        } else {
            for line in lines {
                self.line(&plain(line));
            }
        }
    }

    /// A closed pipe is the reader's choice and no error of ours.
    fn line(&mut self, line: &str) {
        let written = writeln!(std::io::stdout(), "{line}");
        self.lost |= written.is_err_and(|error| error.kind() != ErrorKind::BrokenPipe);
    }

    /// Prints what is wrong with a command line, or the help that it asks for.
    pub(super) fn usage(&mut self, error: &clap::Error) {
        for line in error.render().to_string().lines() {
            let line = plain(line);
            if error.use_stderr() {
                drop(writeln!(std::io::stderr(), "{line}"));
            } else {
                self.line(&line);
            }
        }
    }

    /// Prints an error.
    pub(super) fn complain(&mut self, complaint: &Complaint) {
        let Complaint { what, advice } = complaint;
        let mut lines = if self.json {
            what.clone()
        } else {
            format!("handfast: {}", plain(what))
        };
        if !advice.is_empty() {
            let advice = if self.json { advice } else { &plain(advice) };
            lines.push_str("\n  ");
            lines.push_str(advice);
        }
        if self.json {
            lines = serde_json::json!({ "error": lines }).to_string();
        }
        drop(writeln!(std::io::stderr(), "{lines}"));
    }
}

/// A line as a terminal may have it: what would move the cursor, break the line, reorder the text or not be seen
/// is written `\u{…}` with its code point in hexadecimal. Names, reasons and policies are other people's words.
fn plain(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() || is_unseen(c) {
            // Writing to a string cannot fail.
            let _infallible = write!(shown, "\\u{{{:x}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Characters of Unicode's category Cf, its separators of lines and paragraphs, and others without a shape.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Rows with a heading, in columns as wide as their widest cell.
pub(super) fn columns(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let heading: Vec<String> = heading.iter().map(ToString::to_string).collect();
    // As they are printed: their widths count.
    let shown = |row: &Vec<String>| row.iter().map(|cell| plain(cell)).collect::<Vec<_>>();
    let all: Vec<Vec<String>> = std::iter::once(&heading).chain(rows).map(shown).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_breaks_no_line_and_moves_no_terminal() {
        let told =
            plain("a\u{1b}[2Kb\rc\nd\te\u{9b}f\u{202e}g\u{200b}h\u{2028}i\u{feff}j\u{e0041}");
        assert_eq!(
            told,
            "a\\u{1b}[2Kb\\u{d}c\\u{a}d\\u{9}e\\u{9b}f\\u{202e}g\\u{200b}h\\u{2028}i\\u{feff}j\\u{e0041}"
        );
        // What a person can read stays as it is, and what was shown once is shown the same again.
        let readable = "wöchentlich — 週次 отчёт `x` \\u{1b}";
        assert_eq!(plain(readable), readable);
    }

    #[test]
    fn columns_are_as_wide_as_what_is_printed() {
        let rows = [
            vec!["a\u{1b}".to_owned(), "x".to_owned()],
            vec!["b".to_owned(), "y".to_owned()],
        ];
        let lines = columns(&["ONE", "TWO"], &rows);
        assert_eq!(lines, ["ONE      TWO", "a\\u{1b}  x", "b        y"]);
    }
}
