//! A tool: asks before each effect, acts in time and order or not at all, and reports what became of it.
//!
//!     tool 127.0.0.1:8444 spiffe://demo.test/warehouse
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use handfast::client::{
    Agent, AgentConfig, Checked, Fences, Fresh, Outcome, PeerProof, ToolCall,
    http::{self, HttpLimits},
    token_from_headers,
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming};
use spiffe::X509Source;
use std::{sync::Arc, time::Duration, time::SystemTime};
use tokio::net::TcpListener;
type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("which address?")?;
    let me = arguments.next().ok_or("who am I?")?;
    let agent = Agent::connect(AgentConfig::from_env()).await?;
    // Our SVID for them; any key of theirs, which they prove in the handshake.
    let (source, listener) = (X509Source::new().await?, TcpListener::bind(address).await?);
    let here = (
        agent,
        Arc::new(Fences::new(10_000, Duration::from_secs(600))),
        me,
    );
    let service = tower::service_fn(move |request| respond(here.clone(), request));
    Ok(http::serve(listener, source, HttpLimits::default(), service).await?)
}

async fn respond(
    (agent, fences, me): (Agent, Arc<Fences>, String),
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Error> {
    let token = token_from_headers(request.headers())?.ok_or("no token")?;
    let peer: PeerProof = request.extensions().get().cloned().ok_or("no proof")?;
    let tool = request.uri().path().trim_start_matches('/').to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let call = ToolCall::new(me, tool, body.to_vec())?;
    let answer = match agent.tool().check(&token, &peer, call).await? {
        Checked::Fresh(it) => {
            let state = agent.tool().report(&it, effect(&fences, &it)).await?;
            format!("now: {state:?}")
        }
        Checked::Repeat(state) => format!("before: {state:?}"),
        Checked::Denied(no) => format!("no: {}", no.reason),
    };
    Ok(Response::new(Full::from(answer)))
}

/// The effect. It cannot be called without a `Fresh`, and only the agent's answer makes one.
#[expect(clippy::disallowed_methods, reason = "a workload has no Clock port")]
fn effect(fences: &Fences, fresh: &Fresh) -> Outcome {
    if !fresh.may_begin(SystemTime::now()) || fences.admit(fresh).is_err() {
        return Outcome::NotDone;
    }
    println!("exported for {}", fresh.subject());
    Outcome::Done
}
