//! What every ledger promises for callers that do not collide.

use crate::support::{
    Unfolded, commit, create, creation, digest, event, id, of_task, record, step, task, terms,
    until, work,
};
use handfast::domain::denial::Reason;
use handfast::domain::id::{Fence, RecordNumber, StepNumber, TaskId};
use handfast::domain::lineage::{CreateTerms, Lineage, Load, Locator, Transition, Writes};
use handfast::domain::task::Task;
use handfast::domain::time::Time;
use handfast::service::ports::ledger::{Decision, Denied, Judge, Judged, decide};
use handfast::service::ports::{Ledger, LedgerError};
use std::sync::Arc;

pub(crate) async fn absent_rows_load_as_nothing(ledger: &dyn Ledger) {
    let full = |locator| Load {
        step: Some(StepNumber(1)),
        record: Some(Fence(1)),
        name: Some(digest(2, 9)),
        approval: Some(StepNumber(1)),
        account: true,
        ..Load::of(locator)
    };
    for locator in [Locator::Name(digest(2, 9)), Locator::Request(digest(6, 9))] {
        let lineage = ledger.load(full(locator)).await.unwrap();
        assert_eq!(lineage, Lineage::default());
    }
    let lineage = ledger.load(full(Locator::Task(id(9)))).await.unwrap();
    let named = Lineage {
        id: Some(id(9)),
        ..Lineage::default()
    };
    assert_eq!(lineage, named);
}

pub(crate) async fn a_commit_is_visible_once_answered(ledger: &dyn Ledger) {
    for number in 1..=50 {
        create(ledger, number).await;
        for locator in [
            Locator::Task(id(number)),
            Locator::Name(digest(2, number)),
            Locator::Request(digest(6, number)),
        ] {
            let lineage = ledger.load(Load::of(locator)).await.unwrap();
            assert_eq!(lineage.id, Some(id(number)));
            assert_eq!(lineage.task, Some(task(number)));
        }
    }
}

pub(crate) async fn a_name_belongs_to_one_task(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    let second = Writes {
        bind: Some(digest(2, 1)),
        request: None,
        ..creation(2)
    };
    // A decision that did not read who has the name is not carried out either.
    let load = of_task(2);
    let expected = ledger.load(load).await.unwrap();
    let refused = ledger.apply(work(load, expected, second)).await;
    assert!(
        matches!(refused, Err(LedgerError::Corrupt(_))),
        "{refused:?}"
    );
    let load = Load {
        name: Some(digest(2, 1)),
        ..of_task(2)
    };
    let lineage = ledger.load(load).await.unwrap();
    assert_eq!(lineage.named, Some(id(1)));
    assert_eq!(lineage.task, None);
}

pub(crate) async fn a_request_finds_its_task(ledger: &dyn Ledger) {
    let asked = Writes {
        terms: Some(terms(1, 100)),
        request: Some((digest(6, 1), id(1))),
        ..Writes::default()
    };
    commit(ledger, Load::of(Locator::Request(digest(6, 1))), asked).await;
    let lineage = ledger
        .load(Load::of(Locator::Request(digest(6, 1))))
        .await
        .unwrap();
    assert_eq!(lineage.id, Some(id(1)));
    assert_eq!(lineage.terms, Some(terms(1, 100)));
    assert_eq!(lineage.task, None);
}

pub(crate) async fn settled_steps_and_records_are_read_by_number(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    create(ledger, 2).await;
    let writes = Writes {
        steps: vec![step(1), step(2)],
        records: vec![record(1, 2), record(1, 3)],
        ..Writes::default()
    };
    commit(ledger, of_task(1), writes).await;
    let load = |number, wanted, fence| Load {
        step: Some(StepNumber(wanted)),
        record: Some(Fence(fence)),
        ..of_task(number)
    };
    let lineage = ledger.load(load(1, 2, 3)).await.unwrap();
    assert_eq!(lineage.step, Some(step(2)));
    assert_eq!(lineage.record, Some(record(1, 3)));
    let lineage = ledger.load(load(1, 3, 4)).await.unwrap();
    assert_eq!((lineage.step, lineage.record), (None, None));
    let lineage = ledger.load(load(2, 2, 3)).await.unwrap();
    assert_eq!((lineage.step, lineage.record), (None, None));
}

