//! What commits ended is kept for whoever resumes, for a time.

use crate::support::{commit, create, id, of_task, record, spiffe};
use handfast::domain::id::RecordNumber;
use handfast::domain::lineage::Writes;
use handfast::domain::revocation::{Ended, Ending};
use handfast::domain::step::{Purpose, TokenRecord};
use handfast::domain::task::TaskState;
use handfast::domain::time::Time;
use handfast::service::ports::Ledger;

/// A commit that ended a task at this time.
async fn end(ledger: &dyn Ledger, task: u64, at: u64) {
    let ending = Ending {
        at: Time(at),
        ended: Ended::Task(id(task), TaskState::Cancelled),
    };
    let writes = Writes {
        records: vec![record(task, at)],
        ending: Some(ending),
        ..Writes::default()
    };
    commit(ledger, of_task(task), writes).await;
}

pub(crate) async fn old_endings_are_forgotten_and_it_is_known_up_to_where(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    for at in [100, 200, 300, 400] {
        end(ledger, 1, at).await;
    }
    let all = ledger.endings(RecordNumber(0), 9).await.unwrap();
    assert_eq!(all.len(), 4);
    let kept = ledger.kept_endings().await.unwrap();
    assert_eq!((kept.after, kept.newest), (RecordNumber(0), all[3].0));
    assert_eq!(ledger.forget_endings(Time(100), 9).await.unwrap(), 0);
    assert_eq!(ledger.kept_endings().await.unwrap(), kept);
    // At most so many at a time, and never one that is not old.
    assert_eq!(ledger.forget_endings(Time(301), 2).await.unwrap(), 2);
    assert_eq!(ledger.kept_endings().await.unwrap().after, all[1].0);
    assert_eq!(ledger.forget_endings(Time(301), 2).await.unwrap(), 1);
    assert_eq!(ledger.forget_endings(Time(301), 2).await.unwrap(), 0);
    let kept = ledger.kept_endings().await.unwrap();
    assert_eq!((kept.after, kept.newest), (all[2].0, all[3].0));
    let left = ledger.endings(RecordNumber(0), 9).await.unwrap();
    assert_eq!(left, all[3..]);
}

pub(crate) async fn the_audiences_of_steps_are_known_by_task(ledger: &dyn Ledger) {
    for task in [1, 2] {
        create(ledger, task).await;
    }
    let of_owner = TokenRecord {
        audience: spiffe("other"),
        purpose: Purpose::Cancel,
        ..record(1, 2)
    };
    for record in [record(1, 1), of_owner, record(1, 3)] {
        let writes = Writes {
            records: vec![record],
            ..Writes::default()
        };
        commit(ledger, of_task(1), writes).await;
    }
    assert!(ledger.is_audience(id(1), &spiffe("server")).await.unwrap());
    assert!(!ledger.is_audience(id(1), &spiffe("other")).await.unwrap());
    assert!(!ledger.is_audience(id(1), &spiffe("serve")).await.unwrap());
    assert!(!ledger.is_audience(id(2), &spiffe("server")).await.unwrap());
    ledger
        .forget(id(1), crate::support::event("forget"))
        .await
        .unwrap();
    assert!(!ledger.is_audience(id(1), &spiffe("server")).await.unwrap());
}
