//! The downstream tool: asks the agent before each effect, counts the effects, reports what became of them.

use super::{EXPORT, EXPORT_ARGUMENTS};
use crate::harness::{self, Role};
use crate::wire::{Ask, Denied, Exported, Said};
use crate::{Error, explained, serve};
use handfast::client::{Agent, Checked, Fresh, Outcome, PeerProof, ToolCall, token_from_headers};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const BODY_BYTES_MAX: usize = 65_536;

#[derive(Clone)]
struct Warehouse {
    agent: Agent,
    spiffe_id: String,
    effects: Arc<AtomicU64>,
}

pub(crate) async fn play() -> Result<(), Error> {
    let (source, id, agent) = harness::join().await?;
    let warehouse = Warehouse {
        agent,
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
        match self.agent.tool().check(&token, &peer, call).await? {
            Checked::Fresh(fresh) => self.export(*fresh).await,
            Checked::Repeat(state) => Ok(Exported::Repeat {
                state: format!("{state:?}").to_lowercase(),
            }),
            Checked::Denied(no) => Ok(Exported::Denied(Denied {
                reason: no.reason,
                message: no.mcp_message,
                decision_id: Some(no.decision_id),
            })),
        }
    }

    /// The effect. It takes a [`Fresh`], which only the agent's answer makes.
    async fn export(&self, fresh: Fresh) -> Result<Exported, Error> {
        if !fresh.may_begin(harness::now()) {
            self.agent.tool().report(&fresh, Outcome::NotDone).await?;
            return Err("too late to begin".into());
        }
        self.effects.fetch_add(1, Ordering::SeqCst);
        self.agent.tool().report(&fresh, Outcome::Done).await?;
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
