//! One call of each method that takes a name, with any name of any kind.

use crate::life::issue;
use crate::world::{
    APPROVER, Caller, OTHER, OWNER, SERVER, TOOL, WORKER, World, call, certificate, proof,
};
use handfast::proto::v1;
use std::fmt::Debug;
use std::pin::Pin;
use tonic::Status;
use tonic_types::StatusExt as _;
use v1::approvals_client::ApprovalsClient;
use v1::enforcement_client::EnforcementClient;
use v1::legs_client::LegsClient;
use v1::requests_client::RequestsClient;
use v1::tasks_client::TasksClient;
use v1::{check_request, issue_request};

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rightful {
    Nobody,
    /// The server, for the one task that the token is good for.
    ServerOfToken,
    /// The workload that has this role in every task but one.
    Workload(&'static str),
}

use Rightful::{Nobody, ServerOfToken, Workload};

/// The methods that take a name. What ends or changes the task comes last.
pub(crate) const METHODS: [(&str, Rightful); 24] = [
    ("Requests.Issue child", Workload(WORKER)),
    ("Requests.Issue query", Workload(OWNER)),
    ("Requests.Issue update", Workload(OWNER)),
    ("Requests.Issue cancel", Workload(OWNER)),
    ("Enforcement.Check query", ServerOfToken),
    ("Enforcement.Check update", ServerOfToken),
    ("Enforcement.Check principal", Nobody),
    ("Enforcement.Report", Workload(TOOL)),
    ("Approvals.Get", Workload(APPROVER)),
    ("Approvals.Decide", Workload(APPROVER)),
    ("Tasks.Get", Workload(SERVER)),
    ("Tasks.Watch", Workload(SERVER)),
    ("Legs.Start", Workload(WORKER)),
    ("Legs.Hold", Workload(WORKER)),
    ("Legs.Issue", Workload(WORKER)),
    ("Legs.Spawn", Workload(WORKER)),
    ("Legs.Delegate", Workload(OWNER)),
    ("Legs.RevokeDelegation", Workload(OWNER)),
    ("Legs.Resolve", Workload(OWNER)),
    ("Legs.Takeover", Workload(OWNER)),
    ("Tasks.RequireInput", Workload(SERVER)),
    ("Enforcement.Check cancel", ServerOfToken),
    ("Legs.End", Workload(WORKER)),
    ("Tasks.Finish", Workload(SERVER)),
];

/// Every name by which a task is called, and what else goes with a call of it.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) kind: &'static str,
    pub(crate) handle: String,
    pub(crate) reference: String,
    pub(crate) task: String,
    pub(crate) fence: u64,
    pub(crate) jti: Vec<u8>,
    pub(crate) approval: String,
    /// The task to be that its leg has spawned.
    pub(crate) child: String,
}

impl Names {
    /// Of the same form, and of nothing.
    pub(crate) fn never_given(&self) -> Self {
        let other = |name: &str| {
            let mut other = name.to_owned();
            let last = other.pop();
            other.push(if last == Some('1') { '0' } else { '1' });
            other
        };
        let task = other(&self.task);
        Self {
            kind: "unknown",
            handle: other(&self.handle),
            reference: other(&self.reference),
            approval: self.approval.replace(&self.task, &task),
            child: other(&self.child),
            task,
            fence: self.fence,
            jti: self.jti.clone(),
        }
    }
}

pub(crate) fn report(names: &Names) -> v1::ReportRequest {
    v1::ReportRequest {
        task_id: names.task.clone(),
        step: 1,
        fence: names.fence,
        jti: names.jti.clone(),
        outcome: v1::report_request::Outcome::Done.into(),
    }
}

/// All that a caller can tell of an answer; a decision ID is random, its length is not.
fn seen<T: Debug>(answer: Result<tonic::Response<T>, Status>) -> String {
    match answer {
        Ok(answer) => format!("ok: {:?}", answer.into_inner()),
        Err(status) => {
            let info = status.get_details_error_info().expect("has one");
            let id = info.metadata.get("decision_id").map_or(0, String::len);
            let (code, message) = (status.code(), status.message());
            let (reason, size) = (info.reason, status.details().len());
            let headers = status.metadata().len();
            format!("{code:?} {message} {reason} id {id} details {size} headers {headers}")
        }
    }
}

/// An answer of `Check`, which refuses in an OK reply.
fn checked(answer: Result<tonic::Response<v1::CheckResponse>, Status>) -> String {
    let answer = answer.map(|answer| {
        let mut answer = answer.into_inner();
        answer.decision_id = format!("id {}", answer.decision_id.len());
        tonic::Response::new(answer)
    });
    seen(answer)
}

