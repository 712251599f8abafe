//! Messages ⇄ domain: form alone. What a well-formed request may do is for the rules to say.
//!
//! The one thing to know: whatever is malformed is refused here with the name of its field and never with its
//! content, so that a handle or token in the wrong place does not end up in an error text.

mod answers;
mod approvals;
mod asks;
mod audit;
mod field;
mod grants;
mod handover;
mod revocations;
mod spawn;
mod summaries;

#[cfg(test)]
mod tests;

pub use field::{FormError, InvalidField};

pub(super) use answers::inputs;
pub(super) use answers::{at_ms, check_answer, duration_ms, hold_kind, step_state, task_state};
pub(super) use answers::{issued, leg_started, registered, server_view, step_issued, who_am_i};
pub(super) use approvals::{after_approval, approval, approval_id, approval_state};
pub(super) use asks::{CheckAsk, FinishAsk, IssueAsk, hold, report, task};
pub(super) use audit::record;
pub(super) use field::InField;
pub(super) use handover::{OrderForm, delegation};
pub(super) use revocations::{receipt, revocation_event, scope, spiffe_id, would_stop};
pub(super) use spawn::spawned;
pub(super) use summaries::{details, simulated, summary};

use crate::canonical;
use crate::domain::id::SpiffeId;
use std::collections::BTreeMap;

/// Which URLs stand for which SPIFFE IDs, from the `[[audience]]` rows of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AudienceMap(BTreeMap<String, SpiffeId>);

impl AudienceMap {
    /// The SPIFFE ID behind a URL, spelled exactly as in the configuration.
    #[must_use]
    pub fn by_url(&self, url: &str) -> Option<&SpiffeId> {
        self.0.get(url)
    }
}

impl FromIterator<(String, SpiffeId)> for AudienceMap {
    fn from_iter<I: IntoIterator<Item = (String, SpiffeId)>>(rows: I) -> Self {
        Self(rows.into_iter().collect())
    }
}

/// What a well-formed request looks like. Each number is the `[limits]` key of the same name.
#[derive(Clone, Debug)]
pub struct Forms {
    /// URLs that may stand in for SPIFFE IDs.
    pub audiences: AudienceMap,
    /// `argument_bytes` and `argument_depth` of one call.
    pub arguments: canonical::Limits,
    /// Pairs of audience and tool in one grant.
    pub grant_pairs: usize,
    /// Bytes of one grant, with whatever it comes in.
    pub message_bytes: usize,
    /// Members that one constraint names.
    pub constraint_members: usize,
    /// Values, or digests of arguments, in one list of a constraint.
    pub constraint_values: usize,
    /// Bytes of a leg, hand or peer certificate.
    pub certificate_bytes: usize,
    /// Bytes of a handle.
    pub handle_bytes: usize,
    /// Names of answers in one request.
    pub inputs: usize,
    /// Bytes of a server's name for an answer.
    pub input_key_bytes: usize,
    /// Bytes of an OAuth issuer or of a subject, each.
    pub principal_bytes: usize,
    /// Bytes of a work reference.
    pub reference_bytes: usize,
    /// Bytes of a `request_id`.
    pub request_id_bytes: usize,
    /// Bytes of an operator's reason.
    pub reason_bytes: usize,
    /// Bytes of a token before it is looked at.
    pub token_bytes: usize,
    /// Bytes of the name of a tool or method.
    pub tool_bytes: usize,
}

impl Default for Forms {
    fn default() -> Self {
        Self {
            audiences: AudienceMap::default(),
            arguments: canonical::Limits {
                bytes_max: 32 * 1024,
                depth_max: 32,
            },
            grant_pairs: 64,
            message_bytes: 64 * 1024,
            constraint_members: 32,
            constraint_values: 64,
            certificate_bytes: 4096,
            handle_bytes: 512,
            inputs: 16,
            input_key_bytes: 128,
            principal_bytes: 512,
            reference_bytes: 256,
            request_id_bytes: 64,
            reason_bytes: 1024,
            token_bytes: 8192,
            tool_bytes: 256,
        }
    }
}
