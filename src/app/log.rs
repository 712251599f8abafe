//! The log: lines for people or for machines, on standard error.

use crate::config::{LogConfig, LogFormat};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

/// Starts the log. Later calls change nothing.
pub fn start_log(config: &LogConfig) {
    let level = config.level.word();
    // Libraries below ours speak of connections at debug level; they may be heard, but not by default.
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .parse_lossy(format!("warn,handfast={level}"));
    let writer = std::io::stderr;
    let layer = match config.format {
        LogFormat::Json => fmt::layer().json().with_writer(writer).boxed(),
        LogFormat::Pretty => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            fmt::layer()
                .with_ansi(terminal)
                .with_target(false)
                .with_writer(writer)
                .boxed()
        }
    };
    if tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .is_err()
    {
        tracing::debug!("the log was started before");
    }
}
