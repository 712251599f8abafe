//! What every role has in common: asks on standard input, answers on standard output, and the end of
//! standard input is the end of the role.

use crate::wire::{Ask, Said};
use crate::{Error, explained};
use handfast::client::{Agent, AgentConfig, ClientError};
use spiffe::{SpiffeId, X509Source};
use std::io::{BufRead, Write};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// How long a role waits for its SVID.
const SVID_WAIT: Duration = Duration::from_secs(10);

/// Environment variable in which the director passes a role's settings.
pub(crate) const SETTINGS: &str = "DEMO_SETTINGS";

/// A role in the story.
pub(crate) trait Role {
    /// Does what it is asked.
    async fn answer(&mut self, ask: Ask) -> Result<Said, Error>;
}

/// Answers until standard input ends.
pub(crate) async fn answer_all(mut role: impl Role, up: Said) -> Result<(), Error> {
    let (sender, mut asks) = mpsc::channel(1);
    // A thread, because reading standard input cannot be cancelled.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    say(&up)?;
    while let Some(line) = asks.recv().await {
        let said = match role.answer(serde_json::from_str(&line)?).await {
            Ok(said) => said,
            Err(error) => Said::Failed(explained(error.as_ref())),
        };
        say(&said)?;
    }
    Ok(())
}

fn say(said: &Said) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, said)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// The settings that the director passed.
pub(crate) fn settings<T: serde::de::DeserializeOwned>() -> Result<T, Error> {
    Ok(serde_json::from_str(&std::env::var(SETTINGS)?)?)
}

/// What every role needs: its own identity, and its node's agent.
pub(crate) async fn join() -> Result<(X509Source, SpiffeId, Agent), Error> {
    let source = X509Source::builder()
        .initial_sync_timeout(SVID_WAIT)
        .build()
        .await?;
    let id = source.svid()?.spiffe_id().clone();
    let agent = Agent::connect(AgentConfig::from_env()).await?;
    Ok((source, id, agent))
}

/// A refusal by the agent is an answer of the story; anything else is a failure of it.
pub(crate) fn denied(error: ClientError) -> Result<Said, Error> {
    match error {
        ClientError::Denied(denied) => Ok(Said::Denied(crate::wire::Denied {
            reason: denied.reason,
            message: denied.message,
            decision_id: denied.decision_id,
        })),
        other => Err(other.into()),
    }
}

/// The wall clock, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "a workload has no Clock port")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
