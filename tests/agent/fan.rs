//! A task that fans out: the worker spawns children, spends them at the same server, and carries them out.

use crate::job::{Job, Leg, SERVER, TOOL, Task, WORKER, export, text};
use crate::node::Options;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

/// What makes a child at the server.
pub(crate) fn part(number: u64) -> Value {
    json!({ "audience": SERVER, "tool": "build_part", "arguments": { "part": number } })
}

/// The grant of a task that may fan out: so many children over so many generations, and so many steps.
pub(crate) fn fanning(children: u64, depth: u64, uses: u64) -> Value {
    json!({
        "permissions": [
            { "audience": TOOL, "tool": "export" },
            { "audience": SERVER, "tool": "build_part" },
        ],
        "children": children, "depth": depth, "uses": uses,
    })
}

/// A child that may export, with so many steps.
pub(crate) fn child(uses: u64) -> Value {
    json!({
        "call": { "audience": SERVER, "tool": "build_part" },
        "asked": { "permissions": [{ "audience": TOOL, "tool": "export" }], "uses": uses },
    })
}

pub(crate) fn spawn_op(leg: &Leg, request_id: &str, children: &[Value]) -> Value {
    json!({
        "op": "spawn", "task_id": leg.task.id, "leg": leg.number, "request_id": request_id,
        "children": children,
    })
}

pub(crate) fn step_op(leg: &Leg, step: u64, call: &Value) -> Value {
    json!({
        "op": "issue_step", "task_id": leg.task.id, "leg": leg.number, "step": step, "call": call,
        "request_id": format!("step {step}"),
    })
}

/// The worker asks for the create token of a child.
pub(crate) fn spend_op(child: &str, call: &Value) -> Value {
    json!({
        "op": "issue_create", "request_id": format!("spend {child}"), "hand": "spender",
        "call": call, "child": child,
    })
}

/// A job whose worker fans out.
pub(crate) struct Fan {
    pub(crate) job: Job,
}

impl Fan {
    pub(crate) fn start() -> Self {
        Self::with(&Options::default())
    }

    pub(crate) fn with(options: &Options) -> Self {
        Self::of(Job::with(options))
    }

    /// Goes on with a job that is there.
    pub(crate) fn of(mut job: Job) -> Self {
        job.worker.hand("spender");
        Self { job }
    }

    /// One that no task has yet, on any node of these tests.
    pub(crate) fn handle() -> String {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::SeqCst);
        format!("5rT8mQz2Lk6wX0cV4nB7{number:04}")
    }

    /// A task of the client with this grant, and the worker's leg on it.
    pub(crate) fn root(&mut self, asked: &Value) -> Leg {
        self.root_for(asked, None)
    }

    /// The same for a user, of whom the server has seen a token.
    pub(crate) fn root_for(&mut self, asked: &Value, user: Option<(&str, &str)>) -> Leg {
        let handle = Self::handle();
        let call = crate::job::build();
        let issued = self.job.client.ok(&json!({
            "op": "issue_create", "request_id": handle, "hand": "client", "call": call,
            "asked": asked, "performers": [WORKER],
        }));
        let peer = self.job.client_certificate();
        let task = self.register((&text(&issued, "token"), &peer), &call, &handle, user);
        self.job.start_leg(&task)
    }

    /// The server registers a task with this token.
    fn register(
        &mut self,
        (token, peer): (&str, &str),
        call: &Value,
        handle: &str,
        user: Option<(&str, &str)>,
    ) -> Task {
        let mut create = json!({
            "op": "create", "token": token, "peer": peer, "call": call, "handle": handle,
            "performers": [WORKER],
        });
        if let Some((issuer, subject)) = user {
            create["principal"] = json!({ "issuer": issuer, "subject": subject });
        }
        let created = self.job.server.ok(&create);
        Task::created(&created, handle)
    }

    /// Spawns children of this leg's task.
    pub(crate) fn spawn(&mut self, leg: &Leg, request_id: &str, children: &[Value]) -> Vec<String> {
        let spawned = self.job.worker.ok(&spawn_op(leg, request_id, children));
        let ids = spawned["children"].as_array().unwrap();
        ids.iter()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect()
    }

    /// What the server sends to make a task of this child.
    pub(crate) fn create_op(&mut self, child: &str, call: &Value) -> Value {
        let issued = self.job.worker.ok(&spend_op(child, call));
        let handle = Self::handle();
        let peer = self.spender_certificate();
        json!({
            "op": "create", "token": issued["token"], "peer": peer, "call": call,
            "handle": handle, "performers": [WORKER],
        })
    }

    pub(crate) fn spender_certificate(&mut self) -> String {
        let shown = json!({ "op": "certificate", "name": "spender" });
        text(&self.job.worker.ok(&shown), "certificate")
    }

    /// Spends a child: the worker asks, the server registers, the worker takes it up.
    pub(crate) fn spend(&mut self, child: &str, call: &Value) -> Leg {
        let op = self.create_op(child, call);
        let created = self.job.server.ok(&op);
        assert_eq!(created["task_id"], child);
        let task = Task::created(&created, &text(&op, "handle"));
        self.job.start_leg(&task)
    }

    /// One step at the tool, checked by it.
    pub(crate) fn step(&mut self, leg: &Leg, step: u64) -> Value {
        let token = self.job.worker.ok(&step_op(leg, step, &export()));
        let checked = self.job.check(leg, &text(&token, "token"));
        assert_eq!(checked["answer"], "fresh", "{checked}");
        let report = crate::job::report_op(&checked, "done");
        self.job.tool.ok(&report);
        checked
    }
}
