//! The agent dies at each point of issuing and of checking, and a tool between `fresh` and its effect.
//!
//! Effects are counted where they happen: at the tool, which acts on `fresh` alone.

use crate::job::{HANDLE, Job, Leg, Task, check_op, report_op, start_op, step_op, text};
use crate::node::{Actor, Options, until};
use crate::switch::Switch;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

/// The claims of a token, which its audience may read.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// What a tool can report of a token although the answer to its check was lost.
pub(crate) fn report_of(task: &Task, token: &str, outcome: &str) -> Value {
    let claims = claims(token);
    let ours = &claims["urn:handfast:tct"];
    let jti = BASE64_URL_SAFE_NO_PAD.decode(claims["jti"].as_str().unwrap());
    let jti: String = jti
        .unwrap()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({
        "op": "report", "task_id": task.id, "step": ours["step"], "fence": ours["fence"],
        "jti": jti, "outcome": outcome,
    })
}

fn fence(token: &str) -> u64 {
    claims(token)["urn:handfast:tct"]["fence"].as_u64().unwrap()
}

/// Acts on `fresh`, and only then.
fn act(tool: &mut Actor, leg: &Leg, token: &str, effects: &mut u32) -> Value {
    let answer = tool.call(&check_op(leg, token));
    if answer["ok"]["answer"] == "fresh" {
        *effects += 1;
    }
    answer
}

/// The connection broke: nobody answered.
fn cut_off(error: &Value) {
    let code = error["code"].as_str().unwrap_or_default();
    assert!(matches!(code, "Unavailable" | "Unknown"), "{error}");
}

/// The agent is gone by itself; a new one takes over.
fn restart(job: &mut Job) {
    until("the crash", || !job.node.agent_is_running());
    job.node.kill_agent();
    job.node.start_agent();
}

