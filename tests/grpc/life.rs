//! One task from its creation to its end, through every service.

use crate::world::{Caller, OWNER, SERVER, TOOL, WORKER, World, call, certificate, proof};
use handfast::proto::v1;
use handfast::service::Failure;
use handfast::service::ports::Ledger as _;
use std::sync::atomic::Ordering;
use v1::check_response::Answer;
use v1::enforcement_client::EnforcementClient;
use v1::hold_event::Kind;
use v1::legs_client::LegsClient;
use v1::requests_client::RequestsClient;
use v1::tasks_client::TasksClient;

pub(crate) const HANDLE: &str = "3f0c5f0e-5d5a-4a3f-9d3c-0a8d3e0e6b51";

/// A token of the owner for this operation, and the certificate it is bound to.
pub(crate) async fn issue(
    owner: Caller,
    operation: v1::issue_request::Operation,
) -> (v1::IssueResponse, Vec<u8>) {
    let certificate = certificate();
    let request = v1::IssueRequest {
        request_id: certificate[..64].to_vec(),
        certificate: certificate.clone(),
        operation: Some(operation),
    };
    let issued = RequestsClient::new(owner).issue(request).await;
    (issued.expect("is permitted").into_inner(), certificate)
}

pub(crate) fn named() -> v1::AskName {
    v1::AskName {
        server: SERVER.to_owned(),
        handle: HANDLE.to_owned(),
    }
}

/// Creates the task: asked for by its owner, registered by its server.
pub(crate) async fn create(world: &World) -> v1::CreateResponse {
    create_as(world, OWNER, HANDLE).await
}

/// Creates a task of this owner under this handle, good for payments and wires, and for a few children.
pub(crate) async fn create_as(world: &World, owner: &str, handle: &str) -> v1::CreateResponse {
    register(world, owner, handle).await.expect("is permitted")
}

/// As [`create_as`], with what the server hears.
pub(crate) async fn register(
    world: &World,
    owner: &str,
    handle: &str,
) -> Result<v1::CreateResponse, tonic::Status> {
    let permission = |tool: &str| v1::Permission {
        audience: TOOL.to_owned(),
        tool: tool.to_owned(),
        ..v1::Permission::default()
    };
    let ask = v1::AskCreate {
        call: Some(call(SERVER, "transfer")),
        asked: Some(v1::Grant {
            permissions: vec![permission("pay"), permission("wire")],
            depth: 1,
            children: 4,
            ..v1::Grant::default()
        }),
        performers: vec![WORKER.to_owned()],
        lifetime_ms: 0,
        child: String::new(),
    };
    let create = v1::issue_request::Operation::Create(ask);
    let (issued, hand) = issue(world.caller(owner), create).await;
    assert!(!issued.token.is_empty() && !issued.repeat);
    assert!(!issued.decision_id.is_empty());
    let created = TasksClient::new(world.caller(SERVER))
        .create(v1::CreateRequest {
            token: issued.token,
            proof: Some(proof(&hand)),
            call: Some(call(SERVER, "transfer")),
            handle: handle.to_owned(),
            ..v1::CreateRequest::default()
        })
        .await;
    created.map(tonic::Response::into_inner)
}

pub(crate) async fn start(world: &World, created: &v1::CreateResponse) -> v1::StartResponse {
    let started = LegsClient::new(world.caller(WORKER))
        .start(v1::StartRequest {
            work_reference: created.work_reference.clone(),
            certificate: certificate(),
            request_id: Vec::new(),
        })
        .await;
    started.expect("is permitted").into_inner()
}

/// The server checks its client's query or cancel.
pub(crate) async fn check_owner(
    world: &World,
    operation: v1::check_request::Operation,
    (token, hand): (String, Vec<u8>),
) -> v1::CheckResponse {
    let answer = EnforcementClient::new(world.caller(SERVER))
        .check(v1::CheckRequest {
            token,
            proof: Some(proof(&hand)),
            principal: None,
            operation: Some(operation),
        })
        .await;
    answer.expect("is decided").into_inner()
}

fn name() -> v1::CheckName {
    v1::CheckName {
        handle: HANDLE.to_owned(),
    }
}

