//! The feed of revocations: who hears what, what is acknowledged, and what happens while it is cut.

use crate::job::{Job, TOOL, text};
use crate::node::{Actor, Options};
use crate::solo::{PATIENCE, Solo, alone};
use handfast::client::{Agent, AgentConfig, ClientError, RevocationFeed, Stop, Watched};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

const SILENCE_MAX: Duration = Duration::from_millis(1_500);

/// The next event that is no heartbeat.
pub(crate) fn news(actor: &mut Actor) -> Value {
    loop {
        let notice = actor.event()["notice"].clone();
        if notice["event"] != "heartbeat" {
            return notice;
        }
    }
}

fn revoke(job: &Job, verb: &[&str]) -> Value {
    let mut whole = vec!["revoke"];
    whole.extend_from_slice(verb);
    whole.extend_from_slice(&["--why", "test"]);
    job.node.operator_json(&whole)
}

#[test]
fn a_point_hears_of_its_own_tasks_and_of_wide_scopes_and_of_nothing_else() {
    let mut job = Job::start();
    let mut thief = job.node.actor_named("thief");
    let task = job.create();
    let leg = job.start_leg(&task);
    job.step_token(&leg, 1);
    let other = job.create_as("7q2mZr0Yt5kW9xB3vN8s0002");
    for actor in [&mut job.tool, &mut job.server, &mut thief] {
        actor.ok(&json!({ "op": "watch_revocations" }));
        assert_eq!(news(actor)["event"], "opened");
    }
    // Asked for in one of the two tasks only: the tool has no token for the other.
    revoke(&job, &["task", &other.id]);
    revoke(&job, &["task", &task.id]);
    revoke(&job, &["spiffe-id", "spiffe://demo.test/client"]);
    let scope = json!({ "spiffe_id": "spiffe://demo.test/client" });
    assert_eq!(news(&mut job.tool)["task_id"], json!(task.id));
    assert_eq!(news(&mut job.tool)["scope"], scope);
    assert_eq!(news(&mut job.server)["task_id"], json!(other.id));
    assert_eq!(news(&mut job.server)["task_id"], json!(task.id));
    assert_eq!(news(&mut job.server)["scope"], scope);
    assert_eq!(
        news(&mut thief)["scope"],
        scope,
        "nothing of tasks in which it has no part"
    );
}

#[test]
fn a_feed_resumes_where_it_broke_off_also_after_a_crash() {
    let mut job = Job::start();
    let task = job.create();
    job.server.ok(&json!({ "op": "watch_revocations" }));
    let opened = news(&mut job.server);
    revoke(&job, &["task", &task.id]);
    let first = news(&mut job.server);
    assert_eq!(first["task_id"], json!(task.id));
    job.node.kill_agent();
    assert!(
        news(&mut job.server).get("err").is_some(),
        "the stream broke off"
    );
    job.node.start_agent();
    let resume = |event: &Value| {
        let (after, mark) = (&event["sequence"], &event["mark"]);
        json!({ "op": "watch_revocations", "after": after, "mark": mark })
    };
    job.server.ok(&resume(&opened));
    assert_eq!(news(&mut job.server)["event"], "opened");
    assert_eq!(
        news(&mut job.server),
        first,
        "told again, with the same number"
    );
    job.server.ok(&resume(&first));
    assert_eq!(news(&mut job.server)["event"], "opened");
    revoke(&job, &["spiffe-id", "spiffe://demo.test/thief"]);
    assert_eq!(
        news(&mut job.server)["event"],
        "scope",
        "and not told again"
    );
}

