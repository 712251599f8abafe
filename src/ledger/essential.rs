//! Which decisions are recorded on a full ledger too: those after which less may be done than before.

use crate::domain::lineage::Writes;
use crate::domain::step::Purpose;
use crate::domain::task::Task;

/// Whether these writes may use the reserve: they end a task, make the token that will, revoke, or take back what
/// somebody has in the task as it was.
pub(super) fn is_essential(before: Option<&Task>, writes: &Writes) -> bool {
    let ends = writes
        .task
        .as_ref()
        .is_some_and(|task| task.state.is_terminal());
    let mut records = writes.records.iter();
    let takes_by_token = !writes.records.is_empty()
        && writes.steps.is_empty()
        && records.all(|record| takes_away(&record.purpose));
    let mut children = writes.children.iter();
    let gives = children.clone().any(|child| child.revoked_at.is_none());
    let revokes = writes.revocations.is_some() || children.any(|child| child.revoked_at.is_some());
    let makes = writes.terms.is_some() || writes.bind.is_some() || gives;
    ((ends || takes_by_token || revokes) && !makes) || takes_back(before, writes)
}

/// Whether a token ends its task, or has an order carried out that only takes away. Each can be asked for again and
/// again: what these tokens write is bounded by `tasks.owner_tokens_max` in the life of a token, and not in all.
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
