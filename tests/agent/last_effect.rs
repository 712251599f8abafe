//! The owner cancels while the worker steps as fast as it can: effects are counted at the tool.
//!
//! Before and after are told by the numbers of the audit chain, in which the cancel is one record and each
//! `fresh` another.

use crate::job::{Job, Leg, check_op, report_op, step_op};
use serde_json::Value;
use std::sync::mpsc::{Sender, channel};
use std::time::{SystemTime, UNIX_EPOCH};

const ROUNDS: usize = 20;
/// Effects that are seen before the cancel, so that it comes in the midst of work.
const BEFORE_CANCEL: usize = 3;
/// `timeouts.act_by` as configured by default.
const ACT_BY_MS: u64 = 5_000;

/// One effect at the tool.
#[derive(Debug)]
struct Effect {
    decision_id: String,
    began_ms: u64,
    act_by_ms: u64,
}

#[expect(clippy::disallowed_methods, reason = "a tool looks at its own clock")]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Steps until something is refused, or so many effects have happened; the refusal, if there is one.
fn work(
    (worker, tool): (&mut crate::node::Actor, &mut crate::node::Actor),
    leg: &Leg,
    most: usize,
    effects: &Sender<Effect>,
) -> Option<String> {
    for step in (1..).take(most) {
        let issued = worker.call(&step_op(leg, step));
        let Some(token) = issued["ok"]["token"].as_str() else {
            return Some(issued["err"]["reason"].as_str().unwrap().to_owned());
        };
        let checked = tool.ok(&check_op(leg, token));
        if checked["answer"] != "fresh" {
            return Some(checked["answer"].as_str().unwrap().to_owned());
        }
        let (began_ms, act_by_ms) = (now_ms(), checked["act_by_ms"].as_u64().unwrap());
        // The tool's part of the promise: after `act_by` it does not begin.
        assert!(began_ms < act_by_ms, "the tool was asleep for seconds");
        let decision_id = checked["decision_id"].as_str().unwrap().to_owned();
        let effect = Effect {
            decision_id,
            began_ms,
            act_by_ms,
        };
        if effects.send(effect).is_err() {
            return None;
        }
        // After a cancel the outcome is still taken: as evidence.
        tool.ok(&report_op(&checked, "done"));
    }
    None
}

fn number(record: &Value) -> u64 {
    record["number"].as_u64().unwrap()
}

#[test]
fn no_effect_begins_after_a_cancel_but_one_that_was_fresh_before_it() {
    let mut job = Job::start();
    for round in 0..ROUNDS {
        let task = job.create_as(&format!("{round:02}{}", crate::job::HANDLE));
        let leg = job.start_leg(&task);
        let cancel = job.owner_op("cancel", &task.handle);
        let (sender, effects) = channel();
        let Job {
            worker,
            tool,
            server,
            ..
        } = &mut job;
        let (cancelled, mut seen, refused) = std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                let refused = work((worker, tool), &leg, usize::MAX, &sender);
                drop(sender);
                refused
            });
            let mut seen: Vec<Effect> = effects.iter().take(BEFORE_CANCEL).collect();
            let cancelled = server.ok(&cancel);
            seen.extend(effects.iter());
            (cancelled, seen, working.join().unwrap())
        });
        assert_eq!(cancelled["answer"], "fresh", "{cancelled}");
        let refused = refused.expect("the worker is stopped");
        assert!(
            matches!(refused.as_str(), "cancelled" | "denied"),
            "{refused}"
        );
        assert!(seen.len() >= BEFORE_CANCEL, "round {round}: {seen:?}");
        let cancel_record = job.node.explain(cancelled["decision_id"].as_str().unwrap());
        let cancelled_at = cancel_record["at_ms"].as_u64().unwrap();
        for effect in &seen {
            let fresh = job.node.explain(&effect.decision_id);
            assert!(
                number(&fresh) < number(&cancel_record),
                "an effect was fresh after the cancel: {fresh} {cancel_record}"
            );
        }
        let last = seen.pop().unwrap();
        assert!(last.act_by_ms <= cancelled_at + ACT_BY_MS, "{last:?}");
        assert!(last.began_ms < last.act_by_ms);
    }
}

#[test]
fn without_a_cancel_every_step_is_an_effect() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let (sender, effects) = channel();
    let refused = work((&mut job.worker, &mut job.tool), &leg, 10, &sender);
    assert_eq!(refused, None);
    drop(sender);
    assert_eq!(effects.iter().count(), 10);
}
