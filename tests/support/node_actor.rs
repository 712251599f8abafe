//! A workload of a [`Node`](super::Node): a process that asks the agent what the test tells it to.
//!
//! The one thing to know: answers come in the order of the questions; notices of open `hold` streams wait in
//! a queue of their own.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// The process; it ends with this value.
pub(crate) struct Actor {
    name: String,
    child: Child,
    questions: Option<ChildStdin>,
    answers: Receiver<Value>,
    events: Receiver<Value>,
}

impl Actor {
    pub(crate) fn start(mut command: Command, name: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (to_answers, answers) = channel();
        let (to_events, events) = channel();
        // Ends with the process.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let mut line: Value = serde_json::from_str(&line).unwrap();
                let sent = match line.get_mut("event") {
                    Some(event) => to_events.send(event.take()),
                    None => to_answers.send(line),
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        Self {
            name: name.to_owned(),
            questions: child.stdin.take(),
            child,
            answers,
            events,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends an operation; [`Actor::answer`] gets what came of it.
    pub(crate) fn tell(&mut self, op: &Value) {
        writeln!(self.questions.as_mut().unwrap(), "{op}").unwrap();
    }

    /// The next answer: `{"ok":…}` or `{"err":…}`.
    pub(crate) fn answer(&mut self) -> Value {
        let answer = self.answer_within(PATIENCE);
        answer.unwrap_or_else(|| panic!("{} does not answer", self.name))
    }

    /// The next answer, if it comes in time.
    pub(crate) fn answer_within(&mut self, time: Duration) -> Option<Value> {
        self.answers.recv_timeout(time).ok()
    }

    /// Sends an operation and waits for its answer.
    pub(crate) fn call(&mut self, op: &Value) -> Value {
        self.tell(op);
        self.answer()
    }

    /// The content of `ok`; any other answer fails the test.
    pub(crate) fn ok(&mut self, op: &Value) -> Value {
        let mut answer = self.call(op);
        match answer.get_mut("ok") {
            Some(ok) => ok.take(),
            None => panic!("{} wanted {op} and got {answer}", self.name),
        }
    }

    /// The content of `err`; any other answer fails the test.
    pub(crate) fn err(&mut self, op: &Value) -> Value {
        let mut answer = self.call(op);
        match answer.get_mut("err") {
            Some(err) => err.take(),
            None => panic!("{} wanted {op} to fail and got {answer}", self.name),
        }
    }

    /// Makes a key and certificate of this name; returns the certificate in hexadecimal.
    pub(crate) fn hand(&mut self, name: &str) -> String {
        let hand = self.ok(&json!({ "op": "hand", "name": name }));
        hand["certificate"].as_str().unwrap().to_owned()
    }

    /// The next notice of an open stream: `{"stream":0,"notice":{"kind":"cancelled",…}}`.
    pub(crate) fn event(&mut self) -> Value {
        let event = self.events.recv_timeout(PATIENCE);
        event.unwrap_or_else(|error| panic!("{} gets no notice: {error}", self.name))
    }

    /// As [`Actor::event`]; `None` where there is none within `wait`.
    pub(crate) fn event_within(&mut self, wait: Duration) -> Option<Value> {
        self.events.recv_timeout(wait).ok()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        drop(self.questions.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Not every test binary wants all of this.
const _: () = {
    let _ = (
        Actor::pid,
        Actor::tell,
        Actor::answer,
        Actor::answer_within,
        Actor::ok,
        Actor::err,
    );
    let _ = (
        Actor::call,
        Actor::hand,
        Actor::event,
        Actor::event_within,
        Actor::kill,
    );
};
