//! Fanning out as the rules decide it: rules N6, N7, N8 and N11.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails, which is what it is for"
)]

use crate::asking::Asking;
use crate::fixture::{World, call, evidence, id, permit, role, task, worker};
use crate::universe::count;
use handfast::domain::approval::{ApprovalState, Verdict};
use handfast::domain::arguments::Arguments;
use handfast::domain::arguments::Witnesses;
use handfast::domain::barred::{Barred, Takeovers};
use handfast::domain::claims::Subject;
use handfast::domain::decide::create::{self, AskCreate, Basis, CreateAsked, Register};
use handfast::domain::decide::spawn::{self, AskChild, AskSpawn, Children};
use handfast::domain::decide::{Presented, check};
use handfast::domain::denial::Reason;
use handfast::domain::evidence::Assurance;
use handfast::domain::grant::narrow::{Beyond, ChildTerms};
use handfast::domain::grant::{
    ArgumentConstraint, AudienceAssurance, Grant, Permission, SeenCall, ToolCall,
};
use handfast::domain::id::{Digest, Jti, LegNumber, SpiffeId, TaskId};
use handfast::domain::lineage::{Lineage, Transition};
use handfast::domain::role::{AsAudience, AsPerformer, AsSpender, Held, Role};
use handfast::domain::task::Task;
use proptest::prelude::*;
use std::time::Duration;

fn permission(audience: &str, tool: &str) -> Permission {
    Permission {
        audience: id(audience),
        tool: tool.to_owned(),
        arguments: ArgumentConstraint::Any,
    }
}

/// A task that may fan out, with a live leg of the worker.
pub(crate) fn parent(children: u32, depth: u32, uses: Option<u32>) -> World {
    let mut world = World::of(Task {
        asked: Grant {
            permissions: vec![
                permission("warehouse", "export"),
                permission("reports", "part"),
            ],
            children_left: children,
            depth_left: depth,
            uses_left: uses,
            ..Grant::default()
        },
        ..task()
    });
    world.start(&worker()).unwrap();
    world
}

pub(crate) fn terms(children: u32, depth: u32, uses: Option<u32>) -> ChildTerms {
    ChildTerms {
        call: permission("reports", "part"),
        permissions: vec![permission("warehouse", "export")],
        not_after: None,
        audience_assurance: AudienceAssurance::Svid,
        depth,
        children,
        uses,
        risk_ceiling: None,
        witnesses: Witnesses::default(),
    }
}

pub(crate) fn ask(request: u8, children: Vec<(ChildTerms, Option<Role>)>) -> AskSpawn {
    let child = |(number, (terms, spender)): (u8, _)| AskChild {
        id: TaskId([request.wrapping_mul(16).wrapping_add(number); 16]),
        terms,
        spender,
    };
    AskSpawn {
        leg: LegNumber(1),
        children: (100..).zip(children).map(child).collect(),
        request: Digest([request; 32]),
        asked: Digest([request; 32]),
    }
}

pub(crate) fn spawn(world: &World, ask: &AskSpawn) -> Result<Transition<Children>, Reason> {
    let held = Held::<AsPerformer>::check(world.task(), &worker()).unwrap();
    spawn::spawn(&world.lineage, &held, ask, &[], &world.now())
}

fn part() -> SeenCall {
    let call = ToolCall {
        audience: id("reports"),
        tool: "part".to_owned(),
        ..call(1)
    };
    SeenCall {
        arguments: Arguments::unseen(call.arguments),
        call,
    }
}

proptest! {
    /// Whatever is spawned and stepped in whatever order, at every instant what everybody has left and what
    /// was spent is no more than there was.
    #[test]
    fn n06_budgets_are_conserved_at_every_instant(
        (children, uses) in (count(), count()),
        acts in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>(), count(), count()), 0..24),
    ) {
        let root = Grant {
            permissions: terms(0, 0, None).permissions.into_iter().chain([permission("reports", "part")]).collect(),
            children_left: children,
            depth_left: 8,
            uses_left: Some(uses),
            ..Grant::default()
        };
        let mut tree = vec![root];
        let (mut made, mut spent) = (0_u64, 0_u64);
        for (who, spawns, some, more) in acts {
            let at = who.index(tree.len());
            if spawns {
                let below = tree[at].depth_left.saturating_sub(1);
                let mut asked = terms(some, below, Some(more));
                asked.permissions.push(asked.call.clone());
                let grant = tree[at].narrow(&asked, crate::universe::ENDS, &crate::universe::risks());
                if let Ok(child) = grant && tree[at].pay(&child).is_ok() {
                    made += 1;
                    tree.push(child);
                }
            } else if tree[at].spend_use().is_ok() {
                spent += 1;
            }
            let left = |of: fn(&Grant) -> u32| tree.iter().map(|it| u64::from(of(it))).sum::<u64>();
            prop_assert_eq!(left(|it| it.uses_left.unwrap()) + spent, u64::from(uses));
            prop_assert_eq!(left(|it| it.children_left) + made, u64::from(children));
        }
    }

    #[test]
    fn n06_all_children_of_a_request_are_paid_for_or_none_is_made(
        (children, uses) in (count(), count()),
        asked in proptest::collection::vec((count(), count()), 1..4),
    ) {
        let world = parent(children, 2, Some(uses));
        let needed: u64 = asked.iter().map(|(below, _)| u64::from(*below) + 1).sum();
        let steps: u64 = asked.iter().map(|(_, uses)| u64::from(*uses)).sum();
        let list = asked.iter().map(|(below, uses)| (terms(*below, 0, Some(*uses)), None));
        let spawned = spawn(&world, &ask(1, list.collect()));
        let fits = needed <= u64::from(children) && steps <= u64::from(uses);
        prop_assert_eq!(spawned.is_ok(), fits);
        if let Ok(Transition { writes, .. }) = spawned {
            let after = writes.task.unwrap().asked;
            prop_assert_eq!(u64::from(after.children_left), u64::from(children) - needed);
            prop_assert_eq!(u64::from(after.uses_left.unwrap()), u64::from(uses) - steps);
        }
    }
}

