//! Legs against time and haste: a fast stepper cannot starve a cancel, an idle process cannot squat, and
//! a queue that runs a cancelled job again gets nothing.

use crate::job::{Job, SERVER, check_op, report_op, start_op, step_op};
use crate::node::{Options, until};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// More than any cancel needs, far less than a starved one gets.
const CANCEL_MAX: Duration = Duration::from_secs(5);

#[test]
fn a62_a_cancel_is_not_starved_by_a_fast_stepper() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let cancel = job.client.ok(&json!({
        "op": "issue_cancel", "request_id": "c", "hand": "client", "server": SERVER,
        "handle": task.handle,
    }));
    let peer = job.client_certificate();
    let Job {
        mut server,
        mut worker,
        mut tool,
        ..
    } = job;
    let steps = AtomicU32::new(0);
    let cancelled = AtomicBool::new(false);
    let (late, took) = std::thread::scope(|scope| {
        let stepping = scope.spawn(|| {
            let mut late = 0;
            for step in 1.. {
                let issued = worker.call(&step_op(&leg, step));
                let Some(token) = issued["ok"]["token"].as_str() else {
                    assert_eq!(issued["err"]["reason"], "cancelled", "{issued}");
                    break;
                };
                let after = cancelled.load(Ordering::SeqCst);
                let answer = tool.call(&check_op(&leg, token));
                if answer["ok"]["answer"] != "fresh" {
                    break;
                }
                late += u32::from(after);
                steps.fetch_add(1, Ordering::SeqCst);
                let reported = tool.call(&report_op(&answer["ok"], "done"));
                assert_eq!(reported["ok"]["state"], "done", "{reported}");
            }
            late
        });
        until("steps", || steps.load(Ordering::SeqCst) >= 5);
        let begun = Instant::now();
        let answer = server.ok(&json!({
            "op": "check_cancel", "token": cancel["token"], "peer": peer, "handle": task.handle,
        }));
        cancelled.store(true, Ordering::SeqCst);
        let took = begun.elapsed();
        assert_eq!(answer["answer"], "fresh", "{answer}");
        (stepping.join().unwrap(), took)
    });
    assert_eq!(late, 0, "`fresh` after the cancel was acknowledged");
    assert!(took < CANCEL_MAX, "{took:?}");
}

#[test]
fn a62_an_idle_leg_ends_and_another_performer_starts() {
    let mut job = Job::with(&Options {
        config: "[tasks]\nlease_idle = \"1s\"\nsweep_interval = \"100ms\"\n".to_owned(),
        ..Options::default()
    });
    let idle = job.create();
    let idle_leg = job.start_leg(&idle);
    let held = job.create_as("another4task5with6bits7x");
    let held_leg = job.start_leg(&held);
    job.worker
        .ok(&json!({ "op": "hold", "task_id": held.id, "leg": held_leg.number }));
    let mut twin = job.node.actor_named("worker");
    twin.hand("worker");
    assert_eq!(twin.err(&start_op(&idle, "worker"))["reason"], "held");
    let mut started = Value::Null;
    until("the lease's end", || {
        started = twin.call(&start_op(&idle, "worker"));
        started.get("ok").is_some()
    });
    assert_eq!(started["ok"]["leg"], idle_leg.number + 1);
    assert_eq!(job.worker.err(&step_op(&idle_leg, 1))["reason"], "no_leg");
    // The control: an open `Hold` has renewed the other lease all the while.
    assert_eq!(twin.err(&start_op(&held, "worker"))["reason"], "held");
    assert!(job.worker.ok(&step_op(&held_leg, 1))["token"].is_string());
}

#[test]
fn a73_a_restored_queue_starts_no_cancelled_job_again() {
    let mut job = Job::start();
    let task = job.create();
    // The server's store as it was: the work reference is in it.
    let backup = task.clone();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let fresh = job.check(&leg, &token);
    assert_eq!(fresh["answer"], "fresh");
    job.tool.ok(&report_op(&fresh, "done"));
    let outstanding = job.step_token(&leg, 2);
    assert_eq!(job.owner("cancel", &task.handle)["answer"], "fresh");

    // The restored queue hands the job to the same worker, to another one, and to a restarted one.
    let mut other = job.node.actor_named("worker");
    other.hand("worker");
    for worker in [&mut job.worker, &mut other] {
        let start = worker.err(&start_op(&backup, "worker"));
        assert_eq!(start["reason"], "cancelled", "{start}");
        let step = worker.err(&step_op(&leg, 2));
        assert_eq!(step["code"], "FailedPrecondition", "{step}");
    }
    assert_eq!(job.check(&leg, &outstanding)["answer"], "denied");
    assert_eq!(job.check(&leg, &token)["answer"], "denied");
    // Nor does a server that has forgotten the cancel finish it.
    let finish = job.server.err(&json!({
        "op": "finish", "task_id": task.id, "completed": true, "request_id": "f",
    }));
    assert_eq!(finish["reason"], "cancelled", "{finish}");
}
