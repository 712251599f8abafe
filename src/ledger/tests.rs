//! Faults that only the inside can make: a disk that fails at its n-th write, and one that is full.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "small numbers of a test; an overflow fails it"
)]

use super::open::initialise;
use super::space::Space;
use super::{LedgerConfig, OnFailure, RedbLedger};
use crate::domain::barred::Takeovers;
use crate::domain::event::{CallerFacts, Event, Verdict};
use crate::domain::evidence::Required;
use crate::domain::grant::{Grant, ToolCall};
use crate::domain::id::{Digest, Fence, LegNumber, RecordNumber, SpiffeId, StepNumber, TaskId};
use crate::domain::lineage::{Lineage, Load, Locator, Writes};
use crate::domain::policy::PolicyGeneration;
use crate::domain::role::{Owner, Role};
use crate::domain::task::{Task, TaskState};
use crate::domain::time::Time;
use crate::service::ports::ledger::{Applied, Prepared, Work};
use crate::service::ports::{Ledger, LedgerError};
use redb::{Database, StorageBackend};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A disk in memory that can be told to fail.
#[derive(Clone, Debug, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct Faults {
    /// How many more writes, syncs and changes of length succeed.
    left: AtomicU64,
    /// Finds no space while this file is not empty.
    full: Mutex<Option<PathBuf>>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            left: AtomicU64::new(u64::MAX),
            full: Mutex::new(None),
        }
    }
}

impl Disk {
    fn made() -> Self {
        let disk = Self::default();
        let database = Database::builder()
            .create_with_backend(disk.clone())
            .unwrap();
        initialise(&database).unwrap();
        drop(database);
        disk
    }

    /// The same content on a disk of its own.
    fn copy(&self) -> Self {
        Self {
            bytes: Arc::new(Mutex::new(self.bytes.lock().unwrap().clone())),
            faults: Arc::default(),
        }
    }

    fn fault(&self) -> io::Result<()> {
        let left = &self.faults.left;
        let before = left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                Some(left.saturating_sub(1))
            })
            .unwrap();
        if before == 0 {
            return Err(io::Error::from_raw_os_error(5));
        }
        let full = self.faults.full.lock().unwrap();
        if full
            .as_ref()
            .is_some_and(|reserve| std::fs::metadata(reserve).unwrap().len() > 0)
        {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.bytes.lock().unwrap().len()).unwrap())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.bytes.lock().unwrap()[from..from + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fault()?;
        let len = usize::try_from(len).unwrap();
        self.bytes.lock().unwrap().resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fault()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let fault = self.fault();
        // What fails is torn: its first half is there.
        let length = if fault.is_ok() {
            data.len()
        } else {
            data.len() / 2
        };
        let from = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[from..from + length].copy_from_slice(&data[..length]);
        fault
    }
}

struct Rig {
    _folder: tempfile::TempDir,
    config: LedgerConfig,
}

impl Rig {
    fn new(reserve_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = LedgerConfig {
            reserve_bytes,
            ..LedgerConfig::at(folder.path().join("ledger"))
        };
        Self {
            _folder: folder,
            config,
        }
    }

    fn space(&self) -> Space {
        let config = &self.config;
        Space::open(
            tempfile::tempfile().unwrap(),
            &config.reserve_path(),
            config.reserve_bytes,
            config.max_bytes,
        )
        .unwrap()
    }

    fn start(&self, disk: &Disk, on_failure: OnFailure) -> Option<RedbLedger> {
        RedbLedger::start_in(&self.config, disk.clone(), self.space(), on_failure)
            .ok()
            .map(|(ledger, _)| ledger)
    }
}

fn event() -> Event {
    Event {
        at: Time(1),
        operation: "test".to_owned(),
        verdict: Verdict::Allowed,
        task: None,
        caller: CallerFacts::default(),
        policy: PolicyGeneration::default(),
        policies: Vec::new(),
        facts: Vec::new(),
        count: 1,
    }
}

