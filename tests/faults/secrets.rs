//! Whatever grants or names something is never seen outside of the hands that hold it: not in a log, an
//! answer to the operator, an error, the ledger's file, nor on the agent's command line.

use crate::job::{Job, Leg, SERVER, Task, build, export, start_op, step_op, text};
use crate::node::Options;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::fs;

const SUBJECT: &str = "canary-subject-5c1d7e0f9a";
const ISSUER: &str = "https://issuer.demo.test";

/// What must not be found, by name, as it would be spelled.
type Canaries = Vec<(&'static str, Vec<u8>)>;

fn add(canaries: &mut Canaries, name: &'static str, secret: &[u8]) {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    canaries.push((name, secret.to_vec()));
    canaries.push((name, hex.into_bytes()));
    // Without the last bytes, which depend on what follows.
    for text in [
        BASE64_STANDARD_NO_PAD.encode(secret),
        BASE64_URL_SAFE_NO_PAD.encode(secret),
    ] {
        canaries.push((name, text.as_bytes()[..text.len() - 3].to_vec()));
    }
}

fn add_token(canaries: &mut Canaries, name: &'static str, token: &str) {
    add(canaries, name, token.as_bytes());
    // Its claims and its signature each.
    for part in token.split('.').skip(1) {
        canaries.push((name, part.as_bytes().to_vec()));
    }
}

fn contains(text: &[u8], secret: &[u8]) -> bool {
    text.windows(secret.len()).any(|window| window == secret)
}

fn nowhere(canaries: &Canaries, place: &str, text: &[u8]) {
    assert!(!text.is_empty(), "nothing to look at in {place}");
    for (name, secret) in canaries {
        assert!(!contains(text, secret), "{name} is in {place}");
    }
}

/// Everything that a job of each kind of operation answers and refuses, and the secrets it went with.
fn flow(job: &mut Job) -> (Canaries, Vec<Value>) {
    let mut canaries = Canaries::new();
    let mut said = Vec::new();
    let peer = job.client_certificate();
    let principal = json!({ "issuer": ISSUER, "subject": SUBJECT });
    let create = job.create_token("create");
    add_token(&mut canaries, "create token", &create);
    let handle = "kq7Zp2Vw9sXc4Rt8Yb1Nm6Lj";
    let register = json!({
        "op": "create", "token": create, "peer": peer, "call": build(), "handle": handle,
        "principal": principal,
    });
    let created = job.server.ok(&register);
    let work_reference = text(&created, "work_reference");
    add(&mut canaries, "handle", handle.as_bytes());
    add(&mut canaries, "work reference", work_reference.as_bytes());
    add(&mut canaries, "principal", SUBJECT.as_bytes());
    let query = job.client.ok(&json!({
        "op": "issue_query", "request_id": "q", "hand": "client", "server": SERVER,
        "handle": handle,
    }));
    add_token(&mut canaries, "query token", &text(&query, "token"));
    let asked = json!({
        "op": "check_query", "token": query["token"], "peer": peer, "handle": handle,
        "principal": principal,
    });
    let read = job.server.ok(&asked);
    assert_eq!(read["answer"], "read", "{read}");
    said.push(read);
    let mut other_user = asked;
    other_user["principal"]["subject"] = json!(format!("{SUBJECT}-other"));
    said.push(job.server.ok(&other_user));

    let task = Task {
        id: text(&created, "task_id"),
        handle: handle.to_owned(),
        work_reference,
    };
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    add_token(&mut canaries, "step token", &token);
    said.extend(refusals(job, (&task, &leg), &token, &peer));
    said.push(job.check(&leg, &token));
    let cancel = job.client.ok(&json!({
        "op": "issue_cancel", "request_id": "c", "hand": "client", "server": SERVER,
        "handle": handle,
    }));
    add_token(&mut canaries, "cancel token", &text(&cancel, "token"));
    said.push(job.server.ok(&json!({
        "op": "check_cancel", "token": cancel["token"], "peer": peer, "handle": handle,
        "principal": principal,
    })));
    (canaries, said)
}

/// Refusals: a wrong hand, a wrong call, a thief, a malformed certificate, a doubled member.
fn refusals(job: &mut Job, (task, leg): (&Task, &Leg), token: &str, peer: &str) -> Vec<Value> {
    let mut said = Vec::new();
    let handle = task.handle.as_str();
    let mut thief = job.node.actor_named("thief");
    thief.hand("thief");
    said.push(job.tool.ok(&json!({
        "op": "check_step", "token": token, "peer": peer, "call": export(),
    })));
    let mut other_call = export();
    other_call["arguments"] = json!({ "table": "other" });
    said.push(job.tool.ok(&json!({
        "op": "check_step", "token": token, "peer": leg.certificate, "call": other_call,
    })));
    said.push(thief.err(&start_op(task, "thief")));
    said.push(thief.err(&json!({
        "op": "issue_cancel", "request_id": "c", "hand": "thief", "server": SERVER,
        "handle": handle,
    })));
    said.push(thief.err(&json!({
        "op": "start", "work_reference": task.work_reference, "certificate": "3000",
        "request_id": "s",
    })));
    let mut doubled = step_op(leg, 1);
    doubled["call"]["arguments"] = json!(format!(r#"{{"{handle}":1,"{handle}":2}}"#));
    // What the caller itself sent may come back to it; it is the log that must not have it.
    job.worker.err(&doubled);
    said.push(job.tool.ok(&json!({
        "op": "check_step", "token": format!("{token}x"), "peer": leg.certificate,
        "call": export(),
    })));
    said
}

#[test]
fn a53_no_secret_is_in_a_log_an_answer_an_error_or_the_ledger() {
    for format in ["pretty", "json"] {
        let policy = format!(
            "{}\n@id(\"users\")\npermit (principal, action == Action::\"vouch\", resource)\n\
             when {{ context.issuer == \"{ISSUER}\" }};\n\
             @id(\"users-read\")\npermit (principal, action in [Action::\"query\", \
             Action::\"cancel\"], resource) when {{ resource has owner && \
             principal == resource.owner }};\n",
            crate::bare::POLICY
        );
        let mut job = Job::with(&Options {
            config: format!("[log]\nlevel = \"trace\"\nformat = \"{format}\"\n"),
            policy,
            ..Options::default()
        });
        let (mut canaries, said) = flow(&mut job);
        let key = fs::read(job.node.path("key/names.key")).unwrap();
        add(&mut canaries, "key file", &key);

        let pid = job.node.agent_pid();
        for file in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{pid}/{file}")).unwrap();
            nowhere(&canaries, file, &text);
        }
        let tail = job
            .node
            .operator(&["audit", "tail", "--limit", "200"])
            .stdout;
        nowhere(&canaries, "audit tail", &tail);
        for answer in &said {
            nowhere(
                &canaries,
                "an answer or error",
                answer.to_string().as_bytes(),
            );
            let explained = job
                .node
                .explain(answer["decision_id"].as_str().unwrap_or_else(|| {
                    // Malformed requests get no decision.
                    tail_decision(&said)
                }));
            nowhere(&canaries, "explain", explained.to_string().as_bytes());
        }
        let list = job.node.operator(&["task", "list", "--all"]).stdout;
        nowhere(&canaries, "task list", &list);
        // Again while it stops, with everything written.
        assert_eq!(job.node.stop_agent(), Some(0));
        nowhere(&canaries, "the log", job.node.log().as_bytes());
        let ledger = fs::read(job.node.path("data/ledger.redb")).unwrap();
        nowhere(&canaries, "the ledger", &ledger);
        // The control: what is not secret is found by the same search.
        assert!(contains(&ledger, b"spiffe://demo.test/worker"));
        assert!(contains(job.node.log().as_bytes(), b"handfast"));
        assert!(
            canaries
                .iter()
                .any(|(name, secret)| *name == "key file" && contains(&key, secret))
        );
    }
}

fn tail_decision(said: &[Value]) -> &str {
    said[0]["decision_id"].as_str().unwrap()
}
