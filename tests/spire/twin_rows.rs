//! One row for every method: its twins fail, then the original succeeds with the same call.

use crate::actor::{Actor, No};
use crate::cast::{
    Cast, Leg, SERVER, Step, TOOL, Task, call, end, hold, issue, issue_name, report_as, start,
};
use crate::person::{Provider, nonce};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Tries each call as the twins first, then as the original, and remembers which were tried.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) tried: BTreeSet<String>,
}

impl Table {
    pub(crate) fn row(
        &mut self,
        rpc: &str,
        (twins, original): (&mut [Actor], &mut Actor),
        ask: &dyn Fn(&mut Actor) -> Result<Value, No>,
    ) -> Value {
        for twin in twins {
            let no = decided(ask(twin)).expect_err(rpc);
            assert!(
                no.reason == "unknown_task" || no.reason == "workload_row",
                "{rpc}: {no:?}"
            );
        }
        self.tried.insert(rpc.to_owned());
        decided(ask(original)).unwrap_or_else(|no| panic!("the original, {rpc}: {no:?}"))
    }
}

/// `Check` answers a no with OK.
fn decided(answer: Result<Value, No>) -> Result<Value, No> {
    let answer = answer?;
    if answer["answer"] == "denied" {
        let reason = answer["reason"].as_str().unwrap_or_default().to_owned();
        return Err(No {
            code: "Ok".to_owned(),
            reason,
        });
    }
    Ok(answer)
}

/// Every method that a workload may call: `Service.Method`.
pub(crate) fn methods() -> BTreeSet<String> {
    let proto = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/handfast/v1/handfast.proto"),
    )
    .expect("the proto");
    let (mut service, mut methods) = ("", BTreeSet::new());
    for line in proto.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("service"), Some(name)) => service = name,
            (Some("rpc"), Some(rest)) => {
                let name = rest.split('(').next().unwrap_or_default();
                methods.insert(format!("{service}.{name}"));
            }
            _ => {}
        }
    }
    methods.retain(|name| !name.starts_with("Operator.") && !name.starts_with("Self."));
    methods
}

/// The calls of an MCP server, about a task and about one that ends here.
pub(crate) fn servers_calls(
    table: &mut Table,
    twins: &mut [Actor],
    cast: &mut Cast,
    (create_token, task, finished): (&Value, &Task, &Task),
) {
    for (op, check) in [
        ("issue_query", "check_query"),
        ("issue_cancel", "check_cancel"),
    ] {
        let token = issue_name(&mut cast.owner, op, task).expect("a token");
        let ask = json!({
            "token": token, "peer": cast.owner_certificate, "handle": task.handle,
        });
        let pair = (&mut *twins, &mut cast.server);
        table.row("Enforcement.Check", pair, &|server| {
            server.ask(check, ask.clone())
        });
    }
    // The create token again: only the server that registered the task gets it once more.
    let again = json!({
        "request_id": "again", "token": create_token, "peer": cast.owner_certificate,
        "handle": task.handle, "call": call(SERVER, "report"),
    });
    for (rpc, op, ask) in [
        ("Tasks.Create", "create", again),
        ("Tasks.Get", "get", json!({ "task_id": task.id })),
        (
            "Tasks.RequireInput",
            "require_input",
            json!({ "task_id": finished.id, "keys": ["amount"] }),
        ),
        ("Tasks.Watch", "watch", json!({ "task_id": finished.id })),
        (
            "Tasks.Finish",
            "finish",
            json!({ "task_id": finished.id, "request_id": "finish" }),
        ),
    ] {
        let pair = (&mut *twins, &mut cast.server);
        table.row(rpc, pair, &|server| server.ask(op, ask.clone()));
    }
}

/// The calls of a leg's holder. Gives a step of a second leg.
pub(crate) fn workers_calls(
    table: &mut Table,
    (task, leg): (&Task, &Leg),
    (twins, worker): (&mut [Actor], &mut Actor),
) -> Step {
    let done = |()| json!({});
    table.row("Legs.Hold", (twins, worker), &|worker| {
        hold(worker, leg).map(done)
    });
    table.row("Legs.Issue", (twins, worker), &|worker| {
        issue(worker, leg, 1).map(|_step| json!({}))
    });
    table.row("Legs.End", (twins, worker), &|worker| {
        end(worker, leg, "yielded")
    });
    table.row("Legs.Start", (twins, worker), &|worker| {
        start(worker, task).map(|_leg| json!({}))
    });
    // Taken up again, for a certificate that is known here.
    let leg = start(worker, task).expect("re-attached");
    assert_eq!(leg.number, 2);
    issue(worker, &leg, 1).expect("a step's token")
}

