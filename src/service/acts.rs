//! What is particular to each action of policy: whether it ends with the task, and what must have been handed over.

use crate::domain::delegation::Act;
use crate::domain::policy::Action;

/// Whether the rules refuse this for every task that has ended, whoever asks.
pub(super) fn rests(action: Action) -> bool {
    match action {
        Action::RequireInput
        | Action::Retry
        | Action::SkipUnknown
        | Action::Spawn
        | Action::Start
        | Action::Step
        | Action::TakeOver
        | Action::Update => true,
        // A delegation can be taken back, and an effect settled, also when all is over.
        Action::Approve
        | Action::Cancel
        | Action::Create
        | Action::Delegate
        | Action::End
        | Action::Finish
        | Action::Grant
        | Action::Query
        | Action::Resolve
        | Action::Vouch => false,
    }
}

/// What must have been handed over for this action, where anything can be.
pub(super) fn act(action: Action) -> Option<Act> {
    match action {
        Action::Cancel => Some(Act::Cancel),
        Action::Delegate => Some(Act::Delegate),
        Action::Query => Some(Act::Query),
        Action::TakeOver => Some(Act::Takeover),
        Action::Update => Some(Act::Update),
        Action::Start | Action::End => Some(Act::Perform),
        Action::Approve
        | Action::Create
        | Action::Finish
        | Action::Grant
        | Action::RequireInput
        | Action::Resolve
        | Action::Retry
        | Action::SkipUnknown
        | Action::Spawn
        | Action::Step
        | Action::Vouch => None,
    }
}
