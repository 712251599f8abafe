//! What every ledger promises for callers that collide: a commit stands on the rows that it read.

use crate::support::{
    Unfolded, create, creation, digest, event, id, of_task, record, spiffe, step, task, work,
};
use handfast::domain::denial::Reason;
use handfast::domain::id::{Epoch, Fence, RecordNumber, StepNumber};
use handfast::domain::lineage::{Lineage, Load, Locator, Transition, Writes};
use handfast::domain::revocation::{Ended, Ending, Wide};
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;
use handfast::service::ports::Ledger;
use handfast::service::ports::ledger::{
    Again, Applied, Decision, Denied, Judge, Judged, Prepared, Work, decide,
};
use std::sync::{Arc, Mutex};

fn only_task(task: Task) -> Writes {
    Writes {
        task: Some(task),
        ..Writes::default()
    }
}

fn with_fence(number: u64, fence: u64) -> Task {
    Task {
        fence: Fence(fence),
        ..task(number)
    }
}

/// Decides again with this and keeps the rows that it was shown.
fn shown(
    seen: &Arc<Mutex<Vec<Lineage>>>,
    answer: impl Fn() -> Result<Prepared, Box<Denied>> + Send + 'static,
) -> Again {
    let seen = Arc::clone(seen);
    Box::new(move |lineage| {
        seen.lock().unwrap().push(lineage.clone());
        answer()
    })
}

fn prepared(writes: Writes) -> Prepared {
    Prepared {
        writes,
        event: event("again"),
    }
}

fn denied() -> Box<Denied> {
    Box::new(Denied {
        reason: Reason::Unknown,
        event: event("denied"),
    })
}

async fn records(ledger: &dyn Ledger) -> usize {
    ledger.events(RecordNumber(1), 1000).await.unwrap().len()
}

pub(crate) async fn changed_rows_are_decided_again(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    let old = ledger.load(of_task(1)).await.unwrap();
    let first = work(of_task(1), old.clone(), only_task(with_fence(1, 2)));
    ledger.apply(first).await.unwrap();

    let seen = Arc::default();
    let late = Work {
        again: shown(&seen, || Ok(prepared(only_task(with_fence(1, 3))))),
        ..work(of_task(1), old, only_task(with_fence(1, 99)))
    };
    let applied = ledger.apply(late).await.unwrap();
    assert!(matches!(applied, Applied::Recorded(_)));
    let seen: Vec<Lineage> = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].task, Some(with_fence(1, 2)));
    let now = ledger.load(of_task(1)).await.unwrap();
    assert_eq!(now.task, Some(with_fence(1, 3)));
}

/// A child's step and its root's end must not both win: the child's commit stands on its whole line.
pub(crate) async fn a_changed_ancestor_is_decided_again(ledger: &dyn Ledger) {
    for (number, parent) in [(1, None), (2, Some(id(1))), (3, Some(id(2)))] {
        create(ledger, number).await;
        let line = Task {
            parent,
            ..task(number)
        };
        let rows = ledger.load(of_task(number)).await.unwrap();
        let write = work(of_task(number), rows, only_task(line));
        ledger.apply(write).await.unwrap();
    }
    let old = ledger.load(of_task(3)).await.unwrap();
    let line: Vec<_> = old.ancestors.iter().map(|task| task.id).collect();
    assert_eq!(line, [id(2), id(1)]);

    let root = ledger.load(of_task(1)).await.unwrap();
    let ended = Task {
        state: TaskState::Cancelled,
        ..task(1)
    };
    let cancel = work(of_task(1), root, only_task(ended));
    ledger.apply(cancel).await.unwrap();

    let seen = Arc::default();
    let step = Task {
        parent: Some(id(2)),
        ..with_fence(3, 99)
    };
    let late = Work {
        again: shown(&seen, || Err(denied())),
        ..work(of_task(3), old, only_task(step))
    };
    let applied = ledger.apply(late).await.unwrap();
    assert!(matches!(applied, Applied::Denied(_)));
    let seen: Vec<Lineage> = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen[0].ancestors[1].state, TaskState::Cancelled);
    let child = ledger.load(of_task(3)).await.unwrap();
    assert_eq!(child.task.unwrap().fence, Fence(1));
}

