//! The downstream tool: asks the agent before each effect, counts the effects, reports what became of them.

use super::{EXPORT, EXPORT_ARGUMENTS};
use crate::harness::{self, Role};
use crate::wire::{Ask, Denied, Exported, Said};
use crate::{Error, explained, serve};
use handfast::client::{
    Agent, Effect, Outcome, PeerProof, RevocationFeed, ToolCall, Watched, token_from_headers,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long the feed of revocations may say nothing, and how long a call waits for it.
const SILENCE_MAX: Duration = Duration::from_secs(3);

const BODY_BYTES_MAX: usize = 65_536;

#[derive(Clone)]
struct Warehouse {
    agent: Agent,
    feed: RevocationFeed,
    spiffe_id: String,
    effects: Arc<AtomicU64>,
}

pub(crate) async fn play() -> Result<(), Error> {
    let (source, id, agent) = harness::join().await?;
    let feed = RevocationFeed::start(&agent.tool(), SILENCE_MAX);
    let warehouse = Warehouse {
        agent,
        feed,
        spiffe_id: id.to_string(),
        effects: Arc::default(),
    };
    let serving = warehouse.clone();
    let service = tower::service_fn(move |request| {
        let warehouse = serving.clone();
        async move { warehouse.respond(request).await }
    });
    let port = serve::listen(source, service).await?;
    let up = Said::Up {
        port: Some(port),
        spiffe_id: id.to_string(),
    };
    harness::answer_all(warehouse, up).await
}

impl Warehouse {
    async fn respond(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let exported = self.called(request).await.unwrap_or_else(|error| {
            Exported::Denied(Denied {
                reason: "unavailable".to_owned(),
                message: explained(error.as_ref()),
                decision_id: None,
            })
        });
        let body = serde_json::to_vec(&exported).unwrap_or_default();
        Ok(Response::new(Full::new(body.into())))
    }

    async fn called(&self, request: Request<Incoming>) -> Result<Exported, Error> {
        let token = token_from_headers(request.headers())?.ok_or("no token")?;
        let peer = request
            .extensions()
            .get::<PeerProof>()
            .cloned()
            .ok_or("no proof of the caller's key")?;
        let tool = request.uri().path().trim_start_matches('/').to_owned();
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX);
        let arguments = body.collect().await?.to_bytes();
        let call = ToolCall::new(&self.spiffe_id, tool, arguments.to_vec())?;
        // After a restart of the agent: nothing begins before it is heard what was revoked.
        tokio::time::timeout(SILENCE_MAX, self.feed.caught_up()).await?;
        match self.feed.check(&token, &peer, call).await? {
            Watched::Fresh(effect) => self.export(*effect).await,
            Watched::Repeat(state) => Ok(Exported::Repeat {
                state: format!("{state:?}").to_lowercase(),
            }),
            Watched::Denied(no) => Ok(Exported::Denied(Denied {
                reason: no.reason,
                message: no.mcp_message,
                decision_id: Some(no.decision_id),
            })),
        }
    }

    /// The effect. It takes an [`Effect`], which only the agent's answer makes.
    async fn export(&self, effect: Effect) -> Result<Exported, Error> {
        let fresh = effect.fresh();
        if !fresh.may_begin(harness::now()) || effect.must_stop().is_some() {
            self.agent.tool().report(fresh, Outcome::NotDone).await?;
            return Err("too late to begin".into());
        }
        self.effects.fetch_add(1, Ordering::SeqCst);
        self.agent.tool().report(fresh, Outcome::Done).await?;
        Ok(Exported::Fresh)
    }
}

impl Role for Warehouse {
    async fn answer(&mut self, ask: Ask) -> Result<Said, Error> {
        match ask {
            Ask::CountEffects => Ok(Said::Count(self.effects.load(Ordering::SeqCst))),
            other => Err(format!("a warehouse does not do {other:?}").into()),
        }
    }
}

/// The call of every export, for workers.
pub(crate) fn export_call(warehouse: &str) -> Result<ToolCall, Error> {
    Ok(ToolCall::new(warehouse, EXPORT, EXPORT_ARGUMENTS)?)
}
