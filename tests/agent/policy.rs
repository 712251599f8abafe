//! Policy as it changes under a running task, and what an injected agent may ask for.

use crate::job::{
    HANDLE, Job, Leg, TOOL, Task, WORKER, build, check_op, export, report_op, step_op, text,
};
use crate::node::{Node, Options, until};
use serde_json::{Value, json};
use std::fs;

const NO_EXPORT: &str = r#"
@id("no-export")
forbid (principal, action in [Action::"step", Action::"retry"], resource)
when { resource.name == "export" };
"#;

/// Commits another policy file, and waits until the agent has taken it up: the `count`th change.
pub(crate) fn commit(node: &Node, text: &str, count: usize) {
    let (file, next) = (node.path("policy.cedar"), node.path("policy.next"));
    fs::write(&next, text).unwrap();
    fs::rename(&next, &file).unwrap();
    until("the new policy set", || {
        node.log().matches("policy set replaced").count() == count
    });
}

fn denied_by_policy(job: &Job, answer: &Value, policy: &str) {
    let id = text(answer, "decision_id");
    let truth = job.node.explain(&id);
    assert_eq!(truth["reason"], "policy", "{truth}");
    let verb = ["policy", "explain", "--decision", &id];
    assert_eq!(
        job.node.operator_json(&verb),
        truth,
        "the same by another name"
    );
    let why = text(&truth, "explanation");
    assert!(why.contains(policy), "{why}");
}

#[test]
fn a32_a_policy_that_is_tightened_stops_the_next_step_and_the_token_already_issued() {
    let options = Options::default();
    let mut job = Job::with(&options);
    let task = job.create();
    let leg = job.start_leg(&task);
    // Before: the same worker, the same tool.
    let token = job.step_token(&leg, 1);
    let fresh = job.check(&leg, &token);
    assert_eq!(fresh["answer"], "fresh");
    job.tool.ok(&report_op(&fresh, "done"));
    let issued = job.step_token(&leg, 2);

    commit(&job.node, &format!("{}{NO_EXPORT}", options.policy), 1);

    let refused = job.check(&leg, &issued);
    assert_eq!(refused["answer"], "denied", "{refused}");
    denied_by_policy(&job, &refused, "no-export");
    let next = job.worker.err(&step_op(&leg, 3));
    assert_eq!(next["code"], "PermissionDenied", "{next}");
    denied_by_policy(&job, &next, "no-export");
    // What the new set does not forbid goes on.
    assert_eq!(job.owner("query", &task.handle)["answer"], "read");

    // A file with a type error stops nothing and permits nothing: the last good set stays.
    let broken = "permit (principal, action, resource) when { context.now_ms < \"noon\" };";
    let (file, next) = (job.node.path("policy.cedar"), job.node.path("policy.next"));
    fs::write(&next, broken).unwrap();
    fs::rename(&next, &file).unwrap();
    until("the refusal of the broken set", || {
        job.node.log().contains("policy_reload_failed")
    });
    let log = job.node.log();
    assert!(
        log.contains("line 1, column") && log.contains("unexpected type"),
        "{log}"
    );
    let still = job.worker.err(&step_op(&leg, 3));
    denied_by_policy(&job, &still, "no-export");

    // The token was refused and not burned: it is good again under the set that permitted it.
    commit(&job.node, &options.policy, 2);
    assert_eq!(job.check(&leg, &issued)["answer"], "fresh");
}

/// A task of which the worker may export exactly one table.
fn one_table(job: &mut Job) -> Leg {
    let issued = job.client.ok(&json!({
        "op": "issue_create", "request_id": "one table", "hand": "client", "call": build(),
        "asked": [{ "audience": TOOL, "tool": "export", "arguments": { "table": "sales" } }],
        "performers": [WORKER],
    }));
    let peer = job.client_certificate();
    let created = job.server.ok(&json!({
        "op": "create", "token": text(&issued, "token"), "peer": peer, "call": build(),
        "handle": HANDLE,
    }));
    let task = Task::created(&created, HANDLE);
    job.start_leg(&task)
}

#[test]
fn a50_injected_arguments_outside_the_constraint_are_refused_by_rule() {
    let mut job = Job::start();
    let leg = one_table(&mut job);
    let injected =
        json!({ "audience": TOOL, "tool": "export", "arguments": { "table": "salaries" } });
    let other_tool =
        json!({ "audience": TOOL, "tool": "delete", "arguments": { "table": "sales" } });
    for call in [&injected, &other_tool] {
        let mut op = step_op(&leg, 1);
        op["call"] = call.clone();
        let refused = job.worker.err(&op);
        assert_eq!(refused["code"], "PermissionDenied", "{refused}");
        let truth = job.node.explain(&text(&refused, "decision_id"));
        assert_eq!(truth["reason"], "grant", "{truth}");
    }

    // A token for the arguments that are in the grant does not carry others to the tool.
    let token = job.step_token(&leg, 1);
    let mut op = check_op(&leg, &token);
    op["call"] = injected;
    let refused = job.tool.ok(&op);
    assert_eq!(refused["answer"], "denied");
    let truth = job.node.explain(&text(&refused, "decision_id"));
    assert_eq!(truth["reason"], "call_differs", "{truth}");

    // The call as it was granted goes through, with the same token.
    op["call"] = export();
    assert_eq!(job.tool.ok(&op)["answer"], "fresh");
}

