//! `Legs`: what a worker does with its task.

use super::convert;
use super::routes::{Api, caller, reply};
use super::serve::Closing;
use super::status;
use crate::proto::v1;
use crate::service::ports::Clock;
use crate::service::{Failure, HoldStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_stream::Stream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::legs_server::Legs for Api {
    type HoldStream = Hold;

    async fn start(
        &self,
        request: Request<v1::StartRequest>,
    ) -> Result<Response<v1::StartResponse>, Status> {
        reply(self.start_leg(request).await)
    }

    async fn issue(
        &self,
        request: Request<v1::IssueStepRequest>,
    ) -> Result<Response<v1::IssueStepResponse>, Status> {
        reply(self.issue_step(request).await)
    }

    async fn spawn(
        &self,
        request: Request<v1::SpawnRequest>,
    ) -> Result<Response<v1::SpawnResponse>, Status> {
        reply(self.spawn_children(request).await)
    }

    async fn hold(&self, request: Request<v1::HoldRequest>) -> Result<Response<Hold>, Status> {
        let hold = self.hold_leg(request).await;
        Ok(Response::new(hold.map_err(status::of)?))
    }

    async fn end(
        &self,
        request: Request<v1::EndRequest>,
    ) -> Result<Response<v1::EndResponse>, Status> {
        reply(self.end_leg(request).await)
    }

    async fn delegate(
        &self,
        request: Request<v1::DelegateRequest>,
    ) -> Result<Response<v1::DelegateResponse>, Status> {
        reply(self.delegate_task(request).await)
    }

    async fn revoke_delegation(
        &self,
        request: Request<v1::RevokeDelegationRequest>,
    ) -> Result<Response<v1::RevokeDelegationResponse>, Status> {
        reply(self.revoke_task_delegation(request).await)
    }

    async fn takeover(
        &self,
        request: Request<v1::TakeoverRequest>,
    ) -> Result<Response<v1::TakeoverResponse>, Status> {
        reply(self.take_task_over(request).await)
    }

    async fn resolve(
        &self,
        request: Request<v1::ResolveRequest>,
    ) -> Result<Response<v1::ResolveResponse>, Status> {
        reply(self.resolve_step(request).await)
    }
}

impl Api {
    async fn start_leg(
        &self,
        request: Request<v1::StartRequest>,
    ) -> Result<v1::StartResponse, Failure> {
        let (peer, message) = caller(request)?;
        let ask = self.forms.start(message)?;
        let leg = self.continuation.start(&peer, ask).await?;
        Ok(convert::leg_started(leg, self.lease_idle))
    }

    async fn issue_step(
        &self,
        request: Request<v1::IssueStepRequest>,
    ) -> Result<v1::IssueStepResponse, Failure> {
        let (peer, message) = caller(request)?;
        let ask = self.forms.step(message)?;
        let issued = self.continuation.issue_step(&peer, ask).await?;
        Ok(convert::step_issued(issued))
    }

    async fn spawn_children(
        &self,
        request: Request<v1::SpawnRequest>,
    ) -> Result<v1::SpawnResponse, Failure> {
        let (peer, message) = caller(request)?;
        let ask = self.forms.spawn(message)?;
        let spawned = self.continuation.spawn(&peer, ask).await?;
        Ok(convert::spawned(&spawned))
    }

    async fn hold_leg(&self, request: Request<v1::HoldRequest>) -> Result<Hold, Failure> {
        let closing = request.extensions().get::<Closing>().cloned();
        let (peer, message) = caller(request)?;
        let (task, leg) = convert::hold(&message)?;
        let events = self.continuation.hold(&peer, task, leg).await?;
        Ok(Hold {
            events,
            clock: Arc::clone(&self.clock),
            closing: closing.map(|Closing(token)| Box::pin(token.cancelled_owned())),
        })
    }

    async fn end_leg(&self, request: Request<v1::EndRequest>) -> Result<v1::EndResponse, Failure> {
        let (peer, message) = caller(request)?;
        let ask = self.forms.end(message)?;
        let (state, decision_id) = self.continuation.end(&peer, ask).await?;
        Ok(v1::EndResponse {
            state: convert::task_state(state),
            decision_id,
        })
    }
}

/// The replies of `Hold`. The lease renews itself until this is dropped, which a closed connection does.
#[derive(Debug)]
pub struct Hold {
    events: HoldStream,
    clock: Arc<dyn Clock>,
    /// The connection shall go away: the stream ends, and its holder opens another elsewhere.
    closing: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Stream for Hold {
    type Item = Result<v1::HoldEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // What was told before is delivered also on a connection that goes away.
        let kind = match self.events.poll_next(cx) {
            Poll::Ready(Some(kind)) => kind,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                return match &mut self.closing {
                    Some(closing) => closing.as_mut().poll(cx).map(|()| None),
                    None => Poll::Pending,
                };
            }
        };
        Poll::Ready(Some(Ok(v1::HoldEvent {
            kind: convert::hold_kind(kind),
            // A clock that cannot be trusted must not keep a worker from hearing of its cancel.
            at_ms: convert::at_ms(self.clock.now().unwrap_or_default()),
        })))
    }
}
