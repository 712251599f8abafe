//! Policy as code: Cedar sets, checked against the built-in schema, sliced, and replaced while
//! running.
//!
//! Names `domain` and `service::ports`. The one thing to know: Cedar *skips* a policy whose
//! evaluation fails, so a failing `forbid` would fail open; here any evaluation error is a refusal.

mod bounds;
mod cases;
mod compile;
mod entities;
mod error;
mod guard;
#[cfg(feature = "prove")]
mod prove;
mod question;
mod set;
mod source;
mod tokens;
mod watch;

#[cfg(test)]
mod apart;
#[cfg(test)]
mod differential;

pub use bounds::{ESCAPES_MAX, NESTING_MAX, OPERATORS_MAX, PATH_MAX, POLICY_BYTES_MAX, TOKENS_MAX};
pub use cases::{Case, CaseError, CaseFile, CaseReport, read_cases};
pub use compile::{PolicyLine, Summary, check};
pub use error::{PolicyError, Problem};
#[cfg(feature = "prove")]
pub use prove::{Claim, Proof, ProveError, prove};
pub use set::Explained;
pub use source::{BYTES_MAX_DEFAULT, POLICIES_MAX_DEFAULT, PolicySource};

use crate::domain::policy::{Permit, PolicyGeneration, PolicyInput, Refusal};
use crate::service::ports::Policy;
use compile::Engine;
use set::Set;
use source::Stamp;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::watch as channel;

/// The policy set of an agent that is given none; a good one to start from.
pub const DEFAULT_POLICY: &str = include_str!("../../spire-config/policy/default.cedar");

/// What no set may ask for: the claims of `handfast policy prove`.
pub const GUARD_RAILS: &str = include_str!("../../spire-config/policy/guard-rails.cedar");

/// The types and actions that policies can name.
pub const SCHEMA: &str = include_str!("../../spire-config/policy/handfast.cedarschema");

/// The newest good policy set, and where the next one comes from.
pub struct CedarPolicy {
    source: PolicySource,
    engine: Arc<Engine>,
    current: RwLock<Arc<Set>>,
    /// Held while a set is read and checked, so that generations follow the order of reads.
    loading: Mutex<Loading>,
    changes: channel::Sender<PolicyGeneration>,
}

/// What is known about the file.
#[derive(Debug, Default)]
struct Loading {
    /// What it looked like at the last poll.
    stamp: Option<Stamp>,
    /// Whether it was read after it had looked like that for a whole interval.
    settled: bool,
    /// Why the last set was not taken.
    error: Option<String>,
    /// How often a set was not taken in this run.
    failures: u64,
}

/// How the policy stands, for health and the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStatus {
    /// Which set decides.
    pub generation: PolicyGeneration,
    /// How many policies it has.
    pub policies: usize,
    /// The file it came from; `None` for the default.
    pub path: Option<std::path::PathBuf>,
    /// Why the newest file was not taken, with line and column; `None` while all is well.
    pub error: Option<String>,
    /// How often a file was not taken in this run.
    pub failures: u64,
}