const ASKING: &str = r#"
@id("asking")
forbid (principal, action in [Action::"step", Action::"retry"], resource)
when { resource.name == "export" } unless { context.approved };
"#;

const NO_END: &str = r#"
@id("no-end")
forbid (principal, action == Action::"end", resource);
"#;

#[test]
fn simulate_shows_what_another_set_would_cut_off_and_changes_nothing() {
    let shipped = Options::default().policy;
    let options = Options {
        policy: format!("{shipped}{NO_EXPORT}"),
        ..Options::default()
    };
    let mut job = Job::with(&options);
    let task = job.create();
    let other = job.node.path("other.cedar");
    let simulated = |job: &Job, text: &str| {
        fs::write(&other, text).unwrap();
        job.node
            .operator_json(&["policy", "simulate", &other.display().to_string()])
    };
    // The set that is in force changes nothing.
    let same = simulated(&job, &options.policy);
    let found = |of: &Value| {
        (
            of["tasks"].clone(),
            of["cut_off"].clone(),
            of["opened"].clone(),
        )
    };
    assert_eq!(found(&same), (json!(1), json!(0), json!(0)), "{same}");

    let tighter = simulated(&job, &format!("{}{NO_END}", options.policy));
    assert_eq!(found(&tighter), (json!(1), json!(1), json!(0)), "{tighter}");
    let change = &tighter["changes"][0];
    assert_eq!(change["task_id"], task.id.as_str());
    assert_eq!(
        (&change["action"], &change["actor"]),
        (&json!("end"), &json!(WORKER))
    );
    assert!(text(change, "why").contains("no-end"), "{change}");

    let looser = simulated(&job, &shipped);
    assert_eq!(found(&looser), (json!(1), json!(0), json!(2)), "{looser}");
    for (change, action) in [(0, "step"), (1, "retry")] {
        let change = &looser["changes"][change];
        assert_eq!(
            (&change["action"], &change["tool"]),
            (&json!(action), &json!("export"))
        );
        assert_eq!(change["audience"], TOOL);
    }

    // A set that is not good is told with its place.
    fs::write(
        &other,
        "permit (principal, action == Action::\"strat\", resource);",
    )
    .unwrap();
    let refused = job
        .node
        .operator(&["policy", "simulate", &other.display().to_string()]);
    assert!(!refused.status.success());
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert!(complaint.contains("line 1, column 30"), "{complaint}");

    // None of this was committed, and all that was answered is in the audit.
    let leg = job.start_leg(&task);
    let still = job.worker.err(&step_op(&leg, 1));
    denied_by_policy(&job, &still, "no-export");
    until("the audit record", || {
        let audit = job.node.operator_json(&["audit", "tail", "--limit", "50"]);
        audit.to_string().contains("Operator.Simulate")
    });
}

#[test]
fn simulate_tells_what_would_wait_for_a_person_from_what_would_be_cut_off() {
    let shipped = Options::default().policy;
    let asking = format!("{shipped}{ASKING}");
    let refusing = format!("{shipped}{NO_EXPORT}");
    let mut job = Job::start();
    job.create();
    let other = job.node.path("other.cedar");
    fs::write(&other, &asking).unwrap();
    // What is free, and what is refused; either way the set that permits less says why.
    for (changes, (in_force, why)) in [(&shipped, "asking"), (&refusing, "no-export")]
        .into_iter()
        .enumerate()
    {
        if changes > 0 {
            commit(&job.node, in_force, changes);
        }
        let file = other.display().to_string();
        let simulated = job.node.operator_json(&["policy", "simulate", &file]);
        assert_eq!(simulated["asks_person"], 2, "{simulated}");
        assert_eq!(
            (&simulated["cut_off"], &simulated["opened"]),
            (&json!(0), &json!(0))
        );
        for (change, action) in [(0, "step"), (1, "retry")] {
            let change = &simulated["changes"][change];
            let answered = (&change["action"], &change["then"]);
            assert_eq!(answered, (&json!(action), &json!("asks a person")));
            assert!(text(change, "why").contains(why), "{change}");
        }
    }
}
