//! Rows as bytes and back: [`Row`] for every value that the ledger stores.
//!
//! Names `domain` only. Bytes come from a file that somebody may have written to: decoding checks
//! every field and never panics. Each conversion takes the value apart field by field, so that a
//! field added to the domain does not compile until it is stored.

mod approval;
mod child;
mod constraint;
mod delegation;
mod event;
mod grant;
mod order;
mod revocation;
mod step;
mod task;
mod terms;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use crate::domain::id::{Digest, SpiffeId, TaskId};
use prost::Message;

/// Why bytes are not a row.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    /// A field is missing or holds what it cannot hold.
    #[error("field `{0}` is missing or malformed")]
    Field(&'static str),
    /// Not a protobuf message of this kind.
    #[error("row is not a protobuf message: {0}")]
    Wire(#[from] prost::DecodeError),
}

/// A value with a stored form.
pub(crate) trait Row: Sized {
    /// The stored form.
    type Wire: Message + Default;

    /// Turns the value into its stored form.
    fn to_wire(&self) -> Self::Wire;

    /// Reads the value back.
    ///
    /// # Errors
    /// [`RowError::Field`] for the first field that is not as it must be.
    fn from_wire(wire: Self::Wire) -> Result<Self, RowError>;

    /// The value's bytes.
    fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    /// Reads a value from bytes.
    ///
    /// # Errors
    /// See [`RowError`].
    fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        Self::from_wire(Self::Wire::decode(bytes)?)
    }
}

fn due<T>(value: Option<T>, field: &'static str) -> Result<T, RowError> {
    value.ok_or(RowError::Field(field))
}

fn row<T: Row>(value: Option<T::Wire>, field: &'static str) -> Result<T, RowError> {
    T::from_wire(due(value, field)?)
}

fn row_if<T: Row>(value: Option<T::Wire>) -> Result<Option<T>, RowError> {
    value.map(T::from_wire).transpose()
}

fn rows<T: Row>(values: Vec<T::Wire>) -> Result<Vec<T>, RowError> {
    values.into_iter().map(T::from_wire).collect()
}

fn wires<T: Row>(values: &[T]) -> Vec<T::Wire> {
    values.iter().map(Row::to_wire).collect()
}

fn array<const N: usize>(bytes: &[u8], field: &'static str) -> Result<[u8; N], RowError> {
    due(bytes.first_chunk::<N>().copied(), field).and_then(|array| {
        if bytes.len() == N {
            Ok(array)
        } else {
            Err(RowError::Field(field))
        }
    })
}

pub(crate) fn digest(bytes: &[u8], field: &'static str) -> Result<Digest, RowError> {
    array(bytes, field).map(Digest)
}

fn digest_if(bytes: Option<&[u8]>, field: &'static str) -> Result<Option<Digest>, RowError> {
    bytes.map(|bytes| digest(bytes, field)).transpose()
}

fn digest_bytes(digest: Option<Digest>) -> Option<Vec<u8>> {
    digest.map(|digest| digest.0.to_vec())
}

pub(crate) fn task_id(bytes: &[u8], field: &'static str) -> Result<TaskId, RowError> {
    array(bytes, field).map(TaskId)
}

fn spiffe_id(text: &str, field: &'static str) -> Result<SpiffeId, RowError> {
    SpiffeId::new(text).map_err(|_malformed| RowError::Field(field))
}
