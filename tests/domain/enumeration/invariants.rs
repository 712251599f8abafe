//! What must hold of the real rows after each command, whatever the oracle says. Each has its name.

use super::alphabet::{Command, Hand, On};
use super::answer::Answer;
use super::rows::{Store, World};
use super::wider::Half;
use crate::fixture::id;
use handfast::domain::id::Fence;
use handfast::domain::lineage::Now;
use handfast::domain::step::StepState;
use handfast::domain::task::{Task, TaskState};

/// A command's two sides: the world before and after it.
pub(super) struct Deed<'a> {
    pub(super) store: &'a Store,
    pub(super) before: &'a World,
    pub(super) after: &'a World,
    pub(super) command: Command,
    pub(super) answer: Answer,
}

pub(super) type Invariant = (&'static str, fn(&Deed<'_>) -> bool);

const INVARIANTS: [Invariant; 10] = [
    ("a wrong hand changes no row", a_wrong_hand_changes_nothing),
    (
        "a twin without evidence hears `unknown task`",
        a_bare_twin_is_told_nothing,
    ),
    (
        "a command changes its task's rows only",
        no_other_task_changes,
    ),
    ("a refusal changes no row", a_refusal_changes_nothing),
    (
        "a fence only grows and is never reused",
        the_fence_only_grows,
    ),
    ("one live leg per task", one_live_leg),
    ("at most one step in flight", one_step_in_flight),
    (
        "one `fresh` per token, none after an end",
        fresh_once_and_alive,
    ),
    ("a task that has ended has no leg", ended_without_leg),
    ("terminal states absorb", terminal_absorbs),
];

/// The names of those that are broken.
pub(super) fn broken(deed: &Deed<'_>) -> Vec<&'static str> {
    let all = INVARIANTS.iter().chain(&super::standing::INVARIANTS);
    let broken = all.filter(|(_, holds)| !holds(deed));
    broken.map(|(name, _)| *name).collect()
}

fn a_wrong_hand_changes_nothing(deed: &Deed<'_>) -> bool {
    // What a delegate may do is said in `standing`.
    let lendable = !matches!(
        deed.command,
        Command::Check(..)
            | Command::Decide(..)
            | Command::Finish(..)
            | Command::Report(..)
            | Command::Require(..)
            | Command::Resolve(..)
            | Command::Spend(..)
    );
    if lendable && matches!(deed.command.by(), Some(Hand::Relief | Hand::Third)) {
        return true;
    }
    let right = match deed.command {
        Command::Ask(by, on, ..)
        | Command::Delegate(by, on, _)
        | Command::Resolve(by, on, _)
        | Command::RevokeDelegation(by, on, _)
        | Command::Takeover(by, on) => owns(deed, by, on),
        Command::Check(by, ..) | Command::Report(by, ..) => by == Hand::Tool,
        Command::Decide(by, ..) => by == Hand::Approver,
        Command::End(by, ..)
        | Command::Issue(by, ..)
        | Command::Spawn(by, _)
        | Command::Spend(by, Half::Ask | Half::Both)
        | Command::Start(by, ..) => matches!(by, Hand::Second | Hand::Worker),
        Command::Finish(by, ..) | Command::Require(by, ..) | Command::Spend(by, Half::Create) => {
            by == Hand::Server
        }
        Command::Lose(_)
        | Command::Restart
        | Command::Revoke(_)
        | Command::RevokeTree(_)
        | Command::Sweep(_)
        | Command::Wait(_)
        | Command::Wide(_) => true,
    };
    right || (deed.before == deed.after && unheard(deed.answer))
}

/// The owner is the client, and of a child whoever spent its grant.
fn owns(deed: &Deed<'_>, by: Hand, on: On) -> bool {
    let task = deed.store.task(deed.before, on);
    let owner = task.owner.workload.as_ref().map(|role| &role.spiffe_id);
    !by.is_bare() && owner == Some(&id(by.path()))
}

/// The two answers that tell nothing of a task.
fn unheard(answer: Answer) -> bool {
    matches!(answer, Answer::Refused("id_revoked") | Answer::Unknown)
}

fn a_bare_twin_is_told_nothing(deed: &Deed<'_>) -> bool {
    !deed.command.by().is_some_and(Hand::is_bare) || unheard(deed.answer)
}

/// What the reduction to one task and its child rests on.
fn no_other_task_changes(deed: &Deed<'_>) -> bool {
    let mut others = On::ALL
        .into_iter()
        .filter(|on| deed.command.on() != Some(*on));
    others.all(|on| deed.after.is_alike(deed.before, on))
}

/// An owner's operation is two commands: the first may be answered and the second refused.
fn a_refusal_changes_nothing(deed: &Deed<'_>) -> bool {
    let refused = matches!(deed.answer, Answer::Refused(_) | Answer::Unknown);
    let two = matches!(deed.command, Command::Ask(..));
    !refused || two || deed.before == deed.after
}

fn rows<'a>(deed: &'a Deed<'_>) -> impl Iterator<Item = (On, &'a Task, &'a Task)> {
    let (store, before, after) = (deed.store, deed.before, deed.after);
    On::ALL
        .into_iter()
        .filter_map(move |on| Some((on, store.found(before, on)?, store.found(after, on)?)))
}

