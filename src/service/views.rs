//! `Tasks.Get`, `Tasks.Watch` and `Tasks.RequireInput`: what a server sees of its task, and makes it wait for.

use super::ports::{Freshness, Peer};
use super::watch::WatchStream;
use super::{Continuation, Failure};
use crate::domain::decide::input;
use crate::domain::id::{Fence, TaskId};
use crate::domain::input::Input;
use crate::domain::lineage::{Load, Locator, Transition};
use crate::domain::policy::Action;
use crate::domain::role::{AsServer, Held};
use crate::domain::task::TaskState;
use crate::domain::time::Time;

const GET: &str = "Tasks.Get";
const REQUIRE_INPUT: &str = "Tasks.RequireInput";
const WATCH: &str = "Tasks.Watch";

/// What a server sees of its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// State now.
    pub state: TaskState,
    /// What it waits for; empty unless the state is `InputRequired`.
    pub inputs: Vec<Input>,
    /// When it stops being runnable.
    pub deadline: Time,
    /// Whether a leg is up.
    pub leg_live: bool,
    /// How many legs there have been.
    pub legs: u32,
    /// Highest step issued.
    pub last_step: u32,
}

/// A server makes its task wait.
#[derive(Clone, Debug)]
pub struct InputAsk {
    /// The task.
    pub task: TaskId,
    /// What for: the server's own names of the answers.
    pub keys: Vec<String>,
    /// The fence of the last start, while a leg lives.
    pub leg_fence: Option<Fence>,
}

impl Continuation {
    /// What a server sees of its task.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn get(&self, peer: &Peer, task: TaskId) -> Result<(ServerView, String), Failure> {
        self.see(GET, peer, task).await
    }

    async fn see(
        &self,
        operation: &'static str,
        peer: &Peer,
        task: TaskId,
    ) -> Result<(ServerView, String), Failure> {
        let caller = self.attest(peer, Freshness::Recent).await?;
        let judge = self.judge(operation, caller.evidence(), move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsServer>::check(task, scene.evidence)?;
            scene.permit(Action::Query, held.spiffe_id.as_ref())?;
            let state = task.state_at(scene.now.time);
            let open = |input: &&Input| input.is_open(scene.now.time);
            Ok(Transition::unchanged(ServerView {
                state,
                inputs: if state == TaskState::InputRequired {
                    task.inputs.iter().filter(open).cloned().collect()
                } else {
                    Vec::new()
                },
                deadline: task.deadline,
                // The sweep writes a passed deadline down later: no leg outlives the task.
                leg_live: !state.is_terminal() && task.live_leg(scene.now.epoch).is_some(),
                legs: task.legs.0,
                last_step: task.last_step.0,
            }))
        });
        self.answer(Load::of(Locator::Task(task)), judge).await
    }

    /// Makes a task wait for its owner's answer. A step in flight goes on; a new one is refused until then.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn require_input(
        &self,
        peer: &Peer,
        ask: InputAsk,
    ) -> Result<(TaskState, String), Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let load = Load::of(Locator::Task(ask.task));
        let judge = self.judge(REQUIRE_INPUT, caller.evidence(), move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsServer>::check(task, scene.evidence)?;
            let permit = scene.permit(Action::RequireInput, held.spiffe_id.as_ref())?;
            let wanted = (ask.keys.as_slice(), ask.leg_fence);
            input::require(task, &held, wanted, &permit, &scene.now)
        });
        let this = self.clone();
        super::to_the_end(async move { this.answer(load, judge).await }).await
    }

    /// Tells a server what its task is now, and every change of that, until the task has ended. Each time the
    /// server is judged anew; changes that follow each other closely may be told as one.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn watch_task(
        &self,
        peer: &Peer,
        task: TaskId,
    ) -> Result<WatchStream<ServerView>, Failure> {
        // First, so that no change falls between the first look and the first wait.
        let mut changes = self.watchers.task(task, peer).map_err(Failure::Busy)?;
        let (mut view, _) = self.see(WATCH, peer, task).await?;
        let (this, peer) = (self.clone(), peer.clone());
        let first = Some(view.clone());
        Ok(WatchStream::fed(
            self.settings.hold_queue_max,
            first,
            |sender| async move {
                while !view.state.is_terminal() {
                    changes.next().await;
                    let next = match this.see(WATCH, &peer, task).await {
                        Ok((next, _)) => next,
                        Err(failure) => {
                            sender.send(Err(failure)).await.ok();
                            return;
                        }
                    };
                    // A leg or a step more is no news.
                    let news = (next.state, &next.inputs) != (view.state, &view.inputs);
                    view = next;
                    if news && sender.send(Ok(view.clone())).await.is_err() {
                        return;
                    }
                }
            },
        ))
    }
}
