//! The stored form of an order that waits for its token to be used.

use super::{Delegation, ProcessKey};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GivenOrder {
    /// 1 delegate, 2 resolve as done, 3 resolve as not done, 4 take back, 5 take over.
    #[prost(int32, tag = "1")]
    pub order: i32,
    #[prost(message, optional, tag = "2")]
    pub delegation: Option<Delegation>,
    /// The step, or the delegation's number.
    #[prost(uint32, tag = "3")]
    pub number: u32,
    /// Of a takeover.
    #[prost(bytes = "vec", tag = "4")]
    pub request: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub by: Option<ProcessKey>,
}
