//! A worker: takes work references from standard input, as from a queue, and makes one step for each.
//!
//!     worker 127.0.0.1:8444 spiffe://demo.test/warehouse
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use handfast::client::{
    Agent, AgentConfig, EndedLeg, HANDFAST_TOKEN, Hand, Leg, StepIssued, ToolCall, http,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use spiffe::{SpiffeId, X509Source};
use std::{io::BufRead, net::SocketAddr, time::Duration};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("which address?")?.parse()?;
    let tool = SpiffeId::new(arguments.next().ok_or("which tool?")?)?;
    let agent = Agent::connect(AgentConfig::from_env()).await?;
    let source = X509Source::new().await?;
    for work_reference in std::io::stdin().lock().lines() {
        // A new key for each leg: what it signs for is this process, this task, this leg.
        let hand = Hand::generate(Duration::from_secs(3600))?;
        let leg = agent.worker().start(work_reference?, &hand).await?;
        let mut hold = leg.hold().await?;
        tokio::select! {
            said = export(&leg, &hand, source.clone(), (address, &tool)) => {
                println!("leg {}: the tool says {}", leg.number, said?);
                leg.end(EndedLeg::Completed).await?;
            }
            stop = hold.until_stop() => println!("leg {}: told to stop: {stop:?}", leg.number),
        }
    }
    Ok(())
}

/// Step 1 of this program: always number 1, whoever carries it out and however often it is tried.
async fn export(
    leg: &Leg,
    hand: &Hand,
    source: X509Source,
    (address, tool): (SocketAddr, &SpiffeId),
) -> Result<String, Error> {
    let body = r#"{"table":"orders"}"#;
    let call = ToolCall::new(tool.to_string(), "export", body)?;
    let token = match leg.issue(1, call, None).await? {
        StepIssued::Token(issued) => issued.token,
        StepIssued::Pending(asked) => {
            return Ok(format!("nothing yet: approval {} waits", asked.approval_id));
        }
        StepIssued::Already(state) => return Ok(format!("nothing: the step is {state:?}")),
    };
    let mut connection = http::connect(source, tool, address, hand).await?;
    let request = hyper::Request::post("https://warehouse.demo.test/export")
        .header(HANDFAST_TOKEN, token.header_value()?)
        .body(Full::<Bytes>::from(body))?;
    let reply = connection.send_request(request).await?;
    let body = reply.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
