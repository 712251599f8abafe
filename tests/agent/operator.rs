//! What the command line tells the operator of a running agent, as a person reads it.

use crate::fan::{Fan, fanning};
use crate::handover::{RELIEF, World, named};
use crate::job::{Job, WORKER, export, text};
use crate::node::{Node, Options, until};
use serde_json::{Value, json};
use std::fs;
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

/// What the shipped set, with more policies, would change.
fn simulated(node: &Node, more: &str) -> Value {
    let other = node.path("other.cedar");
    fs::write(&other, format!("{}{more}", Options::default().policy)).unwrap();
    node.operator_json(&["policy", "simulate", &other.display().to_string()])
}

/// Who would be cut off from what, in order.
fn cut_off(simulated: &Value) -> Vec<(String, String)> {
    let changes = simulated["changes"].as_array().unwrap();
    let mut all: Vec<_> = changes
        .iter()
        .map(|it| (text(it, "actor"), text(it, "action")))
        .collect();
    all.sort();
    all
}

#[test]
fn simulate_tells_what_delegates_would_lose() {
    let mut world = World::start();
    let task = world.job.create();
    let acts = [
        "cancel", "delegate", "perform", "query", "takeover", "update",
    ];
    // Twice: what it may do by either is asked once.
    for name in ["first", "second"] {
        let mut lent = named("delegate", &task);
        lent["to"] = RELIEF.into();
        lent["acts"] = json!(acts);
        lent["permissions"] = json!([export()]);
        lent["request_id"] = name.into();
        world.job.client.ok(&lent);
    }
    let nobody = format!(
        "@id(\"no-relief\") forbid (principal == Workload::\"{RELIEF}\", action, resource);\n"
    );
    let node = &world.job.node;
    assert_eq!(simulated(node, "")["cut_off"], 0);
    let expected = [
        "cancel",
        "delegate",
        "end",
        "query",
        "retry",
        "start",
        "step",
        "take_over",
        "update",
    ];
    let expected: Vec<_> = expected
        .map(|act| (RELIEF.to_owned(), act.to_owned()))
        .into();
    assert_eq!(cut_off(&simulated(node, &nobody)), expected);
    // Taken back, it has nothing to lose.
    for number in [1, 2] {
        let mut back = named("revoke_delegation", &task);
        back["number"] = json!(number);
        world.job.client.ok(&back);
    }
    assert_eq!(simulated(&world.job.node, &nobody)["cut_off"], 0);
}

#[test]
fn simulate_tells_what_would_end_all_fan_out() {
    let mut fan = Fan::start();
    let nobody = "@id(\"no-spawn\") forbid (principal, action == Action::\"spawn\", resource);\n";
    // One that may have no children has none to lose.
    fan.root(&fanning(0, 0, 9));
    assert_eq!(simulated(&fan.job.node, nobody)["cut_off"], 0);
    fan.root(&fanning(2, 1, 9));
    let lost = simulated(&fan.job.node, nobody);
    let spawn = (WORKER.to_owned(), "spawn".to_owned());
    assert_eq!(cut_off(&lost), [spawn.clone(), spawn], "{lost}");
    assert_eq!(simulated(&fan.job.node, "")["cut_off"], 0);
}

fn complaint(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    // Each refusal has a decision of its own.
    told.split("; decision ").next().unwrap().trim().to_owned()
}

