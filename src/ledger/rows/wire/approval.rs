//! The stored form of requests for approval, decisions and owners' accounts.

use super::{CallerFacts, ToolCall};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Approval {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub performer: String,
    #[prost(message, optional, tag = "3")]
    pub asked_by: Option<CallerFacts>,
    #[prost(message, optional, tag = "4")]
    pub call: Option<ToolCall>,
    #[prost(string, tag = "5")]
    pub text: String,
    #[prost(uint64, tag = "6")]
    pub opened_at: u64,
    #[prost(uint64, tag = "7")]
    pub decide_by: u64,
    #[prost(bytes = "vec", tag = "8")]
    pub digest: Vec<u8>,
    #[prost(message, optional, tag = "9")]
    pub decision: Option<Decision>,
    #[prost(uint64, optional, tag = "10")]
    pub used_by: Option<u64>,
    /// 1 asked, 2 own.
    #[prost(int32, tag = "11")]
    pub authority: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Decision {
    /// 1 approved, 2 refused.
    #[prost(int32, tag = "1")]
    pub verdict: i32,
    #[prost(uint64, tag = "2")]
    pub at: u64,
    #[prost(string, tag = "3")]
    pub approver: String,
    #[prost(message, optional, tag = "4")]
    pub brought_by: Option<CallerFacts>,
    #[prost(string, tag = "5")]
    pub issuer: String,
    #[prost(bytes = "vec", tag = "6")]
    pub person: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Account {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub open: Vec<Vec<u8>>,
    #[prost(uint32, tag = "2")]
    pub setbacks: u32,
    #[prost(uint64, tag = "3")]
    pub not_before: u64,
}