#[test]
fn n06_a_retry_begins_nothing_and_an_exhausted_grant_no_step() {
    let mut world = parent(0, 0, Some(1));
    world.token(1);
    assert_eq!(world.task().asked.uses_left, Some(0));
    // The same step again, its token lost: nothing more is spent.
    world.token(1);
    world.later(40_000);
    world.token(1);
    assert_eq!(world.task().asked.uses_left, Some(0));
    world.later(40_000);
    let next = world.issue(&worker(), (1, 2), (1, 2));
    assert_eq!(next, Err(Reason::Budget("uses")));
}

#[test]
fn n05_a_task_that_may_have_no_children_has_none() {
    let world = World::new();
    let mut started = world;
    started.start(&worker()).unwrap();
    let refused = spawn(&started, &ask(1, vec![(terms(0, 0, None), None)]));
    let beyond = Beyond::Call;
    assert_eq!(
        refused,
        Err(Reason::Narrowing {
            child: Some(0),
            beyond
        })
    );
    let flat = parent(5, 0, None);
    let refused = spawn(&flat, &ask(1, vec![(terms(0, 0, None), None)]));
    let beyond = Beyond::Depth;
    assert_eq!(
        refused,
        Err(Reason::Narrowing {
            child: Some(0),
            beyond
        })
    );
}

/// Spawns one child and asks for its create token: what its server then finds, and asks for.
fn asked_for(world: &mut World, request: u8) -> (Lineage, Register) {
    let spawned = spawn(world, &ask(request, vec![(terms(1, 1, Some(1)), None)])).unwrap();
    let child = spawned.writes.children[0].clone();
    world.apply(spawned);
    let lineage = Lineage {
        child: Some(child.clone()),
        ancestors: vec![world.task().clone()],
        ..Lineage::default()
    };
    let held = Held::<AsSpender>::check(&child, &worker()).unwrap();
    let asked = AskCreate {
        task: TaskId([0; 16]),
        owner: role("worker", 30),
        call: part(),
        asked: None,
        child: Some((child.id, held)),
        performers: Vec::new(),
        witnesses: Witnesses::default(),
        lifetime: Duration::MAX,
        jti: Jti([request; 16]),
        certificate: Digest([request; 32]),
        certificate_ends: world.time.after(Duration::from_secs(3600)),
        request: Digest([request; 32]),
    };
    let issued = create::issue(&lineage, &asked, &[], &world.now()).unwrap();
    let CreateAsked::Issue(claims) = issued.effect else {
        panic!("a token");
    };
    assert_eq!(claims.subject, Subject::Workload(id("assistant")));
    assert_eq!(
        (&claims.actor, claims.txn),
        (&id("worker"), world.task().txn)
    );
    let lineage = Lineage {
        id: Some(child.id),
        terms: issued.writes.terms,
        ..lineage
    };
    let register = Register {
        server: role("reports", 20),
        basis: Basis::Token(Box::new(crate::fixture::present(*claims))),
        principal: None,
        call: part().call,
        keep: None,
        own: Grant::default(),
        performers: vec![role("worker", 30)],
        lifetime: Duration::MAX,
        name: Digest([request; 32]),
    };
    (lineage, register)
}

/// Spawns one child, asks for its create token, registers it and takes it up.
fn child_of(world: &mut World, request: u8) -> World {
    let (lineage, register) = asked_for(world, request);
    let made = create::register(&lineage, &register, &[], &world.now()).unwrap();
    assert_eq!(made.writes.children[0].spent_at, Some(world.time));
    let task = made.writes.task.unwrap();
    let mut started = World::of(task);
    started.lineage.ancestors = vec![world.task().clone()];
    started.start(&worker()).unwrap();
    started
}