#[tokio::test]
async fn a_task_lives_and_ends() {
    let world = World::new().await;
    let created = create(&world).await;
    assert_eq!(created.state(), v1::TaskState::Working);
    assert!(created.claim_by_ms < created.deadline_ms);
    assert!(!created.repeat && !created.work_reference.is_empty());

    // The owner asks about it.
    let query = v1::issue_request::Operation::Query(named());
    let (issued, hand) = issue(world.caller(OWNER), query).await;
    let query = v1::check_request::Operation::Query(name());
    let read = check_owner(&world, query, (issued.token, hand)).await;
    let Some(Answer::Read(v1::Read { task: Some(task) })) = read.answer else {
        panic!("is not read: {read:?}");
    };
    assert_eq!((task.owner.as_str(), task.server.as_str()), (OWNER, SERVER));
    assert_eq!(
        (task.assurance.as_str(), &task.task_id),
        ("process", &created.task_id)
    );

    let leg_certificate = certificate();
    let mut events = hold(&world, &created, leg_certificate.clone()).await;
    carry_out(&world, &created.task_id, leg_certificate).await;
    finish(&world, &created.task_id).await;
    let last = events.message().await.expect("goes on").expect("is told");
    assert_eq!(last.kind(), Kind::Finished);
    assert!(events.message().await.expect("ends well").is_none());
}

/// A worker takes the task up and holds its leg.
async fn hold(
    world: &World,
    created: &v1::CreateResponse,
    leg_certificate: Vec<u8>,
) -> tonic::Streaming<v1::HoldEvent> {
    let mut legs = LegsClient::new(world.caller(WORKER));
    let started = legs
        .start(v1::StartRequest {
            work_reference: created.work_reference.clone(),
            certificate: leg_certificate,
            request_id: Vec::new(),
        })
        .await
        .expect("is permitted")
        .into_inner();
    assert_eq!(
        (started.leg, started.last_step, started.lease_idle_ms),
        (1, 0, 10_000)
    );
    let hold = v1::HoldRequest {
        task_id: created.task_id.clone(),
        leg: started.leg,
    };
    let mut events = legs.hold(hold).await.expect("is held").into_inner();
    let first = events.message().await.expect("goes on").expect("has begun");
    assert_eq!(first.kind(), Kind::Holding);
    assert!(first.at_ms > 0);
    events
}

/// One step, checked by its tool over the network.
async fn carry_out(world: &World, task_id: &str, leg_certificate: Vec<u8>) {
    let mut legs = LegsClient::new(world.caller(WORKER));
    let step = legs
        .issue(v1::IssueStepRequest {
            task_id: task_id.to_owned(),
            leg: 1,
            step: 1,
            call: Some(call(TOOL, "pay")),
            request_id: b"1".to_vec(),
            skip_unknown: false,
        })
        .await
        .expect("is permitted")
        .into_inner();
    assert_eq!(step.state(), v1::StepState::Issued);
    assert_eq!(step.idempotency_key.len(), 32);
    let mut tool = EnforcementClient::new(world.remote_caller(TOOL));
    let check = v1::CheckRequest {
        token: step.token.clone(),
        proof: Some(proof(&leg_certificate)),
        principal: None,
        operation: Some(v1::check_request::Operation::Step(call(TOOL, "pay"))),
    };
    let fresh = tool
        .check(check.clone())
        .await
        .expect("is decided")
        .into_inner();
    let Some(Answer::Fresh(fresh)) = fresh.answer else {
        panic!("is not fresh: {fresh:?}");
    };
    let facts = fresh.step.expect("is a step");
    assert_eq!((facts.step, facts.fence), (1, step.fence));
    assert_eq!(facts.idempotency_key, step.idempotency_key);
    assert_eq!(
        (facts.performer.as_str(), facts.subject.as_str()),
        (WORKER, OWNER)
    );
    let again = tool.check(check).await.expect("is decided").into_inner();
    let Some(Answer::Repeat(repeat)) = again.answer else {
        panic!("is not a repeat: {again:?}");
    };
    assert_eq!(repeat.state(), v1::StepState::Running);
    let report = v1::ReportRequest {
        task_id: task_id.to_owned(),
        step: 1,
        fence: facts.fence,
        jti: facts.jti,
        outcome: v1::report_request::Outcome::Done.into(),
    };
    let reported = tool.report(report).await.expect("is taken").into_inner();
    assert_eq!(reported.state(), v1::StepState::Done);
}

