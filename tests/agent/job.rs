//! The main job in pieces: one task of the client at the server, carried out by the worker with the tool.

use crate::node::{Actor, Node, Options};
use serde_json::{Value, json};

pub(crate) const SERVER: &str = "spiffe://demo.test/server";
pub(crate) const TOOL: &str = "spiffe://demo.test/tool";
pub(crate) const WORKER: &str = "spiffe://demo.test/worker";

/// Unguessable to everybody but the test.
pub(crate) const HANDLE: &str = "7q2mZr0Yt5kW9xB3vN8sLd4h";

/// The call that the client makes at the server.
pub(crate) fn build() -> Value {
    json!({ "audience": SERVER, "tool": "build_report", "arguments": { "year": 2026 } })
}

/// The call that the worker makes at the tool.
pub(crate) fn export() -> Value {
    json!({ "audience": TOOL, "tool": "export", "arguments": { "table": "sales" } })
}

/// A node with one process for each role of the main job.
pub(crate) struct Job {
    pub(crate) node: Node,
    pub(crate) client: Actor,
    pub(crate) server: Actor,
    pub(crate) worker: Actor,
    pub(crate) tool: Actor,
}

/// A task as its parties know it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) handle: String,
    pub(crate) work_reference: String,
}

impl Task {
    /// What the server is answered to `create`, under the handle that it gave.
    pub(crate) fn created(answer: &Value, handle: &str) -> Self {
        Self {
            id: text(answer, "task_id"),
            handle: handle.to_owned(),
            work_reference: text(answer, "work_reference"),
        }
    }
}

/// A leg as its worker knows it.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) task: Task,
    pub(crate) number: u64,
    pub(crate) fence: u64,
    /// The certificate, in hexadecimal.
    pub(crate) certificate: String,
}

pub(crate) fn text(value: &Value, name: &str) -> String {
    let member = value[name].as_str();
    member
        .unwrap_or_else(|| panic!("no `{name}` in {value}"))
        .to_owned()
}

impl Job {
    pub(crate) fn start() -> Self {
        Self::with(&Options::default())
    }

    pub(crate) fn with(options: &Options) -> Self {
        let node = Node::start(options);
        let mut job = Self {
            client: node.actor_named("client"),
            server: node.actor_named("server"),
            worker: node.actor_named("worker"),
            tool: node.actor_named("tool"),
            node,
        };
        job.client.hand("client");
        job.worker.hand("worker");
        job
    }

    /// The client's token for `build_report`, with leave for one `export`.
    pub(crate) fn create_token(&mut self, request_id: &str) -> String {
        let issued = self.client.ok(&json!({
            "op": "issue_create", "request_id": request_id, "hand": "client", "call": build(),
            "asked": [{ "audience": TOOL, "tool": "export" }], "performers": [WORKER],
        }));
        text(&issued, "token")
    }

    /// The certificate of the client's connection to the server, in hexadecimal.
    pub(crate) fn client_certificate(&mut self) -> String {
        let again = self
            .client
            .ok(&json!({ "op": "certificate", "name": "client" }));
        text(&again, "certificate")
    }

    /// What the server sends to register a task.
    pub(crate) fn create_op(&mut self, request_id: &str, handle: &str) -> Value {
        let token = self.create_token(request_id);
        let peer = self.client_certificate();
        json!({ "op": "create", "token": token, "peer": peer, "call": build(), "handle": handle })
    }

    /// A task of the client that the worker may carry out.
    pub(crate) fn create(&mut self) -> Task {
        self.create_as(HANDLE)
    }

    pub(crate) fn create_as(&mut self, handle: &str) -> Task {
        let op = self.create_op(&format!("create {handle}"), handle);
        Task::created(&self.server.ok(&op), handle)
    }

    /// The worker takes the task up, with the certificate `worker`.
    pub(crate) fn start_leg(&mut self, task: &Task) -> Leg {
        let started = self.worker.ok(&start_op(task, "worker"));
        let certificate = self
            .worker
            .ok(&json!({ "op": "certificate", "name": "worker" }));
        Leg {
            task: task.clone(),
            number: started["leg"].as_u64().unwrap(),
            fence: started["fence"].as_u64().unwrap(),
            certificate: text(&certificate, "certificate"),
        }
    }

    /// A token for `export` as this step.
    pub(crate) fn step_token(&mut self, leg: &Leg, step: u64) -> String {
        text(&self.worker.ok(&step_op(leg, step)), "token")
    }

    /// What the tool asks when it is called with this token by the leg's process.
    pub(crate) fn check(&mut self, leg: &Leg, token: &str) -> Value {
        self.tool.ok(&check_op(leg, token))
    }

    /// The client's token for a query or a cancel.
    pub(crate) fn owner_token(&mut self, operation: &str, handle: &str) -> String {
        let issued = self.client.ok(&json!({
            "op": format!("issue_{operation}"), "request_id": operation, "hand": "client",
            "server": SERVER, "handle": handle,
        }));
        text(&issued, "token")
    }

    /// What the server asks about such a token.
    pub(crate) fn owner_op(&mut self, operation: &str, handle: &str) -> Value {
        let token = self.owner_token(operation, handle);
        let peer = self.client_certificate();
        json!({
            "op": format!("check_{operation}"), "token": token, "peer": peer, "handle": handle,
        })
    }

    /// The client asks for a query or cancel token, and its server checks it.
    pub(crate) fn owner(&mut self, operation: &str, handle: &str) -> Value {
        let op = self.owner_op(operation, handle);
        self.server.ok(&op)
    }
}

pub(crate) fn start_op(task: &Task, hand: &str) -> Value {
    json!({
        "op": "start", "work_reference": task.work_reference, "hand": hand, "request_id": "start",
    })
}

pub(crate) fn step_op(leg: &Leg, step: u64) -> Value {
    json!({
        "op": "issue_step", "task_id": leg.task.id, "leg": leg.number, "step": step,
        "call": export(), "request_id": format!("step {step}"),
    })
}

pub(crate) fn check_op(leg: &Leg, token: &str) -> Value {
    json!({ "op": "check_step", "token": token, "peer": leg.certificate, "call": export() })
}

/// What a tool reports of the effect that a `fresh` answer permitted.
pub(crate) fn report_op(fresh: &Value, outcome: &str) -> Value {
    json!({
        "op": "report", "task_id": fresh["task"]["task_id"], "step": fresh["step"]["step"],
        "fence": fresh["step"]["fence"], "jti": fresh["step"]["jti"], "outcome": outcome,
    })
}

pub(crate) fn end_op(leg: &Leg, outcome: &str) -> Value {
    json!({
        "op": "end", "task_id": leg.task.id, "leg": leg.number, "outcome": outcome,
        "request_id": "end",
    })
}

/// The one answer to whoever has no role, whatever there is.
pub(crate) fn assert_unknown(err: &Value) {
    assert_eq!(
        (&err["code"], &err["reason"], &err["message"]),
        (
            &json!("PermissionDenied"),
            &json!("unknown_task"),
            &json!("unknown task")
        ),
        "{err}"
    );
}
