//! One request through the rules: attest → load → decide → commit → sign → reply.
//!
//! Names `domain` and its own [`ports`] only; the edges implement the ports and `app` wires them. Each
//! method of [`Continuation`] is one method of the API, in the order of its steps.

mod acts;
mod approvals;
mod blast;
mod bounded;
mod consent;
mod enforcement;
mod explain;
mod feed;
mod follow;
mod handover;
mod leases;
mod legs;
mod lines;
mod notes;
mod operator;
pub mod ports;
mod rate;
mod report;
mod requests;
mod revocation;
mod roles;
mod scene;
mod settings;
mod simulate;
mod spawn;
mod steps;
mod sweep;
mod tasks;
mod views;
mod watch;
mod whoami;
pub(crate) mod words;

pub use approvals::{ApprovalView, DecideAsk};
pub use blast::Stops;
pub use enforcement::{CheckAnswer, CheckOwner, CheckStep, OwnerOperation, Proofs, TaskView};
pub use feed::{FeedEvent, Point, PointState, Receipt, Told};
pub use handover::{DelegateAsk, NamedTask, OrderAnswer, OrderAsk};
pub use leases::{HoldKind, HoldStream};
pub use legs::{EndAsk, LegStarted, StartAsk};
pub use operator::{StatusView, TaskSummary};
pub use report::ReportAsk;
pub use requests::{CreateAsk, IssuedToken, NameAsk};
pub use revocation::{Lifted, Revoked};
pub use settings::{Settings, Vouched, WorkloadRow};
pub use simulate::{Simulated, SimulatedAnswer, SimulatedChange};
pub use spawn::{ChildAsk, SpawnAsk, Spawned};
pub use steps::{Became, IssuedStep, StepAsk};
pub use tasks::{RegisterAsk, RegisteredTask};
pub use views::{InputAsk, ServerView};
pub use watch::WatchStream;
pub use whoami::WhoAmI;

use crate::domain::denial::Reason;
use crate::domain::evidence::Evidence;
use crate::domain::id::{Jti, RecordNumber};
use crate::domain::time::Time;
use ports::ledger::{Decision, Denied};
use ports::{
    AttestError, AttestedWorkload, Attestor, Certificates, Clock, Entropy, Freshness, Ledger,
    LedgerError, Names, Peer, Persons, Policy, Processes, Signer,
};
use std::sync::{Arc, Mutex, PoisonError};

/// What the service runs on.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Who is calling.
    pub attestor: Arc<dyn Attestor>,
    /// Leg and hand certificates.
    pub certificates: Arc<dyn Certificates>,
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Durable state.
    pub ledger: Arc<dyn Ledger>,
    /// Keyed names.
    pub names: Arc<dyn Names>,
    /// People, as identity providers know them.
    pub persons: Arc<dyn Persons>,
    /// Policy.
    pub policy: Arc<dyn Policy>,
    /// The kernel's processes.
    pub processes: Arc<dyn Processes>,
    /// Tokens.
    pub signer: Arc<dyn Signer>,
}

/// The service: every method of the API, behind the edges.
#[derive(Clone, Debug)]
pub struct Continuation {
    ports: Ports,
    settings: Arc<Settings>,
    leases: Arc<leases::Leases>,
    notes: Arc<notes::FoldedNotes>,
    rates: Arc<rate::Rates>,
    watchers: Arc<watch::Watchers>,
    feed: Arc<feed::Feed>,
    started: std::time::Duration,
}

/// Runs work to its end even if nobody waits for the answer any more: a client may reset its stream at any
/// moment, and what follows a commit (a lease, word to a worker) must not be lost with it.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::spawn(work).await {
        Ok(answer) => answer,
        Err(error) => Err(Failure::Internal(error.to_string())),
    }
}

/// Why a call got no answer, or a no.
#[derive(Debug)]
pub enum Failure {
    /// The caller could not be attested.
    Attest(AttestError),
    /// The caller asked too often: the name of the limit.
    Busy(&'static str),
    /// A rule or policy refused.
    Denied {
        /// The true reason; the edge tells the caller what [`Reason::public`] allows.
        reason: Reason,
        /// For `handfast explain`.
        decision_id: String,
    },
    /// Our bug; the sentence is for the log.
    Internal(String),
    /// The request is malformed: the field and what is wrong with it.
    Invalid(String),
    /// No decision was possible now.
    Unavailable(String),
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Busy => Self::Busy("limits.ledger_queue"),
            LedgerError::Full => Self::Busy("limits.ledger_bytes"),
            LedgerError::Failed(_) => Self::Unavailable(error.to_string()),
            LedgerError::Corrupt(_) => Self::Internal(error.to_string()),
        }
    }
}

