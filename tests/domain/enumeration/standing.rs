//! What must hold of hand-overs, children and revocations after each command, from the rows alone.

use super::alphabet::{Command, Hand, On};
use super::answer::Answer;
use super::invariants::{Deed, Invariant};
use super::rows::World;
use crate::fixture::id;
use handfast::domain::delegation::{Act, Delegation};
use handfast::domain::id::DelegationNumber;
use handfast::domain::revocation::Revocations;
use handfast::domain::task::Task;

pub(super) const INVARIANTS: [Invariant; 9] = [
    ("a revoked ID does nothing", a_revoked_id_does_nothing),
    (
        "nothing begins in a dead line",
        nothing_begins_in_a_dead_line,
    ),
    (
        "nothing begins under a revocation",
        nothing_begins_under_a_revocation,
    ),
    (
        "who lost a leg to a takeover has none again",
        barred_for_good,
    ),
    ("a lent leg has no children", a_lent_leg_has_no_children),
    (
        "a loan that is over gives nothing",
        a_loan_that_is_over_gives_nothing,
    ),
    (
        "no delegation exceeds its giver's",
        no_delegation_exceeds_its_givers,
    ),
    (
        "what children have was taken from their parent",
        budgets_are_conserved,
    ),
    (
        "a child grant is spent once, in a living line",
        spent_once_and_alive,
    ),
];

/// Whether this is an answer with which something begins.
fn begins(answer: Answer) -> bool {
    matches!(
        answer,
        Answer::Fresh
            | Answer::Started { .. }
            | Answer::Token { .. }
            | Answer::Children { repeat: false, .. }
            | Answer::Made { repeat: false }
            | Answer::Pending
    )
}

fn denies(world: &Revocations, hand: Hand) -> bool {
    let row = world.ids.get(&id(hand.path()));
    row.is_some_and(|row| !row.lifted)
}

fn a_revoked_id_does_nothing(deed: &Deed<'_>) -> bool {
    let revocations = deed.store.revocations(deed.before);
    let revoked = deed.command.by().is_some_and(|by| denies(&revocations, by));
    !revoked || (deed.before == deed.after && deed.answer == Answer::Refused("id_revoked"))
}

/// Whether a task has ended, as its row and the clock say.
fn over(deed: &Deed<'_>, on: On) -> bool {
    let task = deed.store.found(deed.before, on);
    task.is_some_and(|task| task.state_at(deed.before.time).is_terminal())
}

fn nothing_begins_in_a_dead_line(deed: &Deed<'_>) -> bool {
    let ended = deed
        .command
        .on()
        .is_some_and(|on| over(deed, on) || on.parent().is_some_and(|parent| over(deed, parent)));
    !ended || !begins(deed.answer)
}

/// A task that something was revoked of stays without legs and steps, also once that is lifted.
fn nothing_begins_under_a_revocation(deed: &Deed<'_>) -> bool {
    let revocations = deed.store.revocations(deed.before);
    let gone = |task: &Task| {
        let owner = task.owner.workload.as_ref();
        let roles = owner.into_iter().chain([&task.server]);
        let gone_with = |id| {
            let row = revocations.ids.get(id);
            row.is_some_and(|row| !row.lifted || task.created_at <= row.at)
        };
        let cut = revocations
            .cuts
            .last()
            .is_some_and(|cut| task.created_at < cut.before);
        cut || roles.map(|role| &role.spiffe_id).any(gone_with)
    };
    let line = deed
        .command
        .on()
        .into_iter()
        .flat_map(|on| [Some(on), on.parent()]);
    let mut line = line
        .flatten()
        .filter_map(|on| deed.store.found(deed.before, on));
    !line.any(gone) || !begins(deed.answer)
}

fn tasks<'a>(deed: &'a Deed<'_>, world: &'a World) -> impl Iterator<Item = &'a Task> {
    let all = On::ALL.into_iter();
    all.filter_map(|on| deed.store.found(world, on))
}

fn barred_for_good(deed: &Deed<'_>) -> bool {
    let mut before = tasks(deed, deed.before);
    let kept = before.all(|before| {
        let mut after = tasks(deed, deed.after);
        let after = after.find(|after| after.id == before.id).unwrap();
        before
            .takeovers
            .0
            .iter()
            .all(|barred| after.takeovers.bar(&barred.process))
    });
    let mut after = tasks(deed, deed.after);
    kept && after.all(|task| {
        let holder = task.leg.as_ref().map(|leg| leg.holder);
        holder.is_none_or(|holder| !task.takeovers.bar(&holder))
    })
}

fn a_lent_leg_has_no_children(deed: &Deed<'_>) -> bool {
    let root = deed.store.task(deed.before, On::Root);
    let lent = root
        .leg
        .as_ref()
        .is_some_and(|leg| leg.delegation.is_some());
    let more = deed.store.grants(deed.after).count() > deed.store.grants(deed.before).count();
    !lent || !more
}