fn task(number: u8) -> Task {
    let id = SpiffeId::new("spiffe://example.test/server").unwrap();
    let server = Role {
        spiffe_id: id.clone(),
        required: Required::default(),
    };
    Task {
        id: TaskId([number; 16]),
        txn: TaskId([number; 16]),
        parent: None,
        spawned_by: None,
        subject: None,
        created_at: Time(1),
        owner: Owner {
            workload: None,
            principal: Some(Digest([1; 32])),
        },
        server,
        performers: Vec::new(),
        delegations: Vec::new(),
        takeovers: Takeovers::default(),
        call: ToolCall {
            audience: id,
            tool: "build".to_owned(),
            arguments: Digest([2; 32]),
            definition: None,
        },
        asked: Grant::default(),
        own: Grant::default(),
        state: TaskState::Working,
        inputs: Vec::new(),
        deadline: Time(9),
        claim_by: Time(9),
        claimed_at: None,
        owner_seen_at: Time(0),
        ended_at: None,
        name: Digest([number; 32]),
        fence: Fence(1),
        legs: LegNumber(0),
        leg: None,
        last_step: StepNumber(0),
        pending: None,
        open_steps: Vec::new(),
        skipped_steps: Vec::new(),
        spawned: 0,
        owner_tokens: 0,
        owner_tokens_from: Time(0),
    }
}

async fn apply(ledger: &RedbLedger, writes: Writes) -> Result<Applied, LedgerError> {
    let id = writes.task.as_ref().unwrap().id;
    let load = Load::of(Locator::Task(id));
    let work = Work {
        load,
        expected: ledger.load(load).await?,
        prepared: Prepared {
            writes,
            event: event(),
        },
        current: Box::new(|| true),
        again: Box::new(|_| panic!("nobody else writes")),
    };
    ledger.apply(work).await
}

async fn create(ledger: &RedbLedger, number: u8) -> Result<Applied, LedgerError> {
    let task = task(number);
    let writes = Writes {
        bind: Some(task.name),
        task: Some(task),
        ..Writes::default()
    };
    apply(ledger, writes).await
}

async fn cancel(ledger: &RedbLedger, number: u8) -> Result<Applied, LedgerError> {
    let writes = Writes {
        task: Some(Task {
            state: TaskState::Cancelled,
            ..task(number)
        }),
        ..Writes::default()
    };
    apply(ledger, writes).await
}