pub(crate) async fn forgetting_leaves_nothing(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    create(ledger, 2).await;
    let writes = Writes {
        terms: Some(CreateTerms {
            used_at: Some(Time(9)),
            ..terms(1, 100)
        }),
        steps: (1..=40).map(step).collect(),
        records: (2..=41).map(|fence| record(1, fence)).collect(),
        ..Writes::default()
    };
    commit(ledger, of_task(1), writes).await;
    ledger.forget(id(1), event("forget")).await.unwrap();
    for locator in [Locator::Name(digest(2, 1)), Locator::Request(digest(6, 1))] {
        let lineage = ledger.load(Load::of(locator)).await.unwrap();
        assert_eq!(lineage, Lineage::default());
    }
    for number in 1..=41 {
        let load = Load {
            step: Some(StepNumber(number)),
            record: Some(Fence(u64::from(number))),
            ..of_task(1)
        };
        let lineage = ledger.load(load).await.unwrap();
        let nothing = Lineage {
            id: Some(id(1)),
            ..Lineage::default()
        };
        assert_eq!(lineage, nothing);
    }
    // The name is free for another task now, and the neighbour is untouched.
    let third = Writes {
        task: Some(Task {
            name: digest(2, 1),
            ..task(3)
        }),
        bind: Some(digest(2, 1)),
        ..Writes::default()
    };
    commit(ledger, of_task(3), third).await;
    let lineage = ledger.load(of_task(2)).await.unwrap();
    assert_eq!(lineage.task, Some(task(2)));
    let page = ledger.tasks(None, 10).await.unwrap();
    let ids: Vec<TaskId> = page.tasks.iter().map(|task| task.id).collect();
    assert_eq!(ids, [id(2), id(3)]);
    // Forgetting again is no error.
    ledger.forget(id(1), event("forget")).await.unwrap();
}

pub(crate) async fn unused_terms_are_forgotten_after_their_end(ledger: &dyn Ledger) {
    for (number, ends) in [(1, 100), (2, 200), (3, 300), (4, 150)] {
        let writes = Writes {
            terms: Some(terms(number, ends)),
            request: Some((digest(6, number), id(number))),
            ..Writes::default()
        };
        let load = Load::of(Locator::Request(digest(6, number)));
        commit(ledger, load, writes).await;
    }
    // Asked again: ends later.
    let renewed = Writes {
        terms: Some(terms(1, 250)),
        ..Writes::default()
    };
    commit(ledger, of_task(1), renewed).await;
    // Used: kept with its task.
    let used = Writes {
        terms: Some(CreateTerms {
            used_at: Some(Time(120)),
            ..terms(4, 150)
        }),
        ..creation(4)
    };
    commit(ledger, of_task(4), used).await;

    assert_eq!(ledger.forget_terms(Time(200), 10).await.unwrap(), 0);
    assert_eq!(ledger.forget_terms(Time(301), 2).await.unwrap(), 2);
    assert_eq!(ledger.forget_terms(Time(301), 2).await.unwrap(), 1);
    assert_eq!(ledger.forget_terms(Time(301), 2).await.unwrap(), 0);
    for number in 1..=3 {
        let load = Load::of(Locator::Request(digest(6, number)));
        assert_eq!(ledger.load(load).await.unwrap(), Lineage::default());
    }
    let kept = ledger.load(of_task(4)).await.unwrap();
    assert!(kept.terms.is_some() && kept.task.is_some());
}

pub(crate) async fn tasks_come_in_pages(ledger: &dyn Ledger) {
    for number in [3, 1, 7, 5, 6, 2, 4] {
        create(ledger, number).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = ledger.tasks(after, 3).await.unwrap();
        assert!(page.tasks.len() <= 3);
        seen.extend(page.tasks);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=7).map(task).collect::<Vec<_>>());
    let all = ledger.tasks(None, 7).await.unwrap();
    assert_eq!((all.tasks.len(), all.next), (7, None));
}

