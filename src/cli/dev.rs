//! `handfast dev`.

use super::Complaint;
use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::dev::{DevConfig, run as run_provider};
use crate::domain::id::TrustDomain;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Flags of `handfast dev`.
#[derive(Args, Debug)]
pub(super) struct DevArgs {
    /// The trust domain, under .test, .example, .invalid or .localhost.
    #[arg(long, alias = "trustDomain")]
    trust_domain: String,
    /// The folder for its sockets: `public/api.sock` and `broker/broker.sock`.
    #[arg(long)]
    folder: PathBuf,
    /// The registration entries, a TOML file of `[[entry]]` tables; read again when it changes.
    #[arg(long)]
    entries: PathBuf,
    /// Life of an X.509-SVID in seconds.
    #[arg(long, alias = "x509SVIDTTL", default_value_t = 3600)]
    x509_svid_ttl: u64,
}

/// Runs the development provider until SIGTERM or SIGINT.
pub(super) fn run(args: DevArgs) -> Result<ExitCode, Complaint> {
    crate::app::start_log(&LogConfig {
        format: LogFormat::Pretty,
        level: LogLevel::Info,
    });
    let trust_domain = TrustDomain::new(&args.trust_domain)
        .map_err(|error| Complaint::of(&error, "a trust domain is a name like demo.test"))?;
    let config = DevConfig {
        svid_ttl: Duration::from_secs(args.x509_svid_ttl),
        ..DevConfig::new(
            trust_domain,
            args.folder.join("public/api.sock"),
            args.folder.join("broker/broker.sock"),
            args.entries,
        )
    };
    for socket in [&config.workload_socket, &config.broker_socket] {
        if let Some(folder) = socket.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| Complaint::of(&error, "the folder must be writable"))?;
        }
    }
    super::block_on(async {
        let shutdown = CancellationToken::new();
        let failed = |error: std::io::Error| Complaint::of(&error, "");
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let (ready, _serving) = oneshot::channel();
        let provider = run_provider(config, ready, shutdown.clone());
        tokio::pin!(provider);
        let ended = tokio::select! {
            ended = &mut provider => ended,
            _ = terminate.recv() => { shutdown.cancel(); provider.await }
            _ = interrupt.recv() => { shutdown.cancel(); provider.await }
        };
        ended.map_err(|error| Complaint::of(&error, "see `handfast dev --help`"))?;
        Ok(ExitCode::SUCCESS)
    })
}
