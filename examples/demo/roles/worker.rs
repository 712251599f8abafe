//! A worker: takes a message from the queue, holds the leg, and makes its step at the warehouse.

use super::queue::{Message, Queue};
use super::warehouse::export_call;
use super::{EXPORT, EXPORT_ARGUMENTS};
use crate::harness::{self, Role, now_ms};
use crate::wire::{Ask, Exported, Said};
use crate::{Error, mcp};
use handfast::client::{Agent, HANDFAST_TOKEN, Hand, HoldEvent, HoldKind, Leg, StepIssued, Token};
use http_body_util::{BodyExt, Full};
use serde::{Deserialize, Serialize};
use spiffe::{SpiffeId, X509Source};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;

const HAND_LIFE: Duration = Duration::from_secs(3600);
const STOP_WAIT: Duration = Duration::from_secs(5);

/// What the director tells a worker.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) queue: PathBuf,
    pub(crate) warehouse: String,
    pub(crate) warehouse_port: u16,
    pub(crate) archive: String,
    pub(crate) archive_port: u16,
}

pub(super) struct Worker {
    pub(super) settings: Settings,
    pub(super) source: X509Source,
    pub(super) agent: Agent,
    pub(super) hand: Hand,
    message: Option<Message>,
    pub(super) leg: Option<Leg>,
    token: Option<Token>,
    /// When the agent said that the work must stop, and why.
    stopped: watch::Receiver<Option<(HoldEvent, u64)>>,
}

pub(crate) async fn play() -> Result<(), Error> {
    let settings = harness::settings()?;
    let (source, id, agent) = harness::join().await?;
    let worker = Worker {
        settings,
        source,
        agent,
        hand: Hand::generate(HAND_LIFE)?,
        message: None,
        leg: None,
        token: None,
        stopped: watch::channel(None).1,
    };
    let up = Said::Up {
        port: None,
        spiffe_id: id.to_string(),
    };
    harness::answer_all(worker, up).await
}

impl Role for Worker {
    async fn answer(&mut self, ask: Ask) -> Result<Said, Error> {
        match ask {
            Ask::StartFromQueue => {
                self.message = Some(Queue::at(&self.settings.queue).oldest()?);
                self.start().await
            }
            Ask::StartAgain => self.start().await,
            Ask::Acknowledge => {
                self.message.as_ref().ok_or("no message")?.acknowledge()?;
                Ok(Said::Done { asked_ms: now_ms() })
            }
            Ask::IssueStep { step } => self.issue(step).await,
            Ask::Export => {
                let token = self.token.clone().ok_or("no token")?;
                self.export(&token).await
            }
            Ask::ExportWith { token } => self.export(&Token::new(token)?).await,
            Ask::AwaitStop => self.await_stop().await,
            Ask::Spawn { count } => self.spawn(count).await,
            Ask::SpendChild { child } => self.spend(child).await,
            Ask::HandOver { handle, to } => self.hand_over(handle, to).await,
            Ask::Purge { step, year } => self.purge(step, year).await,
            other => Err(format!("a worker does not do {other:?}").into()),
        }
    }
}

impl Worker {
    async fn start(&mut self) -> Result<Said, Error> {
        let message = self.message.clone().ok_or("no message")?;
        let hand = Hand::generate(HAND_LIFE)?;
        let started = self
            .agent
            .worker()
            .start(message.work_reference, &hand)
            .await;
        let leg = match started {
            Ok(leg) => leg,
            Err(error) => return harness::denied(error),
        };
        self.hand = hand;
        self.stopped = listen(&leg).await?;
        let said = Said::Leg {
            task_id: leg.task_id.clone(),
            number: leg.number,
            fence: leg.fence,
            reattached: leg.reattached,
        };
        self.leg = Some(leg);
        Ok(said)
    }

    async fn issue(&mut self, step: u32) -> Result<Said, Error> {
        let leg = self.leg.as_ref().ok_or("no leg")?;
        match leg
            .issue(step, export_call(&self.settings.warehouse)?, None)
            .await
        {
            Ok(StepIssued::Token(issued)) => {
                let token = issued.token.expose().to_owned();
                self.token = Some(issued.token);
                Ok(Said::Token { token })
            }
            Ok(StepIssued::Pending(asked)) => {
                Err(format!("step {step} waits for approval {}", asked.approval_id).into())
            }
            Ok(StepIssued::Already(state)) => Err(format!("step {step} is {state:?}").into()),
            Err(error) => harness::denied(error),
        }
    }

    /// Calls the warehouse with a token, on a connection that shows this worker's hand.
    async fn export(&self, token: &Token) -> Result<Said, Error> {
        let warehouse = SpiffeId::new(&self.settings.warehouse)?;
        let port = self.settings.warehouse_port;
        let mut connection =
            mcp::connect(self.source.clone(), &warehouse, port, &self.hand).await?;
        let request = http::Request::post(format!("https://warehouse.demo.test/{EXPORT}"))
            .header(HANDFAST_TOKEN, token.header_value()?)
            .body(Full::new(EXPORT_ARGUMENTS.into()))?;
        let response = connection.send_request(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        let exported: Exported = serde_json::from_slice(&body)?;
        Ok(Said::Exported(exported))
    }

    async fn await_stop(&mut self) -> Result<Said, Error> {
        let told = tokio::time::timeout(STOP_WAIT, self.stopped.wait_for(Option::is_some));
        let told = told.await.map_err(|_late| "was not told to stop")??;
        let (event, at_ms) = told.ok_or("nothing was said")?;
        Ok(Said::Stopped {
            kind: format!("{:?}", event.kind).to_lowercase(),
            at_ms,
        })
    }
}

/// Keeps a hold open, and notes when it says stop. Returns once the lease is renewing itself.
async fn listen(leg: &Leg) -> Result<watch::Receiver<Option<(HoldEvent, u64)>>, Error> {
    let mut hold = leg.hold().await?;
    match hold.next().await? {
        Some(event) if event.kind == HoldKind::Holding => {}
        other => return Err(format!("the hold began with {other:?}").into()),
    }
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        if let Ok(Some(event)) = hold.until_stop().await {
            sender.send_replace(Some((event, now_ms())));
        }
        // The stream is over: keep what was said for whoever asks.
        sender.closed().await;
    });
    Ok(receiver)
}
