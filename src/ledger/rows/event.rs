//! Stored form of audit events.
//!
//! The names of facts are a closed set of the program's own constants. Read back, they come from a
//! file, so [`intern`] keeps one copy of each, and only so many.

use super::{Row, RowError, digest_bytes, digest_if, row, row_if, spiffe_id, task_id, wire};
use crate::domain::event::{CallerFacts, Event, Verdict};
use crate::domain::evidence::Assurance;
use crate::domain::policy::PolicyGeneration;
use crate::domain::time::Time;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The most names of facts that are kept; more than the program has.
const FACT_NAMES_MAX: usize = 1024;
/// The longest name of a fact, in bytes.
const FACT_NAME_LEN_MAX: usize = 64;

impl Row for CallerFacts {
    type Wire = wire::CallerFacts;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            spiffe_ids,
            assurance,
            process,
            uid,
            cgroup,
            executable,
        } = self;
        wire::CallerFacts {
            spiffe_ids: spiffe_ids.iter().map(ToString::to_string).collect(),
            assurance: match assurance {
                None => 0,
                Some(Assurance::Principal) => 1,
                Some(Assurance::Svid) => 2,
                Some(Assurance::Process) => 3,
            },
            process: process.as_ref().map(Row::to_wire),
            uid: *uid,
            cgroup: cgroup.clone(),
            executable: digest_bytes(*executable),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            spiffe_ids: wire
                .spiffe_ids
                .iter()
                .map(|id| spiffe_id(id, "spiffe_ids"))
                .collect::<Result<_, _>>()?,
            assurance: match wire.assurance {
                0 => None,
                1 => Some(Assurance::Principal),
                2 => Some(Assurance::Svid),
                3 => Some(Assurance::Process),
                _ => return Err(RowError::Field("assurance")),
            },
            process: row_if(wire.process)?,
            uid: wire.uid,
            cgroup: wire.cgroup,
            executable: digest_if(wire.executable.as_deref(), "executable")?,
        })
    }
}

impl Row for Event {
    type Wire = wire::Event;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            at,
            operation,
            verdict,
            task,
            caller,
            policy: PolicyGeneration { number, text },
            policies,
            facts,
            count,
        } = self;
        wire::Event {
            at: at.0,
            operation: operation.clone(),
            denied: match verdict {
                Verdict::Allowed => None,
                Verdict::Denied {
                    reason,
                    explanation,
                } => Some(wire::Denied {
                    reason: reason.clone(),
                    explanation: explanation.clone(),
                }),
            },
            task: task.map(|task| task.0.to_vec()),
            caller: Some(caller.to_wire()),
            policy_number: *number,
            policy_text: digest_bytes(*text),
            policies: policies.clone(),
            facts: facts
                .iter()
                .map(|(name, value)| wire::Fact {
                    name: (*name).to_owned(),
                    value: value.clone(),
                })
                .collect(),
            count: *count,
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            at: Time(wire.at),
            operation: wire.operation,
            verdict: wire
                .denied
                .map_or(Verdict::Allowed, |denied| Verdict::Denied {
                    reason: denied.reason,
                    explanation: denied.explanation,
                }),
            task: wire.task.map(|bytes| task_id(&bytes, "task")).transpose()?,
            caller: row(wire.caller, "caller")?,
            policy: PolicyGeneration {
                number: wire.policy_number,
                text: digest_if(wire.policy_text.as_deref(), "policy_text")?,
            },
            policies: wire.policies,
            facts: wire
                .facts
                .into_iter()
                .map(|fact| Ok((intern(&fact.name)?, fact.value)))
                .collect::<Result<_, RowError>>()?,
            count: wire.count,
        })
    }
}

/// The one copy of a fact's name. Each name is kept for the life of the process.
///
/// # Errors
/// [`RowError::Field`] for a name that is too long or one too many: the file was tampered with.
fn intern(name: &str) -> Result<&'static str, RowError> {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    if name.len() > FACT_NAME_LEN_MAX {
        return Err(RowError::Field("facts"));
    }
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return Ok(known);
    }
    if names.len() >= FACT_NAMES_MAX {
        return Err(RowError::Field("facts"));
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(kept);
    Ok(kept)
}
