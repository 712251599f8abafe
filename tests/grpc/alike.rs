//! Invariant 14: unknown and foreign names are answered alike, by code, message and details.

use crate::life::{HANDLE, create, issue, named, start};
use crate::world::{OTHER, OWNER, SERVER, WORKER, World, call, certificate, proof};
use handfast::proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use v1::enforcement_client::EnforcementClient;
use v1::legs_client::LegsClient;
use v1::requests_client::RequestsClient;
use v1::tasks_client::TasksClient;

const UNKNOWN: &str = "0197f0a1b2c37d4e8f00112233445566";

/// All that a caller can tell of an answer; a decision ID is random, its length is not.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    code: Code,
    message: String,
    reason: String,
    domain: String,
    decision_id_len: usize,
    details_len: usize,
    headers: Vec<String>,
}

fn seen<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, Status>) -> Seen {
    let status = answer.expect_err("is refused");
    let info = status.get_details_error_info().expect("has one");
    let mut headers: Vec<String> = status
        .metadata()
        .keys()
        .map(|key| format!("{key:?}"))
        .collect();
    headers.sort();
    Seen {
        code: status.code(),
        message: status.message().to_owned(),
        decision_id_len: info.metadata.get("decision_id").map_or(0, String::len),
        reason: info.reason,
        domain: info.domain,
        details_len: status.details().len(),
        headers,
    }
}

#[tokio::test]
async fn unknown_and_foreign_tasks_are_answered_alike() {
    let world = World::new().await;
    let created = create(&world).await;
    let leg = start(&world, &created).await.leg;
    let foreign = created.task_id.as_str();
    let mut answers = Vec::new();
    for task in [UNKNOWN, foreign] {
        let task_id = task.to_owned();
        // Each of the others is a party of the task, in another role.
        for name in [OTHER, OWNER, WORKER] {
            let mut tasks = TasksClient::new(world.caller(name));
            let get = v1::GetRequest {
                task_id: task_id.clone(),
            };
            answers.push(seen(tasks.get(get).await));
            let finish = v1::FinishRequest {
                task_id: task_id.clone(),
                ..v1::FinishRequest::default()
            };
            answers.push(seen(tasks.finish(finish).await));
        }
        for name in [OTHER, OWNER, SERVER] {
            let mut legs = LegsClient::new(world.caller(name));
            let step = v1::IssueStepRequest {
                task_id: task_id.clone(),
                leg,
                step: 1,
                call: Some(call(SERVER, "pay")),
                request_id: b"1".to_vec(),
                skip_unknown: false,
            };
            answers.push(seen(legs.issue(step).await));
            let hold = v1::HoldRequest {
                task_id: task_id.clone(),
                leg,
            };
            answers.push(seen(legs.hold(hold).await));
            let end = v1::EndRequest {
                task_id: task_id.clone(),
                leg,
                outcome: v1::end_request::Outcome::Failed.into(),
                request_id: Vec::new(),
            };
            answers.push(seen(legs.end(end).await));
        }
        let mut tool = EnforcementClient::new(world.caller(OTHER));
        let report = v1::ReportRequest {
            task_id,
            step: 1,
            fence: 1,
            jti: vec![1; 16],
            outcome: v1::report_request::Outcome::Done.into(),
        };
        answers.push(seen(tool.report(report).await));
    }
    let first = answers.first().expect("there are some");
    assert_eq!(first.code, Code::PermissionDenied);
    assert_eq!(first.message, "unknown task");
    assert_eq!(first.reason, "unknown_task");
    assert!(first.decision_id_len > 0);
    assert!(answers.iter().all(|answer| answer == first), "{answers:#?}");
}

#[tokio::test]
async fn unknown_and_foreign_names_are_answered_alike() {
    let world = World::new().await;
    let created = create(&world).await;
    let mut answers = Vec::new();
    for handle in [HANDLE, "6d9c2b1e-8d07-4b6f-8f0b-3c1d8f6e2a90"] {
        for cancel in [false, true] {
            let name = v1::AskName {
                handle: handle.to_owned(),
                ..named()
            };
            let request = v1::IssueRequest {
                request_id: b"1".to_vec(),
                certificate: certificate(),
                operation: Some(if cancel {
                    v1::issue_request::Operation::Cancel(name)
                } else {
                    v1::issue_request::Operation::Query(name)
                }),
            };
            let issued = RequestsClient::new(world.caller(OTHER))
                .issue(request)
                .await;
            answers.push(seen(issued));
        }
    }
    for work_reference in [
        created.work_reference.clone(),
        "x".repeat(created.work_reference.len()),
        HANDLE.to_owned(),
    ] {
        let start = v1::StartRequest {
            work_reference,
            certificate: certificate(),
            request_id: Vec::new(),
        };
        let started = LegsClient::new(world.caller(OTHER)).start(start).await;
        answers.push(seen(started));
    }
    let first = answers.first().expect("there are some");
    assert_eq!(first.message, "unknown task");
    assert!(answers.iter().all(|answer| answer == first), "{answers:#?}");
}

#[tokio::test]
async fn a_check_by_another_server_tells_nothing() {
    let world = World::new().await;
    create(&world).await;
    let query = v1::issue_request::Operation::Query(named());
    let (issued, hand) = issue(world.caller(OWNER), query).await;
    let mut other = EnforcementClient::new(world.caller(OTHER));
    let mut refused = Vec::new();
    for handle in [HANDLE, "6d9c2b1e-8d07-4b6f-8f0b-3c1d8f6e2a90"] {
        let name = v1::CheckName {
            handle: handle.to_owned(),
        };
        let check = v1::CheckRequest {
            token: issued.token.clone(),
            proof: Some(proof(&hand)),
            principal: None,
            operation: Some(v1::check_request::Operation::Query(name)),
        };
        let answer = other.check(check).await.expect("is decided").into_inner();
        match answer.answer {
            Some(v1::check_response::Answer::Denied(denied)) => refused.push(denied),
            other => panic!("is not denied: {other:?}"),
        }
    }
    for denied in refused {
        assert_eq!(denied.reason, "unknown_task");
        assert_eq!(
            (denied.mcp_code, denied.mcp_message.as_str()),
            (-32602, "unknown task")
        );
    }
}
