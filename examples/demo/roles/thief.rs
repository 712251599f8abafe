//! A thief: a workload with an SVID, a user with a valid access token, and somebody else's handle.

use super::assistant::{cancel_task, get_task};
use crate::harness::{self, Role, now_ms};
use crate::oauth::RESOURCE;
use crate::wire::{Ask, Said};
use crate::{Error, mcp};
use handfast::client::{Agent, Hand};
use serde::{Deserialize, Serialize};
use spiffe::SpiffeId;
use std::time::Duration;

const HAND_LIFE: Duration = Duration::from_secs(3600);

/// What the director tells the thief.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) server: String,
    pub(crate) port: u16,
    pub(crate) access_token: String,
}

struct Thief {
    settings: Settings,
    agent: Agent,
    hand: Hand,
    session: mcp::Client,
}

pub(crate) async fn play() -> Result<(), Error> {
    let (source, id, agent) = harness::join().await?;
    let settings: Settings = harness::settings()?;
    let hand = Hand::generate(HAND_LIFE)?;
    let server = SpiffeId::new(&settings.server)?;
    let connection = mcp::connect(source, &server, settings.port, &hand).await?;
    let session = mcp::start(connection, RESOURCE, &settings.access_token).await?;
    let thief = Thief {
        settings,
        agent,
        hand,
        session,
    };
    let up = Said::Up {
        port: None,
        spiffe_id: id.to_string(),
    };
    harness::answer_all(thief, up).await
}

impl Role for Thief {
    async fn answer(&mut self, ask: Ask) -> Result<Said, Error> {
        match ask {
            Ask::ForeignToken { handle } => {
                let owner = self.agent.owner();
                let server = &self.settings.server;
                match owner.issue_query(&self.hand, server, handle).await {
                    Ok(_) => Ok(Said::Done { asked_ms: now_ms() }),
                    Err(error) => harness::denied(error),
                }
            }
            Ask::PlainGet { handle } => get_task(&self.session, &handle, None).await,
            Ask::PlainCancel { handle } => cancel_task(&self.session, &handle, None).await,
            other => Err(format!("a thief does not do {other:?}").into()),
        }
    }
}
