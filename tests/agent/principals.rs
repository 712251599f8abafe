//! Users behind a workload, and users whose workload has no SVID.

use crate::job::{HANDLE, Job, SERVER, Task, WORKER, assert_unknown, build, text};
use crate::node::Options;
use serde_json::{Value, json};
use std::fmt::Write as _;

const ISSUER: &str = "https://login.demo.test";

pub(crate) fn user(subject: &str) -> Value {
    json!({ "issuer": ISSUER, "subject": subject })
}

/// The server may vouch for the users of one issuer.
pub(crate) fn vouching() -> Options {
    let mut options = Options::default();
    write!(
        options.policy,
        "\n@id(\"users\") permit (principal == Workload::\"{SERVER}\", \
         action == Action::\"vouch\", resource) when {{ context.issuer == \"{ISSUER}\" }};\n"
    )
    .unwrap();
    options
}

pub(crate) fn for_user(mut op: Value, principal: Option<Value>) -> Value {
    if let Some(principal) = principal {
        op["principal"] = principal;
    }
    op
}

/// A task of user-1 behind the client.
pub(crate) fn task_of_user_1(job: &mut Job) -> Task {
    let op = job.create_op("one", HANDLE);
    let created = job.server.ok(&for_user(op, Some(user("user-1"))));
    Task::created(&created, HANDLE)
}

#[test]
fn p01_another_user_behind_the_same_workload_is_refused() {
    let mut job = Job::with(&vouching());
    task_of_user_1(&mut job);
    for operation in ["query", "cancel"] {
        let op = job.owner_op(operation, HANDLE);
        let foreign = json!({ "issuer": "https://other.demo.test", "subject": "user-1" });
        for principal in [user("user-2"), foreign] {
            let denied = job.server.ok(&for_user(op.clone(), Some(principal)));
            assert_eq!(denied["reason"], "unknown_task", "{denied}");
            let truth = job.node.explain(&text(&denied, "decision_id"));
            assert_eq!(truth["reason"], "other_principal");
        }
    }
    let query = job.owner_op("query", HANDLE);
    let read = job.server.ok(&for_user(query, Some(user("user-1"))));
    assert_eq!(read["task"]["state"], "working");
    let cancel = job.owner_op("cancel", HANDLE);
    let cancelled = job.server.ok(&for_user(cancel, Some(user("user-1"))));
    assert_eq!(cancelled["answer"], "fresh");
}

#[test]
fn p02_missing_principal_is_refused() {
    let mut job = Job::with(&vouching());
    task_of_user_1(&mut job);
    let op = job.owner_op("query", HANDLE);
    let denied = job.server.ok(&op);
    assert_eq!(denied["reason"], "unknown_task", "{denied}");
    // A principal alone is not the workload that asked for the task.
    let alone = json!({ "op": "check_query", "handle": HANDLE, "principal": user("user-1") });
    assert_eq!(job.server.ok(&alone)["reason"], "unknown_task");
    let read = job.server.ok(&for_user(op, Some(user("user-1"))));
    assert_eq!(read["answer"], "read");
    // And the reverse: a principal where none was recorded.
    let plain = job.create_as("uQ3nV8rT1yW6zK0cF5hJ9pXb");
    let op = job.owner_op("query", &plain.handle);
    let denied = job.server.ok(&for_user(op.clone(), Some(user("user-1"))));
    assert_eq!(denied["reason"], "unknown_task", "{denied}");
    assert_eq!(job.server.ok(&op)["answer"], "read");
}

fn create_for(subject: &str, request_id: &str, handle: &str) -> Value {
    json!({
        "op": "create", "request_id": request_id, "principal": user(subject), "call": build(),
        "handle": handle, "performers": [WORKER],
    })
}

#[test]
fn p03_owner_without_svid_polls_and_cancels_and_starts_nothing() {
    let mut job = Job::with(&vouching());
    let create = create_for("user-1", "one", HANDLE);
    let created = job.server.ok(&create);
    let again = job.server.ok(&create);
    assert_eq!(again["repeat"], true);
    assert_eq!(again["task_id"], created["task_id"]);
    let ask = |operation: &str, subject: &str| {
        json!({
            "op": format!("check_{operation}"), "handle": HANDLE, "principal": user(subject),
        })
    };
    let read = job.server.ok(&ask("query", "user-1"));
    assert_eq!(read["answer"], "read");
    assert_eq!(read["task"]["assurance"], "principal");
    assert_eq!(read["task"]["owner"], "");
    for operation in ["query", "cancel"] {
        let denied = job.server.ok(&ask(operation, "user-2"));
        assert_eq!(denied["reason"], "unknown_task", "{denied}");
    }
    // Its process has no SVID: it gets no leg and no token, not even with the names.
    let mut nobody = job.node.nobody();
    nobody.hand("own");
    let start = json!({
        "op": "start", "work_reference": created["work_reference"], "hand": "own",
        "request_id": "s",
    });
    assert_eq!(nobody.err(&start)["code"], "Unauthenticated");
    let query = json!({
        "op": "issue_query", "request_id": "q", "hand": "own", "server": SERVER,
        "handle": HANDLE,
    });
    assert_eq!(nobody.err(&query)["code"], "Unauthenticated");
    // Nor does a workload that is no performer, for all that it stands before the user.
    let mut by_client = start.clone();
    by_client["hand"] = "client".into();
    assert_unknown(&job.client.err(&by_client));
    let mut by_worker = start;
    by_worker["hand"] = "worker".into();
    job.worker.ok(&by_worker);
    assert_eq!(job.server.ok(&ask("cancel", "user-1"))["answer"], "fresh");
    assert_eq!(job.worker.err(&by_worker)["reason"], "cancelled");
}

#[test]
fn p03_nobody_vouches_without_leave() {
    // The shipped policy lets nobody vouch.
    let mut job = Job::start();
    let create = create_for("user-1", "one", HANDLE);
    assert_eq!(job.server.err(&create)["reason"], "policy");
    let mut job = Job::with(&vouching());
    let mut foreign = create.clone();
    foreign["principal"]["issuer"] = "https://other.demo.test".into();
    assert_eq!(job.server.err(&foreign)["reason"], "policy");
    job.server.ok(&create);
}
