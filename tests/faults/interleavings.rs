//! The world changes between a decision and its commit: the agent waits there while something else is
//! committed, then goes on. The positive control of each operation is the same one with nothing between.

use crate::job::{HANDLE, Job, Leg, SERVER, Task, check_op, start_op, step_op, text};
use crate::node::until;
use crate::switch::Switch;
use serde_json::{Value, json};
use std::fs;

const FORBID: &str = "\n@id(\"no-steps\")\nforbid (principal, action in [Action::\"start\", \
                      Action::\"step\", Action::\"retry\", Action::\"end\", Action::\"finish\"], \
                      resource);\n";

/// What is committed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    /// The operator revokes.
    Revoke,
    /// The operator revokes the owner's SPIFFE ID.
    RevokeOwner,
    /// The owner cancels.
    Cancel,
    /// The policy forbids what is being done.
    Policy,
    /// The leg's process exits.
    Exit,
}

const ENDINGS: [Meanwhile; 4] = [
    Meanwhile::Revoke,
    Meanwhile::RevokeOwner,
    Meanwhile::Cancel,
    Meanwhile::Policy,
];

impl Meanwhile {
    fn happens(self, job: &mut Job, task: &Task) {
        match self {
            Self::Revoke => {
                let verb = ["task", "revoke", &task.id, "--why", "test"];
                job.node.operator_json(&verb);
            }
            Self::RevokeOwner => {
                let owner = "spiffe://demo.test/client";
                let verb = ["revoke", "spiffe-id", owner, "--why", "test"];
                job.node.operator_json(&verb);
            }
            Self::Cancel => {
                let answer = job.owner("cancel", &task.handle);
                assert_eq!(answer["answer"], "fresh", "{answer}");
            }
            Self::Policy => {
                let before = job.node.log().matches("policy set replaced").count();
                let path = job.node.path("policy.cedar");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(&path, format!("{text}{FORBID}")).unwrap();
                until("the new policy", || {
                    job.node.log().matches("policy set replaced").count() > before
                });
            }
            Self::Exit => {
                job.worker.kill();
                until("the end of the leg", || {
                    let view = job.server.ok(&json!({ "op": "get", "task_id": task.id }));
                    view["leg_live"] == false
                });
            }
        }
    }

    fn ends_the_task(self) -> bool {
        matches!(self, Self::Cancel | Self::Revoke | Self::RevokeOwner)
    }
}

fn state(job: &mut Job, task: &Task) -> String {
    let view = job.server.ok(&json!({ "op": "get", "task_id": task.id }));
    text(&view, "state")
}

/// Asserts that the answer is a refusal: an error that decides, or `denied`.
fn refused(answer: &Value) {
    if let Some(said) = answer.get("err") {
        let code = said["code"].as_str().unwrap();
        assert!(
            matches!(code, "FailedPrecondition" | "PermissionDenied"),
            "{answer}"
        );
    } else {
        assert_eq!(answer["ok"]["answer"], "denied", "{answer}");
    }
}

#[test]
fn a29_a_start_is_judged_again_on_what_was_committed_meanwhile() {
    for meanwhile in ENDINGS {
        let switch = Switch::pause("decide.judged_not_applied/Legs.Start");
        let mut job = switch.job("");
        let control = job.create_as("controlcontrolcontrol123");
        job.start_leg(&control);
        let task = job.create();
        switch.hold_back();
        job.worker.tell(&start_op(&task, "worker"));
        switch.somebody_waits();
        meanwhile.happens(&mut job, &task);
        switch.release();
        refused(&job.worker.answer());
        let view = job.server.ok(&json!({ "op": "get", "task_id": task.id }));
        assert_eq!(view["leg_live"], false, "{meanwhile:?}: {view}");
    }
}

#[test]
fn a29_a_step_is_judged_again_on_what_was_committed_meanwhile() {
    for meanwhile in ENDINGS {
        let switch = Switch::pause("decide.judged_not_applied/Legs.Issue");
        let mut job = switch.job("");
        let task = job.create();
        let leg = job.start_leg(&task);
        let control = job.step_token(&leg, 1);
        switch.hold_back();
        // The same request again: the old token dies, a new one would be issued.
        job.worker.tell(&step_op(&leg, 1));
        switch.somebody_waits();
        meanwhile.happens(&mut job, &task);
        switch.release();
        refused(&job.worker.answer());
        // Nor does the earlier token act any more.
        let old = job.check(&leg, &control);
        assert_eq!(old["answer"], "denied", "{meanwhile:?}: {old}");
    }
}

#[test]
fn a29_a_check_is_judged_again_on_what_was_committed_meanwhile() {
    for meanwhile in [ENDINGS.as_slice(), &[Meanwhile::Exit]].concat() {
        let switch = Switch::pause("decide.judged_not_applied/Enforcement.Check(step)");
        let mut job = switch.job("");
        let task = job.create();
        let leg = job.start_leg(&task);
        let control = job.step_token(&leg, 1);
        let fresh = job.check(&leg, &control);
        assert_eq!(fresh["answer"], "fresh");
        job.tool.ok(&crate::job::report_op(&fresh, "done"));
        let token = job.step_token(&leg, 2);
        switch.hold_back();
        job.tool.tell(&check_op(&leg, &token));
        switch.somebody_waits();
        meanwhile.happens(&mut job, &task);
        switch.release();
        refused(&job.tool.answer());
        let again = job.check(&leg, &token);
        assert_eq!(again["answer"], "denied", "{meanwhile:?}: {again}");
        if meanwhile.ends_the_task() {
            assert_eq!(state(&mut job, &task), "cancelled");
        }
    }
}

