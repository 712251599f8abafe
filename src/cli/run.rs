//! `handfast run`.

use super::Complaint;
use crate::app;
use crate::config::Config;
use crate::domain::id::TrustDomain;
use crate::kernel;
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

const VALIDATE: &str = "`handfast validate --config FILE --node` says what is missing";

/// Loads the configuration and runs the agent until SIGTERM or SIGINT.
pub(super) fn run(path: &Path, development: bool) -> Result<ExitCode, Complaint> {
    let config = Config::load(path).map_err(|error| Complaint::of(&error, VALIDATE))?;
    app::start_log(&config.log);
    if development {
        refuse_production(config.agent.trust_domain())?;
        tracing::warn!("DEVELOPMENT: other processes of this user can read this agent's memory");
    }
    let hardened = if development {
        kernel::harden_but_readable()
    } else {
        kernel::harden()
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        spiffe_id = %config.agent.spiffe_id,
        core_dumps_off = hardened.core_limit_zero,
        not_dumpable = hardened.not_dumpable,
        memory_locked = hardened.memory_locked,
        "handfast starts"
    );
    for (key, value) in &config.settings {
        tracing::debug!(%key, %value, "setting");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Complaint::of(&error, ""))?;
    let ended = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        stop_on_signals(&shutdown).map_err(app::AppError::Signals)?;
        Box::pin(app::run(config, shutdown)).await
    });
    ended.map_err(|error| Complaint::of(&error, VALIDATE))?;
    Ok(ExitCode::SUCCESS)
}

fn stop_on_signals(shutdown: &CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    });
    Ok(())
}

fn refuse_production(trust_domain: &TrustDomain) -> Result<(), Complaint> {
    if crate::dev::is_reserved(trust_domain) {
        return Ok(());
    }
    Err(Complaint::new(
        format!(
            "--development is for trust domains under .test, .example, .invalid and .localhost, not \
             `{trust_domain}`"
        ),
        "leave the flag out to run the agent as it should be",
    ))
}
