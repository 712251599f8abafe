//! Killed at any moment, the ledger keeps what it acknowledged, whole, and an unbroken chain.

use crate::support::{File, creation, digest, event, of_task, task, work};
use handfast::domain::id::Epoch;
use handfast::domain::lineage::{Load, Locator};
use handfast::ledger::{LedgerConfig, RedbLedger, verify_chain};
use handfast::service::ports::Ledger;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// Tells the child its ledger and the number of its first task.
const CHILD_PATH: &str = "HANDFAST_TEST_LEDGER";
const CHILD_FIRST: &str = "HANDFAST_TEST_FIRST";

const ROUNDS: u64 = 20;
const CALLERS: u64 = 8;
/// Tasks of one round have numbers of their own.
const ROUND_SIZE: u64 = 1_000_000;

/// The child's part. In an ordinary run of the tests it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(path) = std::env::var(CHILD_PATH) else {
        return;
    };
    let first: u64 = std::env::var(CHILD_FIRST).unwrap().parse().unwrap();
    let config = LedgerConfig {
        reserve_bytes: 0,
        ..LedgerConfig::at(path)
    };
    let (ledger, opened) = RedbLedger::open(&config, Box::new(|why| panic!("{why}"))).unwrap();
    println!("\nepoch {}", opened.epoch.0);
    let ledger = Arc::new(ledger);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let ledger = Arc::clone(&ledger);
        callers.spawn(async move {
            for number in (first + caller..first + ROUND_SIZE).step_by(8) {
                let load = of_task(number);
                let expected = ledger.load(load).await.unwrap();
                ledger.note(event("note")).ok();
                let made = work(load, expected, creation(number));
                ledger.apply(made).await.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "ack {number}").unwrap();
            }
        });
    }
    callers.join_all().await;
}

pub(crate) fn spawn(path: &std::path::Path, first: u64, failpoints: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
        .env(CHILD_PATH, path)
        .env(CHILD_FIRST, first.to_string())
        .env("HANDFAST_FAILPOINTS", failpoints)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads what the child acknowledges until it is gone; kills it after `kill_after` of them.
pub(crate) fn acknowledged(mut child: Child, kill_after: usize) -> BTreeSet<u64> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = BTreeSet::new();
    for line in out.lines().map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("ack ") {
            acknowledged.insert(number.parse().unwrap());
        }
        if acknowledged.len() == kill_after {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    acknowledged
}

/// Checks that every acknowledged task is there, and that every task that is there is whole.
pub(crate) async fn check(file: &File, acknowledged: &BTreeSet<u64>, epoch: Epoch) {
    let stopped = verify_chain(&file.path()).unwrap();
    let (ledger, opened) = RedbLedger::open(&file.config, Box::new(|why| panic!("{why}"))).unwrap();
    assert_eq!(opened.epoch, epoch);
    assert_eq!(ledger.verify().unwrap(), stopped);
    let mut present = BTreeSet::new();
    let mut after = None;
    loop {
        let page = ledger.tasks(after, 1000).await.unwrap();
        for found in page.tasks {
            let number = u64::from_be_bytes(found.id.0[..8].try_into().unwrap());
            assert_eq!(found, task(number));
            for locator in [
                Locator::Name(found.name),
                Locator::Request(digest(6, number)),
            ] {
                let load = Load::of(locator);
                assert_eq!(ledger.load(load).await.unwrap().id, Some(found.id));
            }
            present.insert(number);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let lost: Vec<_> = acknowledged.difference(&present).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(stopped.records >= u64::try_from(present.len()).unwrap());
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill() {
    let file = File::new();
    let mut all = BTreeSet::new();
    for round in 0..ROUNDS {
        let child = spawn(&file.path(), round * ROUND_SIZE, "");
        // A different moment in each round.
        let kill_after = usize::try_from(1 + round * 13).unwrap();
        let acknowledged = acknowledged(child, kill_after);
        assert!(acknowledged.len() >= kill_after);
        all.extend(acknowledged);
        check(&file, &all, Epoch(2 * round + 2)).await;
    }
}
