//! Identifiers and digests, each a type of its own so that none can stand in for another.
//!
//! `SpiffeId` and `TrustDomain` are the `spiffe` crate's parsed types: compare them, never strings.

use std::fmt;

pub use spiffe::{SpiffeId, TrustDomain};

/// A SHA-256 digest, or an HMAC-SHA-256 where the field says "keyed". 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", Hex(self.0.get(..4).unwrap_or_default()))
    }
}

impl Digest {
    /// Parses 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }
}

/// Lower-case hexadecimal of some bytes, for display.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The internal, time-ordered identifier of a task (UUID version 7 layout). Not secret, grants nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub [u8; 16]);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TaskId {
    /// Parses the 32 lower-case hexadecimal digits that `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }
}

/// Reads exactly `N` bytes as lower-case hexadecimal.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0_u8; N];
    let mut pairs = text.as_bytes().chunks_exact(2);
    for slot in &mut bytes {
        let digits = std::str::from_utf8(pairs.next()?).ok()?;
        if digits
            .bytes()
            .any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return None;
        }
        *slot = u8::from_str_radix(digits, 16).ok()?;
    }
    let nothing_left = pairs.next().is_none() && pairs.remainder().is_empty();
    nothing_left.then_some(bytes)
}

/// The `jti` of a continuation token: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jti(pub [u8; 16]);

impl fmt::Debug for Jti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jti(…)")
    }
}

/// The number that is raised by every new leg, re-attach and effectful token of a task, and never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fence(pub u64);

impl Fence {
    /// The next fence. A `u64` cannot be exhausted by any rate of increments within a task's life.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// One run of one agent. Grows by one at each start; durable before the agent answers anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// The place of an effect in the worker's program, counted from 1 and named by the worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepNumber(pub u32);

/// The number of a leg within its task, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegNumber(pub u32);

/// Names one request for a person's consent: the step that it is about, and 96 random bits, so that a request
/// asked anew has another name. Not secret, grants nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApprovalId {
    /// The task.
    pub task: TaskId,
    /// The step.
    pub step: StepNumber,
    /// Random.
    pub serial: [u8; 12],
}

impl ApprovalId {
    /// Bytes of an identifier: the task, the step in big-endian, the serial.
    const LEN: usize = 32;

    /// The identifier as bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0_u8; Self::LEN];
        let step = self.step.0.to_be_bytes();
        let parts = self.task.0.iter().chain(&step).chain(&self.serial);
        bytes
            .iter_mut()
            .zip(parts)
            .for_each(|(slot, byte)| *slot = *byte);
        bytes
    }

    /// Reads what [`ApprovalId::bytes`] writes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
        Self {
            task: TaskId(part(0, 16).try_into().unwrap_or_default()),
            step: StepNumber(u32::from_be_bytes(
                part(16, 20).try_into().unwrap_or_default(),
            )),
            serial: part(20, 32).try_into().unwrap_or_default(),
        }
    }

    /// Parses the 64 lower-case hexadecimal digits that `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        from_hex(text).as_ref().map(Self::from_bytes)
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.bytes()).fmt(f)
    }
}

impl fmt::Debug for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number of a delegation within its task, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DelegationNumber(pub u32);

/// The number of an audit record in the chain, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordNumber(pub u64);

/// SHA-256 of the DER of a TLS leaf certificate (`x5t#S256`, RFC 8705 §3.1).
pub type Thumbprint = Digest;

/// HMAC(key file, "handle" ‖ server ‖ handle): all that is kept of a handle.
pub type NameHash = Digest;

/// HMAC(key file, "principal" ‖ issuer ‖ subject): all that is kept of a principal.
pub type PrincipalHash = Digest;
