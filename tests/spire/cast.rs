//! The four roles of a task, each in a process of its own, and what they do with it.

use crate::actor::{Actor, No};
use crate::world::{World, number};
use serde_json::{Value, json};

pub(crate) const SERVER: &str = "spiffe://example.org/server";
pub(crate) const TOOL: &str = "spiffe://example.org/tool";

/// Owner, server, worker and tool of the tasks of one test.
pub(crate) struct Cast {
    pub(crate) owner: Actor,
    pub(crate) server: Actor,
    pub(crate) worker: Actor,
    pub(crate) tool: Actor,
    pub(crate) owner_certificate: Value,
}

/// A task that was registered.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) work_reference: String,
    pub(crate) handle: String,
}

/// A leg, as its holder knows it.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) task: String,
    pub(crate) number: u64,
    pub(crate) fence: u64,
    pub(crate) certificate: Value,
}

/// A token for a step, and the certificate of the connection it goes over.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    token: Value,
    certificate: Value,
}

impl Cast {
    /// Starts all four and waits until SPIRE knows them.
    pub(crate) fn start(world: &World) -> Self {
        let actor = |role| Actor::start(world, role, number(role));
        let mut owner = actor("owner");
        let owner_certificate = owner.hand("o");
        let mut cast = Self {
            owner,
            server: actor("server"),
            worker: actor("worker"),
            tool: actor("tool"),
            owner_certificate,
        };
        for actor in [
            &mut cast.owner,
            &mut cast.server,
            &mut cast.worker,
            &mut cast.tool,
        ] {
            wait_until_known(world, actor);
        }
        cast
    }

    /// The owner asks for a token that lets the server make a task.
    pub(crate) fn ask_create(&mut self, name: &str) -> Result<Value, No> {
        ask_create_by(&mut self.owner, name)
    }

    /// The server registers the task.
    pub(crate) fn register(&mut self, name: &str, token: &Value) -> Result<Task, No> {
        let handle = format!("{name}-0123456789abcdef0123456789abcdef");
        let answer = self.server.ask(
            "create",
            json!({
                "request_id": name, "token": token, "peer": self.owner_certificate, "handle": handle,
                "call": call(SERVER, "report"),
            }),
        )?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Ok(Task {
            id: text("task_id"),
            work_reference: text("work_reference"),
            handle,
        })
    }

    /// A task, asked for and registered.
    pub(crate) fn create(&mut self, name: &str) -> Task {
        let token = self.ask_create(name).expect("a create token");
        self.register(name, &token).expect("a task")
    }

    /// A task with this grant, and the worker's leg on it.
    pub(crate) fn leg(&mut self, name: &str, asked: &Value) -> (Task, Leg) {
        let token = ask_create_with(&mut self.owner, name, asked).expect("a create token");
        let task = self.register(name, &token).expect("a task");
        let leg = start(&mut self.worker, &task).expect("a leg");
        (task, leg)
    }

    /// The tool asks whether the step may take effect; gives `fresh`, `repeat`, `read` or the denial's reason.
    pub(crate) fn check(&mut self, step: &Step) -> Result<Value, No> {
        check_by(&mut self.tool, step)
    }

    /// A whole step of the worker's leg: token, `fresh`, `done`.
    pub(crate) fn effect(&mut self, leg: &Leg, number: u64) {
        let step = issue(&mut self.worker, leg, number).expect("a step's token");
        let fresh = self.check(&step).expect("an answer");
        assert_eq!(fresh["answer"], "fresh", "{fresh}");
        let report = report_by(&mut self.tool, &leg.task, &fresh).expect("a report");
        assert_eq!(report["state"], "done");
    }

    /// The owner asks for a query token, and the server whether it is good.
    pub(crate) fn query(&mut self, task: &Task) -> Result<Value, No> {
        let token = issue_name(&mut self.owner, "issue_query", task)?;
        self.check_name("check_query", task, &token)
    }

    /// The server asks whether the owner's token is good for this operation.
    pub(crate) fn check_name(&mut self, op: &str, task: &Task, token: &Value) -> Result<Value, No> {
        let check =
            json!({ "token": token, "peer": self.owner_certificate, "handle": task.handle });
        self.server.ask(op, check)
    }
}

