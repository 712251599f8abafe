//! Audit events and callers, any that there can be.

use super::{digest, process, spiffe_id, time};
use crate::domain::event::{CallerFacts, Event, Verdict};
use crate::domain::evidence::Assurance;
use crate::domain::id::TaskId;
use crate::domain::policy::PolicyGeneration;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

pub(super) fn caller() -> impl Strategy<Value = CallerFacts> {
    let assurance = of(select(vec![
        Assurance::Principal,
        Assurance::Svid,
        Assurance::Process,
    ]));
    (
        vec(spiffe_id(), 0..3),
        assurance,
        of(process()),
        of(any::<u32>()),
        of(".{0,20}"),
        of(digest()),
    )
        .prop_map(
            |(spiffe_ids, assurance, process, uid, cgroup, executable)| CallerFacts {
                spiffe_ids,
                assurance,
                process,
                uid,
                cgroup,
                executable,
            },
        )
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let verdict = of((".{0,10}", ".{0,40}")).prop_map(|denied| {
        denied.map_or(Verdict::Allowed, |(reason, explanation)| Verdict::Denied {
            reason,
            explanation,
        })
    });
    let policy = (any::<u64>(), of(digest()), vec(".{0,10}", 0..3));
    let facts = vec((select(vec!["step", "fence", "tool"]), ".{0,10}"), 0..3);
    let task = of(any::<[u8; 16]>());
    (
        time(),
        ".{0,20}",
        verdict,
        task,
        caller(),
        policy,
        facts,
        any::<u64>(),
    )
        .prop_map(
            |(at, operation, verdict, task, caller, policy, facts, count)| {
                let (number, text, policies) = policy;
                Event {
                    at,
                    operation,
                    verdict,
                    task: task.map(TaskId),
                    caller,
                    policy: PolicyGeneration { number, text },
                    policies,
                    facts,
                    count,
                }
            },
        )
}
