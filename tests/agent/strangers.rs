//! A valid SVID and a stolen name: neither of them is a role.

use crate::job::{
    Job, SERVER, TOOL, Task, WORKER, assert_unknown, build, check_op, end_op, export, report_op,
    start_op, step_op, text,
};
use crate::node::{Options, Role, Row};
use serde_json::{Value, json};

#[test]
fn one_task_from_create_to_complete() {
    let mut job = Job::start();
    let task = job.create();
    assert_eq!(job.owner("query", &task.handle)["task"]["state"], "working");
    let leg = job.start_leg(&task);
    let held = job
        .worker
        .ok(&json!({ "op": "hold", "task_id": task.id, "leg": leg.number }));
    assert_eq!(job.worker.event()["stream"], held["stream"]);
    let token = job.step_token(&leg, 1);
    let fresh = job.check(&leg, &token);
    assert_eq!(fresh["answer"], "fresh", "{fresh}");
    assert_eq!(job.check(&leg, &token)["answer"], "repeat");
    assert_eq!(job.tool.ok(&report_op(&fresh, "done"))["state"], "done");
    let got = job.server.ok(&json!({ "op": "get", "task_id": task.id }));
    assert_eq!(got["leg_live"], true, "{got}");
    let ended = job.worker.ok(&end_op(&leg, "completed"));
    assert_eq!(ended["state"], "completed");
    assert_eq!(job.worker.event()["notice"]["kind"], "finished");
    assert_eq!(
        job.owner("query", &task.handle)["task"]["state"],
        "completed"
    );
    assert_eq!(job.node.stop_agent(), Some(0), "{}", job.node.log());
}

/// Everything that somebody with stolen names may try, by its kind.
fn attempts(task: &Task, leg: u64) -> Vec<Value> {
    let owner = |op: &str| {
        json!({
            "op": op, "request_id": op, "hand": "own", "server": SERVER, "handle": task.handle,
        })
    };
    let (id, reference) = (&task.id, &task.work_reference);
    vec![
        owner("issue_query"),
        owner("issue_cancel"),
        json!({ "op": "start", "work_reference": reference, "hand": "own", "request_id": "s" }),
        json!({
            "op": "issue_step", "task_id": id, "leg": leg, "step": 1, "call": export(),
            "request_id": "i",
        }),
        json!({ "op": "hold", "task_id": id, "leg": leg }),
        json!({
            "op": "end", "task_id": id, "leg": leg, "outcome": "completed", "request_id": "e",
        }),
        json!({ "op": "get", "task_id": id }),
        json!({ "op": "finish", "task_id": id, "completed": true, "request_id": "f" }),
    ]
}

#[test]
fn a01_stolen_names_open_nothing() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let mut thief = job.node.actor_named("thief");
    thief.hand("own");
    for op in attempts(&task, leg.number) {
        let refused = thief.err(&op);
        assert_unknown(&refused);
        let truth = job.node.explain(&text(&refused, "decision_id"));
        assert_eq!(truth["reason"], "no_role", "{op}");
        assert_eq!(truth["pid"], thief.pid(), "{op}");
    }
    // Nothing of it had an effect, and each is open to whom it belongs.
    assert_eq!(job.owner("query", &task.handle)["task"]["state"], "working");
    let token = job.step_token(&leg, 1);
    assert_eq!(job.check(&leg, &token)["answer"], "fresh");
    let got = job.server.ok(&json!({ "op": "get", "task_id": task.id }));
    assert_eq!(got["leg_live"], true);
    assert_eq!(job.owner("cancel", &task.handle)["answer"], "fresh");
}

#[test]
fn a01_thief_as_server_learns_nothing_from_a_handle() {
    let mut job = Job::start();
    let task = job.create();
    let token = job.owner_token("query", &task.handle);
    let peer = job.client_certificate();
    let op = json!({
        "op": "check_query", "token": token, "peer": peer, "handle": task.handle,
    });
    let denied = job.node.actor_named("thief").ok(&op);
    assert_eq!(denied["reason"], "unknown_task", "{denied}");
    assert_eq!(job.server.ok(&op)["answer"], "read");
}