/// A call that is made when it is awaited.
pub(crate) type Attempt = Pin<Box<dyn Future<Output = String>>>;

/// Makes all that the call needs. `own` is the handle of the one task that [`OTHER`] owns.
pub(crate) async fn attempt(
    world: &World,
    method: &str,
    caller: &str,
    names: &Names,
    own: &str,
) -> Attempt {
    let names = names.clone();
    let (service, operation) = method.split_once('.').expect("has two parts");
    let to = world.caller(caller);
    match service {
        "Requests" if operation == "Issue child" => by_spender(to, names.child),
        "Requests" => by_owner(to, operation, names),
        "Enforcement" if operation == "Report" => {
            let mut enforcement = EnforcementClient::new(to);
            Box::pin(async move { seen(enforcement.report(report(&names)).await) })
        }
        "Enforcement" => check(world, to, (operation, own), names).await,
        "Tasks" => by_server(to, operation, names.task),
        "Legs" if by_name(operation) => handed_over(to, operation, names.handle),
        "Legs" => by_worker(to, operation, names),
        "Approvals" => by_approver(to, operation, names.approval),
        other => panic!("is no service: {other}"),
    }
}

fn by_owner(to: Caller, operation: &str, names: Names) -> Attempt {
    let name = v1::AskName {
        server: SERVER.to_owned(),
        handle: names.handle,
    };
    let operation = match operation {
        "Issue query" => issue_request::Operation::Query(name),
        "Issue update" => issue_request::Operation::Update(name),
        _ => issue_request::Operation::Cancel(name),
    };
    let request = v1::IssueRequest {
        request_id: b"1".to_vec(),
        certificate: certificate(),
        operation: Some(operation),
    };
    let mut requests = RequestsClient::new(to);
    Box::pin(async move { seen(requests.issue(request).await) })
}

/// A `create` that spends a child grant, for all that it has.
fn by_spender(to: Caller, child: String) -> Attempt {
    let ask = v1::AskCreate {
        call: Some(call(TOOL, "pay")),
        child,
        ..v1::AskCreate::default()
    };
    let request = v1::IssueRequest {
        request_id: b"spend".to_vec(),
        certificate: certificate(),
        operation: Some(issue_request::Operation::Create(ask)),
    };
    let mut requests = RequestsClient::new(to);
    Box::pin(async move { seen(requests.issue(request).await) })
}

/// Whether a method of `Legs` is for whoever calls the task by its handle.
fn by_name(operation: &str) -> bool {
    ["Delegate", "RevokeDelegation", "Resolve", "Takeover"].contains(&operation)
}

fn handed_over(to: Caller, operation: &str, handle: String) -> Attempt {
    let task = Some(v1::AskName {
        server: SERVER.to_owned(),
        handle,
    });
    let mut legs = LegsClient::new(to);
    match operation {
        "Delegate" => {
            let request = v1::DelegateRequest {
                task,
                to: APPROVER.to_owned(),
                acts: vec![v1::Act::Query.into()],
                request_id: b"1".to_vec(),
                ..v1::DelegateRequest::default()
            };
            Box::pin(async move { seen(legs.delegate(request).await) })
        }
        "RevokeDelegation" => {
            let certificate = Vec::new();
            let number = 1;
            let request = v1::RevokeDelegationRequest {
                task,
                number,
                certificate,
            };
            Box::pin(async move { seen(legs.revoke_delegation(request).await) })
        }
        "Resolve" => {
            let mut request = v1::ResolveRequest::default();
            (request.task, request.step, request.done) = (task, 1, true);
            Box::pin(async move { seen(legs.resolve(request).await) })
        }
        _ => Box::pin(async move {
            let request_id = b"take over".to_vec();
            let request = v1::TakeoverRequest {
                task,
                request_id,
                ..v1::TakeoverRequest::default()
            };
            seen(legs.takeover(request).await)
        }),
    }
}

/// A child of a task that [`create_as`](crate::life::create_as) made; the same child on every repeat.
pub(crate) fn spawn(task_id: &str) -> v1::SpawnRequest {
    let permission = v1::Permission {
        audience: TOOL.to_owned(),
        tool: "pay".to_owned(),
        ..v1::Permission::default()
    };
    let child = v1::Child {
        call: Some(permission.clone()),
        asked: Some(v1::Grant {
            permissions: vec![permission],
            uses: Some(1),
            ..v1::Grant::default()
        }),
        spender: String::new(),
    };
    v1::SpawnRequest {
        task_id: task_id.to_owned(),
        leg: 1,
        request_id: b"1".to_vec(),
        children: vec![child],
    }
}