#[test]
fn a_receipt_says_who_has_stopped_and_names_who_is_silent() {
    let mut job = Job::start();
    let first = job.create();
    let leg = job.start_leg(&first);
    job.step_token(&leg, 1);
    let second = job.create_as("7q2mZr0Yt5kW9xB3vN8s0002");
    for actor in [&mut job.tool, &mut job.server] {
        actor.ok(&json!({ "op": "watch_revocations" }));
    }
    let server = news(&mut job.server)["subscription"].clone();
    let tool = news(&mut job.tool)["subscription"].clone();
    let wait = ["--why", "test", "--wait", "1"];
    let verb: Vec<&str> = ["revoke", "task", &first.id]
        .into_iter()
        .chain(wait)
        .collect();
    let silent = job.node.operator(&verb);
    assert_eq!(
        silent.status.code(),
        Some(2),
        "in force, and nobody has said so"
    );
    let said: Value = serde_json::from_slice(&silent.stdout).unwrap();
    assert_eq!(
        (&said["receipt"]["points"], &said["receipt"]["stopped"]),
        (&json!(2), &json!(0))
    );
    let names = said["receipt"]["silent"].to_string();
    assert!(
        names.contains(&format!("{TOOL} pid {}", job.tool.pid())),
        "{names}"
    );

    // One concerns the server alone. It acknowledges while the operator waits.
    news(&mut job.server);
    news(&mut job.tool);
    let sequence = std::thread::scope(|scope| {
        let verb: Vec<&str> = [
            "revoke", "task", &second.id, "--why", "test", "--wait", "30",
        ]
        .into();
        let node = &job.node;
        let waiting = scope.spawn(move || node.operator(&verb));
        let told = news(&mut job.server);
        let acknowledge = json!({
            "op": "acknowledge", "subscription": server, "sequence": told["sequence"],
        });
        job.server.ok(&acknowledge);
        let done = waiting.join().unwrap();
        assert!(done.status.success());
        let said: Value = serde_json::from_slice(&done.stdout).unwrap();
        let receipt = &said["receipt"];
        assert_eq!(
            (&receipt["points"], &receipt["stopped"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(receipt["silent"], json!([]));
        told["sequence"].clone()
    });
    let stranger = json!({ "op": "acknowledge", "subscription": tool, "sequence": sequence });
    assert_eq!(
        job.server.err(&stranger)["reason"],
        "unknown_task",
        "another's subscription"
    );
}

#[test]
fn subscriptions_have_a_limit() {
    let mut job = Job::with(&Options {
        config: "[limits]\nrevocation_subscribers_per_uid = 1\n".to_owned(),
        ..Options::default()
    });
    let watch = json!({ "op": "watch_revocations" });
    job.server.ok(&watch);
    let refused = job.server.err(&watch);
    assert_eq!(refused["code"], "ResourceExhausted", "{refused}");
    job.tool.ok(&watch);
}

/// A way to the agent that somebody can cut: what the agent says is held back, the connection stays.
fn proxy(job: &Job) -> (std::path::PathBuf, watch::Sender<bool>) {
    let folder = job.node.path("cut");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.join("agent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (cut, open) = watch::channel(true);
    let agent = job.node.socket();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = UnixStream::connect(&agent).await.unwrap();
            let (mut near_in, mut near_out) = near.into_split();
            let (mut far_in, mut far_out) = far.into_split();
            let mut open = open.clone();
            tokio::spawn(async move { tokio::io::copy(&mut near_in, &mut far_out).await });
            tokio::spawn(async move {
                let mut bytes = vec![0; 16 * 1024];
                while let Ok(read) = far_in.read(&mut bytes).await {
                    if read == 0 || open.wait_for(|open| *open).await.is_err() {
                        return;
                    }
                    if near_out.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (path, cut)
}

#[tokio::test(flavor = "multi_thread")]
async fn a48_no_effect_begins_or_goes_on_once_the_feed_is_cut() {
    let job = tokio::task::block_in_place(alone);
    let mut solo = Solo::begin(&job).await;
    let (path, cut) = proxy(&job);
    let link = Agent::connect(AgentConfig::new(path)).await.unwrap();
    let feed = RevocationFeed::start(&link.tool(), SILENCE_MAX);
    // Its own way to ask is not cut: only the word of a revocation would not come through.
    let tool = solo.agent.tool();
    let early = solo.token().await;
    tokio::time::timeout(PATIENCE, feed.caught_up())
        .await
        .unwrap();
    let first = feed
        .check_by(&tool, &early.0, &solo.proof, early.1)
        .await
        .unwrap();
    let Watched::Fresh(effect) = first else {
        panic!("the control: with the feed up an effect begins: {first:?}");
    };
    assert_eq!(effect.must_stop(), None);
    tool.report(effect.fresh(), handfast::client::Outcome::Done)
        .await
        .unwrap();
    cut.send(false).unwrap();
    let stopped = tokio::time::timeout(PATIENCE, effect.stopped())
        .await
        .unwrap();
    assert_eq!(stopped, Stop::Silent);
    // From then on nothing is accepted, however often and with whatever token.
    let (token, call) = solo.token().await;
    let mut accepted = 0;
    for _ in 0..20 {
        match feed
            .check_by(&tool, &token, &solo.proof, call.clone())
            .await
        {
            Err(ClientError::Silent) => {}
            other => {
                println!("{other:?}");
                accepted = u32::saturating_add(accepted, 1);
            }
        }
    }
    assert_eq!(accepted, 0);
    cut.send(true).unwrap();
    tokio::time::timeout(PATIENCE, feed.caught_up())
        .await
        .unwrap();
    let again = feed
        .check_by(&tool, &token, &solo.proof, call)
        .await
        .unwrap();
    assert!(
        matches!(again, Watched::Fresh(_)),
        "the refused token was not burned: {again:?}"
    );
    drop(solo.hand);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_effect_is_told_to_stop_and_the_receipt_says_so() {
    let job = tokio::task::block_in_place(alone);
    let mut solo = Solo::begin(&job).await;
    let feed = solo.feed().await;
    let effect = solo.begin_effect(&feed).await;
    let done = tokio::task::block_in_place(|| {
        let id = effect.fresh().task().task_id.clone();
        revoke(&job, &["task", &id, "--wait", "30"])
    });
    assert_eq!(text(&done, "state"), "cancelled");
    assert_eq!(done["receipt"]["stopped"], done["receipt"]["points"]);
    assert_eq!(done["receipt"]["silent"], json!([]));
    let stopped = tokio::time::timeout(PATIENCE, effect.stopped())
        .await
        .unwrap();
    assert_eq!(stopped, Stop::Revoked);
}
