//! One request through the rules: attest → load → decide → commit → sign → reply.
//!
//! Names `domain` and its own [`ports`] only; the edges implement the ports and `app` wires them.

pub mod ports;
