//! A gate before the body of a task: nothing of it runs before the task is durable.
//!
//! Names nothing outside of its room. Servers start the body of a task where they make its handle, which is
//! before they can register it. The gate opens with what [`Server::create`](super::Server::create) returned
//! and with nothing else; if the registration fails, the opener is dropped and the body never begins.

use super::register::Registered;
use tokio::sync::oneshot;

/// Held by the body of a task.
#[derive(Debug)]
pub struct BodyGate(oneshot::Receiver<Registered>);

/// Held by whoever registers the task. Dropping it cancels the body.
#[derive(Debug)]
pub struct Opener(oneshot::Sender<Registered>);

/// The task was not registered: its body must not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task was not registered")]
pub struct NotOpened;

/// A gate and its opener.
#[must_use]
pub fn body_gate() -> (BodyGate, Opener) {
    let (opener, gate) = oneshot::channel();
    (BodyGate(gate), Opener(opener))
}

impl BodyGate {
    /// Waits until the task is registered.
    ///
    /// # Errors
    /// [`NotOpened`] where it was not and never will be.
    pub async fn opened(self) -> Result<Registered, NotOpened> {
        self.0.await.map_err(|_dropped| NotOpened)
    }

    /// Runs `body` behind the gate; `None` where it never opens.
    pub async fn run<T>(self, body: impl AsyncFnOnce(Registered) -> T) -> Option<T> {
        match self.opened().await {
            Ok(registered) => Some(body(registered).await),
            Err(NotOpened) => None,
        }
    }
}

impl Opener {
    /// Lets the body run. Whether it still waits is not this side's concern: the task exists either way.
    pub fn open(self, registered: Registered) {
        drop(self.0.send(registered));
    }
}

#[cfg(test)]
mod tests {
    use super::super::register::Registered;
    use super::{NotOpened, body_gate};

    #[tokio::test]
    async fn a_body_runs_only_after_its_task_is_registered() {
        let (gate, opener) = body_gate();
        let body = tokio::spawn(gate.run(async |registered| registered.task_id().to_owned()));
        opener.open(Registered::of("0190"));
        assert_eq!(body.await.expect("body"), Some("0190".to_owned()));
    }

    #[tokio::test]
    async fn a_body_whose_task_was_not_registered_never_runs() {
        let (gate, opener) = body_gate();
        drop(opener);
        assert_eq!(gate.opened().await.err(), Some(NotOpened));
    }
}
