//! The real side of revocation by more than a task: `Operator.Revoke` and `Lift`, and who is heard no more.

use super::alphabet::Hand;
use super::answer::Answer;
use super::real::{Done, Moment};
use super::wider::Wider;
use crate::fixture::id;
use handfast::domain::denial::Reason;
use handfast::domain::lineage::Lineage;
use handfast::domain::revocation::{self, Wide};

impl Moment<'_> {
    /// Whoever has no SPIFFE ID left that is not revoked is heard no further.
    pub(super) fn admit(&self, by: Hand) -> Result<(), Reason> {
        let ids = &self.hands.of(by).spiffe_ids;
        if self.store.revocations(self.world).denies_all(ids) {
            return Err(Reason::IdRevoked);
        }
        Ok(())
    }

    /// An operator revokes more than a task, or lets an ID act again.
    pub(super) fn wide(&self, wide: Wider) -> Result<Done, Reason> {
        let rows = Lineage {
            revocations: self.store.revocations(self.world),
            ..Lineage::default()
        };
        let now = self.now();
        let revoke = |scope| revocation::revoke(&rows, &scope, &now);
        let writes = match wide {
            Wider::Before => revoke(Wide::Before(now.time))?,
            Wider::Epoch => revoke(Wide::Epoch(now.epoch))?,
            Wider::Id(hand) => revoke(Wide::SpiffeId(id(hand.path())))?,
            Wider::Lift(hand) => revocation::lift(&rows, &id(hand.path()), &now),
        };
        Ok(Done::with(Answer::Nothing, vec![writes]))
    }
}
