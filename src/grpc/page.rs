//! Pages: how many rows there may be, and how many fit into one reply.

use super::convert::FormError;
use super::routes::MessageLimits;
use crate::service::Failure;
use prost::Message;

/// Rows that fit into one reply.
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    bytes_left: usize,
}

impl<T: Message> Page<T> {
    /// For what surrounds each row and the whole: tags and lengths.
    const ROW_OVERHEAD: usize = 8;

    pub(super) fn new(reply_bytes: usize) -> Self {
        Self {
            rows: Vec::new(),
            bytes_left: reply_bytes.saturating_sub(Self::ROW_OVERHEAD.saturating_mul(16)),
        }
    }

    /// Whether the row had room. The first always has, lest nothing ever goes on.
    pub(super) fn push(&mut self, row: T) -> bool {
        let bytes = row.encoded_len().saturating_add(Self::ROW_OVERHEAD);
        match self.bytes_left.checked_sub(bytes) {
            None if !self.rows.is_empty() => return false,
            left => self.bytes_left = left.unwrap_or_default(),
        }
        self.rows.push(row);
        true
    }
}

impl MessageLimits {
    /// How many rows; zero asks for as many as there may be.
    pub(super) fn rows(&self, limit: u32) -> Result<usize, Failure> {
        let max = self.page_rows;
        match usize::try_from(limit) {
            Ok(0) => Ok(max),
            Ok(limit) if limit <= max => Ok(limit),
            Ok(_) | Err(_) => Err(FormError::TooMany { max }.at("limit").into()),
        }
    }
}