/// A commit stands on what is revoked, also on what was revoked in the same batch.
pub(crate) async fn a_revocation_meanwhile_is_decided_again(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    let old = ledger.load(of_task(1)).await.unwrap();
    let nothing = Load::of(Locator::Nothing);
    let next = old.revocations.with(&Wide::Epoch(Epoch(0)), Time(7), 9);
    assert_eq!(next, Ok(None), "nothing new is no change");
    let scope = Wide::SpiffeId(spiffe("worker"));
    let next = old.revocations.with(&scope, Time(7), 9).unwrap().unwrap();
    let revoke = work(
        nothing,
        ledger.load(nothing).await.unwrap(),
        Writes {
            revocations: Some(Arc::new(next.clone())),
            ending: Some(Ending {
                at: Time(7),
                ended: Ended::Wide(scope),
            }),
            ..Writes::default()
        },
    );
    let seen = Arc::default();
    let late = Work {
        again: shown(&seen, || Err(denied())),
        ..work(of_task(1), old, only_task(with_fence(1, 99)))
    };
    let (revoked, late) = tokio::join!(ledger.apply(revoke), ledger.apply(late));
    let Ok(Applied::Recorded(number)) = revoked else {
        panic!("{revoked:?}");
    };
    assert!(matches!(late.unwrap(), Applied::Denied(_)));
    assert_eq!(*seen.lock().unwrap()[0].revocations, next);
    assert_eq!(*ledger.revocations(), next);
    let now = ledger.load(of_task(1)).await.unwrap();
    assert_eq!(now.task.unwrap().fence, Fence(1));
    // What ended is found by the record of its commit, and by no later one.
    let before = RecordNumber(number.0 - 1);
    let endings = ledger.endings(before, 9).await.unwrap();
    assert_eq!(endings.len(), 1);
    assert_eq!(endings[0].0, number);
    assert_eq!(ledger.endings(number, 9).await.unwrap(), []);
}

pub(crate) async fn an_outdated_policy_is_decided_again(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    let rows = ledger.load(of_task(1)).await.unwrap();
    let seen = Arc::default();
    let outdated = Work {
        current: Box::new(|| false),
        again: shown(&seen, || Err(denied())),
        ..work(of_task(1), rows.clone(), only_task(with_fence(1, 2)))
    };
    let applied = ledger.apply(outdated).await.unwrap();
    assert!(matches!(applied, Applied::Denied(_)));
    assert_eq!(*seen.lock().unwrap(), std::slice::from_ref(&rows));
    assert_eq!(ledger.load(of_task(1)).await.unwrap(), rows);
}

pub(crate) async fn refused_again_writes_nothing(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    let before = records(ledger).await;
    let refused = Work {
        again: Box::new(|_| Err(denied())),
        ..work(of_task(1), Lineage::default(), creation(2))
    };
    let applied = ledger.apply(refused).await.unwrap();
    assert!(matches!(applied, Applied::Denied(_)));
    assert_eq!(ledger.tasks(None, 9).await.unwrap().tasks, [task(1)]);
    // The next commit shows that no number was spent either.
    create(ledger, 3).await;
    assert_eq!(records(ledger).await, before + 1);
}

pub(crate) async fn unchanged_again_is_noted(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    let unchanged = Work {
        again: Box::new(|_| Ok(prepared(Writes::default()))),
        ..work(of_task(1), Lineage::default(), only_task(with_fence(1, 9)))
    };
    let applied = ledger.apply(unchanged).await.unwrap();
    assert!(
        matches!(applied, Applied::Unchanged(RecordNumber(2))),
        "{applied:?}"
    );
    let now = ledger.load(of_task(1)).await.unwrap();
    assert_eq!(now.task, Some(task(1)));
}