/// The server looks, the worker ends it, and the server says the same.
async fn finish(world: &World, task_id: &str) {
    let mut legs = LegsClient::new(world.caller(WORKER));
    let get = v1::GetRequest {
        task_id: task_id.to_owned(),
    };
    let mut tasks = TasksClient::new(world.caller(SERVER));
    let seen = tasks.get(get).await.expect("is permitted").into_inner();
    assert!(seen.leg_live);
    assert_eq!((seen.leg, seen.last_step), (1, 1));
    let end = v1::EndRequest {
        task_id: task_id.to_owned(),
        leg: 1,
        outcome: v1::end_request::Outcome::Completed.into(),
        request_id: Vec::new(),
    };
    let ended = legs.end(end).await.expect("is permitted").into_inner();
    assert_eq!(ended.state(), v1::TaskState::Completed);
    let finish = v1::FinishRequest {
        task_id: task_id.to_owned(),
        completed: true,
        ..v1::FinishRequest::default()
    };
    let finished = tasks
        .finish(finish)
        .await
        .expect("is the same")
        .into_inner();
    assert_eq!(finished.state(), v1::TaskState::Completed);
}

#[tokio::test]
async fn an_owners_cancel_reaches_its_worker() {
    let world = World::new().await;
    let created = create(&world).await;
    let started = start(&world, &created).await;
    let hold = v1::HoldRequest {
        task_id: created.task_id.clone(),
        leg: started.leg,
    };
    let mut legs = LegsClient::new(world.caller(WORKER));
    let mut events = legs.hold(hold).await.expect("is held").into_inner();
    let cancel = v1::issue_request::Operation::Cancel(named());
    let (issued, hand) = issue(world.caller(OWNER), cancel).await;
    let cancel = v1::check_request::Operation::Cancel(name());
    let answer = check_owner(&world, cancel, (issued.token, hand)).await;
    let Some(Answer::Fresh(fresh)) = answer.answer else {
        panic!("is not fresh: {answer:?}");
    };
    assert_eq!(
        fresh.task.expect("is shown").state(),
        v1::TaskState::Cancelled
    );
    assert!(fresh.step.is_none());
    let mut kinds = Vec::new();
    while let Some(event) = events.message().await.expect("ends well") {
        kinds.push(event.kind());
    }
    assert_eq!(kinds, [Kind::Holding, Kind::Cancelled]);
}

#[tokio::test]
async fn a_hold_stream_ends_with_its_connection() {
    let world = World::new().await;
    let created = create(&world).await;
    let leg = start(&world, &created).await.leg;
    let worker = world.caller(WORKER);
    let hold = v1::HoldRequest {
        task_id: created.task_id,
        leg,
    };
    let mut legs = LegsClient::new(worker.clone());
    let mut events = legs.hold(hold).await.expect("is held").into_inner();
    worker.closing.0.cancel();
    let told = events.message().await.expect("goes on").expect("was told");
    assert_eq!(told.kind(), Kind::Holding);
    assert!(events.message().await.expect("ends well").is_none());
}

#[tokio::test]
async fn a_leg_never_ends_because_the_kernel_does_not_answer() {
    let world = World::new().await;
    let created = create(&world).await;
    start(&world, &created).await;
    let is_up = async || {
        let page = world.ledger.tasks(None, 10).await.expect("can be read");
        page.tasks.iter().any(|task| task.leg.is_some())
    };

    world.processes.silent.store(true, Ordering::SeqCst);
    let recovered = world.continuation.recover().await;
    assert!(matches!(recovered, Err(Failure::Unavailable(_))));
    assert!(is_up().await, "nothing is known about its process");

    world.processes.silent.store(false, Ordering::SeqCst);
    assert!(world.continuation.recover().await.is_ok());
    assert!(!is_up().await, "its process is gone for certain");
}