/// Waits until SPIRE knows this process.
pub(crate) fn wait_until_known(world: &World, actor: &mut Actor) {
    world.wait_for("an entry", || {
        let me = actor.must("whoami", json!({}));
        (me["assurance"] == "process").then_some(())
    });
}

/// Somebody asks for a token that lets the server make a task.
pub(crate) fn ask_create_by(owner: &mut Actor, name: &str) -> Result<Value, No> {
    ask_create_with(
        owner,
        name,
        &json!([{ "audience": TOOL, "tool": "export" }]),
    )
}

/// As [`ask_create_by`], for a task with this grant.
fn ask_create_with(owner: &mut Actor, name: &str, asked: &Value) -> Result<Value, No> {
    let ask = json!({
        "hand": "o", "request_id": name, "call": call(SERVER, "report"), "asked": asked,
        "performers": ["spiffe://example.org/worker"],
    });
    Ok(owner.ask("issue_create", ask)?["token"].take())
}

/// A call without arguments.
pub(crate) fn call(audience: &str, tool: &str) -> Value {
    json!({ "audience": audience, "tool": tool, "arguments": {} })
}

/// An owner asks for a query or cancel token.
pub(crate) fn issue_name(owner: &mut Actor, op: &str, task: &Task) -> Result<Value, No> {
    let ask = json!({
        "hand": "o", "server": SERVER, "handle": task.handle, "request_id": op,
    });
    Ok(owner.ask(op, ask)?["token"].take())
}

/// Starts a leg.
pub(crate) fn start(worker: &mut Actor, task: &Task) -> Result<Leg, No> {
    let certificate = worker.hand("w");
    let answer = worker.ask(
        "start",
        json!({ "work_reference": task.work_reference, "hand": "w", "request_id": "start" }),
    )?;
    Ok(Leg {
        task: task.id.clone(),
        number: answer["leg"].as_u64().expect("leg"),
        fence: answer["fence"].as_u64().expect("fence"),
        certificate,
    })
}

/// Asks for a step's token.
pub(crate) fn issue(worker: &mut Actor, leg: &Leg, number: u64) -> Result<Step, No> {
    let ask = json!({
        "task_id": leg.task, "leg": leg.number, "step": number, "call": call(TOOL, "export"),
        "request_id": format!("step-{number}-{}", leg.fence),
    });
    let mut answer = worker.ask("issue_step", ask)?;
    Ok(Step {
        token: answer["token"].take(),
        certificate: leg.certificate.clone(),
    })
}

/// Somebody asks about a step as its tool would.
pub(crate) fn check_by(tool: &mut Actor, step: &Step) -> Result<Value, No> {
    let check = json!({
        "token": step.token, "peer": step.certificate, "call": call(TOOL, "export"),
    });
    tool.ask("check_step", check)
}

/// Somebody reports that the effect happened, as its tool would.
pub(crate) fn report_by(tool: &mut Actor, task: &str, fresh: &Value) -> Result<Value, No> {
    report_as(tool, task, fresh, "done")
}

/// Somebody reports what became of the effect.
pub(crate) fn report_as(
    tool: &mut Actor,
    task: &str,
    fresh: &Value,
    outcome: &str,
) -> Result<Value, No> {
    let step = &fresh["step"];
    let report = json!({
        "task_id": task, "step": step["step"], "fence": step["fence"], "jti": step["jti"],
        "outcome": outcome,
    });
    tool.ask("report", report)
}

/// Opens a `Hold` stream and waits until it is up.
pub(crate) fn hold(worker: &mut Actor, leg: &Leg) -> Result<(), No> {
    worker.ask("hold", json!({ "task_id": leg.task, "leg": leg.number }))?;
    let said = worker.notice(std::time::Duration::from_secs(20));
    assert_eq!(said.as_deref(), Some("holding"));
    Ok(())
}

/// Ends a leg.
pub(crate) fn end(worker: &mut Actor, leg: &Leg, outcome: &str) -> Result<Value, No> {
    let end = json!({
        "task_id": leg.task, "leg": leg.number, "outcome": outcome, "request_id": "end",
    });
    worker.ask("end", end)
}