/// Stops the agent and verifies the whole chain from outside.
pub(crate) fn verify_chain(job: &mut Job) {
    assert_eq!(job.node.stop_agent(), Some(0), "{}", job.node.log());
    let output = Command::new(env!("CARGO_BIN_EXE_handfast"))
        .args(["audit", "verify", "--config"])
        .arg(job.node.path("handfast.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    job.node.start_agent();
}

/// Takes the leg up again: same number, higher fence.
fn reattach(job: &mut Job, before: &Leg, fences: &mut BTreeSet<u64>) -> (Leg, Value) {
    let started = job.worker.ok(&start_op(&before.task, "worker"));
    assert_eq!(started["reattached"], true, "{started}");
    assert_eq!(started["leg"], before.number);
    let leg = Leg {
        fence: started["fence"].as_u64().unwrap(),
        ..before.clone()
    };
    let new = fences.last().is_none_or(|last| *last < leg.fence);
    assert!(new, "fence {} after {fences:?}", leg.fence);
    fences.insert(leg.fence);
    (leg, started)
}

/// Step 1 to its end, by `Report(not_done)` first where nobody knows what became of it.
fn finish_step(job: &mut Job, leg: &Leg, lost: Option<&str>, effects: &mut u32) -> String {
    let answer = job.worker.call(&step_op(leg, 1));
    let token = if answer["err"]["reason"] == "step_unknown" {
        let report = report_of(&leg.task, lost.expect("a token that was used"), "not_done");
        assert_eq!(job.tool.ok(&report)["state"], "not_done");
        job.step_token(leg, 1)
    } else {
        text(&answer["ok"], "token")
    };
    let fresh = act(&mut job.tool, leg, &token, effects);
    assert_eq!(fresh["ok"]["answer"], "fresh", "{fresh}");
    assert_eq!(
        job.tool.ok(&report_op(&fresh["ok"], "done"))["state"],
        "done"
    );
    let repeat = act(&mut job.tool, leg, &token, effects);
    assert_eq!(repeat["ok"]["answer"], "repeat", "{repeat}");
    token
}

#[test]
fn a31_a_crash_at_any_point_of_issuing_leaves_no_usable_token() {
    for point in [
        "decide.judged_not_applied/Legs.Issue",
        "ledger.before_commit",
        "ledger.after_commit",
        "step.recorded_not_signed",
        "step.signed_not_replied",
    ] {
        let switch = Switch::abort(point);
        let mut job = switch.job("");
        let task = job.create();
        let leg = job.start_leg(&task);
        let mut fences = BTreeSet::from([leg.fence]);
        // An outstanding token, and a crash while its successor is issued.
        let outstanding = job.step_token(&leg, 1);
        fences.insert(fence(&outstanding));
        switch.arm();
        let lost = job.worker.err(&step_op(&leg, 1));
        cut_off(&lost);
        switch.disarm();
        restart(&mut job);
        let mut effects = 0;
        let dead = act(&mut job.tool, &leg, &outstanding, &mut effects);
        assert_eq!(dead["ok"]["answer"], "denied", "{point}: {dead}");
        let (leg, started) = reattach(&mut job, &leg, &mut fences);
        assert_eq!(started["last_step"], 1, "{point}");
        let token = finish_step(&mut job, &leg, None, &mut effects);
        assert!(
            !fences.contains(&fence(&token)),
            "{point}: a fence was used twice"
        );
        let dead = act(&mut job.tool, &leg, &outstanding, &mut effects);
        assert_eq!(dead["ok"]["answer"], "denied", "{point}: {dead}");
        assert_eq!(effects, 1, "{point}");
        verify_chain(&mut job);
    }
}

#[test]
fn a31_a_crash_at_any_point_of_checking_leaves_no_usable_token() {
    for point in [
        "decide.judged_not_applied/Enforcement.Check(step)",
        "ledger.before_commit",
        "ledger.after_commit",
        "check.burned_not_replied",
    ] {
        let (mut job, effects) = crash_in_check(point);
        assert_eq!(effects, 1, "{point}");
        verify_chain(&mut job);
    }
}

#[test]
fn a05_an_agent_killed_between_burn_and_reply_allows_at_most_one_effect() {
    let (job, effects) = crash_in_check("check.burned_not_replied");
    assert_eq!(effects, 1);
    let chain = job.node.operator_json(&["audit", "tail", "--limit", "200"]);
    let burned = chain.as_array().unwrap().iter().filter(|record| {
        record["operation"] == "Enforcement.Check(step)" && record["allowed"] == true
    });
    // Once before the crash and once after the report: the reply to the first was lost.
    assert!(burned.count() >= 2, "{chain}");
}

/// The agent dies at a point of `Check`; the job goes on, and the effects are counted.
fn crash_in_check(point: &str) -> (Job, u32) {
    let switch = Switch::abort(point);
    let mut job = switch.job("");
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let mut fences = BTreeSet::from([leg.fence, fence(&token)]);
    let mut effects = 0;
    switch.arm();
    let lost = act(&mut job.tool, &leg, &token, &mut effects);
    cut_off(&lost["err"]);
    switch.disarm();
    restart(&mut job);
    let dead = act(&mut job.tool, &leg, &token, &mut effects);
    assert_eq!(dead["ok"]["answer"], "denied", "{point}: {dead}");
    let (leg, started) = reattach(&mut job, &leg, &mut fences);
    if point == "check.burned_not_replied" {
        assert_eq!(started["open"], json!([{ "step": 1, "state": "unknown" }]));
    }
    let dead = act(&mut job.tool, &leg, &token, &mut effects);
    assert_ne!(dead["ok"]["answer"], "fresh", "{point}: {dead}");
    assert_eq!(effects, 0, "{point}");
    let second = finish_step(&mut job, &leg, Some(&token), &mut effects);
    assert!(
        !fences.contains(&fence(&second)),
        "{point}: a fence was used twice"
    );
    (job, effects)
}

#[test]
fn a05_a_tool_killed_between_fresh_and_effect_blocks_the_step_until_it_is_reported() {
    let mut job = Job::with(&Options {
        config: "[tokens]\nact_by = \"300ms\"\nact_by_grace = \"100ms\"\n".to_owned(),
        ..Options::default()
    });
    let task = job.create_as(HANDLE);
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    assert_eq!(job.check(&leg, &token)["answer"], "fresh");
    // It dies with the right to act in its hands.
    job.tool.kill();
    job.tool = job.node.actor_named("tool");
    let mut effects = 0;
    until("the step to be unknown", || {
        let answer = job.worker.call(&step_op(&leg, 1));
        assert!(
            answer["ok"]["token"].as_str().is_none_or(str::is_empty),
            "{answer}"
        );
        answer["err"]["reason"] == "step_unknown"
    });
    let next = job.worker.err(&step_op(&leg, 2));
    assert_eq!(next["reason"], "step_unknown", "{next}");
    let repeat = act(&mut job.tool, &leg, &token, &mut effects);
    assert_eq!(repeat["ok"]["answer"], "repeat", "{repeat}");
    assert_eq!(repeat["ok"]["state"], "unknown");
    finish_step(&mut job, &leg, Some(&token), &mut effects);
    assert_eq!(effects, 1);
}
