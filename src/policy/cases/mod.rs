//! Policy cases: requests with the answers that a set must give, in TOML files.
//!
//! A case says what policy would be told, and what it must answer. A request that lacks what its
//! action needs is a broken case and not a refusal: else a case could pass for the wrong reason.

mod file;
mod request;

pub use file::{CaseError, CaseFile, read_cases};

use super::{CedarPolicy, Explained};
use crate::domain::policy::PolicyInput;

/// One request and the answer that a set must give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The claim.
    pub name: String,
    /// What policy is asked.
    pub input: PolicyInput,
    /// Whether it must be permitted.
    pub permit: bool,
    /// The policies that must decide, where the case names them, sorted.
    pub policies: Option<Vec<String>>,
    /// Words that the answer must have in it.
    pub reason: Option<String>,
}

/// How a case came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseReport {
    /// What the set answers; an error where the request cannot be put to policy.
    pub answer: Result<Explained, String>,
    /// What differs, a line each; empty where the case holds.
    pub differences: Vec<String>,
}

impl CaseReport {
    /// Whether the set answers as the case says.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Case {
    /// Asks the newest set of `policy`.
    #[must_use]
    pub fn ask(&self, policy: &CedarPolicy) -> CaseReport {
        let answer = policy.explain(&self.input);
        let differences = match &answer {
            Ok(explained) => self.differences(explained),
            Err(error) => vec![format!("the case cannot be asked: {error}")],
        };
        CaseReport {
            answer,
            differences,
        }
    }

    fn differences(&self, answer: &Explained) -> Vec<String> {
        let mut lines = Vec::new();
        let mut differs = |what: &str, expected: String, found: String| {
            lines.push(format!("- {what}: {expected}"));
            lines.push(format!("+ {what}: {found}"));
        };
        let named = |permitted| if permitted { "permit" } else { "refuse" };
        if answer.permitted != self.permit {
            let found = format!("{} ({})", named(answer.permitted), answer.why);
            differs("expect", named(self.permit).to_owned(), found);
        }
        if let Some(expected) = &self.policies
            && *expected != answer.deciding
        {
            differs(
                "policies",
                format!("{expected:?}"),
                format!("{:?}", answer.deciding),
            );
        }
        if let Some(words) = &self.reason
            && !answer.why.contains(words)
        {
            differs("reason", words.clone(), answer.why.clone());
        }
        lines
    }
}
