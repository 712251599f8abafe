//! A workload for the tests: reads one JSON object a line, asks the agent what it says, answers one a line.
//!
//! Speaks the generated gRPC stubs, so that it can send what no honest client would. The one thing to know:
//! `{"op":…}` gives `{"ok":{…}}` or `{"err":{…}}`; notices of `hold` and `watch` come between as `{"event":{…}}`.

mod answer;
mod ask;
mod connection;
mod grants;
mod handover;
mod perform;

use answer::Failure;
use connection::Connections;
use handfast::client::Hand;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tonic::Streaming;

/// What this process has: connections by name, certificates by name, open streams by number.
#[derive(Clone, Default)]
pub(crate) struct Actor {
    connections: Connections,
    hands: Arc<Mutex<HashMap<String, Hand>>>,
    streams: Arc<Mutex<Vec<AbortHandle>>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    // Ends with the input; nothing waits for it.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let actor = Actor::default();
        while let Some(line) = lines.recv().await {
            let answer = match serde_json::from_str::<Value>(&line) {
                Ok(op) => actor.answer(&op).await,
                Err(error) => Err(Failure::own(error.to_string())),
            };
            say(&match answer {
                Ok(answer) => json!({ "ok": answer }),
                Err(failure) => json!({ "err": failure.json() }),
            });
        }
    });
    Ok(())
}

/// One line to the test; a test that is gone hears nothing.
pub(crate) fn say(line: &Value) {
    let mut output = std::io::stdout().lock();
    if writeln!(output, "{line}").is_ok() {
        drop(output.flush());
    }
}

impl Actor {
    async fn answer(&self, op: &Value) -> Result<Value, Failure> {
        match ask::text(op, "op").as_str() {
            "hand" => self.make_hand(op),
            "certificate" => {
                let der = self.certificate(&ask::text(op, "name"))?;
                Ok(json!({ "certificate": ask::to_hex(&der) }))
            }
            "burst" => self.burst(op).await,
            "repeat" => self.repeat(op).await,
            "hold" => Ok(self.follow(self.open_hold(op).await?, answer::event)),
            "approval_watch" => Ok(self.follow(self.open_approvals(op).await?, answer::approval)),
            "watch" => Ok(self.follow(self.open_watch(op).await?, answer::task_event)),
            "watch_revocations" => {
                Ok(self.follow(self.open_revocations(op).await?, answer::revocation))
            }
            "drop_hold" => self.drop_hold(op),
            _ => self.perform(op).await,
        }
    }

    fn make_hand(&self, op: &Value) -> Result<Value, Failure> {
        let seconds = op.get("seconds").and_then(Value::as_u64).unwrap_or(3600);
        let hand = Hand::generate(Duration::from_secs(seconds)).map_err(Failure::of)?;
        let certificate = ask::to_hex(hand.certificate());
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        hands.insert(ask::text(op, "name"), hand);
        Ok(json!({ "certificate": certificate }))
    }

    /// DER of the certificate named by this member of an operation.
    pub(crate) fn certificate(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        let hand = hands.get(name);
        let hand = hand.ok_or_else(|| Failure::own(format!("no hand `{name}`")))?;
        Ok(hand.certificate().to_vec())
    }

    /// The same `request` so many `times`, or all of `requests`, at once over so many `connections`.
    async fn burst(&self, op: &Value) -> Result<Value, Failure> {
        let times = usize::try_from(ask::number(op, "times")).map_err(Failure::of)?;
        let repeated = || vec![op.get("request").cloned().unwrap_or_default(); times];
        let requests = op.get("requests").and_then(Value::as_array).cloned();
        let requests = requests.unwrap_or_else(repeated);
        let connections = usize::try_from(ask::number(op, "connections").max(1));
        let connections = connections.map_err(Failure::of)?;
        let mut running = JoinSet::new();
        for (index, mut request) in requests.into_iter().enumerate() {
            let connection = index.checked_rem(connections).unwrap_or_default();
            if let Some(members) = request.as_object_mut() {
                members.insert(
                    "connection".to_owned(),
                    format!("burst-{connection}").into(),
                );
            }
            let actor = self.clone();
            running.spawn(async move { (index, actor.perform(&request).await) });
        }
        let mut answers = running.join_all().await;
        answers.sort_by_key(|(index, _)| *index);
        let answers = answers.into_iter().map(|(_, answer)| match answer {
            Ok(answer) => json!({ "ok": answer }),
            Err(failure) => json!({ "err": failure.json() }),
        });
        Ok(json!({ "answers": answers.collect::<Vec<_>>() }))
    }

    /// The same `request` so many `times`, `in_flight` of them at once over so many `connections`; counts
    /// what came of them.
    async fn repeat(&self, op: &Value) -> Result<Value, Failure> {
        let request = op.get("request").cloned().unwrap_or_default();
        let (times, lanes) = (
            ask::number(op, "times"),
            ask::number(op, "in_flight").max(1),
        );
        let connections = ask::number(op, "connections").max(1);
        let mut running = JoinSet::new();
        for lane in 0..lanes {
            let mut request = request.clone();
            if let Some(members) = request.as_object_mut() {
                let connection = lane.checked_rem(connections).unwrap_or_default();
                members.insert(
                    "connection".to_owned(),
                    format!("repeat-{connection}").into(),
                );
            }
            let actor = self.clone();
            let share = (lane..times)
                .step_by(usize::try_from(lanes).map_err(Failure::of)?)
                .count();
            running.spawn(async move {
                let mut counts: HashMap<String, u64> = HashMap::new();
                for _ in 0..share {
                    let outcome = match actor.perform(&request).await {
                        Ok(answer) => format!("ok {}", ask::text(&answer, "answer")),
                        Err(failure) => {
                            let said = failure.json();
                            format!(
                                "{} {}",
                                ask::text(&said, "code"),
                                ask::text(&said, "reason")
                            )
                        }
                    };
                    let count = counts.entry(outcome).or_default();
                    *count = count.saturating_add(1);
                }
                counts
            });
        }
        let mut counts: HashMap<String, u64> = HashMap::new();
        for (outcome, lane) in running.join_all().await.into_iter().flatten() {
            let count = counts.entry(outcome).or_default();
            *count = count.saturating_add(lane);
        }
        Ok(json!({ "counts": counts }))
    }

    /// Reports every event of a stream, and its end.
    fn follow<M: Send + 'static>(&self, mut events: Streaming<M>, shown: fn(&M) -> Value) -> Value {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let number = streams.len();
        let reading = tokio::spawn(async move {
            loop {
                let (event, last) = match events.message().await {
                    Ok(Some(event)) => (shown(&event), false),
                    Ok(None) => (json!({ "ended": true }), true),
                    Err(status) => (json!({ "err": Failure::from(status).json() }), true),
                };
                say(&json!({ "event": { "stream": number, "notice": event } }));
                if last {
                    return;
                }
            }
        });
        streams.push(reading.abort_handle());
        json!({ "stream": number })
    }

    fn drop_hold(&self, op: &Value) -> Result<Value, Failure> {
        let number = usize::try_from(ask::number(op, "stream")).map_err(Failure::of)?;
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = streams.get(number);
        stream
            .ok_or_else(|| Failure::own("no such stream".to_owned()))?
            .abort();
        Ok(json!({}))
    }
}
