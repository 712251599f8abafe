//! Making tasks, each rule beside its positive control.

use crate::fixture::{PRINCIPAL, World, call, grant, id, owner_claims, present, role, task};
use handfast::domain::claims::Operation;
use handfast::domain::decide::create::{self, Basis, Register};
use handfast::domain::denial::Reason;
use handfast::domain::grant::{Grant, Permission};
use handfast::domain::id::{Digest, Epoch, Fence, Jti, TaskId};
use handfast::domain::lineage::{CreateTerms, Lineage};
use handfast::domain::task::TaskState;
use handfast::domain::time::Time;
use std::time::Duration;

fn terms() -> CreateTerms {
    CreateTerms {
        task: TaskId([5; 16]),
        owner: role("assistant", 10),
        spender: None,
        server: id("reports"),
        call: task().call,
        asked: grant(),
        performers: vec![role("worker", 30)],
        lifetime: Duration::from_secs(60),
        jti: Jti([7; 16]),
        certificate: Digest([8; 32]),
        issued_at: crate::fixture::START,
        expires_at: Time(crate::fixture::START.0 + 30_000),
        epoch: Epoch(1),
        request: Digest([2; 32]),
        used_at: None,
    }
}

fn registration(world: &World) -> Register {
    Register {
        server: role("reports", 20),
        basis: Basis::Token(Box::new(present(owner_claims(
            world,
            Operation::Create,
            Fence(1),
        )))),
        principal: Some(PRINCIPAL),
        call: task().call,
        keep: None,
        own: Grant::default(),
        performers: Vec::new(),
        lifetime: Duration::from_secs(3600),
        name: Digest([3; 32]),
    }
}

#[test]
fn a60_owner_call_and_grant_come_from_the_create_token() {
    let world = World::new();
    let lineage = Lineage {
        id: Some(TaskId([5; 16])),
        terms: Some(terms()),
        ..Lineage::default()
    };
    let ask = registration(&world);
    let made = create::register(&lineage, &ask, &[], &world.now()).unwrap();
    let row = made.writes.task.unwrap();
    assert_eq!(row.owner.workload, Some(role("assistant", 10)));
    assert_eq!(
        (row.call, row.asked, row.own),
        (task().call, grant(), Grant::default())
    );
    assert_eq!(made.writes.terms.unwrap().used_at, Some(world.time));

    let wider = Permission {
        tool: "delete".to_owned(),
        ..grant().permissions[0].clone()
    };
    let ask = Register {
        keep: Some(vec![wider]),
        ..registration(&world)
    };
    assert_eq!(
        create::register(&lineage, &ask, &[], &world.now()),
        Err(Reason::Grant)
    );
    let ask = Register {
        call: call(2),
        ..registration(&world)
    };
    assert_eq!(
        create::register(&lineage, &ask, &[], &world.now()),
        Err(Reason::CallDiffers)
    );
    let ask = Register {
        performers: vec![role("thief", 1)],
        ..registration(&world)
    };
    assert_eq!(
        create::register(&lineage, &ask, &[], &world.now()),
        Err(Reason::Grant)
    );
}

#[test]
fn one_owners_tasks_have_a_limit() {
    let world = World::new();
    let limit = world.limits.tasks_per_owner;
    let with = |owner_tasks| Lineage {
        id: Some(TaskId([5; 16])),
        terms: Some(terms()),
        owner_tasks,
        ..Lineage::default()
    };
    let register = |lineage: &Lineage| {
        let ask = registration(&world);
        create::register(lineage, &ask, &[], &world.now()).map(|made| made.effect.repeat)
    };
    assert_eq!(register(&with(limit - 1)), Ok(false));
    assert_eq!(
        register(&with(limit)),
        Err(Reason::Limit("limits.tasks_per_owner"))
    );
    // What is there already stays reachable.
    let used = Lineage {
        terms: Some(CreateTerms {
            used_at: Some(world.time),
            ..terms()
        }),
        task: Some(task()),
        ..with(limit)
    };
    let ask = Register {
        name: task().name,
        ..registration(&world)
    };
    let repeat = create::register(&used, &ask, &[], &world.now()).unwrap();
    assert!(repeat.effect.repeat);
}

#[test]
fn a61_a_name_belongs_to_one_task_and_a_repeat_returns_it() {
    let world = World::new();
    let squatted = Lineage {
        id: Some(TaskId([5; 16])),
        terms: Some(terms()),
        named: Some(TaskId([6; 16])),
        ..Lineage::default()
    };
    let ask = registration(&world);
    assert_eq!(
        create::register(&squatted, &ask, &[], &world.now()),
        Err(Reason::Handle)
    );
    let mut unclaimed = task();
    unclaimed.claimed_at = None;
    let used = Lineage {
        id: Some(TaskId([5; 16])),
        terms: Some(CreateTerms {
            used_at: Some(world.time),
            ..terms()
        }),
        task: Some(unclaimed),
        ..Lineage::default()
    };
    let same = create::register(&used, &ask, &[], &world.now()).unwrap();
    assert!(same.effect.repeat && same.writes.is_empty());
    let renamed = Register {
        name: Digest([4; 32]),
        ..registration(&world)
    };
    let moved = create::register(&used, &renamed, &[], &world.now()).unwrap();
    assert_eq!(moved.writes.bind, Some(Digest([4; 32])));
    let mut over = used.clone();
    over.task.as_mut().unwrap().state = TaskState::Cancelled;
    assert_eq!(
        create::register(&over, &renamed, &[], &world.now()),
        Err(Reason::Handle)
    );
    let claimed = Lineage {
        task: Some(task()),
        ..used
    };
    assert_eq!(
        create::register(&claimed, &renamed, &[], &world.now()),
        Err(Reason::Handle)
    );
}