/// Runs a script on a disk whose n-th operation fails; `false` once n is beyond the script.
async fn survives(rig: &Rig, made: &Disk, n: u64) -> bool {
    let disk = made.copy();
    disk.faults.left.store(n, Ordering::SeqCst);
    let (told, hears) = std::sync::mpsc::channel();
    let on_failure = Box::new(move |why| told.send(why).unwrap());
    let mut acknowledged = Vec::new();
    let mut failed = None;
    let ledger = rig.start(&disk, on_failure);
    if let Some(ledger) = &ledger {
        for number in 1..=4 {
            match create(ledger, number).await {
                Ok(_) => acknowledged.push(number),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
    }
    if let (Some(ledger), Some(failed)) = (&ledger, &failed) {
        assert!(matches!(failed, LedgerError::Failed(_)), "{failed:?}");
        // Nothing is answered any more, and the application was told once.
        assert!(matches!(
            create(ledger, 9).await,
            Err(LedgerError::Failed(_))
        ));
        assert!(matches!(ledger.note(event()), Err(LedgerError::Failed(_))));
        let read = ledger.events(RecordNumber(1), 9).await;
        assert!(matches!(read, Err(LedgerError::Failed(_))));
        hears.recv().unwrap();
        assert!(hears.try_recv().is_err());
    }
    let began = ledger.is_some();
    drop(ledger);

    disk.faults.left.store(u64::MAX, Ordering::SeqCst);
    let ledger = rig.start(&disk, Box::new(|why| panic!("{why}"))).unwrap();
    let found = ledger.tasks(None, 10).await.unwrap().tasks;
    for number in &acknowledged {
        assert!(
            found.contains(&task(*number)),
            "fault {n} lost task {number}"
        );
    }
    // The outcome of the failed commit is unknown: there whole, or not at all.
    assert!(found.len() <= acknowledged.len() + 1);
    for task in &found {
        let named = ledger.load(Load::of(Locator::Name(task.name))).await;
        assert_eq!(named.unwrap().id, Some(task.id));
    }
    let records = ledger.verify().unwrap().records;
    assert_eq!(records, u64::try_from(found.len()).unwrap());
    !began || failed.is_some()
}

#[tokio::test]
async fn a_failed_or_torn_write_anywhere_loses_nothing_acknowledged() {
    let rig = Rig::new(0);
    let made = Disk::made();
    let mut faults = 0;
    while survives(&rig, &made, faults).await {
        faults += 1;
        assert!(faults < 10_000);
    }
    assert!(faults > 20, "the script has only {faults} operations");
}

#[tokio::test]
async fn a_full_disk_spends_the_reserve_on_what_ends_tasks() {
    const RESERVE: u64 = 64 * 1024;
    let rig = Rig::new(RESERVE);
    let disk = Disk::made();
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let measured = Arc::clone(&free);
    let space = rig
        .space()
        .with_disk_free(move || Ok(measured.load(Ordering::SeqCst)));
    let on_failure = Box::new(|why| panic!("{why}"));
    let (ledger, _) = RedbLedger::start_in(&rig.config, disk.clone(), space, on_failure).unwrap();
    let reserve = || std::fs::metadata(rig.config.reserve_path()).unwrap().len();
    assert_eq!(reserve(), RESERVE);
    create(&ledger, 1).await.unwrap();

    // The commit that meets the full disk is still made; it costs the reserve.
    *disk.faults.full.lock().unwrap() = Some(rig.config.reserve_path());
    free.store(RESERVE - 1, Ordering::SeqCst);
    create(&ledger, 2).await.unwrap();
    assert_eq!(reserve(), 0);
    assert!(matches!(create(&ledger, 3).await, Err(LedgerError::Full)));
    cancel(&ledger, 1).await.unwrap();
    ledger.note(event()).unwrap();

    free.store(RESERVE / 2 - 1, Ordering::SeqCst);
    assert!(matches!(create(&ledger, 3).await, Err(LedgerError::Full)));
    assert_eq!(ledger.note(event()), Err(LedgerError::Full));
    cancel(&ledger, 2).await.unwrap();
    assert_eq!(ledger.tasks(None, 9).await.unwrap().tasks.len(), 2);

    // Space again: the reserve first, then everything.
    *disk.faults.full.lock().unwrap() = None;
    free.store(RESERVE * 2, Ordering::SeqCst);
    create(&ledger, 3).await.unwrap();
    assert_eq!(reserve(), RESERVE);
    ledger.note(event()).unwrap();
}

#[tokio::test]
async fn a_decision_that_panics_stops_the_ledger() {
    let rig = Rig::new(0);
    let disk = Disk::made();
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    let on_failure = Box::new(move |_| tell.store(true, Ordering::SeqCst));
    let ledger = rig.start(&disk, on_failure).unwrap();
    create(&ledger, 1).await.unwrap();
    let work = Work {
        load: Load::of(Locator::Task(TaskId([1; 16]))),
        expected: Lineage::default(),
        prepared: Prepared {
            writes: Writes::default(),
            event: event(),
        },
        current: Box::new(|| true),
        again: Box::new(|_| panic!("a bug in a decision")),
    };
    let answer = ledger.apply(work).await;
    assert!(matches!(answer, Err(LedgerError::Failed(_))), "{answer:?}");
    assert!(matches!(
        create(&ledger, 2).await,
        Err(LedgerError::Failed(_))
    ));
    drop(ledger);
    assert!(told.load(Ordering::SeqCst));
}
