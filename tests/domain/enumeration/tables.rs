//! The tables of what hands over, cuts up, asks a person and takes away, as the rules answer them.
//!
//! A column is what came before, a row is the next command.

use super::alphabet::{Command, Want};
use super::answer::Answer;
use super::columns;
use super::search::{Next, after};
use super::wider::Setting;
use crate::task_table::word;
use handfast::domain::approval::ApprovalState;
use std::fmt::Write as _;

/// What came before, and what comes next.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) setting: Setting,
    pub(super) columns: Vec<(&'static str, Vec<Command>)>,
    pub(super) rows: Vec<(&'static str, Command)>,
}

impl Table {
    fn print(&self) -> String {
        let mut text = format!("## {}\n\n| command |", self.title);
        for (name, _) in &self.columns {
            write!(text, " {name} |").unwrap();
        }
        text.push_str("\n|---|");
        text.push_str(&"---|".repeat(self.columns.len()));
        text.push('\n');
        for (name, command) in &self.rows {
            write!(text, "| {name} |").unwrap();
            for (_, before) in &self.columns {
                let cell = after(self.setting, before, *command);
                write!(text, " {} |", cell.map_or("–".to_owned(), print)).unwrap();
            }
            text.push('\n');
        }
        text.push('\n');
        text
    }
}

/// An answer, and whether it changed anything.
fn print(next: Next) -> String {
    let Next {
        command,
        answer,
        changed,
        ended,
    } = next;
    let unless_repeated = |text: &str| {
        if changed {
            text.to_owned()
        } else {
            format!("{text}, no change")
        }
    };
    match answer {
        Answer::Children { count, repeat } => {
            let what = if count == 1 { "a child" } else { "children" };
            format!("{}{what}", if repeat { "repeat: " } else { "" })
        }
        Answer::Consent(state) => unless_repeated(consent(state)),
        Answer::Fresh => "used, `fresh`".to_owned(),
        Answer::Handed(nth) => unless_repeated(&format!("delegation {}", nth + 1)),
        Answer::Made { repeat: true } => "the same task".to_owned(),
        Answer::Made { repeat: false } => "task".to_owned(),
        Answer::Nothing => "in force".to_owned(),
        Answer::Outcome(state) if matches!(command, Command::Report(..) | Command::Resolve(..)) => {
            unless_repeated(crate::tables::word(state))
        }
        Answer::Outcome(state) => format!("repeat {}", crate::tables::word(state)),
        Answer::Pending => unless_repeated("pending approval"),
        Answer::Refused(reason) => format!("refused `{reason}`"),
        Answer::Revoked => unless_repeated("over"),
        Answer::Started { reattached: true } => "re-attach".to_owned(),
        Answer::Started { reattached: false } => "leg".to_owned(),
        Answer::State(_) if matches!(command, Command::Ask(_, _, Want::Query, _)) => {
            "read".to_owned()
        }
        Answer::State(_) if ended => "acknowledged, no change".to_owned(),
        Answer::State(state) => unless_repeated(word(state)),
        Answer::TakenOver => "leg ends, its process is barred".to_owned(),
        Answer::Token { .. } if matches!(command, Command::Spend(..)) => "token".to_owned(),
        Answer::Token { retry: true } => "issued (retry)".to_owned(),
        Answer::Token { retry: false } => "issued (step)".to_owned(),
        Answer::Unknown => "U".to_owned(),
    }
}

pub(super) fn consent(state: ApprovalState) -> &'static str {
    match state {
        ApprovalState::Approved => "approved",
        ApprovalState::Lapsed => "lapsed",
        ApprovalState::Open => "open",
        ApprovalState::Refused => "refused",
        ApprovalState::Used => "used",
    }
}

/// All of them.
pub(crate) fn print_all() -> String {
    columns::all().iter().map(Table::print).collect()
}
