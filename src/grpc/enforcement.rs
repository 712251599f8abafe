//! `Enforcement`: what a token's audience asks and reports.

use super::convert::{self, CheckAsk};
use super::routes::{Api, caller, reply};
use crate::proto::v1;
use crate::service::Failure;
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
