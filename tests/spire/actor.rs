//! A workload in a process of its own, driven by JSON lines.

use crate::world::{Process, World, number};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// No answer takes longer on a working machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running actor: every method asks from within that process.
#[derive(Debug)]
pub(crate) struct Actor {
    process: Process,
    input: ChildStdin,
    answers: Receiver<Value>,
    events: Receiver<Value>,
}

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
        let mut child = world
            .command(&world.program("actor"), (user, number(role)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("actor");
        let input = child.stdin.take().expect("stdin");
        let output = BufReader::new(child.stdout.take().expect("stdout"));
        let ((answer, answers), (event, events)) = (channel(), channel());
        // Ends with the process.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                sort(&line, &answer, &event);
            }
        });
        Self {
            process: Process(child),
            input,
            answers,
            events,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Does one operation.
    pub(crate) fn ask(&mut self, op: &str, members: Value) -> Result<Value, No> {
        let mut members = members;
        members["op"] = op.into();
        writeln!(self.input, "{members}").expect("the actor reads");
        let mut answer = self.answers.recv_timeout(PATIENCE).expect("an answer");
        if let Some(ok) = answer.get_mut("ok") {
            return Ok(ok.take());
        }
        let text = |name| answer["err"][name].as_str().unwrap_or_default().to_owned();
        let no = No {
            code: text("code"),
            reason: text("reason"),
        };
        assert_ne!(no.code, "actor", "{members} gives {answer}");
        Err(no)
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

    /// The kind of the next notice of a `hold` stream, `ended`, or the code of its error.
    ///
    /// `None`: there is none within `wait`.
    pub(crate) fn notice(&self, wait: Duration) -> Option<String> {
        let event = match self.events.recv_timeout(wait) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => panic!("the actor is gone"),
        };
        let notice = &event["notice"];
        let said = [&notice["kind"], &notice["err"]["code"]];
        let said = said
            .into_iter()
            .find_map(|value| value.as_str())
            .unwrap_or("ended");
        Some(said.to_owned())
    }
}

fn sort(line: &str, answers: &Sender<Value>, events: &Sender<Value>) {
    let value: Value = serde_json::from_str(line).expect("JSON");
    // A test that has ended hears nothing more.
    drop(match value.get("event") {
        Some(event) => events.send(event.clone()),
        None => answers.send(value),
    });
}