#[test]
fn a11_broad_service_account_gets_no_foreign_task() {
    let mut options = Options::default();
    options.roles.push(Role::new("broad", 30_006, Row::Uid));
    let mut job = Job::with(&options);
    let foreign = job.create();
    let mut broad = job.node.actor_named("broad");
    broad.hand("own");
    assert_unknown(&broad.err(&start_op(&foreign, "own")));
    // It cannot even ask which tasks there are.
    for method in ["ListTasks", "ShowTask"] {
        let op = json!({ "op": "raw", "path": format!("/handfast.v1.Operator/{method}") });
        assert_eq!(broad.err(&op)["code"], "Unimplemented");
    }
    // Named by the owner, the very same process may.
    let issued = job.client.ok(&json!({
        "op": "issue_create", "request_id": "broad", "hand": "client", "call": build(),
        "asked": [{ "audience": TOOL, "tool": "export" }],
        "performers": ["spiffe://demo.test/broad"],
    }));
    let peer = job.client_certificate();
    let created = job.server.ok(&json!({
        "op": "create", "token": issued["token"], "peer": peer, "call": build(),
        "handle": "uQ3nV8rT1yW6zK0cF5hJ9pXb",
    }));
    let own = Task {
        work_reference: text(&created, "work_reference"),
        ..foreign.clone()
    };
    broad.ok(&start_op(&own, "own"));
    assert_unknown(&job.worker.err(&start_op(&own, "worker")));
    job.worker.ok(&start_op(&foreign, "worker"));
}

#[test]
fn a12_tool_refuses_a_call_without_a_token() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let complete = check_op(&leg, &token);
    for missing in ["token", "peer", "call"] {
        let mut op = complete.clone();
        op.as_object_mut().unwrap().remove(missing);
        assert_eq!(job.tool.err(&op)["code"], "InvalidArgument", "{missing}");
    }
    let mut forged = complete.clone();
    forged["token"] = token.split_at(token.len() / 2).0.into();
    assert_eq!(job.tool.ok(&forged)["reason"], "token_invalid");
    assert_eq!(job.tool.ok(&complete)["answer"], "fresh");
}

#[test]
fn a42_headers_and_arguments_say_nothing_about_the_caller() {
    let mut job = Job::start();
    let task = job.create();
    let mut thief = job.node.actor_named("thief");
    let own = thief.hand("own");
    let headers = json!({
        "x-forwarded-client-cert": format!("URI={WORKER}"),
        "x-spiffe-id": WORKER,
        "x-forwarded-for": "127.0.0.1",
        "forwarded": "for=127.0.0.1",
        "authorization": "Bearer worker",
        "client-cert": ":AAAA:",
        "x-remote-user": "root",
        "uid": "0",
    });
    let forged = |mut op: Value| {
        op["headers"] = headers.clone();
        op
    };
    assert_unknown(&thief.err(&forged(start_op(&task, "own"))));
    let seen = thief.ok(&forged(json!({ "op": "whoami" })));
    assert_eq!(seen["spiffe_ids"], json!(["spiffe://demo.test/thief"]));
    assert_eq!(seen["pid"], thief.pid());
    // Arguments that name somebody else make nobody else the owner.
    let mut call = build();
    call["arguments"] = json!({ "identity": "spiffe://demo.test/client", "uid": 0 });
    let issued = thief.ok(&forged(json!({
        "op": "issue_create", "request_id": "as client", "hand": "own", "call": call,
        "asked": [], "performers": [WORKER],
    })));
    let handle = "uQ3nV8rT1yW6zK0cF5hJ9pXb";
    job.server.ok(&json!({
        "op": "create", "token": issued["token"], "peer": own, "call": call, "handle": handle,
    }));
    let query = thief.ok(&json!({
        "op": "issue_query", "request_id": "q", "hand": "own", "server": SERVER, "handle": handle,
    }));
    let read = job.server.ok(&json!({
        "op": "check_query", "token": query["token"], "peer": own, "handle": handle,
    }));
    assert_eq!(read["task"]["owner"], "spiffe://demo.test/thief");
    // Nor do forged headers take anything from the one who may.
    let mut start = start_op(&task, "worker");
    start["headers"] = json!({ "x-forwarded-client-cert": "URI=spiffe://demo.test/thief" });
    let leg = job.worker.ok(&start);
    assert_eq!(leg["leg"], 1);
    let mut leg = job.start_leg(&task);
    leg.task = task;
    job.worker.ok(&step_op(&leg, 1));
}
