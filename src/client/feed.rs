//! A tool's feed of revocations: tells running effects to stop, and keeps new ones from beginning while it is cut
//! off.
//!
//! Names `proto`. The one thing to know: it fails closed. A feed that has heard nothing for `silence_max` stops
//! every effect that it watches, and [`RevocationFeed::check`] asks nobody before it has caught up again.

mod stream;

use super::call::ToolCall;
use super::error::ClientError;
use super::facts::{Refused, StepState};
use super::header::Token;
use super::peer::PeerProof;
use super::tool::{Checked, Fresh, Outcome, Tool};
use crate::proto::v1 as proto;
use proto::revoked_scope::Scope;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Why an effect has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its task has ended, or somebody it rests on is revoked.
    Revoked,
    /// Nobody knows: the feed is silent.
    Silent,
}

/// The answer to [`RevocationFeed::check`]. Only `Fresh` permits an effect.
#[derive(Debug)]
pub enum Watched {
    /// No.
    Denied(Refused),
    /// Yes, once: act until told to stop, then report.
    Fresh(Box<Effect>),
    /// The token was used before; this is what became of the step. Do nothing.
    Repeat(StepState),
}

/// The right to one effect, and the word to stop it. Dropping it ends the watch.
#[derive(Debug)]
pub struct Effect {
    fresh: Fresh,
    stop: watch::Receiver<Option<Stop>>,
    /// Its end is the end of the watch.
    _place: Place,
}

/// A tool's subscription to what ends its work. Cheap to clone; ends with the last clone.
#[derive(Clone, Debug)]
pub struct RevocationFeed {
    tool: Tool,
    shared: Arc<Shared>,
    _tasks: Arc<[AbortOnDrop; 2]>,
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Shared {
    silence_max: Duration,
    current: watch::Sender<bool>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    heard: Instant,
    /// Up to where everything was heard, and the mark of that.
    after: Option<(u64, Vec<u8>)>,
    next: u64,
    effects: HashMap<u64, Watch>,
    /// What ended while these questions were asked: an answer may be older than the word.
    asking: HashMap<u64, Vec<Ended>>,
}

#[derive(Debug)]
struct Watch {
    about: About,
    stop: watch::Sender<Option<Stop>>,
}

/// What an effect rests on.
#[derive(Clone, Debug)]
struct About {
    /// Its task, and those that the task descends from.
    tasks: Vec<String>,
    parties: Vec<String>,
}

impl About {
    fn task_id(&self) -> &str {
        self.tasks.first().map_or("", String::as_str)
    }
}

/// What ended.
#[derive(Clone, Debug)]
enum Ended {
    Scope(Scope),
    Task(String),
}

/// A place among the effects or the questions.
#[derive(Debug)]
struct Place {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.effects.remove(&self.number);
        state.asking.remove(&self.number);
    }
}

impl RevocationFeed {
    /// Subscribes for this tool, and goes on subscribing. A feed that has heard nothing for `silence_max` (more
    /// than the agent's `revocation.heartbeat`) fails closed. Call it within a Tokio runtime.
    #[must_use]
    pub fn start(tool: &Tool, silence_max: Duration) -> Self {
        let shared = Arc::new(Shared {
            silence_max,
            current: watch::Sender::new(false),
            state: Mutex::new(State {
                heard: Instant::now(),
                after: None,
                next: 0,
                effects: HashMap::new(),
                asking: HashMap::new(),
            }),
        });
        let reader = tokio::spawn(stream::read(tool.stub(), Arc::clone(&shared)));
        let guard = tokio::spawn(stream::guard(Arc::clone(&shared)));
        let tasks = [reader.abort_handle(), guard.abort_handle()].map(AbortOnDrop);
        Self {
            tool: tool.clone(),
            shared,
            _tasks: Arc::new(tasks),
        }
    }

    /// Whether the feed has caught up and is heard.
    #[must_use]
    pub fn is_current(&self) -> bool {
        *self.shared.current.borrow()
    }

    /// Waits until the feed is heard and has caught up.
    pub async fn caught_up(&self) {
        let mut current = self.shared.current.subscribe();
        // The sender lives as long as this does.
        drop(current.wait_for(|current| *current).await);
    }

    /// As [`Tool::check`], and watches the effect that it permits.
    ///
    /// # Errors
    /// [`ClientError::Silent`] while the feed is cut off: nobody was asked, or the answer came too late. Else
    /// as [`Tool::check`].
    pub async fn check(
        &self,
        token: &Token,
        peer: &PeerProof,
        call: ToolCall,
    ) -> Result<Watched, ClientError> {
        self.check_by(&self.tool, token, peer, call).await
    }

