//! A hundred thousand refused calls: they cost no disk, and nobody else waits for them.

use crate::job::{Job, SERVER, report_op};
use crate::node::Options;
use serde_json::json;
use std::time::{Duration, Instant};

/// Refused calls.
const CALLS: u64 = 100_000;
const CONNECTIONS: u64 = 8;
/// What the ledger file may grow to: its first pages and one commit of each kind take most of it.
const LEDGER_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Audit records that so many refusals may leave: a few for each window in which equal ones are folded.
const RECORDS_MAX: u64 = 200;
/// Between two steps of the others.
const STEP_PAUSE: Duration = Duration::from_millis(200);

#[test]
fn a63_denied_calls_fill_neither_ledger_nor_line() {
    let mut job = Job::with(&Options {
        // Far above what a worker needs, and what makes most of a flood cheap.
        config: "[limits]\nrequests_per_process = 200\nrequests_per_process_burst = 400\n\
                 [timeouts]\nfold = \"10s\"\n"
            .to_owned(),
        ..Options::default()
    });
    let task = job.create();
    assert_eq!(job.owner("query", &task.handle)["answer"], "read");
    let leg = job.start_leg(&task);
    let mut thief = job.node.actor_named("thief");
    thief.hand("thief");
    let records = |job: &Job| {
        // The newest may not be on the disk yet.
        let newest = job.node.operator_json(&["audit", "tail", "--limit", "100"]);
        newest.as_array().unwrap().last().unwrap()["number"]
            .as_u64()
            .unwrap()
    };
    let ledger = job.node.path("data/ledger.redb");
    let before = records(&job);
    thief.tell(&json!({
        "op": "repeat", "times": CALLS, "connections": CONNECTIONS, "in_flight": 4 * CONNECTIONS,
        "request": {
            "op": "issue_query", "request_id": "q", "hand": "thief", "server": SERVER,
            "handle": task.handle,
        },
    }));
    // Others are served meanwhile.
    let mut slowest = Duration::ZERO;
    let mut steps = 0;
    let answer = loop {
        steps += 1;
        let begun = Instant::now();
        let token = job.step_token(&leg, steps);
        let fresh = job.check(&leg, &token);
        assert_eq!(fresh["answer"], "fresh");
        job.tool.ok(&report_op(&fresh, "done"));
        slowest = slowest.max(begun.elapsed());
        if let Some(answer) = thief.answer_within(STEP_PAUSE) {
            break answer;
        }
    };
    assert!(steps > 10, "{steps} steps");
    let counts = answer["ok"]["counts"].as_object().unwrap();
    let total: u64 = counts.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(total, CALLS);
    for outcome in counts.keys() {
        let denied = ["PermissionDenied unknown_task", "ResourceExhausted"];
        assert!(
            denied.iter().any(|denied| outcome.starts_with(denied)),
            "{counts:?}"
        );
    }
    assert!(
        counts
            .keys()
            .any(|outcome| outcome.starts_with("PermissionDenied")),
        "{counts:?}"
    );
    // Each step of the others is three commits with a record each.
    let written = records(&job) - before;
    let of_others = 3 * steps;
    assert!(
        written <= of_others + RECORDS_MAX,
        "{written} records, {steps} steps"
    );
    let size = std::fs::metadata(&ledger).unwrap().len();
    println!("{total} refused, {steps} steps, {written} records, {size} bytes, {slowest:?}");
    assert!(size < LEDGER_BYTES_MAX, "{size} bytes");
    assert_eq!(job.owner("cancel", &task.handle)["answer"], "fresh");
}
