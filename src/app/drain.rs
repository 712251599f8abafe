//! The last part of a drain: sweeps and audit, each with a deadline.
//!
//! The one thing to know: nothing here waits longer than it is told, so that a stop always ends.

use super::EXIT_LEDGER_FAILED;
use crate::ledger::RedbLedger;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

/// Waits for the sweeps, but no longer than the drain takes.
pub(super) async fn end(mut sweeps: JoinHandle<()>, drained_by: Sleep) {
    tokio::select! {
        biased;
        ended = &mut sweeps => {
            if let Err(error) = ended {
                tracing::warn!(%error, "the sweeps did not end well");
            }
        }
        () = drained_by => {
            tracing::warn!("the sweeps were cut at the drain deadline");
            sweeps.abort();
        }
    }
}

/// Waits for the last audit records. Behind a disk that hangs, even closing the ledger would wait.
pub(super) async fn flush(ledger: &RedbLedger, deadline: Duration) {
    match tokio::time::timeout(deadline, ledger.flush()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the last audit records are not on the disk"),
        Err(_elapsed) => {
            tracing::error!("the disk does not answer: stopping without the last audit records");
            std::process::exit(EXIT_LEDGER_FAILED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sweeps_that_hang_are_cut_at_the_drain_deadline() {
        let (held, cut) = tokio::sync::oneshot::channel::<()>();
        let sweeps = tokio::spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        end(sweeps, tokio::time::sleep(Duration::from_secs(10))).await;
        assert!(cut.await.is_err(), "the sweeps are no more");
    }
}
