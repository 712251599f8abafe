//! The stored form of an order that waits for its token to be used.

use super::Delegation;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Order {
    /// 1 delegate, 2 resolve as done, 3 resolve as not done, 4 revoke a delegation, 5 take over.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub delegation: Option<Delegation>,
    /// The step, the delegation's number, or the leg.
    #[prost(uint32, tag = "3")]
    pub number: u32,
    /// Of a takeover.
    #[prost(bytes = "vec", tag = "4")]
    pub request: Vec<u8>,
    /// Of the attempt that is settled.
    #[prost(uint64, tag = "5")]
    pub fence: u64,
}
