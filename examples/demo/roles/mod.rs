//! The roles: each is this program again, in a process of its own.

mod approver;
mod archive;
mod assistant;
mod foreman;
mod guard;
mod queue;
mod reports;
mod thief;
mod twin;
mod warehouse;
mod worker;

use crate::Error;

pub(crate) use archive::Settings as ArchiveSettings;
pub(crate) use assistant::Settings as AssistantSettings;
pub(crate) use queue::Queue;
pub(crate) use reports::Settings as ReportsSettings;
pub(crate) use thief::Settings as ThiefSettings;
pub(crate) use worker::Settings as WorkerSettings;

/// The tool of the MCP server.
pub(crate) const BUILD_REPORT: &str = "build_report";

/// The tool of the warehouse.
pub(crate) const EXPORT: &str = "export";

/// The arguments of every export.
pub(crate) const EXPORT_ARGUMENTS: &str = r#"{"table":"orders","year":2026}"#;

/// A tool of the warehouse that policy wants a person's consent for.
pub(crate) const PURGE: &str = "purge";

/// The tool of the archive, and its arguments.
pub(crate) const STORE: &str = "store";
pub(crate) const STORE_ARGUMENTS: &str = r#"{"box":"reports"}"#;

/// Plays one role until standard input ends.
pub(crate) async fn play(name: &str) -> Result<(), Error> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::INFO)
        .init();
    match name {
        "approver" => approver::play().await,
        "archive" => archive::play().await,
        "assistant" => assistant::play().await,
        "reports" => reports::play().await,
        "thief" => thief::play().await,
        "twin" => twin::play().await,
        "warehouse" => warehouse::play().await,
        "worker" => worker::play().await,
        _ => Err(format!("no role `{name}`").into()),
    }
}
