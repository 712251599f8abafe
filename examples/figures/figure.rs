//! One figure as a line of JSON, and what is made of samples.

use crate::Error;
use serde::Serialize;
use std::io::Write;
use std::time::Duration;

/// One line of output.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// How many were measured.
    pub(crate) n: usize,
    /// What was done, so that the figure can be judged.
    pub(crate) how: String,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Batches of pure decisions.
    pub(crate) batches: usize,
    /// Rounds of a closed loop, and how long each lasts.
    pub(crate) rounds: usize,
    pub(crate) round: Duration,
    /// Calls made one after another.
    pub(crate) calls: usize,
    /// Tasks that are revoked.
    pub(crate) trials: usize,
    /// Children of one root.
    pub(crate) tree: usize,
    /// Calls that are denied.
    pub(crate) denied: usize,
    /// How long the agent is left alone before its memory is read.
    pub(crate) idle: Duration,
}

impl Size {
    /// Small with `FIGURES_QUICK=1`.
    pub(crate) fn from_env() -> Self {
        if std::env::var_os("FIGURES_QUICK").is_some_and(|value| value == "1") {
            return Self {
                batches: 11,
                rounds: 2,
                round: Duration::from_millis(200),
                calls: 20,
                trials: 20,
                tree: 100,
                denied: 2_000,
                idle: Duration::from_millis(200),
            };
        }
        Self {
            batches: 201,
            rounds: 5,
            round: Duration::from_secs(3),
            calls: 500,
            trials: 1_000,
            tree: 10_000,
            denied: 1_000_000,
            idle: Duration::from_secs(2),
        }
    }
}

impl Figure {
    /// Prints the line at once: what follows may take minutes.
    pub(crate) fn print(&self) -> Result<(), Error> {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        out.write_all(b"\n")?;
        out.flush()?;
        Ok(())
    }

    /// The median of single calls, in milliseconds.
    pub(crate) fn p50_ms(name: &'static str, samples: &[Duration], how: impl Into<String>) -> Self {
        let ms: Vec<f64> = samples.iter().copied().map(milliseconds).collect();
        Self {
            name,
            value: rounded(quantile(&ms, 500)),
            unit: "ms",
            n: samples.len(),
            how: how.into(),
        }
    }
}

/// The sample below which `per_mille` thousandths lie; 0 for none.
pub(crate) fn quantile(samples: &[f64], per_mille: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = sorted.len().saturating_mul(per_mille) / 1000;
    let last = sorted.len().saturating_sub(1);
    sorted.get(place.min(last)).copied().unwrap_or_default()
}

/// In milliseconds.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// To three decimals: more would be noise.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// A count, exactly up to 2^32.
pub(crate) fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
