//! The agent against processes that may and processes that may not: all real, over its real socket.
//!
//! Every attack stands beside its positive control: the same call by the process that may make it.

#[cfg(test)]
#[path = "../support/node.rs"]
mod node;

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod children;
#[cfg(test)]
mod consent;
#[cfg(test)]
mod creation;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod effects;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod fan;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod inputs;
#[cfg(test)]
mod job;
#[cfg(test)]
mod last_effect;
#[cfg(test)]
mod lent;
#[cfg(test)]
mod lines;
#[cfg(test)]
mod methods;
#[cfg(test)]
mod names;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod persons;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod principals;
#[cfg(test)]
mod races;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod revocations;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod solo;
#[cfg(test)]
mod spawning;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod twins;
#[cfg(test)]
mod words;