/// Two decisions read the same rows and write different ones. Either alone is right; both are not.
pub(crate) async fn write_skew_is_decided_again(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    let load = Load {
        step: Some(StepNumber(1)),
        record: Some(Fence(2)),
        ..of_task(1)
    };
    let rows = ledger.load(load).await.unwrap();
    let seen = Arc::default();
    let writes_step = Writes {
        steps: vec![step(1)],
        ..Writes::default()
    };
    let writes_record = Writes {
        records: vec![record(1, 2)],
        ..Writes::default()
    };
    let first = work(load, rows.clone(), writes_step);
    let second = Work {
        again: shown(&seen, || Err(denied())),
        ..work(load, rows, writes_record)
    };
    let (first, second) = tokio::join!(ledger.apply(first), ledger.apply(second));
    assert!(matches!(first.unwrap(), Applied::Recorded(_)));
    assert!(matches!(second.unwrap(), Applied::Denied(_)));
    assert_eq!(seen.lock().unwrap()[0].step, Some(step(1)));
    let now = ledger.load(load).await.unwrap();
    assert_eq!((now.step, now.record), (Some(step(1)), None));
}

pub(crate) async fn a_name_taken_meanwhile_is_seen(ledger: &dyn Ledger) {
    let load = |number| Load {
        name: Some(digest(2, 1)),
        ..of_task(number)
    };
    let (one, two) = (ledger.load(load(1)).await, ledger.load(load(2)).await);
    let named = |number| Writes {
        bind: Some(digest(2, 1)),
        ..creation(number)
    };
    let seen = Arc::default();
    let first = work(load(1), one.unwrap(), named(1));
    let second = Work {
        again: shown(&seen, || Err(denied())),
        ..work(load(2), two.unwrap(), named(2))
    };
    let (first, second) = tokio::join!(ledger.apply(first), ledger.apply(second));
    assert!(matches!(first.unwrap(), Applied::Recorded(_)));
    assert!(matches!(second.unwrap(), Applied::Denied(_)));
    assert_eq!(seen.lock().unwrap()[0].named, Some(id(1)));
    let owner = ledger.load(Load::of(Locator::Name(digest(2, 1)))).await;
    assert_eq!(owner.unwrap().id, Some(id(1)));
}

/// Nobody loops and nobody starves: every decision is carried out, each on the rows of the one before.
pub(crate) async fn every_writer_of_one_task_gets_through(ledger: &dyn Ledger) {
    const WRITERS: u64 = 100;
    let unfolded = Unfolded(ledger);
    create(ledger, 1).await;
    let judge: Arc<Judge<Fence>> = Arc::new(|lineage: &Lineage| {
        let task = lineage.task.clone().unwrap();
        let effect = task.fence.next();
        let writes = only_task(Task {
            fence: effect,
            ..task
        });
        Ok(Judged {
            transition: Transition { writes, effect },
            event: event("raise"),
        })
    });
    let mut decisions = Vec::new();
    for _ in 0..WRITERS {
        decisions.push(decide(
            (ledger, &unfolded),
            of_task(1),
            Arc::clone(&judge),
            || true,
        ));
    }
    let mut fences = Vec::new();
    for decision in join_all(decisions).await {
        let Ok(Decision::Recorded(recorded)) = decision else {
            panic!("{decision:?}");
        };
        fences.push(recorded.effect().0);
    }
    fences.sort_unstable();
    assert_eq!(fences, (2..=WRITERS + 1).collect::<Vec<_>>());
    let now = ledger.load(of_task(1)).await.unwrap();
    assert_eq!(now.task.unwrap().fence, Fence(WRITERS + 1));
}

/// Drives all futures at once and returns their results in order.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in futures.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().map(Option::unwrap).collect()
}
