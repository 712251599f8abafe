//! Bad input over the wire: a clear error, and nothing is changed. The control is the good call after it.

use crate::job::{HANDLE, Job, SERVER, TOOL, WORKER, check_op, export, step_op, text};
use serde_json::{Value, json};

/// What may not be changed by a malformed request: every task, and the next fence of one of them.
fn tasks(job: &Job) -> Value {
    job.node.operator_json(&["task", "list", "--all"])
}

fn invalid(error: &Value, word: &str) {
    assert_eq!(error["code"], "InvalidArgument", "{error}");
    assert!(
        text(error, "message").contains(word),
        "no `{word}` in {error}"
    );
}

/// Arguments that two parsers may read differently, with a word of the complaint.
const AMBIGUOUS: [&str; 6] = [
    r#"{"n":9007199254740993}"#,
    r#"{"n":1e400}"#,
    r#"{"n":0.1000000000000000055511151231257827}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"x":{"a":1,"b":2,"a":1}}"#,
    r#"{"a":1"#,
];

#[test]
fn a64_arguments_that_can_be_read_in_two_ways_are_refused_everywhere() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let before = tasks(&job);
    for arguments in AMBIGUOUS {
        let with = |audience: &str, tool: &str| json!({ "audience": audience, "tool": tool, "arguments": arguments });
        let issue = json!({
            "op": "issue_create", "request_id": "x", "hand": "client",
            "call": with(SERVER, "build_report"), "asked": [], "performers": [WORKER],
        });
        invalid(&job.client.err(&issue), "arguments");
        let create = json!({
            "op": "create", "request_id": "x", "handle": "another4task5with6bits7x",
            "call": with(SERVER, "build_report"), "token": token, "peer": leg.certificate,
        });
        invalid(&job.server.err(&create), "arguments");
        let mut step = step_op(&leg, 1);
        step["call"] = with(TOOL, "export");
        invalid(&job.worker.err(&step), "arguments");
        let mut check = check_op(&leg, &token);
        check["call"] = with(TOOL, "export");
        invalid(&job.tool.err(&check), "arguments");
    }
    assert_eq!(before, tasks(&job));
    // The neighbour that a double holds exactly is fine, and the token is not burned.
    let exact = json!({
        "op": "issue_create", "request_id": "y", "hand": "client", "asked": [],
        "performers": [WORKER],
        "call": { "audience": SERVER, "tool": "build_report",
                  "arguments": r#"{"n":9007199254740992}"# },
    });
    assert!(!text(&job.client.ok(&exact), "token").is_empty());
    assert_eq!(job.check(&leg, &token)["answer"], "fresh");
}

#[test]
fn malformed_certificates_are_refused_and_change_nothing() {
    let mut job = Job::start();
    let task = job.create();
    let before = tasks(&job);
    let good = job
        .worker
        .ok(&json!({ "op": "certificate", "name": "worker" }));
    let good = text(&good, "certificate");
    let mut forged = good.clone();
    // The last byte is the end of the certificate's own signature.
    let last = if forged.ends_with('0') { "1" } else { "0" };
    forged.replace_range(forged.len() - 1.., last);
    let cut = &good[..good.len() - 20];
    for (bad, word) in [
        (forged.as_str(), "not signed with its own key"),
        ("00112233445566778899", "certificate"),
        (cut, "certificate"),
        (&"30".repeat(4000), "certificate"),
        ("", "certificate"),
    ] {
        let start = json!({
            "op": "start", "work_reference": task.work_reference, "certificate": bad,
            "request_id": "s",
        });
        invalid(&job.worker.err(&start), word);
        let issue = json!({
            "op": "issue_query", "request_id": "q", "certificate": bad, "server": SERVER,
            "handle": HANDLE,
        });
        invalid(&job.client.err(&issue), word);
    }
    assert_eq!(before, tasks(&job));
    let leg = job.start_leg(&task);
    assert_eq!(leg.number, 1);
}

#[test]
fn other_malformed_requests_are_refused_and_change_nothing() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let before = tasks(&job);
    let create = |audience: &str, performer: &str| {
        json!({
            "op": "issue_create", "request_id": "x", "hand": "client", "asked": [],
            "call": { "audience": audience, "tool": "t", "arguments": {} },
            "performers": [performer],
        })
    };
    for bad in [
        "https://unmapped.test/",
        "spiffe://demo.test/a//b",
        "spiffe://",
        "",
        "x",
    ] {
        invalid(&job.client.err(&create(bad, WORKER)), "audience");
        invalid(&job.client.err(&create(SERVER, bad)), "performer");
    }
    let mut short = step_op(&leg, 1);
    short["call"]["tool_definition_s256"] = json!("00ff");
    invalid(&job.worker.err(&short), "tool_definition");
    let mut unnamed = step_op(&leg, 1);
    unnamed["request_id"] = json!("");
    invalid(&job.worker.err(&unnamed), "request_id");
    let mut weak = job.create_op("weak", "short");
    invalid(&job.server.err(&weak), "120 random bits");
    weak["handle"] = json!("x".repeat(600));
    invalid(&job.server.err(&weak), "handle");
    assert_eq!(before, tasks(&job));
    let token = job.step_token(&leg, 1);
    assert_eq!(job.check(&leg, &token)["answer"], "fresh");
}

#[test]
fn oversize_messages_are_refused_and_others_are_served() {
    let mut job = Job::start();
    let task = job.create();
    let leg = job.start_leg(&task);
    let before = tasks(&job);
    for bytes in [40_000, 200_000, 3_000_000] {
        let mut step = step_op(&leg, 1);
        step["call"] = export();
        step["call"]["arguments"] = json!({ "table": "x".repeat(bytes) });
        let error = job.worker.err(&step);
        let code = text(&error, "code");
        assert!(
            matches!(
                code.as_str(),
                "InvalidArgument" | "OutOfRange" | "ResourceExhausted"
            ),
            "{bytes}: {error}"
        );
        assert!(text(&error, "message").len() < 1000, "{bytes}");
    }
    assert_eq!(before, tasks(&job));
    let token = job.step_token(&leg, 1);
    assert_eq!(job.check(&leg, &token)["answer"], "fresh");
}
