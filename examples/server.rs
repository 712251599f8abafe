//! A server: registers a task before it answers with it, asks before it shows one. Its queue is a pipe.
//!
//!     server 127.0.0.1:8443 spiffe://demo.test/reports | worker …
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use handfast::client::{
    Agent, AgentConfig, Caller, PeerProof, QueryChecked, Register, ToolCall,
    http::{self, HttpLimits},
    mint_handle, token_from_headers,
};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Bytes, body::Incoming};
use spiffe::X509Source;
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
    let service = tower::service_fn(move |request| respond(agent.clone(), me.clone(), request));
    Ok(http::serve(listener, source, HttpLimits::default(), service).await?)
}

async fn respond(
    agent: Agent,
    me: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Error> {
    let token = token_from_headers(request.headers())?.ok_or("no token")?;
    let peer: PeerProof = request.extensions().get().cloned().ok_or("no proof")?;
    let caller = Caller::with_token(&token, &peer);
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let answer = if request.method() == Method::POST {
        let arguments = request.into_body().collect().await?.to_bytes();
        let handle = mint_handle()?;
        let call = ToolCall::new(me, path, arguments.to_vec())?;
        let registered = agent
            .server()
            .create(Register::new(caller, call, &handle))
            .await?;
        println!("{}", registered.work_reference());
        handle
    } else {
        match agent.server().check_query(caller, path).await? {
            QueryChecked::Read(task) => format!("{:?}", task.state),
            QueryChecked::Denied(no) => no.mcp_message,
        }
    };
    Ok(Response::new(Full::from(answer)))
}
