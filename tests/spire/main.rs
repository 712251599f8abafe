//! Against a real SPIRE server and agent on loopback. Says in one line where there is none.

#[cfg(test)]
mod actor;
#[cfg(test)]
mod away;
#[cfg(test)]
mod cast;
#[cfg(test)]
mod node;
#[cfg(test)]
mod node_needs;
#[cfg(test)]
#[path = "../support/person.rs"]
mod person;
#[cfg(test)]
mod rotation;
#[cfg(test)]
#[path = "../support/spire.rs"]
mod support;
#[cfg(test)]
mod twin_rows;
#[cfg(test)]
mod twins;
#[cfg(test)]
mod withdrawn;
#[cfg(test)]
mod world;
