//! `Enforcement`: what a token's audience asks and reports.

use super::convert::{self, CheckAsk};
use super::routes::{Api, caller, reply};
use super::status;
use super::watch::{Watched, closing};
use crate::domain::id::RecordNumber;
use crate::proto::v1;
use crate::service::{Failure, Told};
use std::sync::Arc;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::enforcement_server::Enforcement for Api {
    async fn check(
        &self,
        request: Request<v1::CheckRequest>,
    ) -> Result<Response<v1::CheckResponse>, Status> {
        reply(self.check_token(request).await)
    }

    async fn report(
        &self,
        request: Request<v1::ReportRequest>,
    ) -> Result<Response<v1::ReportResponse>, Status> {
        reply(self.report_outcome(request).await)
    }

    type WatchRevocationsStream = Watched<Told, v1::RevocationEvent>;

    async fn watch_revocations(
        &self,
        request: Request<v1::WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let events = self.watch_endings(request).await;
        Ok(Response::new(events.map_err(status::of)?))
    }

    async fn acknowledge_revocations(
        &self,
        request: Request<v1::AcknowledgeRevocationsRequest>,
    ) -> Result<Response<v1::AcknowledgeRevocationsResponse>, Status> {
        reply(self.acknowledge(request).await)
    }
}

impl Api {
    async fn check_token(
        &self,
        request: Request<v1::CheckRequest>,
    ) -> Result<v1::CheckResponse, Failure> {
        let (peer, message) = caller(request)?;
        let service = &self.continuation;
        let answer = match self.forms.check(message)? {
            CheckAsk::Owner(ask) => service.check_owner(&peer, ask).await?,
            CheckAsk::Step(ask) => service.check_step(&peer, ask).await?,
        };
        Ok(convert::check_answer(answer))
    }

    async fn watch_endings(
        &self,
        request: Request<v1::WatchRevocationsRequest>,
    ) -> Result<Watched<Told, v1::RevocationEvent>, Failure> {
        let closing = closing(&request);
        let (peer, message) = caller(request)?;
        let resume = message
            .after
            .map(|after| (RecordNumber(after), message.mark));
        let events = self.continuation.watch_revocations(&peer, resume).await?;
        let clock = Arc::clone(&self.clock);
        Ok(Watched::new(events, closing, move |told| {
            convert::revocation_event(told, clock.now().unwrap_or_default())
        }))
    }

    async fn acknowledge(
        &self,
        request: Request<v1::AcknowledgeRevocationsRequest>,
    ) -> Result<v1::AcknowledgeRevocationsResponse, Failure> {
        let (peer, message) = caller(request)?;
        let acknowledged = (message.subscription, RecordNumber(message.sequence));
        let service = &self.continuation;
        service.acknowledge_revocations(&peer, acknowledged).await?;
        Ok(v1::AcknowledgeRevocationsResponse {})
    }

    async fn report_outcome(
        &self,
        request: Request<v1::ReportRequest>,
    ) -> Result<v1::ReportResponse, Failure> {
        let (peer, message) = caller(request)?;
        let ask = convert::report(&message)?;
        let (state, decision_id) = self.continuation.report(&peer, ask).await?;
        Ok(v1::ReportResponse {
            state: convert::step_state(state),
            decision_id,
        })
    }
}
