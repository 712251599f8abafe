//! A ledger that has its size refuses new work and still records what ends tasks or takes authority back.

use crate::support::{
    File, commit, create, creation, digest, event, id, of_task, record, role, spiffe, task, work,
};
use handfast::domain::barred::Barred;
use handfast::domain::child::ChildGrant;
use handfast::domain::delegation::{Act, Delegation};
use handfast::domain::evidence::ProcessKey;
use handfast::domain::grant::{ArgumentConstraint, Authority, Grant, Permission};
use handfast::domain::id::{DelegationNumber, Epoch, Fence, LegNumber, StepNumber};
use handfast::domain::lineage::Writes;
use handfast::domain::order::{Order, Word};
use handfast::domain::step::{Purpose, TokenRecord};
use handfast::domain::task::{Leg, Task, TaskState};
use handfast::domain::time::Time;
use handfast::ledger::{LedgerConfig, RedbLedger, verify_chain};
use handfast::service::ports::{Ledger, LedgerError};

const MAX: u64 = 2 * 1024 * 1024;
pub(crate) const RESERVE: u64 = 1024 * 1024;

pub(crate) fn small() -> (File, RedbLedger) {
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
pub(crate) fn big(number: u64) -> Task {
    let mut task = task(number);
    task.call.tool = "x".repeat(3000);
    task
}

/// Makes tasks until the ledger refuses; says how many there are.
pub(crate) async fn fill(ledger: &RedbLedger, first: u64) -> u64 {
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

pub(crate) fn cancelled(number: u64) -> Writes {
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

/// Notes until there is room for none.
pub(crate) async fn take_half_of_the_reserve(ledger: &RedbLedger) {
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
}

#[tokio::test]
async fn notes_stop_before_the_reserve_is_gone() {
    let (_file, ledger) = small();
    let last = fill(&ledger, 1).await;
    take_half_of_the_reserve(&ledger).await;
    let size = ledger.size().unwrap();
    assert!(size.disk_bytes < MAX + RESERVE, "{size:?}");
    commit(&ledger, of_task(last), cancelled(last)).await;
    assert_eq!(ledger.load(of_task(1)).await.unwrap().task, Some(big(1)));
}

/// A task with a leg, and with one act on it handed over.
fn lent(number: u64) -> Task {
    let delegation = Delegation {
        number: DelegationNumber(1),
        to: role("deputy"),
        principal: None,
        acts: [Act::Query].into(),
        permissions: None,
        not_after: Time(1_000),
        from: None,
        made_at: Time(2),
        ended_at: None,
        request: digest(7, number),
        asked: digest(8, number),
    };
    let leg = Leg {
        number: LegNumber(1),
        performer: spiffe("worker"),
        delegation: None,
        holder: process(1),
        uid: Some(1000),
        certificate: digest(5, number),
        certificate_ends: Time(900),
        fence: Fence(2),
        epoch: Epoch(1),
        started_at: Time(3),
    };
    Task {
        delegations: vec![delegation],
        leg: Some(leg),
        ..big(number)
    }
}

fn process(pid: i32) -> ProcessKey {
    ProcessKey {
        boot_id: [1; 16],
        pidfd_inode: 1,
        pid,
        start_ticks: 1,
    }
}

fn revoked(mut task: Task) -> Task {
    task.delegations[0].ended_at = Some(Time(9));
    task
}

fn taken_over(mut task: Task) -> Task {
    let leg = task.leg.take().unwrap();
    task.takeovers.0.push(Barred {
        process: leg.holder,
        leg: leg.number,
        request: digest(9, 0),
        and_older: false,
    });
    task
}

#[tokio::test]
async fn a_full_ledger_still_takes_the_tokens_of_orders_that_take_back() {
    let (_file, ledger) = small();
    let made = Writes {
        task: Some(lent(1)),
        ..creation(1)
    };
    commit(&ledger, of_task(1), made).await;
    fill(&ledger, 2).await;
    let token = |fence, purpose| TokenRecord {
        purpose,
        ..record(1, fence)
    };
    let order = |order| Purpose::Order(Box::new(order));
    let only = |record| Writes {
        records: vec![record],
        ..Writes::default()
    };
    // What they write when they are used.
    let used = |mut record: TokenRecord, task| {
        record.used_at = Some(Time(9));
        Writes {
            task: Some(task),
            ..only(record)
        }
    };
    let taking_back = || order(Order::RevokeDelegation(DelegationNumber(1)));
    let taking_over = || order(Order::Takeover(digest(9, 0), LegNumber(1)));
    let giving = || order(Order::Delegate(Box::new(lent(1).delegations.remove(0))));
    let resolving = order(Order::Resolve(StepNumber(1), Fence(2), Word::Done));
    let expected = ledger.load(of_task(1)).await.unwrap();
    // Also not where a leg ends beside it.
    let yielded = Task {
        leg: None,
        ..lent(1)
    };
    let others = vec![
        only(token(3, giving())),
        only(token(3, resolving)),
        only(token(3, Purpose::Update)),
        used(token(3, giving()), yielded.clone()),
        used(token(3, Purpose::Update), yielded),
    ];
    for (at, more) in others.into_iter().enumerate() {
        let refused = ledger.apply(work(of_task(1), expected.clone(), more)).await;
        assert!(matches!(refused, Err(LedgerError::Full)), "{at}");
    }
    // An owner that acts for a user takes back, and takes over, by a token; then the token is used.
    commit(&ledger, of_task(1), only(token(3, taking_back()))).await;
    commit(&ledger, of_task(1), only(token(4, taking_over()))).await;
    let over = taken_over(lent(1));
    let burning = used(token(4, taking_over()), over.clone());
    commit(&ledger, of_task(1), burning).await;
    let both = revoked(over);
    let burning = used(token(3, taking_back()), both.clone());
    commit(&ledger, of_task(1), burning).await;
    let read = ledger.load(of_task(1)).await.unwrap();
    assert_eq!(read.task, Some(both));
}

#[tokio::test]
async fn a_full_ledger_still_records_that_authority_is_taken_back_and_gives_none() {
    let (_file, ledger) = small();
    let made = |number| Writes {
        task: Some(lent(number)),
        ..creation(number)
    };
    for number in 1..=3 {
        commit(&ledger, of_task(number), made(number)).await;
    }
    fill(&ledger, 4).await;
    let with = |change: fn(&mut Task)| {
        let mut task = lent(1);
        change(&mut task);
        task
    };
    // Each takes something back and gives something beside it, or gives only.
    let wider = [
        with(|task| task.deadline = Time(2_000_000)),
        with(|task| task.delegations[0].not_after = Time(2_000)),
        with(|task| task.delegations.push(task.delegations[0].clone())),
        with(|task| task.leg.as_mut().unwrap().holder = process(2)),
        with(|task| {
            *task = revoked(task.clone());
            task.delegations.push(lent(1).delegations.remove(0));
        }),
        with(|task| {
            *task = revoked(task.clone());
            task.claimed_at = Some(Time(9));
        }),
        with(|task| {
            *task = taken_over(task.clone());
            task.deadline = Time(2_000_000);
        }),
        with(|task| {
            *task = taken_over(task.clone());
            task.leg = lent(1).leg;
        }),
    ];
    let only = |task: Task| Writes {
        task: Some(task),
        ..Writes::default()
    };
    let expected = ledger.load(of_task(1)).await.unwrap();
    for (at, task) in wider.into_iter().enumerate() {
        let refused = work(of_task(1), expected.clone(), only(task));
        let refused = ledger.apply(refused).await;
        assert!(matches!(refused, Err(LedgerError::Full)), "{at}");
    }
    // With a token beside it, it is more than that.
    let token = Writes {
        records: vec![record(1, 3)],
        ..only(revoked(lent(1)))
    };
    let refused = ledger.apply(work(of_task(1), expected, token)).await;
    assert!(matches!(refused, Err(LedgerError::Full)));

    let yielded = Task {
        leg: None,
        ..lent(3)
    };
    for narrower in [revoked(lent(1)), taken_over(lent(2)), yielded] {
        let number = of_number(&narrower);
        commit(&ledger, of_task(number), only(narrower.clone())).await;
        let read = ledger.load(of_task(number)).await.unwrap();
        assert_eq!(read.task, Some(narrower));
    }
    // What was taken back does not come back.
    let expected = ledger.load(of_task(1)).await.unwrap();
    let again = ledger
        .apply(work(of_task(1), expected, only(lent(1))))
        .await;
    assert!(matches!(again, Err(LedgerError::Full)));
}

/// A child grant of the first task, unspent.
fn child(number: u64) -> ChildGrant {
    let call = Permission {
        audience: spiffe("server"),
        tool: "part".to_owned(),
        arguments: ArgumentConstraint::Any,
    };
    ChildGrant {
        id: id(number),
        parent: id(1),
        txn: id(1),
        authority: Authority::Asked,
        subject: spiffe("owner"),
        spender: role("worker"),
        call,
        asked: Grant::default(),
        maker: spiffe("worker"),
        leg: LegNumber(1),
        fence: Fence(2),
        made_at: Time(3),
        spent_at: None,
        revoked_at: None,
    }
}

#[tokio::test]
async fn a_full_ledger_still_records_that_an_unspent_child_is_revoked() {
    let (_file, ledger) = small();
    let only = |children| Writes {
        children,
        ..Writes::default()
    };
    create(&ledger, 1).await;
    commit(&ledger, of_task(1), only(vec![child(2), child(3)])).await;
    fill(&ledger, 4).await;
    let revoked = ChildGrant {
        revoked_at: Some(Time(9)),
        ..child(2)
    };
    let spent = ChildGrant {
        spent_at: Some(Time(9)),
        ..child(3)
    };
    commit(&ledger, of_task(2), only(vec![revoked.clone()])).await;
    let read = ledger.load(of_task(2)).await.unwrap();
    assert_eq!(read.child, Some(revoked));
    // Making a task of one is no end of anything.
    let expected = ledger.load(of_task(3)).await.unwrap();
    let refused = work(of_task(3), expected, only(vec![spent]));
    let refused = ledger.apply(refused).await;
    assert!(matches!(refused, Err(LedgerError::Full)));
}

fn of_number(task: &Task) -> u64 {
    (1..=3).find(|number| id(*number) == task.id).unwrap()
}
