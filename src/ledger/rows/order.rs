//! Stored form of orders.

use super::{Row, RowError, digest, row, row_if, wire};
use crate::domain::id::{DelegationNumber, StepNumber};
use crate::domain::order::{GivenOrder, Order, Word};

impl Row for GivenOrder {
    type Wire = wire::GivenOrder;

    fn to_wire(&self) -> Self::Wire {
        let Self { order, by } = self;
        let by = by.as_ref().map(Row::to_wire);
        let (order, number) = match order {
            Order::Delegate(made) => {
                return wire::GivenOrder {
                    order: 1,
                    delegation: Some(made.to_wire()),
                    by,
                    ..wire::GivenOrder::default()
                };
            }
            Order::TakeOver(request) => {
                return wire::GivenOrder {
                    order: 5,
                    request: request.0.to_vec(),
                    by,
                    ..wire::GivenOrder::default()
                };
            }
            Order::Resolve(step, Word::Done) => (2, step.0),
            Order::Resolve(step, Word::NotDone) => (3, step.0),
            Order::TakeBack(number) => (4, number.0),
        };
        wire::GivenOrder {
            order,
            number,
            by,
            ..wire::GivenOrder::default()
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        let order = match wire.order {
            1 => Order::Delegate(Box::new(row(wire.delegation, "delegation")?)),
            2 => Order::Resolve(StepNumber(wire.number), Word::Done),
            3 => Order::Resolve(StepNumber(wire.number), Word::NotDone),
            4 => Order::TakeBack(DelegationNumber(wire.number)),
            5 => Order::TakeOver(digest(&wire.request, "request")?),
            _ => return Err(RowError::Field("order")),
        };
        Ok(Self {
            order,
            by: row_if(wire.by)?,
        })
    }
}
