//! Who is at the other end of a connection, shown with real processes against the real kernel.
//!
//! Every attack stands beside its positive control: the same call by the process that may make it.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "small numbers, and a test that overflows fails"
)]

#[cfg(test)]
mod actor;
#[cfg(test)]
mod again;
#[cfg(test)]
mod agent;
#[cfg(test)]
mod attestation;
#[cfg(test)]
mod host;
#[cfg(test)]
mod impostors;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod port;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod recycled;
#[cfg(test)]
mod tls;
