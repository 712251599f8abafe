//! A worker: takes work references from standard input, as from a queue, and makes one step for each.
//!
//!     worker 127.0.0.1:8444 spiffe://demo.test/warehouse
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use handfast::client::{
    Agent, AgentConfig, ClientError, EndedLeg, HANDFAST_TOKEN, Hand, Leg, RequestId, StepIssued,
    StepState, Token, ToolCall, http,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use spiffe::{SpiffeId, X509Source};
use std::{io::BufRead, net::SocketAddr, time::Duration};

const ASK_AGAIN: Duration = Duration::from_secs(1);

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
            ended = export(&leg, &hand, &source, (address, &tool)) => {
                let ended = ended?;
                println!("leg {}: {ended:?}", leg.number);
                leg.end(ended).await?;
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
    source: &X509Source,
    (address, tool): (SocketAddr, &SpiffeId),
) -> Result<EndedLeg, Error> {
    let body = r#"{"table":"orders"}"#;
    let call = ToolCall::new(tool.to_string(), "export", body)?;
    // One name for all attempts: where an answer was lost, the next token takes the place of the one before.
    let request = RequestId::random()?;
    for _question in 0..10_000 {
        match leg.issue(1, call.clone(), Some(request.clone())).await {
            Ok(StepIssued::Token(issued)) => {
                let said = send(issued.token, hand, source.clone(), (address, tool), body).await?;
                println!("leg {}: the tool says {said}", leg.number);
            }
            Ok(StepIssued::Already(StepState::Done)) => return Ok(EndedLeg::Completed),
            // Its tool has not reported yet.
            Ok(StepIssued::Already(_)) => {}
            Ok(StepIssued::Pending(asked)) => {
                println!(
                    "leg {}: {} waits for a person",
                    leg.number, asked.approval_id
                );
            }
            // A no, of policy or a person, or nobody knows what became of it: another leg may come when that is over.
            Err(ClientError::Denied(no)) => {
                println!("leg {}: {}", leg.number, no.reason);
                return Ok(EndedLeg::Yielded);
            }
            Err(other) => return Err(other.into()),
        }
        // The hold keeps the leg meanwhile.
        tokio::time::sleep(ASK_AGAIN).await;
    }
    Ok(EndedLeg::Failed)
}

async fn send(
    token: Token,
    hand: &Hand,
    source: X509Source,
    (address, tool): (SocketAddr, &SpiffeId),
    body: &'static str,
) -> Result<String, Error> {
    let mut connection = http::connect(source, tool, address, hand).await?;
    let request = hyper::Request::post("https://warehouse.demo.test/export")
        .header(HANDFAST_TOKEN, token.header_value()?)
        .body(Full::<Bytes>::from(body))?;
    let reply = connection.send_request(request).await?;
    let body = reply.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
