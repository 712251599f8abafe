//! A server that makes tasks for other workloads: what a worker fans out to. No users, so no principals.

use super::queue::Queue;
use super::{STORE, STORE_ARGUMENTS};
use crate::harness::{self, Role};
use crate::wire::{Ask, Denied, Said};
use crate::{Error, explained, serve};
use handfast::client::{
    Agent, Caller, ClientError, PeerProof, Register, ToolCall, mint_handle, token_from_headers,
};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::path::PathBuf;

/// What the director tells the archive.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) queue: PathBuf,
}

#[derive(Clone)]
struct Archive {
    agent: Agent,
    spiffe_id: String,
    queue: PathBuf,
}

pub(crate) async fn play() -> Result<(), Error> {
    let (source, id, agent) = harness::join().await?;
    let settings: Settings = harness::settings()?;
    let archive = Archive {
        agent,
        spiffe_id: id.to_string(),
        queue: settings.queue,
    };
    let serving = archive.clone();
    let service = tower::service_fn(move |request| {
        let archive = serving.clone();
        async move { archive.respond(request).await }
    });
    let port = serve::listen(source, service).await?;
    let up = Said::Up {
        port: Some(port),
        spiffe_id: id.to_string(),
    };
    harness::answer_all(archive, up).await
}

impl Archive {
    async fn respond(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let said = self.called(request).await.unwrap_or_else(|error| {
            Said::Denied(Denied {
                reason: "unavailable".to_owned(),
                message: explained(error.as_ref()),
                decision_id: None,
            })
        });
        let body = serde_json::to_vec(&said).unwrap_or_default();
        Ok(Response::new(Full::new(body.into())))
    }

    /// Registers the task before anybody hears of it, and puts its work into the queue.
    async fn called(&self, request: Request<Incoming>) -> Result<Said, Error> {
        let token = token_from_headers(request.headers())?.ok_or("no token")?;
        let peer = request
            .extensions()
            .get::<PeerProof>()
            .cloned()
            .ok_or("no proof of the caller's key")?;
        let call = store_call(&self.spiffe_id)?;
        let handle = mint_handle()?;
        let register = Register::new(Caller::with_token(&token, &peer), call, &handle);
        match self.agent.server().create(register).await {
            Ok(registered) => {
                Queue::at(&self.queue).push(registered.work_reference())?;
                Ok(Said::Task { handle })
            }
            Err(ClientError::Denied(denied)) => harness::denied(ClientError::Denied(denied)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Role for Archive {
    async fn answer(&mut self, ask: Ask) -> Result<Said, Error> {
        Err(format!("an archive does not do {ask:?}").into())
    }
}

/// The call that makes a task at the archive.
pub(crate) fn store_call(archive: &str) -> Result<ToolCall, Error> {
    Ok(ToolCall::new(archive, STORE, STORE_ARGUMENTS)?)
}