/// A check with a good token of another task than the name's, or for a user without one.
async fn check(world: &World, to: Caller, (operation, own): (&str, &str), names: Names) -> Attempt {
    let ask = v1::AskName {
        server: SERVER.to_owned(),
        handle: own.to_owned(),
    };
    let name = v1::CheckName {
        handle: names.handle,
    };
    let (ask, operation) = match operation {
        "Check update" => (
            issue_request::Operation::Update(ask),
            check_request::Operation::Update(name),
        ),
        "Check cancel" => (
            issue_request::Operation::Cancel(ask),
            check_request::Operation::Cancel(name),
        ),
        "Check query" => (
            issue_request::Operation::Query(ask),
            check_request::Operation::Query(name),
        ),
        _ => {
            let principal = v1::Principal {
                issuer: "https://login.example.test".to_owned(),
                subject: "user-1".to_owned(),
            };
            let request = v1::CheckRequest {
                principal: Some(principal),
                operation: Some(check_request::Operation::Query(name)),
                ..v1::CheckRequest::default()
            };
            return checking(to, request);
        }
    };
    let (issued, hand) = issue(world.caller(OTHER), ask).await;
    let request = v1::CheckRequest {
        token: issued.token,
        proof: Some(proof(&hand)),
        principal: None,
        operation: Some(operation),
    };
    checking(to, request)
}

fn checking(to: Caller, request: v1::CheckRequest) -> Attempt {
    let mut enforcement = EnforcementClient::new(to);
    Box::pin(async move { checked(enforcement.check(request).await) })
}

fn by_server(to: Caller, operation: &str, task_id: String) -> Attempt {
    let mut tasks = TasksClient::new(to);
    match operation {
        "Get" => Box::pin(async move { seen(tasks.get(v1::GetRequest { task_id }).await) }),
        "Watch" => {
            Box::pin(async move { seen(tasks.watch(v1::WatchTaskRequest { task_id }).await) })
        }
        "RequireInput" => {
            let request = v1::RequireInputRequest {
                task_id,
                keys: vec!["amount".to_owned()],
                leg_fence: None,
                request_id: b"1".to_vec(),
            };
            Box::pin(async move { seen(tasks.require_input(request).await) })
        }
        _ => {
            let request = v1::FinishRequest {
                task_id,
                completed: true,
                ..v1::FinishRequest::default()
            };
            Box::pin(async move { seen(tasks.finish(request).await) })
        }
    }
}

fn by_worker(to: Caller, operation: &str, names: Names) -> Attempt {
    let mut legs = LegsClient::new(to);
    let (task_id, leg) = (names.task, 1);
    match operation {
        "Start" => {
            let request = v1::StartRequest {
                work_reference: names.reference,
                certificate: certificate(),
                request_id: Vec::new(),
            };
            Box::pin(async move { seen(legs.start(request).await) })
        }
        "Hold" => Box::pin(async move { seen(legs.hold(v1::HoldRequest { task_id, leg }).await) }),
        "Issue" => {
            let request = v1::IssueStepRequest {
                task_id,
                leg,
                step: 2,
                call: Some(call(TOOL, "wire")),
                request_id: vec![1],
                skip_unknown: false,
            };
            Box::pin(async move { seen(legs.issue(request).await) })
        }
        "Spawn" => {
            let request = spawn(&task_id);
            Box::pin(async move { seen(legs.spawn(request).await) })
        }
        _ => {
            let request = v1::EndRequest {
                task_id,
                leg,
                outcome: v1::end_request::Outcome::Completed.into(),
                request_id: Vec::new(),
            };
            Box::pin(async move { seen(legs.end(request).await) })
        }
    }
}

fn by_approver(to: Caller, operation: &str, approval_id: String) -> Attempt {
    let mut approvals = ApprovalsClient::new(to);
    if operation == "Get" {
        let request = v1::GetApprovalRequest { approval_id };
        return Box::pin(async move { seen(approvals.get(request).await) });
    }
    let request = v1::DecideRequest {
        approval_id,
        digest: vec![1; 32],
        verdict: v1::decide_request::Verdict::Approve.into(),
        id_token: "e30.e30.AA".to_owned(),
    };
    Box::pin(async move { seen(approvals.decide(request).await) })
}
