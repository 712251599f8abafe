//! What every ledger promises about the tasks of one owner, and about those that have ended.

use crate::support::{Unfolded, commit, create, creation, digest, event, id, of_task, task, terms};
use handfast::domain::denial::Reason;
use handfast::domain::id::TaskId;
use handfast::domain::lineage::{Lineage, Load, NewOwner, Transition, Writes};
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;
use handfast::service::ports::Ledger;
use handfast::service::ports::ledger::{Decision, Denied, Judge, Judged, decide};
use std::sync::Arc;

/// A task about to be made by the owner that every task here has.
fn about_to_make(number: u64) -> Load {
    Load {
        tasks_of: Some(NewOwner { principal: None }),
        ..of_task(number)
    }
}

/// As `Requests.Issue(create)` leaves it.
async fn asked(ledger: &dyn Ledger, number: u64) {
    let asked = Writes {
        terms: Some(terms(number, 100)),
        ..Writes::default()
    };
    commit(ledger, of_task(number), asked).await;
}

async fn end(ledger: &dyn Ledger, number: u64, at: u64) {
    let ended = Writes {
        task: Some(Task {
            state: TaskState::Completed,
            ended_at: Some(Time(at)),
            ..task(number)
        }),
        ..Writes::default()
    };
    commit(ledger, of_task(number), ended).await;
}

pub(crate) async fn an_owners_live_tasks_are_counted(ledger: &dyn Ledger) {
    asked(ledger, 9).await;
    let count = async || ledger.load(about_to_make(9)).await.unwrap().owner_tasks;
    assert_eq!(count().await, 0);
    for number in 1..=3 {
        create(ledger, number).await;
    }
    assert_eq!(count().await, 3);
    // A change of a live task is no further one, and neither is another owner's.
    create(ledger, 3).await;
    let other = Task {
        owner: handfast::domain::role::Owner {
            principal: Some(digest(9, 9)),
            ..task(4).owner
        },
        ..task(4)
    };
    let other = Writes {
        task: Some(other),
        ..creation(4)
    };
    commit(ledger, of_task(4), other).await;
    assert_eq!(count().await, 3);
    end(ledger, 2, 7).await;
    assert_eq!(count().await, 2);
    ledger.forget(id(2), event("forget")).await.unwrap();
    assert_eq!(count().await, 2, "it counted no more");
    ledger.forget(id(1), event("forget")).await.unwrap();
    end(ledger, 3, 8).await;
    assert_eq!(count().await, 0);
    let unasked = ledger.load(of_task(9)).await.unwrap();
    assert_eq!(unasked.owner_tasks, 0);
}

/// Makes a task unless its owner has one.
fn only_one(number: u64) -> Arc<Judge<()>> {
    Arc::new(move |lineage: &Lineage| {
        if lineage.owner_tasks >= 1 {
            return Err(Box::new(Denied {
                reason: Reason::Limit("limits.tasks_per_owner"),
                event: event("denied"),
            }));
        }
        Ok(Judged {
            transition: Transition {
                writes: creation(number),
                effect: (),
            },
            event: event("made"),
        })
    })
}

pub(crate) async fn a_count_that_changed_is_decided_again(ledger: &dyn Ledger) {
    let unfolded = Unfolded(ledger);
    for number in 1..=8 {
        asked(ledger, number).await;
    }
    // All of them read that there is none.
    let made = (1..=8).map(|number| {
        let judge = only_one(number);
        decide((ledger, &unfolded), about_to_make(number), judge, || true)
    });
    let mut recorded = 0;
    for decision in futures_of(made).await {
        match decision.unwrap() {
            Decision::Recorded(_) => recorded += 1,
            Decision::Denied(denied) => {
                assert_eq!(denied.reason, Reason::Limit("limits.tasks_per_owner"));
            }
            Decision::Noted(_) => panic!("changes something"),
        }
    }
    assert_eq!(recorded, 1);
}

/// Polls all of them in turn, so that all have begun before any is done.
async fn futures_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

pub(crate) async fn live_and_ended_tasks_are_listed_apart(ledger: &dyn Ledger) {
    for number in 1..=6 {
        create(ledger, number).await;
    }
    for (number, at) in [(2, 30), (4, 10), (5, 20)] {
        end(ledger, number, at).await;
    }
    let mut seen: Vec<TaskId> = Vec::new();
    let mut after = None;
    loop {
        let page = ledger.live_tasks(after, 2).await.unwrap();
        seen.extend(page.tasks.iter().map(|task| task.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [id(1), id(3), id(6)]);
    let ended = async |by, limit| ledger.ended_tasks(Time(by), limit).await.unwrap();
    assert_eq!(ended(9, 9).await, []);
    assert_eq!(ended(20, 9).await, [id(4), id(5)]);
    assert_eq!(ended(99, 2).await, [id(4), id(5)]);
    ledger.forget(id(4), event("forget")).await.unwrap();
    assert_eq!(ended(99, 9).await, [id(5), id(2)]);
}
