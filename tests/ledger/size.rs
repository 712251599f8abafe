//! A ledger that has its size refuses new work and still records what ends tasks.

use crate::support::{File, commit, create, creation, event, id, of_task, record, task, work};
use handfast::domain::lineage::Writes;
use handfast::domain::step::{Purpose, TokenRecord};
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;
use handfast::ledger::{LedgerConfig, RedbLedger, verify_chain};
use handfast::service::ports::{Ledger, LedgerError};

const MAX: u64 = 2 * 1024 * 1024;
const RESERVE: u64 = 1024 * 1024;

fn small() -> (File, RedbLedger) {
    let mut file = File::new();
    file.config = LedgerConfig {
        max_bytes: MAX,
        reserve_bytes: RESERVE,
        ..file.config
    };
    let ledger = file.open();
    (file, ledger)
}

/// A task with a long name of its tool, so that few of them fill the ledger.
fn big(number: u64) -> Task {
    let mut task = task(number);
    task.call.tool = "x".repeat(3000);
    task
}

/// Makes tasks until the ledger refuses; says how many there are.
async fn fill(ledger: &RedbLedger, first: u64) -> u64 {
    for number in first.. {
        let load = of_task(number);
        let expected = ledger.load(load).await.unwrap();
        let writes = Writes {
            task: Some(big(number)),
            ..creation(number)
        };
        match ledger.apply(work(load, expected, writes)).await {
            Ok(_) => {}
            Err(LedgerError::Full) => return number - 1,
            Err(other) => panic!("{other}"),
        }
    }
    unreachable!("a limited ledger is full at some time");
}

fn cancelled(number: u64) -> Writes {
    let ended = Task {
        state: TaskState::Cancelled,
        ended_at: Some(Time(9)),
        ..big(number)
    };
    Writes {
        task: Some(ended),
        ..Writes::default()
    }
}

#[tokio::test]
async fn a_full_ledger_still_records_a_cancel() {
    let (file, ledger) = small();
    let last = fill(&ledger, 1).await;
    assert!(last > 100, "only {last} tasks fit");
    let size = ledger.size().unwrap();
    assert!(size.full);
    assert!(size.disk_bytes < MAX + RESERVE);
    // Nothing of the refused task is there.
    assert_eq!(ledger.load(of_task(last + 1)).await.unwrap().task, None);

    let token = TokenRecord {
        purpose: Purpose::Cancel,
        ..record(1, 2)
    };
    let issued = Writes {
        task: Some(big(1)),
        records: vec![token],
        ..Writes::default()
    };
    commit(&ledger, of_task(1), issued).await;
    for number in 1..=20 {
        commit(&ledger, of_task(number), cancelled(number)).await;
    }
    let read = ledger.load(of_task(20)).await.unwrap();
    assert_eq!(read.task.unwrap().state, TaskState::Cancelled);
    ledger.note(event("read")).unwrap();
    // A step would not end anything.
    let step = Writes {
        records: vec![record(30, 2)],
        ..Writes::default()
    };
    let expected = ledger.load(of_task(30)).await.unwrap();
    let refused = ledger.apply(work(of_task(30), expected, step)).await;
    assert!(matches!(refused, Err(LedgerError::Full)));
    drop(ledger);
    assert!(verify_chain(&file.path()).is_ok());
}

#[tokio::test]
async fn forgetting_makes_room_again() {
    let (_file, ledger) = small();
    let last = fill(&ledger, 1).await;
    for number in 1..=last {
        ledger.forget(id(number), event("forget")).await.unwrap();
    }
    create(&ledger, last + 2).await;
    assert!(!ledger.size().unwrap().full);
}

#[tokio::test]
async fn notes_stop_before_the_reserve_is_gone() {
    let (_file, ledger) = small();
    let last = fill(&ledger, 1).await;
    let mut notes = 0_u64;
    loop {
        match ledger.note(event(&"x".repeat(4096))) {
            Ok(_) => notes += 1,
            Err(LedgerError::Busy) => ledger.flush().await.unwrap(),
            Err(LedgerError::Full) => break,
            Err(other) => panic!("{other}"),
        }
        if notes.is_multiple_of(8) {
            ledger.flush().await.unwrap();
        }
        assert!(notes < 10_000);
    }
    let size = ledger.size().unwrap();
    assert!(size.disk_bytes < MAX + RESERVE, "{size:?}");
    commit(&ledger, of_task(last), cancelled(last)).await;
    assert_eq!(ledger.load(of_task(1)).await.unwrap().task, Some(big(1)));
}
