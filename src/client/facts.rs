//! What the agent says about tasks, steps and callers, as types of our own.
//!
//! Names `proto`. Wire values that this version does not know are refused, never guessed.

use super::error::ClientError;
use crate::proto::v1 as proto;

/// How strongly a task's owner is identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assurance {
    /// An attested server vouches for an OAuth principal.
    Principal,
    /// A pinned process, attested by SPIRE.
    Process,
    /// An X.509-SVID only.
    Svid,
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Ended by its owner, an operator, or because nobody claimed it.
    Cancelled,
    /// Done.
    Completed,
    /// Its deadline passed.
    Expired,
    /// Ended by server or worker without success.
    Failed,
    /// Waits for an answer before its next step.
    InputRequired,
    /// Being carried out, or waiting for a worker.
    Working,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Its effect happened.
    Done,
    /// It has a token that was not used.
    Issued,
    /// Its effect did not happen; it may be retried.
    NotDone,
    /// Its token was used; the outcome is not reported yet.
    Running,
    /// Nobody knows; its audience must report.
    Unknown,
    /// Its token ended unused.
    Void,
}

/// A no of `Check`, with what an MCP server should answer. Nothing else may be told to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Stable machine reason; `unknown_task` for whoever has no role.
    pub reason: String,
    /// JSON-RPC error code for the MCP client.
    pub mcp_code: i32,
    /// Its message.
    pub mcp_message: String,
    /// For `handfast explain`.
    pub decision_id: String,
}

/// What an audience may know of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFacts {
    /// Internal identifier.
    pub task_id: String,
    /// State now.
    pub state: TaskState,
    /// SPIFFE ID of the owner; `None` where the owner is a principal alone.
    pub owner: Option<String>,
    /// SPIFFE ID of the server.
    pub server: String,
    /// The tasks that it descends from, nearest first.
    pub ancestors: Vec<String>,
    /// How strongly the owner is identified.
    pub assurance: Assurance,
}

/// What the agent sees of the calling process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoAmI {
    /// Every SPIFFE ID that SPIRE gives it; empty where no entry matches.
    pub spiffe_ids: Vec<String>,
    /// How it was identified.
    pub assurance: String,
    /// Process ID as the agent sees it.
    pub pid: i32,
    /// Effective user ID.
    pub uid: u32,
    /// Effective group ID.
    pub gid: u32,
    /// Path of its cgroup.
    pub cgroup: String,
    /// Path of its executable.
    pub executable: String,
    /// Selectors that a registration entry could use.
    pub selectors: Vec<String>,
    /// What to do next, where no entry matches.
    pub hints: Vec<String>,
}

impl TaskState {
    pub(super) fn read(wire: i32) -> Result<Self, ClientError> {
        match proto::TaskState::try_from(wire) {
            Ok(proto::TaskState::Cancelled) => Ok(Self::Cancelled),
            Ok(proto::TaskState::Completed) => Ok(Self::Completed),
            Ok(proto::TaskState::Expired) => Ok(Self::Expired),
            Ok(proto::TaskState::Failed) => Ok(Self::Failed),
            Ok(proto::TaskState::InputRequired) => Ok(Self::InputRequired),
            Ok(proto::TaskState::Working) => Ok(Self::Working),
            Ok(proto::TaskState::Unspecified) | Err(_) => Err(ClientError::Reply("task state")),
        }
    }
}

impl StepState {
    pub(super) fn read(wire: i32) -> Result<Self, ClientError> {
        match proto::StepState::try_from(wire) {
            Ok(proto::StepState::Done) => Ok(Self::Done),
            Ok(proto::StepState::Issued) => Ok(Self::Issued),
            Ok(proto::StepState::NotDone) => Ok(Self::NotDone),
            Ok(proto::StepState::Running) => Ok(Self::Running),
            Ok(proto::StepState::Unknown) => Ok(Self::Unknown),
            Ok(proto::StepState::Void) => Ok(Self::Void),
            Ok(proto::StepState::PendingApproval | proto::StepState::Unspecified) | Err(_) => {
                Err(ClientError::Reply("step state"))
            }
        }
    }
}

impl Assurance {
    fn read(wire: &str) -> Result<Self, ClientError> {
        match wire {
            "principal" => Ok(Self::Principal),
            "process" => Ok(Self::Process),
            "svid" => Ok(Self::Svid),
            _ => Err(ClientError::Reply("assurance")),
        }
    }
}

impl TaskFacts {
    pub(super) fn read(wire: Option<proto::TaskFacts>) -> Result<Self, ClientError> {
        let wire = wire.ok_or(ClientError::Reply("task"))?;
        Ok(Self {
            state: TaskState::read(wire.state)?,
            owner: Some(wire.owner).filter(|owner| !owner.is_empty()),
            server: wire.server,
            ancestors: wire.ancestors,
            assurance: Assurance::read(&wire.assurance)?,
            task_id: wire.task_id,
        })
    }
}

impl Refused {
    pub(super) fn read(wire: proto::Refused, decision_id: String) -> Self {
        Self {
            reason: wire.reason,
            mcp_code: wire.mcp_code,
            mcp_message: wire.mcp_message,
            decision_id,
        }
    }
}

impl From<proto::WhoAmIResponse> for WhoAmI {
    fn from(wire: proto::WhoAmIResponse) -> Self {
        Self {
            spiffe_ids: wire.spiffe_ids,
            assurance: wire.assurance,
            pid: wire.pid,
            uid: wire.uid,
            gid: wire.gid,
            cgroup: wire.cgroup,
            executable: wire.executable,
            selectors: wire.selectors,
            hints: wire.hints,
        }
    }
}
