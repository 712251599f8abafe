//! Every row comes back as it went in, and no bytes make decoding panic.

mod approvals;
mod delegations;
mod events;
mod grants;
mod orders;

use super::Row;
use crate::domain::barred::{Barred, Takeovers};
use crate::domain::child::{ChildGrant, Spawned};
use crate::domain::event::Event;
use crate::domain::evidence::{ProcessKey, Required};
use crate::domain::grant::{Grant, ToolCall};
use crate::domain::id::{
    ApprovalId, DelegationNumber, Digest, Epoch, Fence, Jti, LegNumber, SpiffeId, StepNumber,
    TaskId,
};
use crate::domain::input::Input;
use crate::domain::lineage::CreateTerms;
use crate::domain::role::{Owner, Role};
use crate::domain::step::{Skipped, Step, StepState, TokenRecord};
use crate::domain::task::{Leg, Task, TaskState};
use crate::domain::time::Time;
use delegations::delegation;
use events::event;
use grants::{authority, child, grant, spawned};
use orders::purpose;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use std::time::Duration;

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn time() -> impl Strategy<Value = Time> {
    any::<u64>().prop_map(Time)
}

fn spiffe_id() -> impl Strategy<Value = SpiffeId> {
    "spiffe://[a-z]{1,8}\\.test(/[A-Za-z0-9]{1,8}){1,3}"
        .prop_map(|text| SpiffeId::new(text).unwrap())
}

fn process() -> impl Strategy<Value = ProcessKey> {
    any::<([u8; 16], u64, i32, u64)>().prop_map(|(boot_id, pidfd_inode, pid, start_ticks)| {
        ProcessKey {
            boot_id,
            pidfd_inode,
            pid,
            start_ticks,
        }
    })
}

fn role() -> impl Strategy<Value = Role> {
    let executable = (of(digest()), of(".{0,20}"));
    let required = (of(any::<u32>()), of(".{0,20}"), executable, of(process()));
    (spiffe_id(), required).prop_map(|(spiffe_id, (uid, cgroup, executable, process))| Role {
        spiffe_id,
        required: Required {
            uid,
            cgroup,
            executable: executable.0,
            release: executable.1,
            process,
        },
    })
}