fn the_fence_only_grows(deed: &Deed<'_>) -> bool {
    rows(deed).all(|(on, before, after)| {
        let kept = |fence: Fence| {
            let mut old = deed.store.records(deed.before, on);
            old.any(|record| record.fence == fence)
        };
        let mut records = deed.store.records(deed.after, on);
        let given = records.all(|record| kept(record.fence) || record.fence > before.fence);
        let leg = |task: &Task| task.leg.as_ref().map(|leg| leg.fence);
        let leg_given = leg(after) == leg(before) || leg(after).is_none_or(|it| it > before.fence);
        after.fence >= before.fence && given && leg_given
    })
}

fn one_live_leg(deed: &Deed<'_>) -> bool {
    rows(deed).all(|(_, before, after)| match (&before.leg, &after.leg) {
        (_, None) => true,
        (None, Some(new)) => new.number > before.legs && new.number == after.legs,
        (Some(old), Some(new)) => {
            let same = old.number == new.number && old.holder == new.holder;
            same || (new.number > before.legs && new.number == after.legs)
        }
    })
}

fn now<'a>(deed: &'a Deed<'_>, world: &World) -> Now<'a> {
    Now {
        time: world.time,
        epoch: world.epoch,
        limits: &deed.store.limits,
    }
}

fn one_step_in_flight(deed: &Deed<'_>) -> bool {
    let now = now(deed, deed.after);
    rows(deed).all(|(on, _, task)| {
        let at = task.circumstances(&now);
        let flies = |state| matches!(state, StepState::Issued | StepState::Used);
        let pending = task.pending.iter().chain(deed.store.steps(deed.after, on));
        pending.filter(|step| flies(step.state_at(&at))).count() <= 1
    })
}

/// The state of a task as its line makes it, from the rows alone.
fn alive(deed: &Deed<'_>, on: On) -> bool {
    let runs = |on| {
        let state = deed.store.task(deed.before, on).state_at(deed.before.time);
        matches!(state, TaskState::InputRequired | TaskState::Working)
    };
    runs(on) && on.parent().is_none_or(runs)
}

fn fresh_once_and_alive(deed: &Deed<'_>) -> bool {
    let used = |world: &World| {
        let all = On::ALL.into_iter();
        let all = all.flat_map(|on| deed.store.records(world, on));
        all.filter(|record| record.used_at.is_some()).count()
    };
    match (deed.command, deed.answer) {
        // Of the tokens used until now exactly one more is: a token that was used before cannot be it.
        (Command::Check(_, on, ..), Answer::Fresh) => {
            alive(deed, on) && used(deed.after) == used(deed.before) + 1
        }
        (Command::Ask(..), _) => true,
        // The order's own token, where its owner acts for a user.
        (command, answer) if command.is_order() => {
            let most = used(deed.before) + usize::from(deed.store.setting.user);
            answer != Answer::Fresh && (used(deed.before)..=most).contains(&used(deed.after))
        }
        (_, answer) => answer != Answer::Fresh && used(deed.after) == used(deed.before),
    }
}

/// Of an end that only the clock knows nothing is written yet.
fn ended_without_leg(deed: &Deed<'_>) -> bool {
    rows(deed).all(|(_, _, after)| !after.state.is_terminal() || after.leg.is_none())
}

fn terminal_absorbs(deed: &Deed<'_>) -> bool {
    rows(deed).all(|(on, ..)| {
        let before = deed.store.end(deed.before, on);
        let after = deed.store.end(deed.after, on);
        !before.0.is_terminal() || after == before
    })
}
