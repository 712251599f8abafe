//! Faults: crashes at every point, interleavings, bad input, and what must never be seen outside.
//!
//! Real processes against a real agent. The one thing to know: crash points and pauses are set in the
//! agent's environment (`src/failpoint.rs`), so these tests need the feature `failpoints`.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::format_collect,
    clippy::string_slice,
    reason = "a test that overflows or slices badly fails, which is what it is for"
)]

#[cfg(test)]
mod bare;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod input;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
#[path = "../agent/job.rs"]
mod job;
#[cfg(test)]
mod leases;
#[cfg(test)]
#[path = "../support/node.rs"]
mod node;
#[cfg(test)]
mod process;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod rounds;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod startup;
#[cfg(test)]
mod switch;

/// Other suites want all of what these files share.
#[cfg(test)]
const _: () = {
    let _ = (job::end_op, job::assert_unknown, node::Node::nobody);
};