#[test]
fn a29_an_ending_is_judged_again_on_what_was_committed_meanwhile() {
    for (point, by_server) in [("Legs.End", false), ("Tasks.Finish", true)] {
        for meanwhile in ENDINGS {
            let switch = Switch::pause(&format!("decide.judged_not_applied/{point}"));
            let mut job = switch.job("");
            let control = job.create_as("controlcontrolcontrol123");
            let leg = job.start_leg(&control);
            let op = ending(&control, &leg, by_server);
            let by = if by_server {
                &mut job.server
            } else {
                &mut job.worker
            };
            assert_eq!(by.ok(&op)["state"], "completed");
            let task = job.create();
            let leg = job.start_leg(&task);
            let op = ending(&task, &leg, by_server);
            switch.hold_back();
            let by = if by_server {
                &mut job.server
            } else {
                &mut job.worker
            };
            by.tell(&op);
            switch.somebody_waits();
            if by_server && meanwhile == Meanwhile::Cancel {
                // The server itself waits; another process of its role takes the cancel.
                let mut other = job.node.actor_named("server");
                std::mem::swap(&mut other, &mut job.server);
                meanwhile.happens(&mut job, &task);
                std::mem::swap(&mut other, &mut job.server);
            } else {
                meanwhile.happens(&mut job, &task);
            }
            switch.release();
            let by = if by_server {
                &mut job.server
            } else {
                &mut job.worker
            };
            refused(&by.answer());
            let expected = if meanwhile.ends_the_task() {
                "cancelled"
            } else {
                "working"
            };
            assert_eq!(state(&mut job, &task), expected, "{point} {meanwhile:?}");
        }
    }
}

fn ending(task: &Task, leg: &Leg, by_server: bool) -> Value {
    if by_server {
        json!({
            "op": "finish", "task_id": task.id, "completed": true, "leg_fence": leg.fence,
            "request_id": "finish",
        })
    } else {
        json!({
            "op": "end", "task_id": task.id, "leg": leg.number, "outcome": "completed",
            "request_id": "end",
        })
    }
}

#[test]
fn a29_nothing_is_made_for_an_id_or_epoch_that_was_revoked_meanwhile() {
    for (point, scope) in [
        ("Tasks.Create", ["spiffe-id", "spiffe://demo.test/client"]),
        ("Tasks.Create", ["epoch", "1"]),
        ("Legs.Issue", ["epoch", "1"]),
        ("Legs.Issue", ["spiffe-id", "spiffe://demo.test/worker"]),
    ] {
        let switch = Switch::pause(&format!("decide.judged_not_applied/{point}"));
        let mut job = switch.job("");
        let task = job.create();
        let leg = job.start_leg(&task);
        job.step_token(&leg, 1);
        let create = job.create_op("meanwhile", "7q2mZr0Yt5kW9xB3vN8smean");
        switch.hold_back();
        let creates = point == "Tasks.Create";
        let by = if creates {
            &mut job.server
        } else {
            &mut job.worker
        };
        by.tell(&if creates { create } else { step_op(&leg, 1) });
        switch.somebody_waits();
        job.node
            .operator_json(&["revoke", scope[0], scope[1], "--why", "test"]);
        switch.release();
        let by = if creates {
            &mut job.server
        } else {
            &mut job.worker
        };
        refused(&by.answer());
    }
}

#[test]
fn a29_two_registrations_with_one_create_token_make_one_task() {
    let switch = Switch::pause("decide.judged_not_applied/Tasks.Create");
    let mut job = switch.job("");
    let op = job.create_op("create", HANDLE);
    let mut second = job.node.actor_named("server");
    switch.hold_back();
    job.server.tell(&op);
    second.tell(&op);
    switch.somebody_waits();
    switch.release();
    let (one, two) = (job.server.answer(), second.answer());
    let ids = [text(&one["ok"], "task_id"), text(&two["ok"], "task_id")];
    assert_eq!(ids[0], ids[1]);
    let repeats = [&one, &two].map(|answer| answer["ok"]["repeat"] == true);
    assert!(repeats[0] != repeats[1], "{one} {two}");
}

#[test]
fn a29_a_cancel_wins_over_whatever_was_committed_meanwhile() {
    let switch = Switch::pause("decide.judged_not_applied/Enforcement.Check(cancel)");
    let mut job = switch.job("");
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let cancel = job.client.ok(&json!({
        "op": "issue_cancel", "request_id": "c", "hand": "client", "server": SERVER,
        "handle": task.handle,
    }));
    let peer = job.client_certificate();
    switch.hold_back();
    job.server.tell(&json!({
        "op": "check_cancel", "token": cancel["token"], "peer": peer, "handle": task.handle,
    }));
    switch.somebody_waits();
    // The leg's holder goes on meanwhile, and every step changes the task's row.
    let fresh = job.check(&leg, &token);
    assert_eq!(fresh["answer"], "fresh");
    job.tool.ok(&crate::job::report_op(&fresh, "done"));
    let late = job.step_token(&leg, 2);
    switch.release();
    let answer = job.server.answer();
    assert_eq!(answer["ok"]["answer"], "fresh", "{answer}");
    assert_eq!(job.check(&leg, &late)["answer"], "denied");
    assert_eq!(state(&mut job, &task), "cancelled");
}