    /// As [`RevocationFeed::check`], over another connection than the feed's own.
    ///
    /// # Errors
    /// As [`RevocationFeed::check`].
    pub async fn check_by(
        &self,
        tool: &Tool,
        token: &Token,
        peer: &PeerProof,
        call: ToolCall,
    ) -> Result<Watched, ClientError> {
        let place = self.shared.ask()?;
        match tool.check(token, peer, call).await? {
            Checked::Denied(refused) => Ok(Watched::Denied(refused)),
            Checked::Repeat(state) => Ok(Watched::Repeat(state)),
            Checked::Fresh(fresh) => {
                let Some(stop) = self.shared.watch(&place, &fresh) else {
                    // It was burned and nothing begins. An unreported step is unknown, which is safe too.
                    drop(tool.report(&fresh, Outcome::NotDone).await);
                    return Err(ClientError::Silent);
                };
                Ok(Watched::Fresh(Box::new(Effect {
                    fresh: *fresh,
                    stop,
                    _place: place,
                })))
            }
        }
    }
}

impl Effect {
    /// What `Check` said.
    #[must_use]
    pub fn fresh(&self) -> &Fresh {
        &self.fresh
    }

    /// Why the effect must stop now; `None` while it may go on.
    #[must_use]
    pub fn must_stop(&self) -> Option<Stop> {
        *self.stop.borrow()
    }

    /// Waits until the effect must stop.
    pub async fn stopped(&self) -> Stop {
        match self.stop.clone().wait_for(Option::is_some).await {
            Ok(stop) => (*stop).unwrap_or(Stop::Silent),
            // Nobody watches any more.
            Err(_closed) => Stop::Silent,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a question, while the feed is current.
    fn ask(self: &Arc<Self>) -> Result<Place, ClientError> {
        let mut state = self.lock();
        if !*self.current.borrow() || state.heard.elapsed() >= self.silence_max {
            return Err(ClientError::Silent);
        }
        state.next = state.next.saturating_add(1);
        let number = state.next;
        state.asking.insert(number, Vec::new());
        drop(state);
        Ok(Place {
            shared: Arc::clone(self),
            number,
        })
    }

    /// Watches an effect from the moment of its question on; `None` where the feed fell silent meanwhile.
    fn watch(&self, place: &Place, fresh: &Fresh) -> Option<watch::Receiver<Option<Stop>>> {
        let task = fresh.task();
        let parties = [fresh.performer(), fresh.subject(), &task.server];
        let about = About {
            tasks: [&task.task_id]
                .into_iter()
                .chain(&task.ancestors)
                .cloned()
                .collect(),
            parties: parties
                .into_iter()
                .chain(task.owner.as_deref())
                .map(ToOwned::to_owned)
                .collect(),
        };
        let mut state = self.lock();
        let ended = state.asking.remove(&place.number)?;
        if !*self.current.borrow() || state.heard.elapsed() >= self.silence_max {
            return None;
        }
        let revoked = ended.iter().any(|ended| ended.covers(&about));
        let (stop, stopped) = watch::channel(revoked.then_some(Stop::Revoked));
        state.effects.insert(place.number, Watch { about, stop });
        Some(stopped)
    }

    fn heard(&self, told: (u64, Vec<u8>)) {
        let mut state = self.lock();
        state.heard = Instant::now();
        state.after = Some(told);
    }

    /// Everything up to here was told.
    fn caught_up(&self, told: (u64, Vec<u8>)) {
        self.heard(told);
        self.current.send_if_modified(|current| {
            let was = std::mem::replace(current, true);
            !was
        });
    }

    fn ended(&self, ended: &Ended) {
        let mut state = self.lock();
        for questions in state.asking.values_mut() {
            questions.push(ended.clone());
        }
        for effect in state.effects.values() {
            if ended.covers(&effect.about) {
                effect.stop(Stop::Revoked);
            }
        }
    }

    /// The place where to resume is no good any more.
    fn lost(&self) {
        self.silent();
        self.lock().after = None;
    }

    fn silent(&self) {
        self.current.send_replace(false);
        let state = self.lock();
        state
            .effects
            .values()
            .for_each(|effect| effect.stop(Stop::Silent));
    }
}

impl Watch {
    /// The first reason stands.
    fn stop(&self, why: Stop) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            if first {
                *stop = Some(why);
            }
            first
        });
    }
}

impl Ended {
    /// Whether an effect rests on what ended. In doubt it does.
    fn covers(&self, about: &About) -> bool {
        match self {
            Self::Task(task_id) => about.tasks.contains(task_id),
            Self::Scope(Scope::SpiffeId(id)) => about.parties.contains(id),
            Self::Scope(Scope::Epoch(_)) => true,
            // A task's ID begins with the time at which it was asked for, which is before it was created.
            Self::Scope(Scope::BeforeMs(before)) => {
                let asked_for = about.task_id().get(..12);
                let asked_for = asked_for.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                asked_for.is_none_or(|at| at < *before)
            }
        }
    }
}