pub(crate) async fn decide_gives_proofs(ledger: &dyn Ledger) {
    let unfolded = Unfolded(ledger);
    create(ledger, 1).await;
    let raise: Arc<Judge<Fence>> = Arc::new(|lineage: &Lineage| {
        let mut task = lineage.task.clone().unwrap();
        task.fence = task.fence.next();
        let effect = task.fence;
        let writes = Writes {
            task: Some(task),
            ..Writes::default()
        };
        Ok(Judged {
            transition: Transition { writes, effect },
            event: event("raise"),
        })
    });
    let Decision::Recorded(recorded) = decide((ledger, &unfolded), of_task(1), raise, || true)
        .await
        .unwrap()
    else {
        panic!("a change is recorded");
    };
    assert_eq!(*recorded.effect(), Fence(2));

    let look: Arc<Judge<()>> = Arc::new(|_: &Lineage| {
        Ok(Judged {
            transition: Transition::unchanged(()),
            event: event("look"),
        })
    });
    let Decision::Noted(noted) = decide((ledger, &unfolded), of_task(1), look, || true)
        .await
        .unwrap()
    else {
        panic!("what changes nothing is noted");
    };
    assert_eq!(noted.number().0, recorded.number().0 + 1);

    let refuse: Arc<Judge<()>> = Arc::new(|_: &Lineage| {
        Err(Box::new(Denied {
            reason: Reason::Unknown,
            event: event("refuse"),
        }))
    });
    let decision = decide((ledger, &unfolded), of_task(1), refuse, || true)
        .await
        .unwrap();
    assert!(matches!(decision, Decision::Denied(_)));
}

pub(crate) async fn numbers_are_dense_and_chained(ledger: &dyn Ledger) {
    let mut numbers = Vec::new();
    let creations = async {
        for number in 1..=60 {
            create(ledger, number).await;
        }
    };
    let notes = async {
        for count in 0..600 {
            numbers.push(ledger.note(event(&format!("note {count}"))).unwrap());
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(creations, notes);
    assert!(numbers.is_sorted());
    until("every event is durable", || async {
        ledger.events(RecordNumber(1), 1000).await.unwrap().len() == 660
    })
    .await;
    let events = ledger.events(RecordNumber(0), 1000).await.unwrap();
    let mut previous = [0; 32];
    for (place, chained) in (1..).zip(&events) {
        assert_eq!(chained.number, RecordNumber(place));
        assert_eq!(chained.previous.0, previous);
        previous = chained.hash.0;
    }
    for (count, number) in numbers.iter().enumerate() {
        let index = usize::try_from(number.0).unwrap() - 1;
        assert_eq!(events[index].event, event(&format!("note {count}")));
    }
    let tail = ledger.events(RecordNumber(658), 2).await.unwrap();
    assert_eq!(tail, events[657..659]);
}

pub(crate) async fn every_name_stays_its_tasks_until_it_is_forgotten(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    create(ledger, 2).await;
    let renamed = Writes {
        task: Some(Task {
            name: digest(2, 77),
            ..task(1)
        }),
        bind: Some(digest(2, 77)),
        ..Writes::default()
    };
    commit(ledger, of_task(1), renamed).await;
    let names = [digest(2, 1), digest(2, 77)];
    for name in names {
        let found = ledger.load(Load::of(Locator::Name(name))).await;
        assert_eq!(found.unwrap().id, Some(id(1)));
    }
    ledger.forget(id(1), event("forget")).await.unwrap();
    for name in names {
        let found = ledger.load(Load::of(Locator::Name(name))).await;
        assert_eq!(found.unwrap(), Lineage::default());
    }
    let other = ledger.load(Load::of(Locator::Name(digest(2, 2)))).await;
    assert_eq!(
        other.unwrap().id,
        Some(id(2)),
        "the neighbour keeps its own"
    );
}
