//! The printed story: one line a step.

use crate::Error;
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Denied,
    GotIn,
    Ok,
    Repeat,
}

/// One line of the story: who did what, and what came of it.
pub(crate) struct Row {
    pub(crate) verb: &'static str,
    pub(crate) who: &'static str,
    pub(crate) what: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) note: String,
    /// The attack's number in the threat list.
    pub(crate) attack: &'static str,
}

/// Prints a line of its own, at once.
pub(crate) fn line(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Prints rows and counts them.
pub(crate) struct Table {
    colour: bool,
    rows: usize,
    began: Instant,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            rows: 0,
            began: Instant::now(),
        }
    }

    /// Prints a row as soon as it has happened.
    pub(crate) fn row(&mut self, row: &Row) -> Result<(), Error> {
        self.rows = self.rows.saturating_add(1);
        let Row {
            verb,
            who,
            what,
            note,
            attack,
            ..
        } = row;
        let verdict = self.coloured(row.verdict);
        let text = format!(
            "{:2} {verb:<7} {who:<19} {what:<28} {verdict} {note:<56} {attack}",
            self.rows
        );
        line(text.trim_end())
    }

    /// Prints what was not as expected.
    pub(crate) fn unexpected(&self, why: &str) -> Result<(), Error> {
        let number = self.rows.saturating_add(1);
        line(&format!("{number:2} NOT AS EXPECTED: {why}"))
    }

    /// Prints the sum.
    pub(crate) fn sum(&self, expected: usize) -> Result<(), Error> {
        let seconds = self.began.elapsed().as_secs_f64();
        let rows = self.rows;
        line(&format!("{rows} of {expected} as expected, {seconds:.1} s"))
    }

    fn coloured(&self, verdict: Verdict) -> String {
        let (text, colour) = match verdict {
            Verdict::Denied => ("DENIED", "31"),
            Verdict::GotIn => ("GOT IN", "1;31"),
            Verdict::Ok => ("ok", "32"),
            Verdict::Repeat => ("REPEAT", "33"),
        };
        if self.colour {
            format!("\u{1b}[{colour}m{text:<7}\u{1b}[0m")
        } else {
            format!("{text:<7}")
        }
    }
}
