//! The states that a search has seen and what led from one to the next, as Mermaid diagrams.

use super::alphabet::{Command, On, Want};
use super::answer::Answer;
use super::invariants::Deed;
use super::rows::World;
use handfast::domain::approval::Verdict;
use handfast::domain::decide::end::{Ending, LegEnding};
use handfast::domain::decide::report::Outcome;
use handfast::domain::lineage::Now;
use handfast::domain::step::{Purpose, StepState};
use handfast::domain::task::TaskState;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// From where to where, and by what.
type Edges = BTreeMap<(&'static str, &'static str), BTreeSet<String>>;

/// Every change of state of a task, of its leg, and of its tokens' records.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    tasks: Edges,
    legs: Edges,
    records: Edges,
}

/// Where something is before it is there.
const START: &str = "[*]";

impl Changes {
    /// Notes what a command changed of one task.
    pub(super) fn note(&mut self, deed: &Deed<'_>, on: On) {
        let label = label(deed, on);
        let mut edge = |edges: fn(&mut Self) -> &mut Edges, from, to| {
            if from != to {
                let labels = edges(self).entry((from, to)).or_default();
                labels.insert(label.clone());
            }
        };
        let task = |world| task_state(deed, world, on);
        edge(|it| &mut it.tasks, task(deed.before), task(deed.after));
        let leg = |world| leg_state(deed, world, on);
        edge(|it| &mut it.legs, leg(deed.before), leg(deed.after));
        let before = record_states(deed, deed.before, on);
        for (fence, after) in record_states(deed, deed.after, on) {
            let before = before.get(&fence).copied().unwrap_or(START);
            edge(|it| &mut it.records, before, after);
        }
    }

    /// The three diagrams.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        let parts = [
            ("Task", &self.tasks),
            ("Leg", &self.legs),
            ("Token record of a step", &self.records),
        ];
        for (title, edges) in parts {
            write!(text, "### {title}\n\n```mermaid\nstateDiagram-v2\n").unwrap();
            if title == "Task" {
                text.push_str("    [*] --> working: Tasks.Create\n");
            }
            for ((from, to), labels) in edges {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                writeln!(text, "    {from} --> {to}: {}", labels.join(", ")).unwrap();
            }
            text.push_str("```\n\n");
        }
        text
    }
}

fn now<'a>(deed: &'a Deed<'_>, world: &World) -> Now<'a> {
    Now {
        time: world.time,
        epoch: world.epoch,
        limits: &deed.store.limits,
    }
}

fn task_state(deed: &Deed<'_>, world: &World, on: On) -> &'static str {
    match deed.store.end(world, on).0 {
        TaskState::Cancelled => "cancelled",
        TaskState::Completed => "completed",
        TaskState::Expired => "expired",
        TaskState::Failed => "failed",
        TaskState::InputRequired => "input_required",
        TaskState::Working => "working",
    }
}

fn leg_state(deed: &Deed<'_>, world: &World, on: On) -> &'static str {
    let task = deed.store.view(world, on).seen.task.unwrap();
    match &task.leg {
        _ if task.state_at(world.time).is_terminal() => START,
        None => START,
        Some(leg) if leg.epoch == world.epoch => "live",
        Some(_) => "suspended",
    }
}

/// The state of each step token's record, by fence.
fn record_states(deed: &Deed<'_>, world: &World, on: On) -> BTreeMap<u64, &'static str> {
    let task = deed.store.view(world, on).seen.task.unwrap();
    let mut at = task.circumstances(&now(deed, world));
    if task.state_at(world.time).is_terminal() {
        at.leg = None;
    }
    let mut states = BTreeMap::new();
    for record in deed.store.records(world, on) {
        let Purpose::Step(number) = record.purpose else {
            continue;
        };
        let mut steps = task.pending.iter().chain(deed.store.steps(world, on));
        let newest = steps.find(|step| step.number == number && step.fence == record.fence);
        let state = match newest.map(|step| step.state_at(&at)) {
            Some(state) => state,
            // Overtaken by a newer token of the step: reported not done, or never used.
            None if record.used_at.is_some() => StepState::NotDone,
            None => StepState::Void,
        };
        states.insert(
            record.fence.0,
            match state {
                StepState::Issued => "issued",
                StepState::Used => "used",
                StepState::Done => "done",
                StepState::NotDone => "not_done",
                StepState::Unknown => "unknown",
                StepState::Void => "void",
            },
        );
    }
    states
}

/// What a command is called in a diagram of a task.
fn label(deed: &Deed<'_>, of: On) -> String {
    let name = match deed.command {
        Command::Ask(_, _, Want::Cancel, _) => "Check(cancel)",
        Command::Ask(_, _, Want::Query, _) => "Check(query)",
        Command::Ask(_, _, Want::Update, _) => "Check(update)",
        Command::Check(..) => "Check",
        Command::Decide(_, _, Verdict::Approved, _) => "Decide yes",
        Command::Decide(_, _, Verdict::Refused, _) => "Decide no",
        Command::Delegate(..) => "Delegate",
        Command::End(_, _, LegEnding::Yielded) => "End yielded",
        Command::End(_, _, LegEnding::Task(Ending::Completed)) => "End completed",
        Command::End(_, _, LegEnding::Task(Ending::Failed)) => "End failed",
        Command::Finish(_, _, Ending::Completed, _) => "Finish completed",
        Command::Finish(_, _, Ending::Failed, _) => "Finish failed",
        Command::Issue(..) if matches!(deed.answer, Answer::Token { retry: true }) => "Issue retry",
        Command::Issue(..) if deed.answer == Answer::Pending => "Issue asks a person",
        Command::Issue(..) => "Issue",
        Command::Lose(_) => "leg lost",
        Command::Report(_, _, _, Outcome::Done) => "Report done",
        Command::Report(_, _, _, Outcome::NotDone) => "Report not_done",
        Command::Report(_, _, _, Outcome::Unknown) => "Report unknown",
        Command::Require(..) => "RequireInput",
        Command::Resolve(..) => "Resolve",
        Command::Restart => "agent restarts",
        Command::Revoke(_) | Command::RevokeTree(_) => "Revoke",
        Command::RevokeDelegation(..) => "RevokeDelegation",
        Command::Spawn(..) => "Spawn",
        Command::Spend(..) => "Tasks.Create",
        Command::Start(..) if matches!(deed.answer, Answer::Started { reattached: true }) => {
            "Start again"
        }
        Command::Start(..) => "Start",
        Command::Sweep(_) => "sweep",
        Command::Takeover(..) => "Takeover",
        Command::Wait(_) => "time passes",
        Command::Wide(_) => "Revoke, wider",
    };
    match deed.command.on() {
        Some(on) if on != of => "parent ends".to_owned(),
        Some(_) | None => name.to_owned(),
    }
}
