//! The agent against processes that may and processes that may not: all real, over its real socket.
//!
//! Every attack stands beside its positive control: the same call by the process that may make it.

#[cfg(test)]
mod job;
#[cfg(test)]
#[path = "../support/node.rs"]
mod node;
#[cfg(test)]
mod strangers;
