//! What is written for ends on a full ledger has an end, and one owner takes nobody else's part of it.

use crate::size::{RESERVE, big, cancelled, fill, small, take_half_of_the_reserve};
use crate::support::{commit, creation, of_task, record, role, work};
use handfast::domain::id::DelegationNumber;
use handfast::domain::lineage::Writes;
use handfast::domain::role::Owner;
use handfast::domain::step::{Purpose, TokenRecord};
use handfast::domain::task::Task;
use handfast::domain::time::Time;
use handfast::ledger::RedbLedger;
use handfast::service::ports::{Ledger as _, LedgerError};

/// What makes a cancel token of a task.
fn cancel_token(number: u64, task: Task, fence: u64) -> Writes {
    let token = TokenRecord {
        purpose: Purpose::Cancel,
        ..record(number, fence)
    };
    Writes {
        task: Some(task),
        records: vec![token],
        ..Writes::default()
    }
}

async fn applied(ledger: &RedbLedger, number: u64, writes: Writes) -> Result<(), LedgerError> {
    let load = of_task(number);
    let expected = ledger.load(load).await.unwrap();
    ledger.apply(work(load, expected, writes)).await.map(drop)
}

#[tokio::test]
async fn whatever_one_owner_asks_for_on_a_full_ledger_others_and_endings_have_room() {
    let (_file, ledger) = small();
    let others = || Task {
        owner: Owner {
            workload: Some(role("another")),
            principal: None,
        },
        ..big(1_000)
    };
    let made = Writes {
        task: Some(others()),
        ..creation(1_000)
    };
    commit(&ledger, of_task(1_000), made).await;
    fill(&ledger, 1).await;
    // The same owner, in as many tasks as it likes.
    let mut given = 0;
    let refused = loop {
        let number = given % 5 + 1;
        let fence = given + 2;
        match applied(&ledger, number, cancel_token(number, big(number), fence)).await {
            Ok(()) => given += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, LedgerError::Full), "{refused}");
    assert_eq!(given, RESERVE / (16 * 1024));
    applied(&ledger, 1_000, cancel_token(1_000, others(), 2))
        .await
        .unwrap();
    commit(&ledger, of_task(1), cancelled(1)).await;
    // A use ends something, and is no further token.
    let mut used = cancel_token(2, big(2), 3);
    used.records[0].used_at = Some(Time(9));
    applied(&ledger, 2, used).await.unwrap();
}

#[tokio::test]
async fn whatever_delegates_ask_for_on_a_full_ledger_their_owner_has_its_own_part() {
    let (_file, ledger) = small();
    fill(&ledger, 1).await;
    let token = |fence, delegation| {
        let mut token = cancel_token(1, big(1), fence);
        token.records[0].delegation = delegation;
        token
    };
    let mut fence = 2;
    let refused = loop {
        let by_delegate = token(fence, Some(DelegationNumber(1)));
        match applied(&ledger, 1, by_delegate).await {
            Ok(()) => fence += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, LedgerError::Full), "{refused}");
    applied(&ledger, 1, token(fence, None)).await.unwrap();
}

#[tokio::test]
async fn tokens_stop_at_the_last_half_of_the_reserve_and_endings_do_not() {
    let (_file, ledger) = small();
    let last = fill(&ledger, 1).await;
    applied(&ledger, 1, cancel_token(1, big(1), 2))
        .await
        .unwrap();
    take_half_of_the_reserve(&ledger).await;
    let refused = applied(&ledger, 2, cancel_token(2, big(2), 2)).await;
    assert!(matches!(refused, Err(LedgerError::Full)), "{refused:?}");
    for number in 1..=last {
        commit(&ledger, of_task(number), cancelled(number)).await;
    }
}