/// A delegation is over by its row, the clock, its delegate's revocation, or by that which it stands on.
fn stands(task: &Task, number: DelegationNumber, world: &World, revocations: &Revocations) -> bool {
    let it = task
        .delegations
        .iter()
        .find(|it| it.number == number)
        .unwrap();
    let revoked = revocations.ids.get(&it.to.spiffe_id);
    let revoked = revoked.is_some_and(|row| !row.lifted || it.made_at <= row.at);
    it.ended_at.is_none()
        && world.time < it.not_after
        && !revoked
        && it
            .from
            .is_none_or(|from| stands(task, from, world, revocations))
}

fn a_loan_that_is_over_gives_nothing(deed: &Deed<'_>) -> bool {
    let needed = match deed.command {
        Command::Ask(by, on, want, _) => (by, on, want.act()),
        Command::Delegate(by, on, _) | Command::RevokeDelegation(by, on, _) => {
            (by, on, Act::Delegate)
        }
        Command::End(by, on, _) | Command::Issue(by, on, _) | Command::Start(by, on, _) => {
            (by, on, Act::Perform)
        }
        Command::Takeover(by, on) => (by, on, Act::Takeover),
        Command::Check(_, on, ..) if deed.answer == Answer::Fresh => {
            return under_a_standing_loan(deed, on);
        }
        _ => return true,
    };
    let (by, on, act) = needed;
    let Some(task) = deed.store.found(deed.before, on) else {
        return true;
    };
    if !matches!(by, Hand::BareRelief | Hand::Relief | Hand::Third) {
        return true;
    }
    let revocations = deed.store.revocations(deed.before);
    let given = |it: &Delegation| {
        it.to.spiffe_id == id(by.path())
            && it.acts.contains(&act)
            && stands(task, it.number, deed.before, &revocations)
    };
    let given = !by.is_bare() && task.delegations.iter().any(given);
    let unheard = matches!(deed.answer, Answer::Refused("id_revoked") | Answer::Unknown);
    given || (unheard && deed.before == deed.after)
}

/// The leg behind a token that got `fresh` is up by what still lends.
fn under_a_standing_loan(deed: &Deed<'_>, on: On) -> bool {
    let task = deed.store.task(deed.before, on);
    let revocations = deed.store.revocations(deed.before);
    let lent = task.leg.as_ref().and_then(|leg| leg.delegation);
    lent.is_none_or(|number| stands(task, number, deed.before, &revocations))
}

fn no_delegation_exceeds_its_givers(deed: &Deed<'_>) -> bool {
    let mut all = tasks(deed, deed.after);
    all.all(|task| {
        let number = |number| task.delegations.iter().find(|it| Some(it.number) == number);
        task.delegations.iter().all(|it| match number(it.from) {
            None => it.from.is_none() && it.not_after <= task.deadline,
            Some(from) => {
                let lent = |one: &Delegation| one.permissions.clone();
                let asked = Some(task.asked.permissions.clone());
                let (own, most) = (lent(it), lent(from).or(asked).unwrap());
                let within = own.is_some_and(|own| own.iter().all(|one| most.contains(one)));
                it.acts.is_subset(&from.acts)
                    && from.acts.contains(&Act::Delegate)
                    && it.not_after <= from.not_after
                    && within
            }
        })
    })
}

/// What everybody has left and what was begun is what there was: Σ of the children's is never more.
fn budgets_are_conserved(deed: &Deed<'_>) -> bool {
    let (store, setting) = (deed.store, deed.store.setting);
    let root = store.task(deed.after, On::Root);
    let made = u32::try_from(store.grants(deed.after).count()).unwrap();
    let children = setting.user || root.asked.children_left + made == setting.children;
    let Some(all) = setting.uses else {
        return children;
    };
    let given: u32 = store
        .grants(deed.after)
        .filter_map(|it| it.asked.uses_left)
        .sum();
    let own = root.asked.uses_left.unwrap() + root.last_step.0 + given == all;
    let first = store.grants(deed.after).next();
    let child = store.found(deed.after, On::Child).is_none_or(|child| {
        let grant = first.and_then(|grant| grant.asked.uses_left).unwrap();
        child.asked.uses_left.unwrap() + child.last_step.0 == grant
    });
    children && own && given <= all && child
}

fn spent_once_and_alive(deed: &Deed<'_>) -> bool {
    let spent = |world| {
        let first = deed.store.grants(world).next();
        first.and_then(|grant| grant.spent_at)
    };
    let (before, after) = (spent(deed.before), spent(deed.after));
    let child = deed.store.found(deed.after, On::Child).is_some();
    match (before, after) {
        (None, Some(_)) => child && !over(deed, On::Root),
        _ => before == after && (child == after.is_some() || deed.store.setting.child),
    }
}
