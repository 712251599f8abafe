//! Which services are served where, and what their handlers share.
//!
//! The one thing to know: a method that is not listed here for a listener does not exist there.

use super::access::{AccessLayer, Answered};
use super::convert::Forms;
use super::health::Health;
use super::operator::{OperatorApi, StatusSource};
use super::status;
use crate::proto::v1;
use crate::service::ports::{Clock, Peer};
use crate::service::{Continuation, Failure};
use std::sync::Arc;
use std::time::Duration;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use v1::approvals_server::ApprovalsServer;
use v1::enforcement_server::EnforcementServer;
use v1::legs_server::LegsServer;
use v1::operator_server::OperatorServer;
use v1::requests_server::RequestsServer;
use v1::self__server::Self_Server;
use v1::tasks_server::TasksServer;

pub use super::access::SECURITY_HEADER;

/// How large messages may be. Each field is the `[limits]` key of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// Bytes of one request message.
    pub message_bytes: usize,
    /// Bytes of one request message to `Legs`, whose `Spawn` may name many children.
    pub spawn_bytes: usize,
    /// Bytes of one reply message.
    pub reply_bytes: usize,
    /// Bytes of a policy set that is simulated.
    pub policy_bytes: u64,
    /// Rows in one answer to `ListTasks` and `Audit`.
    pub page_rows: usize,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            spawn_bytes: 1024 * 1024,
            reply_bytes: 256 * 1024,
            policy_bytes: 1024 * 1024,
            page_rows: 500,
        }
    }
}

/// What the handlers of all services share.
#[derive(Clone, Debug)]
pub struct Api {
    /// The service.
    pub continuation: Arc<Continuation>,
    /// Stamps events and measures calls.
    pub clock: Arc<dyn Clock>,
    /// What a well-formed request looks like.
    pub forms: Forms,
    /// How large messages may be.
    pub limits: MessageLimits,
    /// `leases.idle`, as told to workers.
    pub lease_idle: Duration,
}

/// A server with both message limits set: tonic's own are 4 MiB in and none out.
macro_rules! limited {
    ($server:ident, $api:expr, $limits:expr) => {
        $server::from_arc(Arc::clone($api))
            .max_decoding_message_size($limits.message_bytes)
            .max_encoding_message_size($limits.reply_bytes)
    };
}

/// For processes on this node: everything but `Operator`.
#[must_use]
pub fn local_routes(api: &Arc<Api>, health: &Health) -> Routes {
    let limits = &api.limits;
    let legs = MessageLimits {
        message_bytes: limits.spawn_bytes.max(limits.message_bytes),
        ..*limits
    };
    let routes = Routes::new(limited!(RequestsServer, api, limits))
        .add_service(limited!(TasksServer, api, limits))
        .add_service(limited!(LegsServer, api, legs))
        .add_service(limited!(EnforcementServer, api, limits))
        .add_service(limited!(ApprovalsServer, api, limits))
        .add_service(limited!(Self_Server, api, limits))
        .add_service(health.server(limits));
    guarded(routes, api)
}

/// For tools on other nodes: `Enforcement`.
#[must_use]
pub fn remote_routes(api: &Arc<Api>, health: &Health) -> Routes {
    let limits = &api.limits;
    let routes =
        Routes::new(limited!(EnforcementServer, api, limits)).add_service(health.server(limits));
    guarded(routes, api)
}

/// For the operator's own socket: `Operator`.
#[must_use]
pub fn operator_routes(api: &Arc<Api>, health: &Health, source: Arc<dyn StatusSource>) -> Routes {
    let limits = &api.limits;
    let operator = Arc::new(OperatorApi {
        api: Arc::clone(api),
        source,
    });
    // A whole policy set may come with a request of the operator's.
    let policy_bytes = usize::try_from(limits.policy_bytes).unwrap_or(usize::MAX);
    let whole_set = MessageLimits {
        message_bytes: limits.message_bytes.saturating_add(policy_bytes),
        ..*limits
    };
    let routes = Routes::new(limited!(OperatorServer, &operator, whole_set))
        .add_service(health.server(limits));
    guarded(routes, api)
}

/// Whether the method of this path streams its replies, so that no deadline of a unary call fits it.
#[must_use]
pub fn is_stream(path: &str) -> bool {
    matches!(
        path,
        "/handfast.v1.Approvals/Watch"
            | "/handfast.v1.Enforcement/WatchRevocations"
            | "/handfast.v1.Legs/Hold"
            | "/handfast.v1.Tasks/Watch"
            | "/grpc.health.v1.Health/Watch"
    )
}

fn guarded(routes: Routes, api: &Api) -> Routes {
    let layer = AccessLayer {
        clock: Arc::clone(&api.clock),
    };
    routes.into_axum_router().layer(layer).into()
}

/// Takes a request apart. Only the accept loop says who calls.
pub(super) fn caller<T>(request: Request<T>) -> Result<(Peer, T), Failure> {
    let peer = request.extensions().get::<Peer>().cloned();
    let peer = peer.ok_or_else(|| Failure::Internal("a request without a peer".to_owned()))?;
    Ok((peer, request.into_inner()))
}

/// A reply that follows from a decision.
pub(super) trait Decided {
    /// What the access event says of it.
    fn answered(&self) -> Answered;
}

macro_rules! decided {
    ($($reply:ident)+) => {$(
        impl Decided for v1::$reply {
            fn answered(&self) -> Answered {
                Answered {
                    reason: String::new(),
                    decision_id: self.decision_id.clone(),
                }
            }
        }
    )+};
}

macro_rules! undecided {
    ($($reply:ident)+) => {$(
        impl Decided for v1::$reply {
            fn answered(&self) -> Answered {
                Answered::default()
            }
        }
    )+};
}

decided! {
    CreateResponse DecideResponse DelegateResponse EndResponse FinishResponse GetApprovalResponse GetResponse
    IssueResponse IssueStepResponse LiftResponse ReportResponse RequireInputResponse ResolveResponse
    RevokeDelegationResponse RevokeResponse SimulateResponse SpawnResponse StartResponse TakeoverResponse
}

undecided! {
    AcknowledgeRevocationsResponse AuditResponse ExplainResponse ListApprovalsResponse ListTasksResponse
    ReceiptResponse ShowTaskResponse StatusResponse WhoAmIResponse
}

impl Decided for v1::CheckResponse {
    fn answered(&self) -> Answered {
        use v1::check_response::Answer;
        let reason = match &self.answer {
            Some(Answer::Denied(refused)) => refused.reason.clone(),
            Some(Answer::Fresh(_) | Answer::Read(_) | Answer::Repeat(_)) | None => String::new(),
        };
        Answered {
            reason,
            decision_id: self.decision_id.clone(),
        }
    }
}

/// Turns an answer or a failure into what is sent.
pub(super) fn reply<T: Decided>(answer: Result<T, Failure>) -> Result<Response<T>, Status> {
    let message = answer.map_err(status::of)?;
    let answered = message.answered();
    let mut response = Response::new(message);
    response.extensions_mut().insert(answered);
    Ok(response)
}
