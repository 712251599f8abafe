//! What the log of a task's life says, and what it must not.

use crate::life::{HANDLE, create, named, start};
use crate::world::{OTHER, OWNER, TOOL, WORKER, World, call, certificate, proof};
use handfast::domain::id::Hex;
use handfast::proto::v1;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use v1::enforcement_client::EnforcementClient;
use v1::legs_client::LegsClient;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Writes every event of this thread here until dropped.
    ///
    /// With one subscriber alone, `tracing` remembers the no of whichever thread meets an event first; with
    /// a second one it asks them all.
    fn start(&self) -> (tracing::subscriber::DefaultGuard, tracing::Dispatch) {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || log.clone())
            .finish();
        (
            tracing::subscriber::set_default(subscriber),
            tracing::Dispatch::new(tracing_subscriber::registry()),
        )
    }

    fn text(&self) -> String {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(log.clone()).expect("is text")
    }
}

#[tokio::test]
async fn no_secret_is_in_the_log() {
    let log = Log::default();
    let logging = log.start();
    let world = World::new().await;
    let created = create(&world).await;
    let query = v1::issue_request::Operation::Query(named());
    let (issued, _) = crate::life::issue(world.caller(OWNER), query).await;
    let leg = start(&world, &created).await.leg;
    let step = LegsClient::new(world.caller(WORKER))
        .issue(v1::IssueStepRequest {
            task_id: created.task_id.clone(),
            leg,
            step: 1,
            call: Some(call(TOOL, "pay")),
            request_id: b"1".to_vec(),
            skip_unknown: false,
        })
        .await;
    let step = step.expect("is permitted").into_inner();
    let check = |token: &str, hand: &[u8]| v1::CheckRequest {
        token: token.to_owned(),
        proof: Some(proof(hand)),
        principal: None,
        operation: Some(v1::check_request::Operation::Step(call(TOOL, "pay"))),
    };
    let mut tool = EnforcementClient::new(world.remote_caller(TOOL));
    let stolen = tool.check(check(&step.token, &certificate())).await;
    let stolen = stolen.expect("is decided").into_inner();
    let mut other = EnforcementClient::new(world.caller(OTHER));
    let misplaced = other.check(check(HANDLE, &certificate())).await;
    let misplaced = misplaced.expect("is decided").into_inner();
    drop(logging);

    let text = log.text();
    let hex = Hex(&step.idempotency_key).to_string();
    for secret in [
        HANDLE,
        &created.work_reference,
        &issued.token,
        &step.token,
        &hex,
        "bob",
    ] {
        assert!(!secret.is_empty() && !text.contains(secret), "{text}");
    }
    let line = |decision_id: &str| {
        let lines = text.lines().filter(|line| line.contains(decision_id));
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), 1, "one event of each decision: {text}");
        lines[0].to_owned()
    };
    assert!(
        line(&created.decision_id).contains("method=\"/handfast.v1.Tasks/Create\" code=\"OK\"")
    );
    assert!(line(&stolen.decision_id).contains("reason=\"wrong_key\""));
    assert!(line(&misplaced.decision_id).contains("reason=\"token_invalid\""));
}
