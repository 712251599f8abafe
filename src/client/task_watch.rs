//! What a task waits for, and a server's watch of its task.
//!
//! Names `proto`. The one thing to know: a watch that ends before the task has, or fails, is opened again.

use super::error::ClientError;
use super::facts::TaskState;
use crate::proto::v1 as proto;
use tonic::Streaming;

/// What a task waits for before its next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A person's decision about one step; the approval's ID.
    Approval(String),
    /// An answer of the owner, by the server's own name for it.
    Key(String),
}

/// A task's state, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEvent {
    /// The state.
    pub state: TaskState,
    /// What it waits for; empty unless the state is `InputRequired`.
    pub inputs: Vec<Input>,
    /// When, in milliseconds since the Unix epoch, by the agent's clock.
    pub at_ms: u64,
}

/// An open watch of one task.
#[derive(Debug)]
pub struct TaskWatch(Streaming<proto::TaskEvent>);

impl TaskWatch {
    pub(super) fn new(stream: Streaming<proto::TaskEvent>) -> Self {
        Self(stream)
    }

    /// The next change; the first is the state now. `None` after the end of the task, or where the agent
    /// closes the stream.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn next(&mut self) -> Result<Option<TaskEvent>, ClientError> {
        let Some(event) = self.0.message().await? else {
            return Ok(None);
        };
        Ok(Some(TaskEvent {
            state: TaskState::read(event.state)?,
            inputs: Input::read_all(event.inputs)?,
            at_ms: event.at_ms,
        }))
    }
}

impl Input {
    pub(super) fn read_all(inputs: Vec<proto::Input>) -> Result<Vec<Self>, ClientError> {
        use proto::input::Input as Wire;
        let read = |input: proto::Input| match input.input {
            Some(Wire::ApprovalId(id)) => Ok(Self::Approval(id)),
            Some(Wire::Key(key)) => Ok(Self::Key(key)),
            None => Err(ClientError::Reply("input")),
        };
        inputs.into_iter().map(read).collect()
    }
}
