//! Requests for approval: rows, the list of open ones, and the count of one owner under concurrency.

use crate::support::{commit, create, digest, event, id, of_task, spiffe, task, work};
use handfast::domain::approval::{Account, Approval};
use handfast::domain::denial::Reason;
use handfast::domain::event::CallerFacts;
use handfast::domain::grant::Authority;
use handfast::domain::id::{ApprovalId, StepNumber};
use handfast::domain::input::Input;
use handfast::domain::lineage::{Lineage, Load, Writes};
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;
use handfast::service::ports::Ledger;
use handfast::service::ports::ledger::{Applied, Denied, Work};
use std::sync::{Arc, Mutex};

fn approval_id(number: u64) -> ApprovalId {
    ApprovalId {
        task: id(number),
        step: StepNumber(1),
        serial: [1; 12],
    }
}

fn approval(number: u64) -> Approval {
    Approval {
        id: approval_id(number),
        performer: spiffe("worker"),
        asked_by: CallerFacts::default(),
        call: task(number).call,
        authority: Authority::Asked,
        text: "{}".to_owned(),
        opened_at: Time(1),
        decide_by: Time(2),
        digest: digest(9, number),
        decision: None,
        used_by: None,
    }
}

fn waiting(number: u64) -> Task {
    let until = Time(1_000);
    Task {
        state: TaskState::InputRequired,
        inputs: vec![
            Input::Server("amount".to_owned()),
            Input::Approval {
                id: approval_id(number),
                until,
            },
        ],
        ..task(number)
    }
}

/// Everything that is read to ask a person.
fn load(number: u64) -> Load {
    Load {
        approval: Some(StepNumber(1)),
        account: true,
        ..of_task(number)
    }
}

fn asking(number: u64, open: Vec<ApprovalId>) -> Writes {
    Writes {
        task: Some(waiting(number)),
        approval: Some(approval(number)),
        account: Some(Account {
            open,
            ..Account::default()
        }),
        ..Writes::default()
    }
}

pub(crate) async fn a_request_and_its_owners_account_come_back(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    create(ledger, 2).await;
    let before = ledger.load(load(1)).await.unwrap();
    assert_eq!((before.approval, before.account), (None, None));
    commit(ledger, load(1), asking(1, vec![approval_id(1)])).await;
    let own = ledger.load(load(1)).await.unwrap();
    assert_eq!(own.approval, Some(approval(1)));
    assert_eq!(own.owing, [waiting(1)]);
    // Another task of the same owner has the account, and no request of its own.
    let other = ledger.load(load(2)).await.unwrap();
    assert_eq!(other.approval, None);
    assert_eq!(other.account, own.account);
    assert_eq!(other.owing, [waiting(1)]);
    // Read only where it is wanted.
    let plain = ledger.load(of_task(1)).await.unwrap();
    assert_eq!((plain.approval, plain.account), (None, None));
    assert_eq!(plain.owing, []);
    ledger.forget(id(1), event("forget")).await.unwrap();
    let gone = ledger.load(load(1)).await.unwrap();
    assert_eq!((gone.task, gone.approval), (None, None));
    assert_eq!(ledger.load(load(2)).await.unwrap().owing, []);
}

pub(crate) async fn the_list_of_open_requests_follows_what_tasks_wait_for(ledger: &dyn Ledger) {
    for number in 1..=3 {
        create(ledger, number).await;
        commit(ledger, load(number), asking(number, Vec::new())).await;
    }
    let list = async |after, limit| ledger.open_approvals(after, limit).await.unwrap();
    let all = [1, 2, 3].map(approval_id);
    assert_eq!(list(None, 9).await, all);
    assert_eq!(list(None, 2).await, all[..2]);
    assert_eq!(list(Some(all[0]), 9).await, all[1..]);
    // Decided, and ended: neither waits any more.
    for ended in [
        Task {
            inputs: vec![Input::Server("amount".to_owned())],
            ..waiting(1)
        },
        Task {
            inputs: Vec::new(),
            state: TaskState::Cancelled,
            ..waiting(2)
        },
    ] {
        let number = if ended.id == id(1) { 1 } else { 2 };
        let writes = Writes {
            task: Some(ended),
            ..Writes::default()
        };
        commit(ledger, of_task(number), writes).await;
    }
    assert_eq!(list(None, 9).await, all[2..]);
    ledger.forget(id(3), event("forget")).await.unwrap();
    assert_eq!(list(None, 9).await, []);
}

/// Two tasks of one owner ask at once: the second decides again and sees the first one's request.
pub(crate) async fn two_tasks_of_one_owner_do_not_both_take_the_last_place(ledger: &dyn Ledger) {
    create(ledger, 1).await;
    create(ledger, 2).await;
    let (first, second) = (
        ledger.load(load(1)).await.unwrap(),
        ledger.load(load(2)).await.unwrap(),
    );
    let taken = work(load(1), first, asking(1, vec![approval_id(1)]));
    ledger.apply(taken).await.unwrap();
    let seen: Arc<Mutex<Vec<Lineage>>> = Arc::default();
    let shown = Arc::clone(&seen);
    let late = Work {
        again: Box::new(move |rows| {
            shown.lock().unwrap().push(rows.clone());
            let reason = Reason::Limit("limits.approvals_per_owner");
            let event = event("refused");
            Err(Box::new(Denied { reason, event }))
        }),
        ..work(load(2), second, asking(2, vec![approval_id(2)]))
    };
    let applied = ledger.apply(late).await.unwrap();
    assert!(matches!(applied, Applied::Denied(_)), "{applied:?}");
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let account = seen[0].account.as_ref().unwrap();
    assert_eq!(account.open, [approval_id(1)]);
    assert_eq!(ledger.load(load(2)).await.unwrap().approval, None);
}
