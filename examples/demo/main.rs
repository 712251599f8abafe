//! One task from end to end with separate real processes, and everybody who tries to steal it.
//!
//! Started without arguments this is the director: it sets up a stage in a temporary folder, starts the
//! development SPIFFE provider, the agent and every role as processes of their own, and plays the story
//! line by line. Started as `demo role NAME` it is one of the roles, and takes its asks on standard input.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else is said, now or later, is not what the story expects"
)]

mod cast;
mod director;
mod expect;
mod family;
mod harness;
mod mcp;
mod oauth;
mod operator;
mod roles;
mod serve;
mod stage;
mod story;
mod table;
mod wire;

use std::io::Write;
use std::process::ExitCode;

/// The errors of a demonstration are for reading.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let played = tokio::runtime::Runtime::new()
        .map_err(Error::from)
        .and_then(|runtime| match names.as_slice() {
            [] => runtime.block_on(director::play()),
            ["role", name] => runtime.block_on(roles::play(name)).map(|()| true),
            _ => Err("usage: demo".into()),
        });
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(
                std::io::stderr(),
                "demo: {}",
                explained(error.as_ref())
            ));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes on one line.
fn explained(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", explained(source)),
        None => error.to_string(),
    }
}
