//! Around every call: the security header before it, one access event after it.
//!
//! The one thing to know: the event is written when the call has ended however it ends, also when its future
//! or its stream is dropped, and names nothing but methods of ours, codes, reasons and who called.

#[cfg(test)]
mod tests;

use super::status;
use crate::service::ports::{Clock, Peer};
use http::{Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::{Layer, Service};

/// Metadata that every call to our services must carry, so that a web page, a misled proxy or another server
/// side request cannot reach them by accident.
pub const SECURITY_HEADER: (&str, &str) = ("handfast.io", "true");

/// Paths below it need the security header.
const OURS: &str = "/handfast.v1.";

/// Every method that is served. Others are logged as `other`: a path is the caller's own text.
const METHODS: &[&str] = &[
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/handfast.v1.Approvals/Decide",
    "/handfast.v1.Approvals/Get",
    "/handfast.v1.Approvals/List",
    "/handfast.v1.Approvals/Watch",
    "/handfast.v1.Enforcement/AcknowledgeRevocations",
    "/handfast.v1.Enforcement/Check",
    "/handfast.v1.Enforcement/Report",
    "/handfast.v1.Enforcement/WatchRevocations",
    "/handfast.v1.Legs/Delegate",
    "/handfast.v1.Legs/End",
    "/handfast.v1.Legs/Hold",
    "/handfast.v1.Legs/Issue",
    "/handfast.v1.Legs/Resolve",
    "/handfast.v1.Legs/RevokeDelegation",
    "/handfast.v1.Legs/Spawn",
    "/handfast.v1.Legs/Start",
    "/handfast.v1.Legs/Takeover",
    "/handfast.v1.Operator/Audit",
    "/handfast.v1.Operator/Explain",
    "/handfast.v1.Operator/Lift",
    "/handfast.v1.Operator/ListTasks",
    "/handfast.v1.Operator/Receipt",
    "/handfast.v1.Operator/Revoke",
    "/handfast.v1.Operator/ShowTask",
    "/handfast.v1.Operator/Simulate",
    "/handfast.v1.Operator/Status",
    "/handfast.v1.Requests/Issue",
    "/handfast.v1.Self/WhoAmI",
    "/handfast.v1.Tasks/Create",
    "/handfast.v1.Tasks/Finish",
    "/handfast.v1.Tasks/Get",
    "/handfast.v1.Tasks/RequireInput",
    "/handfast.v1.Tasks/Watch",
];

/// In the extensions of a reply: what its access event says of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered {
    /// Why `Check` said no; empty for a yes.
    pub(super) reason: String,
    /// For `handfast explain`.
    pub(super) decision_id: String,
}

/// Puts [`Access`] around routes.
#[derive(Clone, Debug)]
pub(super) struct AccessLayer {
    pub(super) clock: Arc<dyn Clock>,
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access {
            inner,
            clock: Arc::clone(&self.clock),
        }
    }
}

/// Checks the header and writes the event.
#[derive(Clone, Debug)]
pub(super) struct Access<S> {
    inner: S,
    clock: Arc<dyn Clock>,
}

impl<S, B, R> Service<Request<B>> for Access<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<Reported<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut entry = Entry::of(&request, Arc::clone(&self.clock));
        if request.uri().path().starts_with(OURS) && !has_header(&request) {
            let response = status::header_missing().into_http::<()>();
            entry.answered(&response);
            let response = response.map(|()| Reported { body: None, entry });
            return Box::pin(std::future::ready(Ok(response)));
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            entry.answered(&response);
            Ok(response.map(|body| Reported {
                body: Some(body),
                entry,
            }))
        })
    }
}

fn has_header<B>(request: &Request<B>) -> bool {
    let (name, value) = SECURITY_HEADER;
    let mut values = request.headers().get_all(name).iter();
    values.next().is_some_and(|first| first == value) && values.next().is_none()
}

/// A reply's body: its event is written when it has ended or is dropped.
#[derive(Debug)]
pub(super) struct Reported<B> {
    body: Option<B>,
    entry: Entry,
}

impl<B: Body + Unpin> Body for Reported<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Self { body, entry } = &mut *self;
        let Some(body) = body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            entry.code = trailers.get(Status::GRPC_STATUS).map(code);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

fn code(value: &http::HeaderValue) -> Code {
    Code::from_bytes(value.as_bytes())
}

/// One call, until it has ended.
#[derive(Debug)]
struct Entry {
    clock: Arc<dyn Clock>,
    began: Duration,
    method: &'static str,
    pid: Option<i32>,
    uid: Option<u32>,
    spiffe_id: Option<String>,
    code: Option<Code>,
    answered: Answered,
    incident: Option<String>,
    detail: Option<String>,
}

impl Entry {
    fn of<B>(request: &Request<B>, clock: Arc<dyn Clock>) -> Self {
        let path = request.uri().path();
        let (pid, uid, spiffe_id) = match request.extensions().get::<Peer>() {
            Some(Peer::Local(local)) => (Some(local.key.pid), Some(local.uid), None),
            Some(Peer::Remote(remote)) => (None, None, Some(remote.spiffe_id.to_string())),
            None => (None, None, None),
        };
        Self {
            began: clock.monotonic(),
            clock,
            method: METHODS
                .iter()
                .find(|method| **method == path)
                .copied()
                .unwrap_or("other"),
            pid,
            uid,
            spiffe_id,
            code: None,
            answered: Answered::default(),
            incident: None,
            detail: None,
        }
    }

    /// The head of the reply is there. A reply with a body has its code in its trailers.
    fn answered<B>(&mut self, response: &Response<B>) {
        self.code = response.headers().get(Status::GRPC_STATUS).map(code);
        if let Some(answered) = response.extensions().get::<Answered>() {
            self.answered = answered.clone();
        }
        let Some(status) = response.extensions().get::<Status>() else {
            return;
        };
        self.detail = status.source().map(ToString::to_string);
        if let Some(mut info) = status.get_details_error_info() {
            self.incident = info.metadata.remove(status::INCIDENT);
            self.answered = Answered {
                reason: info.reason,
                decision_id: info
                    .metadata
                    .remove(status::DECISION_ID)
                    .unwrap_or_default(),
            };
        }
    }
}

/// One event with the same fields at either level.
macro_rules! access_event {
    ($level:ident, $entry:expr, $code:expr) => {
        tracing::$level!(
            target: "handfast::access",
            method = $entry.method,
            code = status::code_name($code),
            reason = $entry.answered.reason,
            decision_id = $entry.answered.decision_id,
            pid = $entry.pid,
            uid = $entry.uid,
            spiffe_id = $entry.spiffe_id,
            duration_us = u64::try_from(
                $entry.clock.monotonic().saturating_sub($entry.began).as_micros()
            ).unwrap_or(u64::MAX),
            incident = $entry.incident,
            detail = $entry.detail,
            "request"
        )
    };
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Without a code the caller went away before its answer was there or taken.
        let code = self.code.unwrap_or(Code::Cancelled);
        // A bug of ours has a number; bytes that are no message have the same code, and are anybody's to send.
        if self.incident.is_some() {
            access_event!(error, self, code);
        } else if code == Code::Internal {
            access_event!(warn, self, code);
        } else {
            access_event!(info, self, code);
        }
    }
}
