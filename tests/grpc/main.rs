//! The API as callers see it: every message through the routes, the service, the rules and a real ledger.
//! Only attestation is told whom it sees.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "small numbers of a test; an overflow fails it"
)]

#[cfg(test)]
mod alike;
#[cfg(test)]
mod attempts;
#[cfg(test)]
mod bombs;
#[cfg(test)]
mod edges;
#[cfg(test)]
mod forest;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod life;
#[cfg(test)]
mod log;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod overtaking;
#[cfg(test)]
mod points;
#[cfg(test)]
mod ports_alike;
#[cfg(test)]
mod quota;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod trees;
#[cfg(test)]
mod watches;
#[cfg(test)]
mod world;
