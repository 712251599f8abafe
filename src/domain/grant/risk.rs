//! How much harm a tool can do, as the configuration says, and how much a grant may reach.

use crate::domain::id::SpiffeId;
use std::collections::BTreeMap;

/// How much harm a call can do. Ordered from little to much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Risk {
    /// Reads, or is easily undone.
    Low,
    /// Changes what can be put right.
    Medium,
    /// Changes what is hard to put right.
    High,
    /// Cannot be put right; also every tool that nobody has judged.
    #[default]
    Critical,
}

impl Risk {
    /// Every level, from little to much.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The level's name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Parses what [`Risk::name`] writes.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|risk| risk.name() == name)
    }
}

/// The `[[tool]]` rows of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolRisks(BTreeMap<SpiffeId, BTreeMap<String, Risk>>);

impl ToolRisks {
    /// The risk of a tool; one that is not listed is critical.
    #[must_use]
    pub fn of(&self, audience: &SpiffeId, tool: &str) -> Risk {
        self.0
            .get(audience)
            .and_then(|tools| tools.get(tool))
            .copied()
            .unwrap_or_default()
    }
}

impl FromIterator<(SpiffeId, String, Risk)> for ToolRisks {
    fn from_iter<I: IntoIterator<Item = (SpiffeId, String, Risk)>>(rows: I) -> Self {
        let mut risks = Self::default();
        for (audience, tool, risk) in rows {
            risks.0.entry(audience).or_default().insert(tool, risk);
        }
        risks
    }
}
