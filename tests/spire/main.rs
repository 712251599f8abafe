//! Against a real SPIRE server and agent on loopback. Says in one line where there is none.

#[cfg(test)]
mod node;
#[cfg(test)]
#[path = "../support/spire.rs"]
mod support;
