//! What the director and the roles say to each other: one JSON line each way, over pipes.

use serde::{Deserialize, Serialize};

/// What the director asks of a role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Assistant: `tools/call build_report` at the server, as a user.
    CallTool { user: String, plain: bool },
    /// Assistant: `tasks/get`, as a user.
    GetTask { user: String, handle: String },
    /// Assistant: ask for a query token and keep it.
    KeepQueryToken { handle: String },
    /// Assistant: `tasks/get` with the token kept.
    GetTaskWithKept { user: String, handle: String },
    /// Assistant: `tasks/cancel`, as a user.
    CancelTask { user: String, handle: String },
    /// Assistant: let somebody read a task, by an order that the server carries out for this user.
    Order {
        user: String,
        handle: String,
        to: String,
    },
    /// Thief: ask the agent for a token for somebody else's task.
    ForeignToken { handle: String },
    /// Thief: `tasks/get` without any token of its own.
    PlainGet { handle: String },
    /// Thief: `tasks/cancel` without any token of its own.
    PlainCancel { handle: String },
    /// Worker: take the oldest message of the queue, and start a leg with it.
    StartFromQueue,
    /// Worker: start with the message taken before.
    StartAgain,
    /// Worker: remove the message from the queue.
    Acknowledge,
    /// Worker: ask for a step's token.
    IssueStep { step: u32 },
    /// Worker: call the warehouse with the token of the step.
    Export,
    /// Worker: call the warehouse with this token.
    ExportWith { token: String },
    /// Worker: wait until the agent says that the work must stop.
    AwaitStop,
    /// Server: the decision ID of the last refusal.
    LastRefusal,
    /// Twin of the server: finish a task.
    Finish { task_id: String },
    /// Worker: make children for the archive.
    Spawn { count: u32 },
    /// Worker: make the task that a child is good for.
    SpendChild { child: String },
    /// Worker: hand a task of its own over.
    HandOver { handle: String, to: String },
    /// Worker: ask for a step that needs a person's consent.
    Purge { step: u32, year: u32 },
    /// Approver: what is asked.
    ShowApproval { id: String },
    /// Approver: bring a person's yes.
    Approve { id: String, id_token: String },
    /// Warehouse: how many effects there were.
    CountEffects,
}

/// What a role answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    /// A role is up; servers say where they listen.
    Up {
        port: Option<u16>,
        spiffe_id: String,
    },
    /// The server made a task.
    Task { handle: String },
    /// The state of a task, as the server shows it.
    Status { status: String, message: String },
    /// Done; when it was asked, in milliseconds since the Unix epoch.
    Done { asked_ms: u64 },
    /// A leg was started.
    Leg {
        task_id: String,
        number: u32,
        fence: u64,
        reattached: bool,
    },
    /// An order was carried out: the number of the delegation.
    Granted { number: u32 },
    /// A token was issued.
    Token { token: String },
    /// The warehouse's answer.
    Exported(Exported),
    /// The work was told to stop; when, in milliseconds since the Unix epoch.
    Stopped { kind: String, at_ms: u64 },
    /// Children were made.
    Children { ids: Vec<String> },
    /// A person is asked first.
    Pending { id: String },
    /// What a person is asked, and the `nonce` of a login for it.
    Asked { text: String, nonce: String },
    /// A decision ID.
    Decision { id: String },
    /// A number.
    Count(u64),
    /// The agent, the server or the tool refused.
    Denied(Denied),
    /// Something else went wrong.
    Failed(String),
}

/// A refusal as the caller hears it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Denied {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) decision_id: Option<String>,
}

/// What the warehouse answers to a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Exported {
    /// The effect happened now.
    Fresh,
    /// The token was used before.
    Repeat { state: String },
    /// No.
    Denied(Denied),
}
