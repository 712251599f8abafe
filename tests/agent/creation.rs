//! What a server may make of a create token, and under which name.

use crate::job::{HANDLE, Job, SERVER, TOOL, assert_unknown, build, export, step_op, text};
use crate::node::{Options, Role, Row};
use serde_json::{Value, json};

const OTHER_HANDLE: &str = "uQ3nV8rT1yW6zK0cF5hJ9pXb";

#[test]
fn a60_server_cannot_widen_what_the_owner_asked() {
    let mut options = Options::default();
    options.roles.push(Role::new("other", 30_006, Row::Uid));
    let mut job = Job::with(&options);
    let create = job.create_op("one", HANDLE);
    let with = |changes: Value| {
        let mut op = create.clone();
        for (name, value) in changes.as_object().unwrap() {
            op[name] = value.clone();
        }
        op
    };
    let mut other_tool = build();
    other_tool["tool"] = "drop_all".into();
    let mut other_arguments = build();
    other_arguments["arguments"] = json!({ "year": 1999 });
    let refused = [
        with(json!({ "call": other_tool })),
        with(json!({ "call": other_arguments })),
        with(json!({ "keep": [{ "audience": TOOL, "tool": "drop" }] })),
        with(json!({ "performers": ["spiffe://demo.test/other"] })),
        with(json!({ "performers": [crate::job::WORKER, "spiffe://demo.test/other"] })),
        with(json!({ "own": [{ "audience": "spiffe://elsewhere.test/x", "tool": "y" }] })),
    ];
    for op in refused {
        assert_eq!(job.server.err(&op)["code"], "PermissionDenied", "{op}");
    }
    // Refused attempts burned nothing, and the owner is who asked.
    let created = job.server.ok(&create);
    let read = job.owner("query", HANDLE);
    assert_eq!(read["task"]["task_id"], created["task_id"]);
    assert_eq!(read["task"]["owner"], "spiffe://demo.test/client");
    assert_eq!(read["task"]["server"], SERVER);
}

#[test]
fn a60_server_may_narrow() {
    let mut job = Job::start();
    let mut op = job.create_op("one", HANDLE);
    op["keep"] = json!([]);
    let created = job.server.ok(&op);
    let start = json!({
        "op": "start", "work_reference": created["work_reference"], "hand": "worker",
        "request_id": "s",
    });
    let started = job.worker.ok(&start);
    let step = json!({
        "op": "issue_step", "task_id": created["task_id"], "leg": started["leg"], "step": 1,
        "call": export(), "request_id": "i",
    });
    assert_eq!(job.worker.err(&step)["reason"], "grant");
    // The whole grant, where nothing was taken away.
    let task = job.create_as(OTHER_HANDLE);
    let leg = job.start_leg(&task);
    job.worker.ok(&step_op(&leg, 1));
}

#[test]
fn a60_one_create_token_is_one_task_at_one_server() {
    let mut options = Options::default();
    options.roles.push(Role::new("server-2", 30_006, Row::Uid));
    let mut job = Job::with(&options);
    let create = job.create_op("one", HANDLE);
    // Another server, as itself and as the first one.
    let mut second = job.node.actor_named("server-2");
    let mut as_itself = create.clone();
    as_itself["call"]["audience"] = "spiffe://demo.test/server-2".into();
    for op in [&create, &as_itself] {
        assert_unknown(&second.err(op));
    }
    // Another certificate on the connection.
    let mut copied = create.clone();
    copied["peer"] = second.hand("own").into();
    assert_eq!(job.server.err(&copied)["code"], "PermissionDenied");
    let created = job.server.ok(&create);
    job.owner("query", HANDLE);
    let mut again = create.clone();
    again["handle"] = OTHER_HANDLE.into();
    assert_eq!(job.server.err(&again)["reason"], "handle");
    assert_eq!(job.server.ok(&create)["task_id"], created["task_id"]);
}

#[test]
fn a61_handle_squatted_by_another_server_stays_free() {
    let mut options = Options::default();
    options.roles.push(Role::new("server-2", 30_006, Row::Uid));
    let mut job = Job::with(&options);
    let second_id = "spiffe://demo.test/server-2";
    let mut call = build();
    call["audience"] = second_id.into();
    let issued = job.client.ok(&json!({
        "op": "issue_create", "request_id": "squat", "hand": "client", "call": call, "asked": [],
    }));
    let peer = job.client_certificate();
    let squatted = job.node.actor_named("server-2").ok(&json!({
        "op": "create", "token": issued["token"], "peer": peer, "call": call, "handle": HANDLE,
    }));
    let task = job.create();
    assert_ne!(task.id, text(&squatted, "task_id"));
    assert_eq!(
        job.owner("query", HANDLE)["task"]["task_id"],
        task.id.as_str()
    );
    // At the same server the name is taken.
    let second = job.create_op("second", HANDLE);
    assert_eq!(job.server.err(&second)["reason"], "handle");
    let mut renamed = second;
    renamed["handle"] = OTHER_HANDLE.into();
    job.server.ok(&renamed);
    let weak = job.create_op("weak", "task-1");
    assert_eq!(job.server.err(&weak)["code"], "InvalidArgument");
}
