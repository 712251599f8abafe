//! `Requests`: tokens for owners.

use super::convert::{self, IssueAsk};
use super::routes::{Api, caller, reply};
use crate::proto::v1;
use crate::service::Failure;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::requests_server::Requests for Api {
    async fn issue(
        &self,
        request: Request<v1::IssueRequest>,
    ) -> Result<Response<v1::IssueResponse>, Status> {
        reply(self.issue_token(request).await)
    }
}

impl Api {
    async fn issue_token(
        &self,
        request: Request<v1::IssueRequest>,
    ) -> Result<v1::IssueResponse, Failure> {
        let (peer, message) = caller(request)?;
        let service = &self.continuation;
        let issued = match self.forms.issue(message)? {
            IssueAsk::Cancel(ask) => service.issue_cancel(&peer, ask).await?,
            IssueAsk::Create(ask) => service.issue_create(&peer, *ask).await?,
            IssueAsk::Query(ask) => service.issue_query(&peer, ask).await?,
            IssueAsk::Update(ask) => service.issue_update(&peer, ask).await?,
        };
        Ok(convert::issued(&issued))
    }
}
