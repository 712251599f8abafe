//! A workload in a process of its own, and what it hears from the agent.

#[path = "../support/node_actor.rs"]
mod process;

use crate::world::{World, number};
use serde_json::{Value, json};
use std::time::Duration;

/// A running actor: every method asks from within that process.
pub(crate) struct Actor(process::Actor);

/// The agent's error: code, reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct No {
    pub(crate) code: String,
    pub(crate) reason: String,
}

impl No {
    pub(crate) fn is(&self, code: &str, reason: &str) -> bool {
        self.code == code && self.reason == reason
    }

    /// No decision was possible.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.is("Unavailable", "attestation_unavailable")
    }

    /// What whoever has no role hears.
    pub(crate) fn is_unknown_task(&self) -> bool {
        self.is("PermissionDenied", "unknown_task")
    }
}

impl Actor {
    /// Starts one under the group of a role, so that it gets the role's SVID, and under any user.
    pub(crate) fn start(world: &World, role: &str, user: u32) -> Self {
        let command = world.command(&world.program("actor"), (user, number(role)));
        Self(process::Actor::start(command, role))
    }

    /// Does one operation.
    pub(crate) fn ask(&mut self, op: &str, members: Value) -> Result<Value, No> {
        let mut members = members;
        members["op"] = op.into();
        let mut answer = self.0.call(&members);
        if let Some(ok) = answer.get_mut("ok") {
            return Ok(ok.take());
        }
        let text = |name| answer["err"][name].as_str().unwrap_or_default().to_owned();
        let (code, reason) = (text("code"), text("reason"));
        assert_ne!(code, "actor", "{members} gives {answer}");
        Err(No { code, reason })
    }

    /// As [`Actor::ask`], where nothing but a yes is expected.
    pub(crate) fn must(&mut self, op: &str, members: Value) -> Value {
        let asked = format!("{op} {members}");
        self.ask(op, members)
            .unwrap_or_else(|no| panic!("{asked}: {no:?}"))
    }

    /// Makes a key pair under a name and gives its certificate.
    pub(crate) fn hand(&mut self, name: &str) -> Value {
        self.must("hand", json!({ "name": name }))["certificate"].take()
    }

    /// The next notice of a stream, whole.
    pub(crate) fn event(&mut self) -> Value {
        self.0.event()["notice"].take()
    }

    /// The kind of the next notice of a `hold` stream, the code of its error, or `ended`.
    ///
    /// `None`: there is none within `wait`.
    pub(crate) fn notice(&mut self, wait: Duration) -> Option<String> {
        let event = self.0.event_within(wait)?;
        let notice = &event["notice"];
        let said = [&notice["kind"], &notice["err"]["code"]];
        let said = said
            .into_iter()
            .find_map(|value| value.as_str())
            .unwrap_or("ended");
        Some(said.to_owned())
    }
}
