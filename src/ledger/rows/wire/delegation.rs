//! The stored form of delegations and takeovers.

use super::{Permission, ProcessKey, Role};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Delegation {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    #[prost(message, optional, tag = "2")]
    pub to: Option<Role>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub principal: Option<Vec<u8>>,
    /// 1 cancel, 2 delegate, 3 perform, 4 query, 5 takeover, 6 update.
    #[prost(int32, repeated, tag = "4")]
    pub acts: Vec<i32>,
    /// Absent: all of the owner's grant.
    #[prost(message, optional, tag = "5")]
    pub permissions: Option<Permissions>,
    #[prost(uint64, tag = "6")]
    pub not_after: u64,
    #[prost(uint32, optional, tag = "7")]
    pub from: Option<u32>,
    #[prost(uint64, tag = "8")]
    pub made_at: u64,
    #[prost(uint64, optional, tag = "9")]
    pub ended_at: Option<u64>,
    #[prost(bytes = "vec", tag = "10")]
    pub request: Vec<u8>,
    #[prost(bytes = "vec", tag = "11")]
    pub asked: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Barred {
    #[prost(message, optional, tag = "1")]
    pub process: Option<ProcessKey>,
    #[prost(uint32, tag = "2")]
    pub leg: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub request: Vec<u8>,
    #[prost(bool, tag = "4")]
    pub and_older: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Permissions {
    #[prost(message, repeated, tag = "1")]
    pub permissions: Vec<Permission>,
}
