//! The rules of the house, executable: layering, sizes, names, and what must not be in the tree.
//!
//! Each rule reads text and returns offences, so that it can be shown to find one.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "every position was found in the same text"
)]

#[cfg(test)]
#[path = "tidy/coverage.rs"]
mod coverage;
#[cfg(test)]
#[path = "tidy/layering.rs"]
mod layering;
#[cfg(test)]
#[path = "tidy/text.rs"]
mod text;
#[cfg(test)]
#[path = "tidy/tree.rs"]
mod tree;
