//! The stored form of constraints, budgets and child grants.

use super::{Grant, Permission, Role};

/// One of the arguments with these digests.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Digests {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub digests: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MemberRules {
    #[prost(message, repeated, tag = "1")]
    pub rules: Vec<MemberRule>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MemberRule {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bool, tag = "2")]
    pub required: bool,
    /// 1 any, 2 one of `values`, 3 the path `prefix` and below, 4 from `min` to `max`.
    #[prost(int32, tag = "3")]
    pub rule: i32,
    #[prost(message, repeated, tag = "4")]
    pub values: Vec<Scalar>,
    #[prost(string, tag = "5")]
    pub prefix: String,
    #[prost(double, optional, tag = "6")]
    pub min: Option<f64>,
    #[prost(double, optional, tag = "7")]
    pub max: Option<f64>,
}

/// `null` where none is set.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Scalar {
    #[prost(bool, optional, tag = "1")]
    pub bool: Option<bool>,
    #[prost(double, optional, tag = "2")]
    pub number: Option<f64>,
    #[prost(string, optional, tag = "3")]
    pub text: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ChildGrant {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub parent: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub txn: Vec<u8>,
    /// 1 asked, 2 own.
    #[prost(int32, tag = "4")]
    pub authority: i32,
    #[prost(string, tag = "5")]
    pub subject: String,
    #[prost(message, optional, tag = "6")]
    pub spender: Option<Role>,
    #[prost(message, optional, tag = "7")]
    pub call: Option<Permission>,
    #[prost(message, optional, tag = "8")]
    pub asked: Option<Grant>,
    #[prost(uint32, tag = "9")]
    pub leg: u32,
    #[prost(uint64, tag = "10")]
    pub fence: u64,
    #[prost(uint64, tag = "11")]
    pub made_at: u64,
    #[prost(uint64, optional, tag = "12")]
    pub spent_at: Option<u64>,
    #[prost(string, tag = "13")]
    pub maker: String,
    #[prost(uint64, optional, tag = "14")]
    pub revoked_at: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Spawned {
    #[prost(bytes = "vec", tag = "1")]
    pub parent: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub request: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub asked: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub children: Vec<Vec<u8>>,
}
