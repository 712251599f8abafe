//! Orders as the service has them carried out where no user is due, and what became of each kind.

use crate::fixture::permit;
use handfast::domain::decide::order::{Orderer, carry_out, form};
use handfast::domain::delegation::Delegation;
use handfast::domain::denial::Reason;
use handfast::domain::id::LegNumber;
use handfast::domain::lineage::{Lineage, Now, Transition};
use handfast::domain::order::{Asked, Ordered};

pub(crate) fn ordered(
    rows: &Lineage,
    held: &impl Orderer,
    asked: &Asked,
    now: &Now<'_>,
) -> Result<Transition<Ordered>, Reason> {
    let order = form(rows, held, asked, now)?;
    carry_out(rows, held, &order, &permit(), now)
}

pub(crate) fn delegated(ordered: Ordered) -> Delegation {
    let Ordered::Delegated(made) = ordered else {
        panic!("a delegation is due: {ordered:?}")
    };
    *made
}

pub(crate) fn taken_over(ordered: &Ordered) -> LegNumber {
    let Ordered::TakenOver(leg) = ordered else {
        panic!("a leg is due: {ordered:?}")
    };
    *leg
}
