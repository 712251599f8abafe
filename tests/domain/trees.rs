//! A tree of tasks, whatever it went through: rules N8, N9 and N11, for any request.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "small, known numbers; a test that overflows fails"
)]

use crate::fixture::{PRINCIPAL, START, World, id, limits, role, task, tool, worker};
use crate::universe::{family, risks};
use handfast::domain::decide::report::Outcome;
use handfast::domain::decide::spawn::{self, AskChild, AskSpawn};
use handfast::domain::id::{Digest, LegNumber, SpiffeId, TaskId};
use handfast::domain::limits::Limits;
use handfast::domain::role::{AsPerformer, Held, Owner, Role};
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::time::Duration;

const TOKEN_TTL: u64 = 30_000;

fn at(ms: u64) -> Time {
    START.after(Duration::from_millis(ms))
}

/// An ancestor: most run, and some have ended, or their time is over at a moment that is looked at.
fn ancestor() -> impl Strategy<Value = (TaskState, Time)> {
    let ended = vec![
        TaskState::Cancelled,
        TaskState::Completed,
        TaskState::Expired,
        TaskState::Failed,
    ];
    let state = prop_oneof![12 => Just(TaskState::Working), 1 => select(ended)];
    let deadline = prop_oneof![12 => Just(3_600_000), 1 => select(vec![1, 5_000, 20_000])];
    (state, deadline.prop_map(at))
}

fn line(number: u8, parent: bool) -> Task {
    Task {
        id: TaskId([number; 16]),
        parent: parent.then(|| TaskId([number + 1; 16])),
        ..task()
    }
}

/// One of two children of a task, with a leg and this many steps behind it.
fn sibling(number: u8, steps: u32) -> World {
    let mut world = World::of(Task {
        parent: Some(TaskId([20; 16])),
        ..line(number, false)
    });
    world.lineage.ancestors = vec![line(20, false)];
    world.start(&worker()).unwrap();
    for step in 1..=steps {
        let token = world.token(step);
        world.check(&tool(), &token, 1).unwrap();
        world.report(&token, Outcome::Done).unwrap();
    }
    world
}

proptest! {
    /// Whatever a child asks for, on whose authority it acts, and in which tree, is not its choice.
    #[test]
    fn n08_txn_subject_and_trust_domain_are_the_parents_whatever_is_asked(
        (parent, terms) in family(),
        domain in select(vec!["test.example", "other.example", "test.example.org"]),
        (owns, principal, given) in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let (asked, own) = if owns { (task().own, parent) } else { (parent, task().own) };
        let first = task();
        let mut world = World::of(Task {
            asked,
            own,
            subject: given.then(|| id("first")),
            owner: Owner {
                principal: principal.then_some(PRINCIPAL),
                ..first.owner.clone()
            },
            ..first
        });
        world.limits = Limits { tool_risks: risks(), ..limits() };
        world.start(&worker()).unwrap();
        let spender = Role {
            spiffe_id: SpiffeId::new(format!("spiffe://{domain}/worker")).unwrap(),
            ..role("worker", 30)
        };
        let ask = AskSpawn {
            leg: LegNumber(1),
            children: vec![AskChild { id: TaskId([7; 16]), terms, spender: Some(spender) }],
            request: Digest([1; 32]),
            asked: Digest([1; 32]),
        };
        let held = Held::<AsPerformer>::check(world.task(), &worker()).unwrap();
        if let Ok(spawned) = spawn::spawn(&world.lineage, &held, &ask, &[], &world.now()) {
            let child = &spawned.writes.children[0];
            prop_assert_eq!((child.parent, child.txn), (world.task().id, world.task().txn));
            let on_whose = match (owns, given) {
                (true, _) => id("reports"),
                (false, true) => id("first"),
                (false, false) => id("assistant"),
            };
            prop_assert_eq!(&child.subject, &on_whose);
            prop_assert_eq!(domain, "test.example");
            let after = spawned.writes.task.unwrap();
            prop_assert_eq!((after.txn, after.parent), (world.task().txn, None));
        }
    }

    /// A token is good, and the next one is issued, only while every ancestor runs.
    #[test]
    fn n09_nothing_is_let_under_an_ancestor_that_does_not_run(
        above in vec(ancestor(), 1..=8),
        lost in prop_oneof![8 => Just(None), 1 => (0_usize..8).prop_map(Some)],
        later in select(vec![0, 1, 4_999, 5_000, 19_999, 20_000, TOKEN_TTL - 1]),
    ) {
        let mut world = sibling(10, 1);
        let count = above.len();
        let mut number = 19;
        let ancestors = above.iter().enumerate().map(|(place, (state, deadline))| {
            number += 1;
            Task {
                state: *state,
                ended_at: state.is_terminal().then_some(START),
                deadline: *deadline,
                ..line(number, place + 1 < count)
            }
        });
        let ancestors: Vec<Task> = ancestors.take(lost.unwrap_or(count)).collect();
        let token = world.token(2);
        world.later(later);
        let runs = |(state, deadline): &(TaskState, Time)| {
            *state == TaskState::Working && world.time < *deadline
        };
        let alive = above.iter().all(runs) && ancestors.len() == count;
        world.lineage.ancestors = ancestors;
        world.lineage = world.lineage.as_of(world.time).into_owned();
        let checked = world.clone().check(&tool(), &token, 1);
        prop_assert_eq!(checked.is_ok(), alive, "{:?}", checked);
        let again = world.clone().issue(&worker(), (1, 2), (1, 1));
        prop_assert_eq!(again.is_ok(), alive, "{:?}", again);
        let started = world.start(&worker());
        prop_assert_eq!(started.is_ok(), alive, "{:?}", started);
    }

    /// Also where both are at the same step with the same fence, and where the record of the one stands among those
    /// of the other.
    #[test]
    fn n11_a_token_is_good_for_its_own_task_alone(
        (steps, others) in (0_u32..4, 0_u32..4),
        (pending, planted) in (any::<bool>(), any::<bool>()),
        later in select(vec![0, 1, 5_000, TOKEN_TTL - 1]),
    ) {
        let (mut one, mut other) = (sibling(10, steps), sibling(11, others));
        let token = one.token(steps + 1);
        if pending {
            other.token(others + 1);
        }
        if planted {
            let record = one.records.iter().find(|row| row.fence == token.claims.fence);
            let mut record = record.unwrap().clone();
            record.task = other.task().id;
            other.records.retain(|row| row.fence != record.fence);
            other.records.push(record);
        }
        one.later(later);
        other.later(later);
        let before = (other.lineage.clone(), other.records.clone());
        prop_assert!(other.check(&tool(), &token, 1).is_err());
        prop_assert_eq!(before, (other.lineage, other.records));
        prop_assert!(one.check(&tool(), &token, 1).is_ok());
    }
}