#[test]
fn whoever_lost_a_leg_of_the_line_makes_no_child_of_it_by_a_token_that_it_got_before() {
    let mut world = parent(5, 3, None);
    let (mut lineage, register) = asked_for(&mut world, 1);
    let mut lost = |process| {
        // Not the leg that made the child: its grant lives on.
        let barred = Barred {
            process,
            leg: LegNumber(2),
            request: Digest([9; 32]),
            and_older: false,
        };
        lineage.ancestors[0].takeovers = Takeovers(vec![barred]);
        create::register(&lineage, &register, &[], &world.now()).map(drop)
    };
    let process = |pid| evidence("worker", pid, 30).process.unwrap();
    assert_eq!(lost(process(139)), Ok(()));
    assert_eq!(lost(worker().process.unwrap()), Err(Reason::TakenOver));
}

/// A child with a token for its first step.
fn stepping(world: &mut World, request: u8) -> (Task, Presented) {
    let mut child = child_of(world, request);
    let token = child.token(1);
    (child.task().clone(), token)
}

#[test]
fn n08_txn_subject_and_trust_domain_never_change() {
    let mut world = parent(4, 2, Some(4));
    let root = world.task().id;
    let (child, token) = stepping(&mut world, 1);
    assert_eq!((child.txn, child.parent), (root, Some(root)));
    assert_eq!(token.claims.subject, Subject::Workload(id("assistant")));
    assert_eq!(token.claims.txn, root);
    // Its owner is who spent it, and lends nothing of its own.
    assert_eq!(child.owner.workload, Some(role("worker", 30)));
    assert!(child.own.permissions.is_empty());
    let foreign = Role {
        spiffe_id: SpiffeId::new("spiffe://other.example/worker").unwrap(),
        ..role("worker", 30)
    };
    let refused = spawn(&world, &ask(2, vec![(terms(0, 0, Some(0)), Some(foreign))]));
    let beyond = Beyond::Spender;
    assert_eq!(
        refused,
        Err(Reason::Narrowing {
            child: Some(0),
            beyond
        })
    );
}

#[test]
fn n07_a_child_inherits_no_consent() {
    let ask = r#"{"table":"sales"}"#;
    let mut parent = Asking::of(parent(4, 2, Some(4)));
    let given = parent.pending(1, ask);
    assert_eq!(
        parent.decide(Verdict::Approved),
        Ok(ApprovalState::Approved)
    );
    let mut child = Asking::of(child_of(&mut parent.world, 1));
    assert!(child.world.task().inputs.is_empty());
    // The same worker, the same call, the same step, and even with its parent's consent before it.
    child.approval.clone_from(&parent.approval);
    let own = child.pending(1, ask);
    assert_eq!((own.task, own.step), (child.world.task().id, given.step));
    assert_ne!(own.task, given.task);
    // Nor is the parent's consent used up by that: it is good for the parent's step, and for nothing else.
    parent.token(1, ask);
    // The child has its token once somebody has decided about it.
    assert_eq!(child.decide(Verdict::Approved), Ok(ApprovalState::Approved));
    child.token(1, ask);
}

#[test]
fn n11_a_siblings_token_verifies_for_no_other() {
    let mut world = parent(8, 2, Some(8));
    let family: Vec<(Task, Presented)> = (1..=4).map(|it| stepping(&mut world, it)).collect();
    for (row, (sibling, _)) in family.iter().enumerate() {
        for (column, (_, token)) in family.iter().enumerate() {
            let record = |task: &Task| {
                let step = task.pending.as_ref().unwrap();
                handfast::domain::step::TokenRecord {
                    task: task.id,
                    fence: step.fence,
                    jti: token.claims.jti,
                    purpose: handfast::domain::step::Purpose::Step(step.number),
                    delegation: None,
                    process: None,
                    audience: token.claims.audience.clone(),
                    certificate: token.certificate,
                    expires_at: step.expires_at,
                    used_at: None,
                }
            };
            let lineage = Lineage {
                id: Some(sibling.id),
                record: Some(record(sibling)),
                task: Some(sibling.clone()),
                ancestors: vec![world.task().clone()],
                ..Lineage::default()
            };
            let tool = crate::fixture::tool();
            let held = Held::<AsAudience>::check(&id("warehouse"), None, Assurance::Svid, &tool);
            let seen = call(1).into();
            let now = world.now();
            let answer = check::step(&lineage, &held.unwrap(), token, &seen, (&permit(), &now));
            assert_eq!(answer.is_ok(), row == column, "{row} {column} {answer:?}");
            assert_eq!(sibling.name == family[column].0.name, row == column);
        }
    }
}