fn call() -> impl Strategy<Value = ToolCall> {
    (spiffe_id(), ".{0,20}", digest(), of(digest())).prop_map(
        |(audience, tool, arguments, definition)| ToolCall {
            audience,
            tool,
            arguments,
            definition,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let state = select(vec![
        StepState::Issued,
        StepState::Used,
        StepState::Done,
        StepState::NotDone,
        StepState::Unknown,
        StepState::Void,
    ]);
    let numbers = any::<(u32, u64, bool, u32, u64)>();
    (
        numbers,
        (call(), authority()),
        digest(),
        state,
        time(),
        of(time()),
        digest(),
    )
        .prop_map(
            |(numbers, (call, authority), idempotency_key, state, expires_at, act_by, request)| {
                let (number, fence, ever_used, leg, epoch) = numbers;
                Step {
                    number: StepNumber(number),
                    call,
                    authority,
                    idempotency_key,
                    fence: Fence(fence),
                    state,
                    ever_used,
                    leg: LegNumber(leg),
                    epoch: Epoch(epoch),
                    expires_at,
                    act_by,
                    request,
                }
            },
        )
}

fn record() -> impl Strategy<Value = TokenRecord> {
    let numbers = any::<([u8; 16], u64, [u8; 16])>();
    let issued = (purpose(), of(any::<u32>()), of(process()));
    (numbers, issued, spiffe_id(), digest(), time(), of(time())).prop_map(
        |((task, fence, jti), issued, audience, certificate, expires_at, used_at)| TokenRecord {
            task: TaskId(task),
            fence: Fence(fence),
            jti: Jti(jti),
            purpose: issued.0,
            delegation: issued.1.map(DelegationNumber),
            process: issued.2,
            audience,
            certificate,
            expires_at,
            used_at,
        },
    )
}

fn leg() -> impl Strategy<Value = Leg> {
    let numbers = any::<(u32, u64, u64)>();
    let holder = (spiffe_id(), process(), of(any::<u32>()));
    (numbers, holder, digest(), time(), time()).prop_map(
        |((number, fence, epoch), (performer, holder, uid), certificate, ends, started_at)| Leg {
            number: LegNumber(number),
            performer,
            delegation: uid.map(DelegationNumber),
            holder,
            uid,
            certificate,
            certificate_ends: ends,
            fence: Fence(fence),
            epoch: Epoch(epoch),
            started_at,
        },
    )
}

fn taken_over(leg: &Leg) -> Barred {
    Barred {
        process: leg.holder,
        leg: leg.number,
        request: leg.certificate,
        and_older: leg.number.0 % 2 == 1,
    }
}

fn input() -> impl Strategy<Value = Input> {
    let approval = (any::<[u8; 32]>(), time()).prop_map(|(id, until)| Input::Approval {
        id: ApprovalId::from_bytes(&id),
        until,
    });
    prop_oneof![approval, ".{0,20}".prop_map(Input::Server)]
}

fn state() -> impl Strategy<Value = TaskState> {
    select(vec![
        TaskState::Cancelled,
        TaskState::Completed,
        TaskState::Expired,
        TaskState::Failed,
        TaskState::InputRequired,
        TaskState::Working,
    ])
}

fn skipped() -> impl Strategy<Value = Skipped> {
    (any::<u32>(), call()).prop_map(|(number, call)| Skipped {
        number: StepNumber(number),
        call,
    })
}

fn task() -> impl Strategy<Value = Task> {
    let who = (of(role()), of(digest()), role(), vec(role(), 0..3));
    let what = (call(), grant(), grant(), digest(), of(spiffe_id()));
    let when = (time(), time(), time(), of(time()), of(time()), time());
    let numbers = any::<(
        [u8; 16],
        [u8; 16],
        Option<[u8; 16]>,
        u64,
        u32,
        u32,
        u32,
        u32,
    )>();
    let progress = (
        of(leg()),
        of(step()),
        vec(any::<u32>().prop_map(StepNumber), 0..5),
        vec(skipped(), 0..3),
        vec(input(), 0..3),
        vec(delegation(), 0..3),
    );
    (who, what, when, numbers, progress, state()).prop_map(
        |(who, what, when, numbers, progress, state)| {
            let (workload, principal, server, performers) = who;
            let (call, asked, own, name, subject) = what;
            let (created_at, deadline, claim_by, claimed_at, ended_at, owner_tokens_from) = when;
            let (id, txn, parent, fence, legs, last_step, owner_tokens, spawned) = numbers;
            let (leg, pending, open_steps, skipped_steps, inputs, delegations) = progress;
            Task {
                id: TaskId(id),
                txn: TaskId(txn),
                parent: parent.map(TaskId),
                spawned_by: subject.clone(),
                subject,
                created_at,
                owner: Owner {
                    workload,
                    principal,
                },
                server,
                performers,
                delegations,
                takeovers: Takeovers(leg.iter().map(taken_over).collect()),
                call,
                asked,
                own,
                state,
                inputs,
                deadline,
                claim_by,
                claimed_at,
                owner_seen_at: owner_tokens_from,
                ended_at,
                name,
                fence: Fence(fence),
                legs: LegNumber(legs),
                leg,
                last_step: StepNumber(last_step),
                pending,
                open_steps,
                skipped_steps,
                spawned,
                owner_tokens,
                owner_tokens_from,
            }
        },
    )
}

fn terms() -> impl Strategy<Value = CreateTerms> {
    let who = (role(), of(process()), spiffe_id(), vec(role(), 0..3));
    let numbers = (
        any::<([u8; 16], [u8; 16], u64)>(),
        (any::<u64>(), 0_u32..1_000_000_000),
    );
    let when = (time(), time(), of(time()));
    (who, numbers, when, call(), grant(), digest(), digest()).prop_map(
        |(who, numbers, when, call, asked, certificate, request)| {
            let (owner, spender, server, performers) = who;
            let ((task, jti, epoch), (seconds, nanoseconds)) = numbers;
            let (issued_at, expires_at, used_at) = when;
            CreateTerms {
                task: TaskId(task),
                owner,
                spender,
                server,
                call,
                asked,
                performers,
                lifetime: Duration::new(seconds, nanoseconds),
                jti: Jti(jti),
                certificate,
                issued_at,
                expires_at,
                epoch: Epoch(epoch),
                request,
                used_at,
            }
        },
    )
}

/// Comes back as it went in; cut or changed at one place, it is a value or an error, never a panic.
fn check<R: Row + PartialEq + std::fmt::Debug>(
    row: &R,
    place: prop::sample::Index,
) -> Result<(), TestCaseError> {
    let bytes = row.encode();
    let back = R::decode(&bytes);
    prop_assert!(back.is_ok(), "{:?}", back);
    prop_assert_eq!(&back.unwrap(), row);
    let place = place.index(bytes.len());
    drop(R::decode(&bytes[..place]));
    let mut changed = bytes;
    changed[place] ^= 0x41;
    drop(R::decode(&changed));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_task_comes_back(row in task(), place: prop::sample::Index) {
        check(&row, place)?;
    }

    #[test]
    fn a_step_comes_back(row in step(), place: prop::sample::Index) {
        check(&row, place)?;
    }

    #[test]
    fn a_token_record_comes_back(row in record(), place: prop::sample::Index) {
        check(&row, place)?;
    }

    #[test]
    fn create_terms_come_back(row in terms(), place: prop::sample::Index) {
        check(&row, place)?;
    }

    #[test]
    fn a_child_grant_comes_back(row in child(), place: prop::sample::Index) {
        check(&row, place)?;
    }

    #[test]
    fn what_was_spawned_comes_back(row in spawned(), place: prop::sample::Index) {
        check(&row, place)?;
    }

    #[test]
    fn an_event_comes_back(row in event(), place: prop::sample::Index) {
        check(&row, place)?;
    }

    #[test]
    fn garbage_is_refused_without_panic(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(Task::decode(&bytes).is_err());
        prop_assert!(Step::decode(&bytes).is_err());
        prop_assert!(TokenRecord::decode(&bytes).is_err());
        prop_assert!(CreateTerms::decode(&bytes).is_err());
        prop_assert!(ChildGrant::decode(&bytes).is_err());
        prop_assert!(Spawned::decode(&bytes).is_err());
        prop_assert!(Event::decode(&bytes).is_err());
    }
}

#[test]
fn an_event_from_a_file_cannot_bring_endless_names() {
    let mut refused = false;
    for number in 0..2000 {
        let mut wire = super::wire::Event {
            caller: Some(super::wire::CallerFacts::default()),
            ..Default::default()
        };
        wire.facts.push(super::wire::Fact {
            name: format!("{}{number}", "x".repeat(70)),
            value: String::new(),
        });
        refused |= Event::from_wire(wire).is_err();
    }
    assert!(refused);
}

#[test]
fn a_row_with_an_unknown_state_is_refused() {
    let wire = super::wire::Leg::default();
    assert!(Leg::from_wire(wire).is_err());
    for number in [0, 7, -1, i32::MAX] {
        let wire = super::wire::Grant {
            audience_assurance: number,
            ..Default::default()
        };
        assert!(Grant::from_wire(wire).is_err());
    }
}
