//! Stored form of orders that wait for their server.

use super::{Row, RowError, digest, row, wire};
use crate::domain::id::{DelegationNumber, Fence, LegNumber, StepNumber};
use crate::domain::order::{Order, Word};

impl Row for Order {
    type Wire = wire::Order;

    fn to_wire(&self) -> Self::Wire {
        let none = wire::Order::default();
        match self {
            Self::Delegate(offered) => wire::Order {
                kind: 1,
                delegation: Some(offered.to_wire()),
                ..none
            },
            Self::Resolve(step, fence, word) => wire::Order {
                kind: match word {
                    Word::Done => 2,
                    Word::NotDone => 3,
                },
                number: step.0,
                fence: fence.0,
                ..none
            },
            Self::RevokeDelegation(number) => wire::Order {
                kind: 4,
                number: number.0,
                ..none
            },
            Self::Takeover(request, leg) => wire::Order {
                kind: 5,
                number: leg.0,
                request: request.0.to_vec(),
                ..none
            },
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        let resolve = |word| Self::Resolve(StepNumber(wire.number), Fence(wire.fence), word);
        Ok(match wire.kind {
            1 => Self::Delegate(Box::new(row(wire.delegation, "delegation")?)),
            2 => resolve(Word::Done),
            3 => resolve(Word::NotDone),
            4 => Self::RevokeDelegation(DelegationNumber(wire.number)),
            5 => Self::Takeover(digest(&wire.request, "request")?, LegNumber(wire.number)),
            _ => return Err(RowError::Field("kind")),
        })
    }
}
