//! The library for workloads: what an MCP client, worker, server or tool links to.
//!
//! Names `proto`, `domain`, `canonical` and `token`. The one thing to know: a process has one key per leg
//! and one per audience (a [`Hand`]), made in its memory and shown only in TLS handshakes; a token is worth
//! nothing on a connection of any other hand.
//!
//! [`Agent::connect`] finds the node's agent and makes sure that it is the agent. From there on each role
//! has a handle of its own with what that role may ask: [`Owner`] (an MCP client), [`Server`] (an MCP
//! server), [`Worker`] (who carries a task out), [`Tool`] (what a step calls), [`Approver`] (through whom a
//! person decides).

mod agent;
mod approver;
mod call;
mod child;
mod error;
mod facts;
mod feed;
mod fences;
mod gate;
mod grant;
pub mod hand;
mod handover;
mod header;
pub mod http;
mod owner;
pub mod peer;
pub mod pool;
mod register;
mod server;
mod socket;
mod task_watch;
#[cfg(test)]
mod tests;
pub mod tls;
mod tool;
mod worker;

pub use agent::{Agent, AgentConfig, OperatorStub, RequestId, SOCKET_VARIABLE, Stub};
pub use approver::{Approval, ApprovalState, ApprovalWatch, Approver, Verdict};
pub use call::ToolCall;
pub use child::Child;
pub use error::{ClientError, Denied};
pub use facts::{Assurance, Refused, StepState, TaskFacts, TaskState, WhoAmI};
pub use feed::{Effect, RevocationFeed, Stop, Watched};
pub use fences::{Fences, StaleFence};
pub use gate::{BodyGate, NotOpened, Opener, body_gate};
pub use grant::{Grant, Members, Risk};
pub use hand::Hand;
pub use handover::{Act, Delegate, Delegated, Handover, OrderReply, TaskName, UserHandover};
pub use header::{HANDFAST_TOKEN, Token, TokenHeaderError, token_from_headers};
pub use owner::{Create, Issued, Owner};
pub use peer::PeerProof;
pub use register::{Register, Registered, mint_handle};
pub use server::{
    Caller, CancelChecked, Ended, Principal, QueryChecked, Server, ServerView, UpdateChecked,
};
pub use socket::SocketError;
pub use task_watch::{Input, TaskEvent, TaskWatch};
pub use tool::{Begun, Checked, Fresh, Outcome, Tool};
pub use worker::{
    EndedLeg, Hold, HoldEvent, HoldKind, Leg, OpenStep, PendingApproval, StepIssued, StepToken,
    Worker,
};
