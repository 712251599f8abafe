//! `[policy]`, `[revocation]`, `[clock]`, `[drain]` and `[log]`: what the running process reads, trusts and writes.
//!
//! Names nothing of the project.

use super::refusal::ConfigError;
use super::table::Table;
use std::path::PathBuf;
use std::time::Duration;

/// `[policy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyConfig {
    /// The Cedar policy file.
    pub path: PathBuf,
    /// How often the file is looked at for a change.
    pub poll_interval: Duration,
}

impl PolicyConfig {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let config = Self {
            path: table.path("path", "/etc/handfast/policy.cedar")?,
            poll_interval: table.duration(
                "poll_interval",
                Duration::from_secs(2),
                Duration::from_secs(600),
            )?,
        };
        table.finish()?;
        Ok(config)
    }
}

/// `[revocation]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationConfig {
    /// How often an enforcement point hears that the feed is there.
    pub heartbeat: Duration,
}

impl RevocationConfig {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let config = Self {
            heartbeat: table.duration(
                "heartbeat",
                Duration::from_secs(1),
                Duration::from_secs(60),
            )?,
        };
        table.finish()?;
        Ok(config)
    }
}

/// `[clock]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockConfig {
    /// A wall clock set back by at most this is held until it catches up; by more, nothing is
    /// decided.
    pub backward_jump_max: Duration,
}

impl ClockConfig {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let config = Self {
            backward_jump_max: table.duration(
                "backward_jump_max",
                Duration::from_secs(2),
                Duration::from_secs(60),
            )?,
        };
        table.finish()?;
        Ok(config)
    }
}

/// `[drain]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainConfig {
    /// After SIGTERM: how long requests in flight may finish before every connection is cut.
    pub deadline: Duration,
}

impl DrainConfig {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let config = Self {
            deadline: table.duration(
                "deadline",
                Duration::from_secs(10),
                Duration::from_secs(600),
            )?,
        };
        table.finish()?;
        Ok(config)
    }
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// Which lines are written.
    pub level: LogLevel,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// The least important log line that is written, from few lines to many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What needs an operator.
    Error,
    /// What an operator should look at.
    Warn,
    /// One line per request, and what changes.
    Info,
    /// What a developer of the agent wants.
    Debug,
    /// Everything.
    Trace,
}

impl LogConfig {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let formats = [("json", LogFormat::Json), ("pretty", LogFormat::Pretty)];
        let levels = [
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        let config = Self {
            format: table.choice("format", "pretty", &formats)?,
            level: table.choice("level", "info", &levels)?,
        };
        table.finish()?;
        Ok(config)
    }
}

impl LogLevel {
    /// The word that the file and the log filter use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
