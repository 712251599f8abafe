//! The generated messages and services of `proto/`.
//!
//! Names nothing. The one thing to know: messages that carry a token, a handle, a work reference, a principal
//! or arguments have a `Debug` by hand that shows lengths instead, so that no log line can leak them.

use std::fmt;

/// `handfast.v1`: the API of the agent.
#[expect(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    unused_qualifications,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    reason = "generated; documented in the .proto file"
)]
pub mod v1 {
    tonic::include_proto!("handfast.v1");
}

/// Shows that something is there and how long it is, in bytes.
struct Hidden(usize);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…({})", self.0)
    }
}

/// `Debug` of a message: first the fields that anybody may see, then those of which only the length is shown.
macro_rules! redacted {
    ($($message:ident { $($shown:ident),* ; $($hidden:ident),* })+) => {$(
        impl fmt::Debug for v1::$message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($shown), &self.$shown))*
                    $(.field(stringify!($hidden), &Hidden(self.$hidden.len())))*
                    .finish()
            }
        }
    )+};
}

redacted! {
    Approval {
        approval_id, state, digest, task_id, step, owner, server, performer, audience, tool,
        tool_definition_s256, arguments_s256, opened_at_ms, decide_by_ms, use_by_ms;
        text
    }
    DecideRequest { approval_id, digest, verdict; id_token }
    AskName { server; handle }
    CheckName { ; handle }
    CheckRequest { proof, principal, operation; token }
    CreateRequest {
        request_id, proof, principal, call, keep, own, performers, lifetime_ms;
        token, handle
    }
    CreateResponse { task_id, state, deadline_ms, claim_by_ms, repeat, decision_id; work_reference }
    IssueResponse { expires_at_ms, repeat, decision_id; token }
    IssueStepResponse { expires_at_ms, fence, state, decision_id, pending_approval; token, idempotency_key }
    OneOf { ; values }
    OrderToken { expires_at_ms; token }
    Principal { ; issuer, subject }
    ReportRequest { task_id, step, fence, outcome; jti }
    StartRequest { certificate, request_id; work_reference }
    StepFacts { step, fence, performer, subject; idempotency_key, jti }
    ToolCall { audience, tool, tool_definition_s256; arguments }
}

impl fmt::Debug for v1::Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments = self.arguments.as_ref().map(|json| Hidden(json.len()));
        let any_of: Vec<Hidden> = self.any_of.iter().map(|json| Hidden(json.len())).collect();
        f.debug_struct("Permission")
            .field("audience", &self.audience)
            .field("tool", &self.tool)
            .field("arguments", &arguments)
            .field("any_of", &any_of)
            .field("members", &self.members)
            .finish()
    }
}

impl fmt::Debug for v1::check_request::Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(name) => f.debug_tuple("Query").field(name).finish(),
            Self::Cancel(name) => f.debug_tuple("Cancel").field(name).finish(),
            Self::Step(call) => f.debug_tuple("Step").field(call).finish(),
            Self::Update(name) => f.debug_tuple("Update").field(name).finish(),
        }
    }
}

// What is nested in a message loses its `Debug` with it.
impl fmt::Debug for v1::decide_request::Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str_name())
    }
}

impl fmt::Debug for v1::report_request::Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str_name())
    }
}

#[cfg(test)]
mod tests {
    use super::v1;

    const SECRET: &str = "bd6bd2f24a8f";

    fn text() -> String {
        SECRET.to_owned()
    }

    fn bytes() -> Vec<u8> {
        SECRET.as_bytes().to_vec()
    }

    fn principal() -> v1::Principal {
        v1::Principal {
            issuer: text(),
            subject: text(),
        }
    }

    fn asked() -> [String; 6] {
        let handle = text();
        let query = v1::check_request::Operation::Query(v1::CheckName { handle });
        let check = v1::CheckRequest {
            token: text(),
            principal: Some(principal()),
            operation: Some(query),
            ..v1::CheckRequest::default()
        };
        let permission = v1::Permission {
            arguments: Some(bytes()),
            ..v1::Permission::default()
        };
        let call = v1::ToolCall {
            arguments: bytes(),
            ..v1::ToolCall::default()
        };
        let create = v1::CreateRequest {
            token: text(),
            handle: text(),
            principal: Some(principal()),
            call: Some(call),
            own: Some(v1::Grant {
                permissions: vec![permission],
                ..v1::Grant::default()
            }),
            ..v1::CreateRequest::default()
        };
        let name = v1::AskName {
            handle: text(),
            ..v1::AskName::default()
        };
        let report = v1::ReportRequest {
            jti: bytes(),
            ..v1::ReportRequest::default()
        };
        let start = v1::StartRequest {
            work_reference: text(),
            ..v1::StartRequest::default()
        };
        let decide = v1::DecideRequest {
            id_token: text(),
            ..v1::DecideRequest::default()
        };
        [
            format!("{check:?}"),
            format!("{create:?}"),
            format!("{name:?}"),
            format!("{report:?}"),
            format!("{start:?}"),
            format!("{decide:?}"),
        ]
    }

    fn answered() -> [String; 6] {
        let created = v1::CreateResponse {
            work_reference: text(),
            ..v1::CreateResponse::default()
        };
        let issued = v1::IssueResponse {
            token: text(),
            ..v1::IssueResponse::default()
        };
        let step = v1::IssueStepResponse {
            token: text(),
            idempotency_key: bytes(),
            ..v1::IssueStepResponse::default()
        };
        let facts = v1::StepFacts {
            jti: bytes(),
            idempotency_key: bytes(),
            ..v1::StepFacts::default()
        };
        let order = v1::DelegateResponse {
            order_token: Some(v1::OrderToken {
                token: text(),
                expires_at_ms: 0,
            }),
            ..v1::DelegateResponse::default()
        };
        let approval = v1::Approval {
            text: text(),
            ..v1::Approval::default()
        };
        [
            format!("{created:?}"),
            format!("{issued:?}"),
            format!("{step:?}"),
            format!("{facts:?}"),
            format!("{approval:?}"),
            format!("{order:?}"),
        ]
    }

    #[test]
    fn no_debug_shows_a_secret() {
        for line in asked().into_iter().chain(answered()) {
            assert!(!line.contains(SECRET), "{line}");
            assert!(!line.contains("98, 100, 54"), "{line}");
            assert!(line.contains("…(12)"), "{line}");
        }
    }
}
