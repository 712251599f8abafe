//! Names that are unknown, another's and forgotten look the same to whoever has no role.

use crate::job::{Job, SERVER, WORKER, export, text};
use serde_json::{Value, json};
use std::fs;

/// A task's three names.
struct Names {
    handle: String,
    reference: String,
    task: String,
}

/// What every method that takes a name answers to the thief, but for its decision ID.
fn answers(job: &Job, names: &Names) -> Vec<(String, Value)> {
    let mut thief = job.node.actor_named("thief");
    thief.hand("own");
    let owner = |op: &str| {
        json!({
            "op": op, "request_id": op, "hand": "own", "server": SERVER, "handle": names.handle,
            "to": WORKER, "acts": ["query"], "number": 1, "step": 1,
        })
    };
    let (reference, task) = (&names.reference, &names.task);
    let ops = [
        owner("issue_query"),
        owner("issue_cancel"),
        owner("issue_update"),
        owner("delegate"),
        owner("revoke_delegation"),
        owner("take_over"),
        owner("resolve"),
        json!({ "op": "get", "task_id": task }),
        json!({ "op": "require_input", "task_id": task, "keys": ["amount"] }),
        json!({ "op": "watch", "task_id": task }),
        json!({ "op": "finish", "task_id": task, "completed": true, "request_id": "f" }),
        json!({ "op": "start", "work_reference": reference, "hand": "own", "request_id": "s" }),
        json!({
            "op": "issue_step", "task_id": task, "leg": 1, "step": 1, "call": export(),
            "request_id": "i",
        }),
        json!({ "op": "hold", "task_id": task, "leg": 1 }),
        json!({
            "op": "end", "task_id": task, "leg": 1, "outcome": "completed", "request_id": "e",
        }),
        json!({
            "op": "report", "task_id": task, "step": 1, "fence": 2, "jti": "00".repeat(16),
            "outcome": "done",
        }),
    ];
    let mut answers = Vec::new();
    for op in ops {
        let mut refused = thief.err(&op);
        let decision_id = refused["decision_id"].take();
        refused["decision_id_length"] = decision_id.as_str().map_or(0, str::len).into();
        answers.push((text(&op, "op"), refused));
    }
    answers
}

#[test]
fn a36_unknown_foreign_and_forgotten_names_are_answered_alike() {
    let mut job = Job::start();
    let other = job.create_as("uQ3nV8rT1yW6zK0cF5hJ9pXb");
    let task = job.create();
    job.start_leg(&task);
    let foreign = Names {
        handle: task.handle.clone(),
        reference: task.work_reference.clone(),
        task: task.id.clone(),
    };
    // Well formed, and of nothing: a name that was never given out.
    let never = |name: &str| {
        let (kept, last) = name.split_at(name.len() - 1);
        format!("{kept}{}", if last == "A" { "B" } else { "A" })
    };
    let (kept, last) = other.id.split_at(other.id.len() - 1);
    let unknown = Names {
        handle: never(&other.handle),
        reference: never(&other.work_reference),
        task: format!("{kept}{}", if last == "0" { "1" } else { "0" }),
    };
    let of_foreign = answers(&job, &foreign);
    let of_unknown = answers(&job, &unknown);
    // The positive control: for those with a role it is there.
    assert_eq!(job.owner("query", &task.handle)["answer"], "read");
    // Forgotten: the agent's key made the names, and no row is left of them.
    assert_eq!(job.node.stop_agent(), Some(0));
    fs::remove_dir_all(job.node.path("data")).unwrap();
    job.node.start_agent();
    let of_forgotten = answers(&job, &foreign);
    let first = &of_foreign[0].1;
    for (answers, kind) in [
        (&of_foreign, "foreign"),
        (&of_unknown, "unknown"),
        (&of_forgotten, "forgotten"),
    ] {
        for (op, answer) in answers {
            assert_eq!(answer, first, "{op} of a name that is {kind}");
        }
    }
    assert_eq!(first["message"], "unknown task");
    assert!(first["decision_id_length"].as_u64() > Some(0));
}

#[test]
fn decision_id_may_begin_with_a_hyphen() {
    let job = Job::start();
    // Of nothing, but read as an ID and not as a flag.
    for id in ["-abc", "--abc", "-o"] {
        let output = job.node.operator(&["explain", id]);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(complaint.contains("decision_id"), "{id}: {complaint}");
    }
}

#[test]
fn a37_every_handle_that_the_library_makes_is_accepted() {
    for _ in 0..20_000 {
        let handle = handfast::client::mint_handle().unwrap();
        assert!(handfast::keys::handle_is_strong(&handle));
    }
}