impl Continuation {
    /// Puts the service together. Call [`Continuation::recover`] before serving.
    #[must_use]
    pub fn new(ports: Ports, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        Self {
            leases: Arc::new(leases::Leases::new(Arc::clone(&ports.clock), &settings)),
            notes: Arc::new(notes::FoldedNotes::new(
                Arc::clone(&ports.ledger),
                Arc::clone(&ports.clock),
                &settings,
            )),
            rates: Arc::new(rate::Rates::new(Arc::clone(&ports.clock), &settings)),
            watchers: Arc::new(watch::Watchers::new(&settings)),
            feed: Arc::new(feed::Feed::new(Arc::clone(&ports.clock), &settings)),
            started: ports.clock.monotonic(),
            settings,
            ports,
        }
    }

    /// Rate limit, then attestation: the first two steps of every call.
    async fn attest(&self, peer: &Peer, freshness: Freshness) -> Result<AttestedWorkload, Failure> {
        self.rates.admit(peer).map_err(Failure::Busy)?;
        self.ports
            .attestor
            .attest(peer, freshness)
            .await
            .map_err(Failure::Attest)
    }

    /// The time, or nothing can be decided.
    fn now(&self) -> Result<Time, Failure> {
        self.ports.clock.now().ok_or_else(|| {
            Failure::Unavailable("the wall clock was set back too far; waiting for it".to_owned())
        })
    }

    fn jti(&self) -> Result<Jti, Failure> {
        let mut bytes = [0_u8; 16];
        self.random(&mut bytes)?;
        Ok(Jti(bytes))
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Failure> {
        self.ports
            .entropy
            .fill(bytes)
            .map_err(|error| Failure::Unavailable(error.to_string()))
    }

    /// Notes a refusal and names it.
    fn refuse(&self, denied: Box<Denied>) -> Failure {
        let Denied { reason, event } = *denied;
        match notes::note(&self.notes, event) {
            Ok(number) => {
                let decision_id = self.decision_id(number);
                if reason == Reason::Alarm {
                    tracing::error!(%decision_id, "a valid signature without a record behind it");
                }
                Failure::Denied {
                    reason,
                    decision_id,
                }
            }
            Err(error) => error.into(),
        }
    }

    fn decision_id(&self, number: RecordNumber) -> String {
        self.ports.names.decision_id(number)
    }

    /// A refusal before any row was read.
    fn refuse_early(
        &self,
        operation: &'static str,
        evidence: &Evidence,
        reason: Reason,
    ) -> Failure {
        let at = self.ports.clock.now().unwrap_or_default();
        let policy = self.ports.policy.generation();
        let event = scene::denial(operation, evidence, (at, policy), &reason);
        self.refuse(Box::new(Denied { reason, event }))
    }

    /// Runs a judge over rows and commits what it decides.
    async fn decide<E: Send + 'static>(
        &self,
        load: crate::domain::lineage::Load,
        judge: Arc<ports::ledger::Judge<E>>,
    ) -> Result<Decision<E>, Failure> {
        let policy = Arc::clone(&self.ports.policy);
        let generation = policy.generation();
        let current = move || policy.generation() == generation;
        self.decide_while(load, judge, current).await
    }

    /// As [`Continuation::decide`], and decides again in the order of the commits unless `current` says that
    /// what else was read still holds.
    async fn decide_while<E: Send + 'static>(
        &self,
        load: crate::domain::lineage::Load,
        judge: Arc<ports::ledger::Judge<E>>,
        current: impl Fn() -> bool + Send + 'static,
    ) -> Result<Decision<E>, Failure> {
        let notes: &dyn ports::ledger::Notes = self.notes.as_ref();
        let ports = (self.ports.ledger.as_ref(), notes);
        let about = Arc::new(Mutex::new((None, None)));
        let decided = {
            let about = Arc::clone(&about);
            let judge: Arc<ports::ledger::Judge<E>> = Arc::new(move |rows| {
                let judged = judge(rows)?;
                let ending = judged.transition.writes.ending.as_ref();
                let told = (judged.event.task, ending.map(|ending| ending.ended.clone()));
                *about.lock().unwrap_or_else(PoisonError::into_inner) = told;
                Ok(judged)
            });
            // Rows are large, and every call waits here.
            Box::pin(ports::ledger::decide(ports, load, judge, current)).await?
        };
        let (task, ended) =
            std::mem::take(&mut *about.lock().unwrap_or_else(PoisonError::into_inner));
        if let Decision::Recorded(_) = decided {
            if let Some(task) = task {
                self.watchers.touch(task);
            }
            if let Some(ended) = &ended {
                self.feed.wake(ended);
            }
        }
        Ok(decided)
    }

    /// Decides where the answer is the same whether or not it changed something and nothing is signed: the
    /// answer and its decision ID.
    async fn answer<E: Send + 'static>(
        &self,
        load: crate::domain::lineage::Load,
        judge: Arc<ports::ledger::Judge<E>>,
    ) -> Result<(E, String), Failure> {
        let (effect, number) = match self.decide(load, judge).await? {
            Decision::Recorded(done) => {
                let number = done.number();
                (done.into_effect(), number)
            }
            Decision::Noted(done) => {
                let number = done.number();
                (done.into_effect(), number)
            }
            Decision::Denied(denied) => return Err(self.refuse(denied)),
        };
        Ok((effect, self.decision_id(number)))
    }
}
