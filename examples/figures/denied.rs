//! A63: what a million denied calls leave in the ledger.

use crate::Error;
use crate::figure::{Figure, Size, count, milliseconds, rounded};
use crate::load::{CALLERS, Load, cpus};
use crate::node::{LOAD_ID, Node};
use handfast::client::{Agent, Caller, ClientError, Hand, Principal, QueryChecked};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Calls in flight on each connection.
const CALLS_PER_CONNECTION: usize = 4;

/// No more calls are begun after this time; `n` says how many were made.
const TIME_MAX: Duration = Duration::from_secs(600);

/// Bytes of a block in `st_blocks`, whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// Asks about tasks that do not exist, by handles of which none comes twice.
pub(crate) async fn ledger_mib(node: &Node, load: &Load, size: &Size) -> Result<Figure, Error> {
    let ledger = node.path("data/ledger.redb");
    let before = mebibytes(&ledger)?;
    let (begun, made) = (Arc::new(AtomicUsize::new(0)), size.denied);
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for agent in &load.agents {
        for _ in 0..CALLS_PER_CONNECTION {
            let (agent, hand, begun) = (agent.clone(), load.hand.clone(), Arc::clone(&begun));
            callers.spawn(async move {
                let mut denied = 0_usize;
                while started.elapsed() < TIME_MAX {
                    let number = begun.fetch_add(1, Ordering::Relaxed);
                    if number >= made {
                        break;
                    }
                    ask(&agent, &hand, number).await?;
                    denied = denied.saturating_add(1);
                }
                Ok::<_, Error>(denied)
            });
        }
    }
    let mut n = 0_usize;
    while let Some(caller) = callers.join_next().await {
        n = n.saturating_add(caller??);
    }
    let lasted = started.elapsed();
    let asked = Instant::now();
    load.query_token().await?;
    let (served, rate) = (
        milliseconds(asked.elapsed()),
        count(n) / lasted.as_secs_f64(),
    );
    Ok(Figure {
        name: "denied_calls_ledger_mib",
        value: rounded(mebibytes(&ledger)?),
        unit: "MiB",
        n,
        how: format!(
            "blocks of the ledger file after n denied calls, half Requests.Issue(query) and half \
             Enforcement.Check(query) of unknown handles, none twice; {before:.3} MiB before, {rate:.0} \
             calls/s from {} callers on {CALLERS} connections, rate limits raised, {} CPUs shared; the owner \
             was served after it in {served:.1} ms",
            load.agents.len().saturating_mul(CALLS_PER_CONNECTION),
            cpus(),
        ),
    })
}

/// One call that must be denied.
async fn ask(agent: &Agent, hand: &Hand, number: usize) -> Result<(), Error> {
    let handle = format!("unknown-{number:032}");
    if number.is_multiple_of(2) {
        return match agent.owner().issue_query(hand, LOAD_ID, handle).await {
            Err(ClientError::Denied(_)) => Ok(()),
            Err(other) => Err(other.into()),
            Ok(_) => Err("a token for a task that does not exist".into()),
        };
    }
    let caller = Caller::principal_only(Principal {
        issuer: "https://login.figures.test".to_owned(),
        subject: format!("user-{number}"),
    });
    match agent.server().check_query(caller, handle).await? {
        QueryChecked::Denied(_) => Ok(()),
        QueryChecked::Read(_) => Err("a task that does not exist was shown".into()),
    }
}

fn mebibytes(file: &Path) -> Result<f64, Error> {
    let bytes = std::fs::metadata(file)?
        .blocks()
        .saturating_mul(BLOCK_BYTES);
    Ok(count(usize::try_from(bytes / 1024)?) / 1024.0)
}