impl CedarPolicy {
    /// Loads the first set. At start a broken one is fatal.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn load(source: PolicySource) -> Result<Self, PolicyError> {
        let engine = Arc::new(Engine::new()?);
        let (text, stamp) = source.read()?;
        let set = compiled(&engine, &source, &text, 1)?;
        let generation = set.generation();
        tracing::info!(
            generation = generation.number,
            policies = set.len(),
            path = %source.name(),
            "policy set loaded"
        );
        Ok(Self {
            source,
            engine,
            current: RwLock::new(Arc::new(set)),
            loading: Mutex::new(Loading {
                stamp,
                ..Loading::default()
            }),
            changes: channel::Sender::new(generation),
        })
    }

    /// Reads the file now and takes its set. Where it cannot be taken the old set stays, and
    /// [`CedarPolicy::status`] says why. An equal text is no new generation.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn reload(&self) -> Result<PolicyGeneration, PolicyError> {
        self.reload_locked(&mut self.loading())
    }

    /// How the policy stands.
    #[must_use]
    pub fn status(&self) -> PolicyStatus {
        let loading = self.loading();
        let set = self.current();
        PolicyStatus {
            generation: set.generation(),
            policies: set.len(),
            path: self.source.path.clone(),
            error: loading.error.clone(),
            failures: loading.failures,
        }
    }

    /// Follows the generation: holders of legs are told when it changes.
    #[must_use]
    pub fn changes(&self) -> channel::Receiver<PolicyGeneration> {
        self.changes.subscribe()
    }

    /// What the newest set consists of.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.current().summary().clone()
    }

    /// Says which policies of the newest set decide a request.
    ///
    /// # Errors
    /// A sentence: something that the action needs is not in the request.
    pub fn explain(&self, input: &PolicyInput) -> Result<Explained, String> {
        self.current()
            .explain(&self.engine.vocabulary, input)
            .map_err(|error| error.to_string())
    }

    fn current(&self) -> Arc<Set> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn loading(&self) -> MutexGuard<'_, Loading> {
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self) -> Option<&Path> {
        self.source.path.as_deref()
    }

    fn reload_locked(&self, loading: &mut Loading) -> Result<PolicyGeneration, PolicyError> {
        match self.next_set() {
            Ok(next) => {
                if loading.error.take().is_some() {
                    tracing::info!(path = %self.source.name(), "policy file is good again");
                }
                Ok(next.map_or_else(|| self.generation(), |set| self.take(set)))
            }
            Err(error) => {
                let told = error.chain();
                if loading.error.as_ref() != Some(&told) {
                    loading.failures = loading.failures.saturating_add(1);
                    tracing::warn!(
                        generation = self.generation().number,
                        error = %told,
                        "policy_reload_failed: the last good set stays"
                    );
                }
                loading.error = Some(told);
                Err(error)
            }
        }
    }

    /// The set that the file holds now, unless it is the one that decides already.
    fn next_set(&self) -> Result<Option<Set>, PolicyError> {
        let (text, _) = self.source.read()?;
        let newest = self.generation();
        if newest.text == Some(compile::digest(&text)) {
            return Ok(None);
        }
        let number = newest.number.saturating_add(1);
        compiled(&self.engine, &self.source, &text, number).map(Some)
    }

    fn take(&self, set: Set) -> PolicyGeneration {
        let generation = set.generation();
        tracing::info!(
            generation = generation.number,
            policies = set.len(),
            path = %self.source.name(),
            "policy set replaced"
        );
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        self.changes.send_replace(generation);
        generation
    }
}

fn compiled(
    engine: &Engine,
    source: &PolicySource,
    text: &str,
    number: u64,
) -> Result<Set, PolicyError> {
    engine
        .compile(text, source.policies_max, number)
        .map_err(|error| source.blame(error))
}

impl Policy for CedarPolicy {
    fn evaluate(&self, input: &PolicyInput) -> Result<Permit, Refusal> {
        // One snapshot for the whole decision: never a mix of two sets.
        self.current().decide(&self.engine.vocabulary, input)
    }

    fn generation(&self) -> PolicyGeneration {
        self.current().generation()
    }

    fn candidate(&self, text: &str) -> Result<Arc<dyn Policy>, String> {
        let engine = Arc::clone(&self.engine);
        let source = PolicySource {
            path: None,
            ..self.source.clone()
        };
        let set = source
            .fits(text)
            .and_then(|()| compiled(&engine, &source, text, 0))
            .map_err(|error| error.chain())?;
        Ok(Arc::new(Candidate { engine, set }))
    }
}

/// A set that decides nothing: it is asked what it would say.
#[derive(Debug)]
struct Candidate {
    engine: Arc<Engine>,
    set: Set,
}

impl Policy for Candidate {
    fn evaluate(&self, input: &PolicyInput) -> Result<Permit, Refusal> {
        self.set.decide(&self.engine.vocabulary, input)
    }

    fn generation(&self) -> PolicyGeneration {
        self.set.generation()
    }

    fn candidate(&self, _text: &str) -> Result<Arc<dyn Policy>, String> {
        Err("a set that is only looked at has no successor".to_owned())
    }
}

impl std::fmt::Debug for CedarPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CedarPolicy")
            .field("source", &self.source)
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}
