//! Operations as requests. What an operation leaves out is left out of the request, so that a test can send
//! what is not complete. Certificates, digests and `jti` are hexadecimal, arguments are JSON or its text.

use crate::Actor;
use crate::answer::Failure;
use crate::grants::{grant, permissions};
use handfast::proto::v1::{self, check_request, issue_request, proof};
use serde_json::Value;

/// A member as text; empty where it is absent.
pub(crate) fn text(op: &Value, name: &str) -> String {
    op.get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// A member as a number; 0 where it is absent.
pub(crate) fn number(op: &Value, name: &str) -> u64 {
    op.get(name).and_then(Value::as_u64).unwrap_or_default()
}

pub(crate) fn small(op: &Value, name: &str) -> u32 {
    u32::try_from(number(op, name)).unwrap_or(u32::MAX)
}

pub(crate) fn flag(op: &Value, name: &str) -> bool {
    op.get(name).and_then(Value::as_bool).unwrap_or_default()
}

pub(crate) fn list<'a>(op: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    op.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// Bytes as hexadecimal text.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    handfast::domain::id::Hex(bytes).to_string()
}

pub(crate) fn from_hex(op: &Value, name: &str) -> Result<Vec<u8>, Failure> {
    let text = text(op, name);
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let bytes = digits.and_then(|digits| {
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => u8::try_from(high.checked_mul(16)?.checked_add(*low)?).ok(),
            _ => None,
        });
        pairs.collect()
    });
    bytes.ok_or_else(|| Failure::own(format!("`{name}` is not hexadecimal")))
}

pub(crate) fn arguments(of: &Value) -> Option<Vec<u8>> {
    let arguments = of.get("arguments")?;
    let text = arguments.as_str().map(str::to_owned);
    Some(text.unwrap_or_else(|| arguments.to_string()).into_bytes())
}

fn call(op: &Value) -> Result<Option<v1::ToolCall>, Failure> {
    let Some(call) = op.get("call") else {
        return Ok(None);
    };
    Ok(Some(v1::ToolCall {
        audience: text(call, "audience"),
        tool: text(call, "tool"),
        arguments: arguments(call).unwrap_or_else(|| b"{}".to_vec()),
        tool_definition_s256: from_hex(call, "tool_definition_s256")?,
    }))
}

