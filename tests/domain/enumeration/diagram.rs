//! The states that a search has seen and what led from one to the next, as Mermaid diagrams.

use super::alphabet::{Command, On, Want};
use super::answer::Answer;
use super::invariants::Deed;
use super::rows::{Store, World};
use super::tables::consent;
use super::wider::Wider;
use handfast::domain::approval::Verdict;
use handfast::domain::decide::end::{Ending, LegEnding};
use handfast::domain::decide::report::Outcome;
use handfast::domain::id::StepNumber;
use handfast::domain::lineage::Now;
use handfast::domain::step::{Purpose, StepState};
use handfast::domain::task::{Task, TaskState};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// From where to where, and by what.
type Edges = BTreeMap<(&'static str, &'static str), BTreeSet<String>>;

/// Every change of state of a task, of its leg, of its tokens' records, and of what was handed over, cut and asked.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    tasks: Edges,
    legs: Edges,
    records: Edges,
    delegations: Edges,
    grants: Edges,
    approvals: Edges,
}

/// The states of several things of a task, each by its number.
type States = fn(&Seen<'_>) -> BTreeMap<u64, &'static str>;

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
        let seen = [deed.before, deed.after].map(|world| Seen::of(deed, world, on));
        let task = |world| task_state(deed, world, on);
        edge(|it| &mut it.tasks, task(deed.before), task(deed.after));
        let [before, after] = seen.each_ref().map(leg_state);
        edge(|it| &mut it.legs, before, after);
        let mut all = |states: States, edges: fn(&mut Self) -> &mut Edges| {
            let [before, after] = seen.each_ref().map(states);
            for (which, after) in after {
                let before = before.get(&which).copied().unwrap_or(START);
                edge(edges, before, after);
            }
        };
        all(record_states, |it| &mut it.records);
        all(delegation_states, |it| &mut it.delegations);
        all(grant_states, |it| &mut it.grants);
        all(approval_states, |it| &mut it.approvals);
    }

    /// These, with the delegations, child grants and approvals of others.
    pub(super) fn with(self, handed: Self, fanned: Self, asked: Self) -> Self {
        Self {
            delegations: handed.delegations,
            grants: fanned.grants,
            approvals: asked.approvals,
            ..self
        }
    }

    /// The diagrams.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        let parts = [
            ("Task", &self.tasks),
            ("Leg", &self.legs),
            ("Token record of a step", &self.records),
            ("Delegation", &self.delegations),
            ("Child grant", &self.grants),
            ("Approval", &self.approvals),
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

/// A task in a world, as its whole line makes it.
struct Seen<'a> {
    store: &'a Store,
    world: &'a World,
    on: On,
    task: Task,
}

impl<'a> Seen<'a> {
    fn of(deed: &Deed<'a>, world: &'a World, on: On) -> Self {
        let task = deed.store.view(world, on).seen.task.unwrap();
        let store = deed.store;
        Self {
            store,
            world,
            on,
            task,
        }
    }

    fn is_over(&self) -> bool {
        self.task.state_at(self.world.time).is_terminal()
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

fn leg_state(seen: &Seen<'_>) -> &'static str {
    match &seen.task.leg {
        _ if seen.is_over() => START,
        None => START,
        Some(leg) if leg.epoch == seen.world.epoch => "live",
        Some(_) => "suspended",
    }
}

/// The state of each step token's record, by fence.
fn record_states(seen: &Seen<'_>) -> BTreeMap<u64, &'static str> {
    let (task, world, on) = (&seen.task, seen.world, seen.on);
    let mut at = task.circumstances(&Now {
        time: world.time,
        epoch: world.epoch,
        limits: &seen.store.limits,
    });
    if seen.is_over() {
        at.leg = None;
    }
    let mut states = BTreeMap::new();
    for record in seen.store.records(world, on) {
        let Purpose::Step(number) = record.purpose else {
            continue;
        };
        let mut steps = task.pending.iter().chain(seen.store.steps(world, on));
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

fn delegation_states(seen: &Seen<'_>) -> BTreeMap<u64, &'static str> {
    let state = |over| if over { "over" } else { "standing" };
    let all = seen.task.delegations.iter();
    all.map(|it| (u64::from(it.number.0), state(it.ended_at.is_some())))
        .collect()
}

fn grant_states(seen: &Seen<'_>) -> BTreeMap<u64, &'static str> {
    let all = seen.store.grants(seen.world);
    let all = all.filter(|grant| grant.parent == seen.task.id);
    let states = all.map(|grant| match grant.spent_at {
        Some(_) => "spent",
        None if seen.is_over() => "dead",
        None => "cut",
    });
    (0..).zip(states).collect()
}

fn approval_states(seen: &Seen<'_>) -> BTreeMap<u64, &'static str> {
    let all = (1..=9).map(StepNumber);
    let all = all.filter_map(|step| seen.store.approval(seen.world, seen.on, step));
    all.map(|row| {
        let number = u64::from(row.id.step.0) << 8 | u64::from(row.id.serial[0]);
        let state = row.state_at(seen.world.time, seen.store.limits.use_within);
        (number, consent(state))
    })
    .collect()
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
        Command::Wide(Wider::Before) => "Revoke before",
        Command::Wide(Wider::Epoch) => "Revoke epoch",
        Command::Wide(Wider::Id(_)) => "Revoke SPIFFE ID",
        Command::Wide(Wider::Lift(_)) => "Lift",
    };
    match deed.command.on() {
        Some(on) if of.parent() == Some(on) => "parent ends".to_owned(),
        Some(_) | None => name.to_owned(),
    }
}
