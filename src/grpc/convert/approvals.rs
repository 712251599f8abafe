//! Requests for approval, both ways.

use super::Forms;
use super::answers::at_ms;
use super::field::{self, FormError, InField as _, InvalidField};
use crate::domain::approval::{Approval, ApprovalState, Verdict};
use crate::domain::id::{ApprovalId, Digest};
use crate::proto::v1;
use crate::service::{ApprovalView, DecideAsk};

type Formed<T> = Result<T, InvalidField>;

/// The field `approval_id`.
pub(in crate::grpc) fn approval_id(text: &str) -> Formed<ApprovalId> {
    parse(text).field("approval_id")
}

/// The field `after`; empty begins at the beginning.
pub(in crate::grpc) fn after_approval(text: &str) -> Formed<Option<ApprovalId>> {
    match text {
        "" => Ok(None),
        text => parse(text).field("after").map(Some),
    }
}

fn parse(text: &str) -> Result<ApprovalId, FormError> {
    if text.is_empty() {
        return Err(FormError::Missing);
    }
    ApprovalId::parse(text).ok_or(FormError::ApprovalId)
}

impl Forms {
    /// `Approvals.Decide`.
    pub(in crate::grpc) fn decide(&self, message: v1::DecideRequest) -> Formed<DecideAsk> {
        use v1::decide_request::Verdict as Wire;
        // Secret first, so that a refused one is wiped too.
        let id_token = field::secret(message.id_token, self.token_bytes);
        Ok(DecideAsk {
            id: approval_id(&message.approval_id)?,
            digest: Digest(field::bytes(&message.digest).field("digest")?),
            verdict: match Wire::try_from(message.verdict) {
                Ok(Wire::Approve) => Verdict::Approved,
                Ok(Wire::Refuse) => Verdict::Refused,
                Ok(Wire::Unspecified) | Err(_) => return Err(FormError::Unnamed.at("verdict")),
            },
            id_token: id_token.field("id_token")?,
        })
    }
}

/// Where a request is.
pub(in crate::grpc) fn approval_state(state: ApprovalState) -> i32 {
    let state = match state {
        ApprovalState::Approved => v1::ApprovalState::Approved,
        ApprovalState::Lapsed => v1::ApprovalState::Lapsed,
        ApprovalState::Open => v1::ApprovalState::Open,
        ApprovalState::Refused => v1::ApprovalState::Refused,
        ApprovalState::Used => v1::ApprovalState::Used,
    };
    state.into()
}

/// A request as an approver sees it.
pub(in crate::grpc) fn approval(view: &ApprovalView) -> v1::Approval {
    let ApprovalView {
        approval,
        state,
        use_by,
        owner,
        server,
    } = view;
    let Approval {
        id,
        performer,
        call,
        text,
        opened_at,
        decide_by,
        digest,
        ..
    } = approval;
    let definition = call.definition.map(|digest| digest.0.to_vec());
    v1::Approval {
        approval_id: id.to_string(),
        state: approval_state(*state),
        digest: digest.0.to_vec(),
        task_id: id.task.to_string(),
        step: id.step.0,
        owner: owner.as_ref().map(ToString::to_string).unwrap_or_default(),
        server: server.to_string(),
        performer: performer.to_string(),
        audience: call.audience.to_string(),
        tool: call.tool.clone(),
        tool_definition_s256: definition.unwrap_or_default(),
        arguments_s256: call.arguments.0.to_vec(),
        text: text.clone(),
        opened_at_ms: at_ms(*opened_at),
        decide_by_ms: at_ms(*decide_by),
        use_by_ms: use_by.map(at_ms).unwrap_or_default(),
    }
}
