//! Which decisions are recorded on a full ledger too: those after which less may be done than before.

use crate::domain::lineage::Writes;
use crate::domain::step::Purpose;
use crate::domain::task::Task;

/// What writes have to do with an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Essential {
    /// They end a task, revoke, or take back what somebody has in the task as it was.
    Ends,
    /// Nothing.
    No,
    /// They make the token that will. It can be asked for again and again.
    Token,
}

/// Whether these writes may use the reserve.
pub(super) fn essential(before: Option<&Task>, writes: &Writes) -> Essential {
    let ends = writes
        .task
        .as_ref()
        .is_some_and(|task| task.state.is_terminal());
    let mut records = writes.records.iter();
    let used = records.clone().any(|record| record.used_at.is_some());
    let takes_by_token = !writes.records.is_empty()
        && writes.steps.is_empty()
        && records.all(|record| takes_away(&record.purpose));
    let mut children = writes.children.iter();
    let gives = children.clone().any(|child| child.revoked_at.is_none());
    let revokes = writes.revocations.is_some() || children.any(|child| child.revoked_at.is_some());
    let makes = writes.terms.is_some() || writes.bind.is_some() || gives;
    if takes_back(before, writes) || (!makes && (ends || revokes || (takes_by_token && used))) {
        Essential::Ends
    } else if takes_by_token && !makes {
        Essential::Token
    } else {
        Essential::No
    }
}

/// Whether a token ends its task, or has an order carried out that only takes away.
fn takes_away(purpose: &Purpose) -> bool {
    match purpose {
        Purpose::Cancel => true,
        Purpose::Order(order) => order.takes_away(),
        Purpose::Step(_) | Purpose::Update => false,
    }
}

/// Whether delegations or the leg end, processes are barred, and nothing else comes of it, a token's record neither.
/// Each can be taken back once, and none is given on a full ledger: there is an end to what is written for this alone.
fn takes_back(before: Option<&Task>, writes: &Writes) -> bool {
    let (Some(before), Some(after)) = (before, &writes.task) else {
        return false;
    };
    let only = Writes {
        task: Some(after.clone()),
        ..Writes::default()
    };
    let mut less = before.clone();
    for (old, new) in less.delegations.iter_mut().zip(&after.delegations) {
        old.ended_at = old.ended_at.or(new.ended_at);
    }
    if after.leg.is_none() {
        less.leg = None;
        less.takeovers.clone_from(&after.takeovers);
    }
    *writes == only && less == *after && less != *before
}