/// The calls of an owner that hand a task over, take it back, and settle what nobody knows.
pub(crate) fn owners_calls(table: &mut Table, twins: &mut [Actor], cast: &mut Cast) {
    let asked = json!([{ "audience": TOOL, "tool": "export" }]);
    let (task, leg) = cast.leg("a55-handed-over", &asked);
    let step = issue(&mut cast.worker, &leg, 1).expect("a step's token");
    let fresh = cast.check(&step).expect("an answer");
    report_as(&mut cast.tool, &task.id, &fresh, "unknown").expect("a report");
    for (rpc, op) in [
        ("Legs.Delegate", "delegate"),
        ("Legs.RevokeDelegation", "revoke_delegation"),
        ("Legs.Resolve", "resolve"),
        ("Legs.Takeover", "take_over"),
    ] {
        let ask = json!({
            "server": SERVER, "handle": task.handle, "request_id": op, "number": 1,
            "to": TOOL, "acts": ["query"], "step": 1, "done": true,
        });
        let pair = (&mut *twins, &mut cast.owner);
        table.row(rpc, pair, &|owner| owner.ask(op, ask.clone()));
    }
}

/// The call by which a task fans out.
pub(crate) fn spawners_call(table: &mut Table, twins: &mut [Actor], cast: &mut Cast) {
    let part = json!({ "audience": SERVER, "tool": "part" });
    let asked = json!({ "permissions": [part], "children": 1, "depth": 1 });
    let (task, leg) = cast.leg("a55-fans-out", &asked);
    let ask = json!({
        "task_id": task.id, "leg": leg.number, "request_id": "spawn",
        "children": [{ "call": part, "asked": { "permissions": [] } }],
    });
    let pair = (twins, &mut cast.worker);
    let spawned = table.row("Legs.Spawn", pair, &|worker| {
        worker.ask("spawn", ask.clone())
    });
    assert_eq!(spawned["children"].as_array().map(Vec::len), Some(1));
}

/// The feed of what is revoked, and the word of a point that it has stopped.
pub(crate) fn points_calls(table: &mut Table, (twins, tool): (&mut [Actor], &mut Actor)) {
    let pair = (&mut *twins, &mut *tool);
    table.row("Enforcement.WatchRevocations", pair, &|tool| {
        tool.ask("watch_revocations", json!({}))
    });
    let opened = tool.event();
    assert_eq!(opened["event"], "opened", "{opened}");
    let ask = json!({
        "subscription": opened["subscription"], "sequence": opened["sequence"],
    });
    let pair = (twins, tool);
    table.row("Enforcement.AcknowledgeRevocations", pair, &|tool| {
        tool.ask("acknowledge", ask.clone())
    });
}

/// A step of this tool needs a person's consent: what [`approvers_calls`] is about.
pub(crate) const WANTS_CONSENT: &str = r#"
@id("wire-wants-consent")
forbid (principal, action in [Action::"step", Action::"retry"], resource)
when { resource.name == "wire" } unless { context.approved };
"#;

/// The calls of an approver, with a person's own word.
pub(crate) fn approvers_calls(
    table: &mut Table,
    (twins, approver): (&mut [Actor], &mut Actor),
    cast: &mut Cast,
    provider: &Provider,
) {
    let asked = json!([{ "audience": TOOL, "tool": "wire" }]);
    let (task, leg) = cast.leg("a55-asks-a-person", &asked);
    let step = json!({
        "task_id": task.id, "leg": leg.number, "step": 1, "call": call(TOOL, "wire"),
        "request_id": "wire",
    });
    let pending = cast.worker.must("issue_step", step.clone());
    assert_eq!(pending["state"], "pending_approval", "{pending}");
    let id = &pending["approval_id"];
    for (rpc, op) in [
        ("Approvals.List", "approval_list"),
        ("Approvals.Watch", "approval_watch"),
    ] {
        let pair = (&mut *twins, &mut *approver);
        table.row(rpc, pair, &|approver| approver.ask(op, json!({})));
    }
    let get = json!({ "approval_id": id });
    let pair = (&mut *twins, &mut *approver);
    let seen = table.row("Approvals.Get", pair, &|approver| {
        approver.ask("approval_get", get.clone())
    });
    let digest = seen["digest"].as_str().expect("a digest");
    let decide = json!({
        "approval_id": id, "digest": digest, "verdict": "approve",
        "id_token": provider.login("person-1", &nonce(digest)),
    });
    let pair = (twins, approver);
    let decided = table.row("Approvals.Decide", pair, &|approver| {
        approver.ask("approval_decide", decide.clone())
    });
    assert_eq!(decided["state"], "approved", "{decided}");
    let issued = cast.worker.must("issue_step", step);
    assert_eq!(issued["state"], "issued", "{issued}");
}
