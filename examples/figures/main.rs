//! First figures of a release build, one JSON object a line: `{"name","value","unit","n","how"}`.
//!
//! Names the library alone. The one thing to know: nothing here passes or fails by time. The load and the
//! agent share one machine, so a figure says what this machine did today, not what the agent can do.
//!
//! `FIGURES_QUICK=1` makes everything small, to see that it works. Where there is no SPIRE, one line on
//! standard error says so and the figures that need it are left out.

mod alone;
mod denied;
mod figure;
mod fresh;
mod load;
mod node;
mod policies;
mod revocation;
#[expect(
    clippy::assigning_clones,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "the harness of the tests, for which an error is the end"
)]
#[path = "../../tests/support/spire.rs"]
mod spire;
mod tree;

use figure::{Figure, Size};
use load::Load;
use node::{Node, Provider, program};
use std::io::Write;
use std::process::ExitCode;
use tokio::runtime::Runtime;

/// The errors of a measurement are for reading.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let why = explained(error.as_ref());
            drop(writeln!(std::io::stderr(), "figures: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Error> {
    let size = Size::from_env();
    let runtime = Runtime::new()?;
    let handfast = program()?;
    alone::decide_us(&size)?.print()?;
    policies::decide_1000_policies_us(&size)?.print()?;
    {
        let provider = Provider::development(&handfast)?;
        let mut node = Node::start(&handfast, &provider)?;
        runtime.block_on(with_development(&mut node, &size))?;
    }
    if let Some(programs) = spire::programs() {
        for figure in fresh::measure(&runtime, &programs, &handfast, &size)? {
            figure.print()?;
        }
    }
    {
        let provider = Provider::development(&handfast)?;
        let mut node = Node::start(&handfast, &provider)?;
        runtime.block_on(async {
            node.wait_until_ready().await?;
            let load = Load::prepare(&node).await?;
            tree::cancel_ms(&node, &load, &size).await?.print()
        })?;
    }
    // Last, because it takes minutes; on a ledger of its own.
    let provider = Provider::development(&handfast)?;
    let mut node = Node::start(&handfast, &provider)?;
    runtime.block_on(async {
        node.wait_until_ready().await?;
        let load = Load::prepare(&node).await?;
        denied::ledger_mib(&node, &load, &size).await?.print()
    })
}

/// Everything that needs no SPIRE: how it answers is not what is measured.
async fn with_development(node: &mut Node, size: &Size) -> Result<(), Error> {
    node.wait_until_ready().await?;
    node.idle_rss_mib(size).await?.print()?;
    alone::fdatasync_p50_ms(&node.path("data"), size)?.print()?;
    let load = Load::prepare(node).await?;
    for figure in load.issue_query(size).await? {
        figure.print()?;
    }
    load.check_query(size).await?.print()?;
    policies::explain_ms(node, size).await?.print()?;
    let how = "Start again by the process that holds the leg (re-attached, durable), one at a time; \
               Start always asks anew, here the development provider in the same machine's memory, \
               so nothing is cached but SPIRE's own work is left out";
    let started: Figure = load.start("start_cached_p50_ms", how, size).await?;
    started.print()?;
    for figure in revocation::measure(node, &load, size).await? {
        figure.print()?;
    }
    Ok(())
}

/// An error with its causes on one line.
fn explained(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", explained(source)),
        None => error.to_string(),
    }
}