fn names(op: &Value, name: &str) -> Vec<String> {
    list(op, name)
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

pub(crate) fn principal(op: &Value) -> Option<v1::Principal> {
    let principal = op.get("principal")?;
    Some(v1::Principal {
        issuer: text(principal, "issuer"),
        subject: text(principal, "subject"),
    })
}

impl Actor {
    /// `hand` names a certificate of this process, `certificate` states one.
    pub(crate) fn own_certificate(&self, op: &Value) -> Result<Vec<u8>, Failure> {
        match text(op, "hand").as_str() {
            "" => from_hex(op, "certificate"),
            name => self.certificate(name),
        }
    }

    /// The peer's certificate: `peer` in hexadecimal, or `peer_hand`, one of this process.
    fn proof(&self, op: &Value) -> Result<Option<v1::Proof>, Failure> {
        let der = match (text(op, "peer_hand").as_str(), op.get("peer")) {
            ("", None) => return Ok(None),
            ("", Some(_)) => from_hex(op, "peer")?,
            (name, _) => self.certificate(name)?,
        };
        Ok(Some(v1::Proof {
            proof: Some(proof::Proof::PeerCertificate(der)),
        }))
    }

    pub(crate) fn issue(&self, op: &Value) -> Result<v1::IssueRequest, Failure> {
        let name = || v1::AskName {
            server: text(op, "server"),
            handle: text(op, "handle"),
        };
        let operation = match text(op, "op").as_str() {
            "issue_create" => issue_request::Operation::Create(v1::AskCreate {
                call: call(op)?,
                asked: grant(op, "asked"),
                performers: names(op, "performers"),
                lifetime_ms: number(op, "lifetime_ms"),
                child: text(op, "child"),
            }),
            "issue_query" => issue_request::Operation::Query(name()),
            "issue_update" => issue_request::Operation::Update(name()),
            _ => issue_request::Operation::Cancel(name()),
        };
        Ok(v1::IssueRequest {
            request_id: text(op, "request_id").into_bytes(),
            certificate: self.own_certificate(op)?,
            operation: Some(operation),
        })
    }

    pub(crate) fn create(&self, op: &Value) -> Result<v1::CreateRequest, Failure> {
        Ok(v1::CreateRequest {
            request_id: text(op, "request_id").into_bytes(),
            token: text(op, "token"),
            proof: self.proof(op)?,
            principal: principal(op),
            call: call(op)?,
            handle: text(op, "handle"),
            keep: op.get("keep").map(|_| v1::Keep {
                permissions: permissions(op, "keep"),
            }),
            own: grant(op, "own"),
            performers: names(op, "performers"),
            lifetime_ms: number(op, "lifetime_ms"),
        })
    }

    pub(crate) fn start(&self, op: &Value) -> Result<v1::StartRequest, Failure> {
        Ok(v1::StartRequest {
            work_reference: text(op, "work_reference"),
            certificate: self.own_certificate(op)?,
            request_id: text(op, "request_id").into_bytes(),
        })
    }

    pub(crate) fn check(&self, op: &Value) -> Result<v1::CheckRequest, Failure> {
        let name = || v1::CheckName {
            handle: text(op, "handle"),
        };
        let operation = match text(op, "op").as_str() {
            "check_query" => Some(check_request::Operation::Query(name())),
            "check_cancel" => Some(check_request::Operation::Cancel(name())),
            "check_update" => Some(check_request::Operation::Update(name())),
            _ => call(op)?.map(check_request::Operation::Step),
        };
        Ok(v1::CheckRequest {
            token: text(op, "token"),
            proof: self.proof(op)?,
            principal: principal(op),
            operation,
        })
    }
}

pub(crate) fn finish(op: &Value) -> v1::FinishRequest {
    v1::FinishRequest {
        task_id: text(op, "task_id"),
        completed: flag(op, "completed"),
        leg_fence: op.get("leg_fence").and_then(Value::as_u64),
        request_id: text(op, "request_id").into_bytes(),
    }
}

pub(crate) fn require_input(op: &Value) -> v1::RequireInputRequest {
    v1::RequireInputRequest {
        task_id: text(op, "task_id"),
        keys: names(op, "keys"),
        leg_fence: op.get("leg_fence").and_then(Value::as_u64),
        request_id: text(op, "request_id").into_bytes(),
    }
}

pub(crate) fn decide(op: &Value) -> Result<v1::DecideRequest, Failure> {
    use v1::decide_request::Verdict;
    let verdict = match text(op, "verdict").as_str() {
        "approve" => Verdict::Approve,
        "refuse" => Verdict::Refuse,
        _ => Verdict::Unspecified,
    };
    Ok(v1::DecideRequest {
        approval_id: text(op, "approval_id"),
        digest: from_hex(op, "digest")?,
        verdict: verdict.into(),
        id_token: text(op, "id_token"),
    })
}

pub(crate) fn issue_step(op: &Value) -> Result<v1::IssueStepRequest, Failure> {
    Ok(v1::IssueStepRequest {
        task_id: text(op, "task_id"),
        leg: small(op, "leg"),
        step: small(op, "step"),
        call: call(op)?,
        request_id: text(op, "request_id").into_bytes(),
        skip_unknown: op["skip_unknown"].as_bool().unwrap_or_default(),
    })
}

pub(crate) fn hold(op: &Value) -> v1::HoldRequest {
    v1::HoldRequest {
        task_id: text(op, "task_id"),
        leg: small(op, "leg"),
    }
}

pub(crate) fn end(op: &Value) -> v1::EndRequest {
    use v1::end_request::Outcome;
    let outcome = match text(op, "outcome").as_str() {
        "yielded" => Outcome::Yielded,
        "completed" => Outcome::Completed,
        "failed" => Outcome::Failed,
        _ => Outcome::Unspecified,
    };
    v1::EndRequest {
        task_id: text(op, "task_id"),
        leg: small(op, "leg"),
        outcome: outcome.into(),
        request_id: text(op, "request_id").into_bytes(),
    }
}

pub(crate) fn report(op: &Value) -> Result<v1::ReportRequest, Failure> {
    use v1::report_request::Outcome;
    let outcome = match text(op, "outcome").as_str() {
        "done" => Outcome::Done,
        "not_done" => Outcome::NotDone,
        "unknown" => Outcome::Unknown,
        _ => Outcome::Unspecified,
    };
    Ok(v1::ReportRequest {
        task_id: text(op, "task_id"),
        step: small(op, "step"),
        fence: number(op, "fence"),
        jti: from_hex(op, "jti")?,
        outcome: outcome.into(),
    })
}
