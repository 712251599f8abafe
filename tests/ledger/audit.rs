//! Whoever changes, cuts or moves an audit record is found out, and the record is named.

use crate::support::{File, create, event};
use handfast::domain::id::RecordNumber;
use handfast::ledger::{AuditError, verify_chain};
use handfast::service::ports::Ledger;
use redb::{Database, ReadableTable, TableDefinition};
use std::os::unix::fs::FileExt;

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("handfast");
const RECORDS: u64 = 40;

fn key(number: u64) -> Vec<u8> {
    let mut key = vec![7];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

async fn written() -> File {
    let file = File::new();
    let ledger = file.open();
    for number in 1..=RECORDS / 2 {
        create(&ledger, number).await;
        ledger
            .note(event(&format!("note-{number}-of-many")))
            .unwrap();
    }
    drop(ledger);
    assert_eq!(verify_chain(&file.path()).unwrap().records, RECORDS);
    file
}

type Table<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

/// Changes the stopped ledger with the store's own tools; checksums are right afterwards.
fn tamper(file: &File, change: impl FnOnce(&mut Table<'_>)) {
    let database = Database::open(file.path()).unwrap();
    let mut txn = database.begin_write().unwrap();
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    change(&mut txn.open_table(TABLE).unwrap());
    txn.commit().unwrap();
}

fn row(table: &Table<'_>, number: u64) -> Vec<u8> {
    table
        .get(key(number).as_slice())
        .unwrap()
        .unwrap()
        .value()
        .to_vec()
}

#[track_caller]
fn broken_at(file: &File, number: u64) {
    match verify_chain(&file.path()) {
        Err(AuditError::Broken { number: found, .. }) => assert_eq!(found, RecordNumber(number)),
        other => panic!("record {number}: {other:?}"),
    }
}

#[tokio::test]
async fn a35_a_flipped_bit_names_its_record() {
    let file = written().await;
    for number in [1, 2, 17, RECORDS] {
        let mut length = 0;
        tamper(&file, |table| length = row(table, number).len());
        for at in (0..length).step_by(7).chain([length - 1]) {
            let flip = |table: &mut Table<'_>| {
                let mut bytes = row(table, number);
                bytes[at] ^= 0x10;
                table
                    .insert(key(number).as_slice(), bytes.as_slice())
                    .unwrap();
            };
            tamper(&file, flip);
            broken_at(&file, number);
            tamper(&file, flip);
        }
    }
    assert_eq!(verify_chain(&file.path()).unwrap().records, RECORDS);
}

#[tokio::test]
async fn a35_a_cut_record_is_missed() {
    for number in [1, 2, 17, RECORDS - 1, RECORDS] {
        let file = written().await;
        tamper(&file, |table| {
            table.remove(key(number).as_slice()).unwrap();
        });
        broken_at(&file, number);
    }
}

#[tokio::test]
async fn a35_a_cut_tail_is_missed() {
    let file = written().await;
    tamper(&file, |table| {
        for number in 30..=RECORDS {
            table.remove(key(number).as_slice()).unwrap();
        }
    });
    broken_at(&file, 30);
}

#[tokio::test]
async fn a35_swapped_records_are_found() {
    for (one, other) in [(1, 2), (16, 17), (3, RECORDS)] {
        let file = written().await;
        tamper(&file, |table| {
            let (first, second) = (row(table, one), row(table, other));
            table
                .insert(key(one).as_slice(), second.as_slice())
                .unwrap();
            table
                .insert(key(other).as_slice(), first.as_slice())
                .unwrap();
        });
        broken_at(&file, one);
    }
}

#[tokio::test]
async fn a35_an_added_record_is_found() {
    let file = written().await;
    tamper(&file, |table| {
        let copy = row(table, RECORDS);
        table
            .insert(key(RECORDS + 1).as_slice(), copy.as_slice())
            .unwrap();
    });
    broken_at(&file, RECORDS + 1);
}

#[tokio::test]
async fn a35_a_record_from_another_chain_is_found() {
    let file = written().await;
    let other = File::new();
    let ledger = other.open();
    for number in 1..=RECORDS {
        ledger.note(event(&format!("forged-{number}"))).unwrap();
    }
    drop(ledger);
    let mut forged = Vec::new();
    tamper(&other, |table| forged = row(table, 20));
    tamper(&file, |table| {
        table.insert(key(20).as_slice(), forged.as_slice()).unwrap();
    });
    broken_at(&file, 20);
}

/// The store's checksums are not asked when a file is read, so the chain itself must notice.
#[tokio::test]
async fn a35_a_bit_flipped_in_the_file_names_its_record() {
    let file = written().await;
    let bytes = std::fs::read(file.path()).unwrap();
    let needle = b"note-7-of-many";
    let at = bytes
        .windows(needle.len())
        .rposition(|window| window == needle)
        .unwrap();
    let raw = std::fs::OpenOptions::new()
        .write(true)
        .open(file.path())
        .unwrap();
    let mut flipped = 0;
    for (place, _) in bytes
        .windows(needle.len())
        .enumerate()
        .filter(|(_, window)| window == needle)
    {
        raw.write_all_at(&[bytes[place] ^ 1], u64::try_from(place).unwrap())
            .unwrap();
        flipped += 1;
    }
    assert!(flipped > 0 && at > 0);
    broken_at(&file, 14);
}

/// A file that is damaged at any place is verified, broken or unreadable, and nothing else happens.
#[tokio::test]
async fn damage_at_any_place_is_an_answer() {
    let file = written().await;
    let bytes = std::fs::read(file.path()).unwrap();
    let head = verify_chain(&file.path()).unwrap();
    let used = (0..bytes.len()).filter(|at| bytes[*at] != 0);
    for at in used.step_by(211) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        std::fs::write(file.path(), &damaged).unwrap();
        match verify_chain(&file.path()) {
            Ok(verified) => assert_eq!(verified, head),
            Err(AuditError::Broken { .. } | AuditError::Unreadable(_)) => {}
        }
        // Verifying changes nothing.
        assert!(std::fs::read(file.path()).unwrap() == damaged);
    }
}
