//! Twenty times SIGKILL in the middle of work: what was acknowledged is there, and nothing more.

use crate::crashes::{report_of, verify_chain};
use crate::job::{
    Job, Leg, SERVER, Task, WORKER, build, check_op, report_op, start_op, step_op, text,
};
use crate::node::{Actor, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

const ROUNDS: u64 = 20;

/// The client and the server of other, short tasks.
struct Load {
    client: Actor,
    server: Actor,
    peer: String,
    made: u64,
    /// Every acknowledged task with its last acknowledged state.
    acknowledged: BTreeMap<String, &'static str>,
    /// A cancel that was asked for and not acknowledged: either state is right.
    in_doubt: Vec<String>,
}

/// The long task, its worker and its tool.
struct Long {
    worker: Actor,
    tool: Actor,
    leg: Leg,
    /// The next step to be done.
    step: u64,
    /// How often each step took effect.
    effects: BTreeMap<u64, u32>,
    /// The answer to the last check, while its report is not acknowledged.
    unreported: Option<Value>,
    /// The last token that the tool was shown.
    last_token: String,
}

impl Load {
    /// Makes tasks, and cancels every other one, until the agent is gone.
    fn run(&mut self, acknowledged: &AtomicU64) {
        while self.one().is_some() {
            acknowledged.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn one(&mut self) -> Option<()> {
        self.made += 1;
        let handle = format!(
            "{:032x}",
            u128::from(self.made) * 0x9e37_79b9_7f4a_7c15_f39c_c060
        );
        let handle = handle.replace('0', "g");
        let token = acked(self.client.call(&json!({
            "op": "issue_create", "request_id": handle, "hand": "load", "call": build(),
            "asked": [], "performers": [WORKER],
        })))?;
        let created = acked(self.server.call(&json!({
            "op": "create", "token": token["token"], "peer": self.peer, "call": build(),
            "handle": handle,
        })))?;
        let id = text(&created, "task_id");
        self.acknowledged.insert(id.clone(), "working");
        if self.made.is_multiple_of(2) {
            let token = acked(self.client.call(&json!({
                "op": "issue_cancel", "request_id": handle, "hand": "load", "server": SERVER,
                "handle": handle,
            })))?;
            self.in_doubt.push(id.clone());
            let answer = acked(self.server.call(&json!({
                "op": "check_cancel", "token": token["token"], "peer": self.peer,
                "handle": handle,
            })))?;
            assert_eq!(answer["answer"], "fresh", "{answer}");
            self.in_doubt.pop();
            self.acknowledged.insert(id, "cancelled");
        }
        Some(())
    }

    /// Nothing acknowledged is lost or revived.
    fn verify(&mut self) {
        for (id, state) in &mut self.acknowledged {
            let view = self.server.ok(&json!({ "op": "get", "task_id": id }));
            let now = text(&view, "state");
            if self.in_doubt.contains(id) && now == "cancelled" {
                *state = "cancelled";
            }
            assert_eq!(now, *state, "task {id}");
        }
        self.in_doubt.clear();
    }
}

impl Long {
    /// One step after another until the agent is gone.
    fn run(&mut self, acknowledged: &AtomicU64) {
        while self.one().is_some() {
            acknowledged.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn one(&mut self) -> Option<()> {
        let issued = acked(self.worker.call(&step_op(&self.leg, self.step)))?;
        let token = text(&issued, "token");
        assert!(
            !token.is_empty(),
            "step {} was done twice: {issued}",
            self.step
        );
        self.last_token.clone_from(&token);
        let fresh = acked(self.tool.call(&check_op(&self.leg, &token)))?;
        assert_eq!(fresh["answer"], "fresh", "{fresh}");
        *self.effects.entry(self.step).or_default() += 1;
        self.unreported = Some(fresh.clone());
        acked(self.tool.call(&report_op(&fresh, "done")))?;
        self.unreported = None;
        self.step += 1;
        Some(())
    }

    /// The worker takes its leg up again; its twin cannot, before and after.
    fn take_up(&mut self, twin: &mut Actor) {
        let start = start_op(&self.leg.task, "worker");
        let refused = twin.err(&start);
        assert_eq!(refused["reason"], "held", "{refused}");
        let started = self.worker.ok(&start);
        assert_eq!(started["leg"], self.leg.number);
        let fence = started["fence"].as_u64().unwrap();
        assert!(fence > self.leg.fence, "{started}");
        self.leg.fence = fence;
        assert_eq!(twin.err(&start)["reason"], "held");
        // What was acknowledged as done is done.
        if self.step > 1 {
            let done = self.worker.ok(&step_op(&self.leg, self.step - 1));
            assert_eq!(done["state"], "done", "{done}");
        }
        match self.unreported.take() {
            // The tool knows that it acted; its report may or may not have arrived.
            Some(fresh) => {
                assert_eq!(self.tool.ok(&report_op(&fresh, "done"))["state"], "done");
                self.step += 1;
            }
            // A check without an answer: nothing was done, and nobody but the tool knows.
            None => self.resolve(),
        }
    }

    fn resolve(&mut self) {
        let answer = self.worker.call(&step_op(&self.leg, self.step));
        if answer["err"]["reason"] == "step_unknown" {
            let token = self.last_token.clone();
            let report = report_of(&self.leg.task, &token, "not_done");
            assert_eq!(self.tool.ok(&report)["state"], "not_done");
        }
    }
}

/// What the agent acknowledged; `None` where it is gone. Anything else fails the test.
fn acked(mut answer: Value) -> Option<Value> {
    if let Some(ok) = answer.get_mut("ok") {
        return Some(ok.take());
    }
    let code = answer["err"]["code"].as_str().unwrap_or_default();
    assert!(
        matches!(code, "Unavailable" | "Unknown" | "Cancelled"),
        "{answer}"
    );
    None
}

#[test]
fn killed_twenty_times_nothing_acknowledged_is_lost_and_nothing_is_revived() {
    let mut job = Job::start();
    let task: Task = job.create();
    let leg = job.start_leg(&task);
    let mut twin = job.node.actor_named("worker");
    twin.hand("worker");
    let mut client = job.node.actor_named("client");
    let peer = client.hand("load");
    let server = job.node.actor_named("server");
    let mut load = Load {
        client,
        server,
        peer,
        made: 0,
        acknowledged: BTreeMap::new(),
        in_doubt: Vec::new(),
    };
    let (worker, tool) = (
        job.node.actor_named("client"),
        job.node.actor_named("client"),
    );
    let mut long = Long {
        worker: std::mem::replace(&mut job.worker, worker),
        tool: std::mem::replace(&mut job.tool, tool),
        leg,
        step: 1,
        effects: BTreeMap::new(),
        unreported: None,
        last_token: String::new(),
    };
    for round in 0..ROUNDS {
        let acknowledged = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| load.run(&acknowledged));
            scope.spawn(|| long.run(&acknowledged));
            // A different moment in each round.
            until("work", || acknowledged.load(Ordering::SeqCst) > round % 7);
            job.node.kill_agent();
        });
        job.node.start_agent();
        long.take_up(&mut twin);
        load.verify();
    }
    long.one().expect("the worker finishes what it began");
    let ended = long.worker.ok(&json!({
        "op": "end", "task_id": task.id, "leg": long.leg.number, "outcome": "completed",
        "request_id": "end",
    }));
    assert_eq!(ended["state"], "completed");
    assert!(
        long.effects.values().all(|effects| *effects == 1),
        "{:?}",
        long.effects
    );
    let steps: Vec<u64> = long.effects.keys().copied().collect();
    assert_eq!(steps, (1..long.step).collect::<Vec<u64>>());
    verify_chain(&mut job);
    load.verify();
}
