//! An owner: asks this node's agent for a token, makes a task with it, and asks about the task.
//!
//!     owner 127.0.0.1:8443 spiffe://demo.test/reports
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use handfast::client::{
    Agent, AgentConfig, Create, Grant, HANDFAST_TOKEN, Hand, Issued, ToolCall, http,
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use spiffe::{SpiffeId, X509Source};
use std::time::Duration;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("which address?")?.parse()?;
    let server = SpiffeId::new(arguments.next().ok_or("which server?")?)?;

    // One key for this server, in memory. Tokens are bound to it.
    let hand = Hand::generate(Duration::from_secs(3600))?;
    let mut connection = http::connect(X509Source::new().await?, &server, address, &hand).await?;

    // What the task may do on our authority, and who may carry it out.
    let owner = Agent::connect(AgentConfig::from_env()).await?.owner();
    let body = r#"{"year":2026}"#;
    let create = Create::by(ToolCall::new(server.to_string(), "build_report", body)?)
        .granting(Grant::nothing().tool("spiffe://demo.test/warehouse", "export"))
        .performed_by("spiffe://demo.test/worker");
    let issued = owner.issue_create(&hand, create).await?;
    let reply = connection.send_request(request("POST", "build_report", issued, body)?);
    let body = reply.await?.into_body().collect().await?.to_bytes();
    let handle = String::from_utf8(body.to_vec())?;

    // The handle is a name and grants nothing: each question needs a token of its own.
    let issued = owner
        .issue_query(&hand, server.to_string(), &handle)
        .await?;
    let reply = connection.send_request(request("GET", &handle, issued, "")?);
    let state = reply.await?.into_body().collect().await?.to_bytes();
    println!("the task is {}", String::from_utf8_lossy(&state));
    Ok(())
}

fn request(
    method: &str,
    path: &str,
    issued: Issued,
    body: &'static str,
) -> Result<Request<Full<Bytes>>, Error> {
    let token = issued.token.ok_or("this was done before")?;
    Ok(Request::builder()
        .method(method)
        .uri(format!("https://reports.demo.test/{path}"))
        .header(HANDFAST_TOKEN, token.header_value()?)
        .body(Full::from(body))?)
}
