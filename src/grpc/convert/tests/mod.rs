//! Each refused form beside its accepted neighbour, and what accepted ones mean.

mod approvals;
mod meaning;
mod refused;

use super::*;
use crate::proto::v1;

const SERVER: &str = "spiffe://example.test/server";
const URL: &str = "https://mcp.example.test/mcp";
const TASK: &str = "0197f0a1b2c37d4e8f00112233445566";

fn forms() -> Forms {
    let id = SpiffeId::new(SERVER).expect("is one");
    Forms {
        audiences: [(URL.to_owned(), id)].into_iter().collect(),
        ..Forms::default()
    }
}

fn certificate() -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec!["hand".to_owned()]).expect("can be made");
    made.cert.der().to_vec()
}

fn call() -> v1::ToolCall {
    v1::ToolCall {
        audience: SERVER.to_owned(),
        tool: "transfer".to_owned(),
        arguments: b"{\"amount\": 1.0}".to_vec(),
        tool_definition_s256: vec![7; 32],
    }
}

fn proof() -> v1::Proof {
    v1::Proof {
        proof: Some(v1::proof::Proof::PeerCertificate(certificate())),
    }
}

fn principal() -> v1::Principal {
    v1::Principal {
        issuer: "https://login.example.test".to_owned(),
        subject: "alice".to_owned(),
    }
}

fn ask_create() -> v1::AskCreate {
    v1::AskCreate {
        call: Some(call()),
        asked: Some(v1::Grant {
            permissions: vec![v1::Permission {
                audience: URL.to_owned(),
                tool: "read".to_owned(),
                ..v1::Permission::default()
            }],
            not_after_ms: Some(5),
            audience_must_be_local: true,
            ..v1::Grant::default()
        }),
        performers: vec!["spiffe://example.test/worker".to_owned()],
        lifetime_ms: 0,
        child: String::new(),
    }
}

fn issue(ask: v1::AskCreate) -> v1::IssueRequest {
    v1::IssueRequest {
        request_id: b"1".to_vec(),
        certificate: certificate(),
        operation: Some(v1::issue_request::Operation::Create(ask)),
    }
}

fn query(server: &str, handle: &str) -> v1::IssueRequest {
    v1::IssueRequest {
        request_id: Vec::new(),
        certificate: certificate(),
        operation: Some(v1::issue_request::Operation::Query(v1::AskName {
            server: server.to_owned(),
            handle: handle.to_owned(),
        })),
    }
}

fn create() -> v1::CreateRequest {
    v1::CreateRequest {
        token: "a.b.c".to_owned(),
        proof: Some(proof()),
        call: Some(call()),
        handle: "3f0c5f0e-5d5a-4a3f-9d3c-0a8d3e0e6b51".to_owned(),
        ..v1::CreateRequest::default()
    }
}

fn check_query() -> v1::CheckRequest {
    v1::CheckRequest {
        token: "a.b.c".to_owned(),
        proof: Some(proof()),
        principal: Some(principal()),
        operation: Some(v1::check_request::Operation::Query(v1::CheckName {
            handle: "h".to_owned(),
        })),
    }
}

fn check_step() -> v1::CheckRequest {
    v1::CheckRequest {
        principal: None,
        operation: Some(v1::check_request::Operation::Step(call())),
        ..check_query()
    }
}

fn step() -> v1::IssueStepRequest {
    v1::IssueStepRequest {
        task_id: TASK.to_owned(),
        leg: 1,
        step: 1,
        call: Some(call()),
        request_id: vec![0; 64],
        skip_unknown: false,
    }
}

fn report() -> v1::ReportRequest {
    v1::ReportRequest {
        task_id: TASK.to_owned(),
        step: 1,
        fence: 3,
        jti: vec![1; 16],
        outcome: v1::report_request::Outcome::NotDone.into(),
    }
}

/// A message is accepted; after the change it is refused, and the text names the field.
#[track_caller]
fn check<M: Clone, T>(
    parse: impl Fn(M) -> Result<T, InvalidField>,
    good: M,
    change: impl FnOnce(&mut M),
    says: &str,
) {
    let mut bad = good.clone();
    change(&mut bad);
    if let Err(invalid) = parse(good) {
        panic!("the neighbour of `{says}` is refused: {invalid}");
    }
    match parse(bad) {
        Ok(_) => panic!("`{says}` is accepted"),
        Err(invalid) => assert_eq!(invalid.to_string(), says),
    }
}