#[test]
fn a_dry_run_fails_where_the_word_itself_would() {
    let mut job = Job::start();
    let nothing = "00".repeat(16);
    for scope in ["task", "tree"] {
        let asked = told(&job.node, &["revoke", scope, &nothing, "--dry-run"]);
        let said = told(&job.node, &["revoke", scope, &nothing, "--why", "test"]);
        assert_eq!(
            (asked.status.code(), said.status.code()),
            (Some(1), Some(1))
        );
        assert_eq!(complaint(&asked), complaint(&said));
        assert!(complaint(&said).contains("unknown task"), "{said:?}");
    }
    let task = job.create();
    let stops = |job: &Job| {
        job.node
            .operator_json(&["revoke", "task", &task.id, "--dry-run"])
    };
    let live = stops(&job);
    assert_eq!(
        (&live["tasks"], &live["task_ids"]),
        (&json!(1), &json!([task.id]))
    );
    job.node
        .operator_json(&["revoke", "task", &task.id, "--why", "test"]);
    // One that has ended has nothing to stop, and is none of those that would.
    let ended = stops(&job);
    assert_eq!(
        (&ended["tasks"], &ended["task_ids"]),
        (&json!(0), &json!([]))
    );
    let shown = told(&job.node, &["revoke", "task", &task.id, "--dry-run"]);
    assert!(!printed(&shown).contains(&task.id), "{shown:?}");
}

#[test]
fn lift_says_where_there_was_nothing_to_lift() {
    let job = Job::start();
    let lift = |id: &str| told(&job.node, &["revoke", "lift", id, "--why", "test"]);
    let nothing = lift(WORKER);
    assert!(nothing.status.success());
    assert!(
        printed(&nothing).starts_with("nothing to lift"),
        "{nothing:?}"
    );
    assert!(
        printed(&nothing).contains("no SPIFFE ID is revoked here"),
        "{nothing:?}"
    );
    job.node
        .operator_json(&["revoke", "spiffe-id", RELIEF, "--why", "test"]);
    let other = printed(&lift(WORKER));
    assert!(other.contains(&format!("revoked: {RELIEF}\n")), "{other}");
    assert!(printed(&lift(RELIEF)).starts_with("lifted; "));
    assert!(printed(&lift(RELIEF)).starts_with("nothing to lift"));
}

#[test]
fn status_tells_epoch_policy_and_who_hears_of_revocations() {
    let mut job = Job::start();
    let task = job.create();
    job.start_leg(&task);
    job.server.ok(&json!({ "op": "watch_revocations" }));
    job.server.event();
    job.node
        .operator_json(&["revoke", "spiffe-id", RELIEF, "--why", "test"]);
    let status = job.node.operator_json(&["status"]);
    assert_eq!(
        (&status["epoch"], &status["ready"], &status["live_legs"]),
        (&json!(1), &json!(true), &json!(1))
    );
    assert_eq!(status["revocation_subscribers"], 1, "{status}");
    assert_eq!(status["revoked_ids"], json!([RELIEF]));
    job.node
        .operator_json(&["revoke", "epoch", "1", "--why", "test"]);
    let shown = printed(&told(&job.node, &["status"]));
    assert!(shown.contains("epoch          2\n"), "{shown}");
    assert!(shown.contains("ready          yes\n"), "{shown}");
}

#[test]
fn a_refusal_is_told_in_the_agents_words_and_with_what_to_do() {
    let job = Job::with(&Options {
        config: "[limits]\nrevoked_ids = 1\n".to_owned(),
        ..Options::default()
    });
    job.node
        .operator_json(&["revoke", "spiffe-id", RELIEF, "--why", "test"]);
    let second = told(&job.node, &["revoke", "spiffe-id", WORKER, "--why", "test"]);
    assert_eq!(second.status.code(), Some(1));
    let said = complaint(&second);
    assert!(said.contains("`limits.revoked_ids` is reached"), "{said}");
    assert!(!said.contains("Some resource"), "{said}");

    let public = Command::new(env!("CARGO_BIN_EXE_handfast"))
        .args(["task", "list", "--operator-socket-path"])
        .arg(job.node.socket())
        .output()
        .unwrap();
    assert_eq!(public.status.code(), Some(1));
    let said = complaint(&public);
    assert!(
        said.contains("\n  name the operator's socket with --operator-socket-path"),
        "{said}"
    );
    assert!(told(&job.node, &["task", "list"]).status.success());
}
