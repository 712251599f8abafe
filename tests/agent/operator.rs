//! What the command line tells the operator of a running agent, as a person reads it.

use crate::job::{Job, text};
use crate::node::{Node, until};
use std::process::{Command, Output};

/// Runs a verb on the operator's socket, printed for people.
fn told(node: &Node, verb: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_handfast"))
        .args(verb)
        .arg("--operator-socket-path")
        .arg(node.path("private/operator.sock"))
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_an_operator_wrote_is_told_to_the_next_one_without_moving_the_terminal() {
    let mut job = Job::start();
    let task = job.create();
    let why = "night\u{1b}[2K\u{1b}[1A\u{202e}shift\nwhy      all is well";
    let verb = ["revoke", "task", &task.id, "--why", why];
    let done = job.node.operator_json(&verb);
    let decision = text(&done, "decision_id");
    let mut shown = String::new();
    until("the record", || {
        shown = printed(&told(&job.node, &["explain", &decision]));
        !shown.is_empty()
    });
    let escaped = "night\\u{1b}[2K\\u{1b}[1A\\u{202e}shift\\u{a}why      all is well";
    assert!(shown.contains(&format!("why = {escaped}\n")), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
    // In JSON it is what was written.
    assert_eq!(job.node.explain(&decision)["facts"]["why"], why);
}
