//! The file: made whole, held by one agent, refused where it is something else.

use crate::support::{File, create, event, id, of_task, task, until, work};
use handfast::domain::event::Event;
use handfast::domain::id::Epoch;
use handfast::domain::lineage::{Lineage, Writes};
use handfast::domain::time::Time;
use handfast::ledger::{LedgerConfig, OpenError, RedbLedger, SCHEMA_VERSION, verify_chain};
use handfast::service::ports::ledger::{Prepared, Work};
use handfast::service::ports::{Ledger, LedgerError};
use redb::TableDefinition;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn open(config: &LedgerConfig) -> Result<RedbLedger, OpenError> {
    RedbLedger::open(config, Box::new(|why| panic!("{why}"))).map(|(ledger, _)| ledger)
}

#[test]
fn a_new_ledger_is_private_and_alone_in_its_folder() {
    let file = File::new();
    let ledger = file.open();
    let mut names: Vec<String> = std::fs::read_dir(file.path().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["ledger", "ledger.reserve"]);
    for path in [file.path(), file.config.reserve_path()] {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    drop(ledger);
}

#[test]
fn every_opening_raises_the_epoch() {
    let file = File::new();
    for run in 1..=5 {
        let (ledger, opened) = RedbLedger::open(&file.config, Box::new(|_| ())).unwrap();
        assert_eq!(opened.epoch, Epoch(run));
        assert_eq!(opened.created, run == 1);
        drop(ledger);
    }
}

#[test]
fn a_second_agent_is_refused() {
    let file = File::new();
    let ledger = file.open();
    let refused = open(&file.config);
    assert!(matches!(&refused, Err(OpenError::InUse { path }) if *path == file.path()));
    // Nor can a stopped ledger's tool read it meanwhile.
    assert!(verify_chain(&file.path()).is_err());
    drop(ledger);
    open(&file.config).unwrap();
}

#[tokio::test]
async fn rows_and_chain_survive_reopening() {
    let file = File::new();
    let ledger = file.open();
    create(&ledger, 1).await;
    ledger.note(event("note")).unwrap();
    drop(ledger);
    let ledger = file.open();
    create(&ledger, 2).await;
    assert_eq!(ledger.load(of_task(1)).await.unwrap().task, Some(task(1)));
    assert_eq!(ledger.verify().unwrap().records, 3);
    let head = ledger.verify().unwrap();
    drop(ledger);
    assert_eq!(verify_chain(&file.path()).unwrap(), head);
}

#[test]
fn another_schema_version_is_refused() {
    const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("handfast");
    let file = File::new();
    drop(file.open());
    let database = redb::Database::open(file.path()).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(TABLE)
        .unwrap()
        .insert(
            b"\x00schema".as_slice(),
            (SCHEMA_VERSION - 1).to_be_bytes().as_slice(),
        )
        .unwrap();
    txn.commit().unwrap();
    drop(database);
    let refused = open(&file.config);
    assert!(matches!(refused, Err(OpenError::Schema { found, .. }) if found == SCHEMA_VERSION - 1));
    let older = format!("schema version {}", SCHEMA_VERSION - 1);
    assert!(refused.unwrap_err().to_string().contains(&older));
}

#[test]
fn what_is_not_a_ledger_is_refused_and_left_alone() {
    for content in [&b""[..], &b"not a database, but long enough to look at"[..]] {
        let file = File::new();
        std::fs::write(file.path(), content).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file.path(), private).unwrap();
        let refused = open(&file.config);
        assert!(refused.is_err());
        assert_eq!(std::fs::read(file.path()).unwrap(), content);
    }
    let file = File::new();
    let foreign = redb::Database::create(file.path()).unwrap();
    let txn = foreign.begin_write().unwrap();
    txn.open_table(TableDefinition::<u64, u64>::new("other"))
        .unwrap();
    txn.commit().unwrap();
    drop(foreign);
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(file.path(), private).unwrap();
    let refused = open(&file.config);
    assert!(
        matches!(refused, Err(OpenError::NotALedger { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_ledger_that_others_can_read_is_refused() {
    let file = File::new();
    drop(file.open());
    let public = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(file.path(), public).unwrap();
    let refused = open(&file.config);
    assert!(matches!(
        refused,
        Err(OpenError::Permissions { mode: 0o640, .. })
    ));
}

#[tokio::test]
async fn the_time_that_a_run_had_reached_is_known_in_the_next() {
    let file = File::new();
    let ledger = file.open();
    assert_eq!(ledger.newest_time(), Ok(None));
    for at in [7, 9, 8] {
        let event = Event {
            at: Time(at),
            ..event("note")
        };
        ledger.note(event).unwrap();
    }
    drop(ledger);
    assert_eq!(file.open().newest_time(), Ok(Some(Time(9))));
}

#[test]
fn a_limit_of_zero_is_refused() {
    let file = File::new();
    for broken in [
        LedgerConfig {
            queue_len_max: 0,
            ..file.config.clone()
        },
        LedgerConfig {
            batch_max: 0,
            ..file.config.clone()
        },
        LedgerConfig {
            pending_notes_max: 0,
            ..file.config.clone()
        },
        LedgerConfig {
            max_bytes: 0,
            ..file.config.clone()
        },
    ] {
        assert!(matches!(open(&broken), Err(OpenError::Config { .. })));
        assert!(!file.path().exists());
    }
}

#[tokio::test]
async fn notes_are_bounded_and_durable_without_a_commit_to_ride_with() {
    let file = File::new();
    let config = LedgerConfig {
        pending_notes_max: 3,
        note_flush_interval: Duration::from_secs(3600),
        ..file.config.clone()
    };
    let ledger = open(&config).unwrap();
    let one_more = || ledger.note(event("note"));
    for number in 1..=3 {
        assert_eq!(one_more().unwrap().0, number);
    }
    assert_eq!(one_more(), Err(LedgerError::Busy));
    ledger.flush().await.unwrap();
    assert_eq!(one_more().unwrap().0, 4);
    drop(ledger);
    assert_eq!(verify_chain(&file.path()).unwrap().records, 4);

    // The interval alone makes a note durable.
    let ledger = file.open();
    ledger.note(event("note")).unwrap();
    until("the note is flushed", || async {
        ledger.verify().unwrap().records == 5
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_is_busy() {
    let file = File::new();
    let config = LedgerConfig {
        queue_len_max: 2,
        batch_max: 1,
        ..file.config.clone()
    };
    let ledger = open(&config).unwrap();
    create(&ledger, 1).await;
    // Holds the writer inside a decision until the queue is full.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (inside, entered) = tokio::sync::oneshot::channel();
    let mut inside = Some(inside);
    let holding = Work {
        again: Box::new(move |_| {
            inside.take().unwrap().send(()).unwrap();
            held.recv().unwrap();
            Ok(Prepared {
                writes: Writes::default(),
                event: event("held"),
            })
        }),
        ..work(of_task(1), Lineage::default(), Writes::default())
    };
    let holding = ledger.apply(holding);
    entered.await.unwrap();
    let waiting = [
        ledger.forget_terms(Time::default(), 1),
        ledger.forget_terms(Time::default(), 1),
    ];
    let refused = ledger.forget_terms(Time::default(), 1).await;
    assert_eq!(refused, Err(LedgerError::Busy));
    release.send(()).unwrap();
    holding.await.unwrap();
    for waited in waiting {
        assert_eq!(waited.await, Ok(0));
    }
    assert_eq!(ledger.load(of_task(1)).await.unwrap().id, Some(id(1)));
}
