//! The stored form of every row: protobuf messages, written by hand.
//!
//! The layout is a contract with every ledger file there is. A field number is never given another
//! meaning, and an enumeration's zero means "absent" and is refused where a value is due. What
//! changes the meaning of old rows raises `SCHEMA_VERSION`.

mod approval;
mod delegation;
mod grant;
mod order;

pub(crate) use approval::{Account, Approval, Decision};
pub(crate) use delegation::{Barred, Delegation, Permissions};
pub(crate) use grant::{ChildGrant, Digests, MemberRule, MemberRules, Scalar, Spawned};
pub(crate) use order::Order;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Required {
    #[prost(uint32, optional, tag = "1")]
    pub uid: Option<u32>,
    #[prost(string, optional, tag = "2")]
    pub cgroup: Option<String>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub executable: Option<Vec<u8>>,
    #[prost(message, optional, tag = "4")]
    pub process: Option<ProcessKey>,
    #[prost(string, optional, tag = "5")]
    pub release: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ProcessKey {
    #[prost(bytes = "vec", tag = "1")]
    pub boot_id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub pidfd_inode: u64,
    #[prost(sint32, tag = "3")]
    pub pid: i32,
    #[prost(uint64, tag = "4")]
    pub start_ticks: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Role {
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    #[prost(message, optional, tag = "2")]
    pub required: Option<Required>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ToolCall {
    #[prost(string, tag = "1")]
    pub audience: String,
    #[prost(string, tag = "2")]
    pub tool: String,
    #[prost(bytes = "vec", tag = "3")]
    pub arguments: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub definition: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Permission {
    #[prost(string, tag = "1")]
    pub audience: String,
    #[prost(string, tag = "2")]
    pub tool: String,
    /// Exactly these arguments. At most one of the three is there; none admits any arguments.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub exact: Option<Vec<u8>>,
    #[prost(message, optional, tag = "4")]
    pub one_of: Option<Digests>,
    #[prost(message, optional, tag = "5")]
    pub members: Option<MemberRules>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Grant {
    #[prost(message, repeated, tag = "1")]
    pub permissions: Vec<Permission>,
    #[prost(uint64, optional, tag = "2")]
    pub not_after: Option<u64>,
    /// 1 process, 2 SVID.
    #[prost(int32, tag = "3")]
    pub audience_assurance: i32,
    #[prost(uint32, tag = "4")]
    pub depth_left: u32,
    #[prost(uint32, tag = "5")]
    pub children_left: u32,
    #[prost(uint32, optional, tag = "6")]
    pub uses_left: Option<u32>,
    /// 1 low, 2 medium, 3 high, 4 critical.
    #[prost(int32, tag = "7")]
    pub risk_ceiling: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Step {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    #[prost(message, optional, tag = "2")]
    pub call: Option<ToolCall>,
    #[prost(bytes = "vec", tag = "3")]
    pub idempotency_key: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub fence: u64,
    /// 1 issued, 2 used, 3 done, 4 not done, 5 unknown, 6 void.
    #[prost(int32, tag = "5")]
    pub state: i32,
    #[prost(bool, tag = "6")]
    pub ever_used: bool,
    #[prost(uint32, tag = "7")]
    pub leg: u32,
    #[prost(uint64, tag = "8")]
    pub epoch: u64,
    #[prost(uint64, tag = "9")]
    pub expires_at: u64,
    #[prost(uint64, optional, tag = "10")]
    pub act_by: Option<u64>,
    #[prost(bytes = "vec", tag = "11")]
    pub request: Vec<u8>,
    /// 1 asked, 2 own.
    #[prost(int32, tag = "12")]
    pub authority: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TokenRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub task: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub fence: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub jti: Vec<u8>,
    /// 1 cancel, 2 step, 3 update, 4 an order.
    #[prost(int32, tag = "4")]
    pub purpose: i32,
    /// The step, where the purpose is one.
    #[prost(uint32, tag = "5")]
    pub step: u32,
    #[prost(string, tag = "6")]
    pub audience: String,
    #[prost(bytes = "vec", tag = "7")]
    pub certificate: Vec<u8>,
    #[prost(uint64, tag = "8")]
    pub expires_at: u64,
    #[prost(uint64, optional, tag = "9")]
    pub used_at: Option<u64>,
    #[prost(message, optional, tag = "10")]
    pub order: Option<Order>,
    #[prost(uint32, optional, tag = "11")]
    pub delegation: Option<u32>,
    #[prost(message, optional, tag = "12")]
    pub process: Option<ProcessKey>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Leg {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    #[prost(string, tag = "2")]
    pub performer: String,
    #[prost(message, optional, tag = "3")]
    pub holder: Option<ProcessKey>,
    #[prost(uint32, optional, tag = "4")]
    pub uid: Option<u32>,
    #[prost(bytes = "vec", tag = "5")]
    pub certificate: Vec<u8>,
    #[prost(uint64, tag = "6")]
    pub certificate_ends: u64,
    #[prost(uint64, tag = "7")]
    pub fence: u64,
    #[prost(uint64, tag = "8")]
    pub epoch: u64,
    #[prost(uint64, tag = "9")]
    pub started_at: u64,
    #[prost(uint32, optional, tag = "10")]
    pub delegation: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Task {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub txn: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub created_at: u64,
    #[prost(message, optional, tag = "4")]
    pub owner_workload: Option<Role>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub owner_principal: Option<Vec<u8>>,
    #[prost(message, optional, tag = "6")]
    pub server: Option<Role>,
    #[prost(message, repeated, tag = "7")]
    pub performers: Vec<Role>,
    #[prost(message, optional, tag = "8")]
    pub call: Option<ToolCall>,
    #[prost(message, optional, tag = "9")]
    pub asked: Option<Grant>,
    #[prost(message, optional, tag = "10")]
    pub own: Option<Grant>,
    /// 1 cancelled, 2 completed, 3 expired, 4 failed, 5 working, 6 input required.
    #[prost(int32, tag = "11")]
    pub state: i32,
    #[prost(uint64, tag = "12")]
    pub deadline: u64,
    #[prost(uint64, tag = "13")]
    pub claim_by: u64,
    #[prost(uint64, optional, tag = "14")]
    pub claimed_at: Option<u64>,
    #[prost(uint64, optional, tag = "15")]
    pub ended_at: Option<u64>,
    #[prost(bytes = "vec", tag = "16")]
    pub name: Vec<u8>,
    #[prost(uint64, tag = "17")]
    pub fence: u64,
    #[prost(uint32, tag = "18")]
    pub legs: u32,
    #[prost(message, optional, tag = "19")]
    pub leg: Option<Leg>,
    #[prost(uint32, tag = "20")]
    pub last_step: u32,
    #[prost(message, optional, tag = "21")]
    pub pending: Option<Step>,
    #[prost(uint32, repeated, tag = "22")]
    pub open_steps: Vec<u32>,
    #[prost(uint32, tag = "23")]
    pub owner_tokens: u32,
    #[prost(uint64, tag = "24")]
    pub owner_tokens_from: u64,
    #[prost(bytes = "vec", optional, tag = "25")]
    pub parent: Option<Vec<u8>>,
    #[prost(string, optional, tag = "27")]
    pub subject: Option<String>,
    #[prost(uint32, tag = "28")]
    pub spawned: u32,
    #[prost(message, repeated, tag = "26")]
    pub inputs: Vec<Input>,
    #[prost(message, repeated, tag = "30")]
    pub delegations: Vec<Delegation>,
    #[prost(message, repeated, tag = "31")]
    pub takeovers: Vec<Barred>,
    #[prost(message, repeated, tag = "35")]
    pub skipped_steps: Vec<Skipped>,
    #[prost(string, optional, tag = "33")]
    pub spawned_by: Option<String>,
    #[prost(uint64, tag = "34")]
    pub owner_seen_at: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Skipped {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    #[prost(message, optional, tag = "2")]
    pub call: Option<ToolCall>,
}

/// Either a server's own name, or an approval and its end.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Input {
    #[prost(string, optional, tag = "1")]
    pub server: Option<String>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub approval: Option<Vec<u8>>,
    #[prost(uint64, tag = "3")]
    pub until: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CreateTerms {
    #[prost(bytes = "vec", tag = "1")]
    pub task: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub owner: Option<Role>,
    #[prost(string, tag = "3")]
    pub server: String,
    #[prost(message, optional, tag = "4")]
    pub call: Option<ToolCall>,
    #[prost(message, optional, tag = "5")]
    pub asked: Option<Grant>,
    #[prost(message, repeated, tag = "6")]
    pub performers: Vec<Role>,
    #[prost(uint64, tag = "7")]
    pub lifetime_seconds: u64,
    #[prost(uint32, tag = "8")]
    pub lifetime_nanoseconds: u32,
    #[prost(bytes = "vec", tag = "9")]
    pub jti: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    pub certificate: Vec<u8>,
    #[prost(uint64, tag = "11")]
    pub issued_at: u64,
    #[prost(uint64, tag = "12")]
    pub expires_at: u64,
    #[prost(uint64, tag = "13")]
    pub epoch: u64,
    #[prost(bytes = "vec", tag = "14")]
    pub request: Vec<u8>,
    #[prost(uint64, optional, tag = "15")]
    pub used_at: Option<u64>,
    #[prost(message, optional, tag = "16")]
    pub spender: Option<ProcessKey>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Denied {
    #[prost(string, tag = "1")]
    pub reason: String,
    #[prost(string, tag = "2")]
    pub explanation: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CallerFacts {
    #[prost(string, repeated, tag = "1")]
    pub spiffe_ids: Vec<String>,
    /// 0 not known, 1 principal, 2 SVID, 3 process.
    #[prost(int32, tag = "2")]
    pub assurance: i32,
    #[prost(message, optional, tag = "3")]
    pub process: Option<ProcessKey>,
    #[prost(uint32, optional, tag = "4")]
    pub uid: Option<u32>,
    #[prost(string, optional, tag = "5")]
    pub cgroup: Option<String>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub executable: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Fact {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Event {
    #[prost(uint64, tag = "1")]
    pub at: u64,
    #[prost(string, tag = "2")]
    pub operation: String,
    /// Why it was refused; absent where it was allowed.
    #[prost(message, optional, tag = "3")]
    pub denied: Option<Denied>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub task: Option<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    pub caller: Option<CallerFacts>,
    #[prost(uint64, tag = "6")]
    pub policy_number: u64,
    #[prost(bytes = "vec", optional, tag = "7")]
    pub policy_text: Option<Vec<u8>>,
    #[prost(string, repeated, tag = "8")]
    pub policies: Vec<String>,
    #[prost(message, repeated, tag = "9")]
    pub facts: Vec<Fact>,
    #[prost(uint64, tag = "10")]
    pub count: u64,
}

/// One record of the audit chain. Its bytes are what the hash is over.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuditRecord {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub previous: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub event: Option<Event>,
}

/// The end of the audit chain as of the last commit, and how many bytes the rows take.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Head {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub hash: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub live_bytes: u64,
}
