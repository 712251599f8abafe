//! `Approvals`: what approvers see and decide.

use super::convert;
use super::page::Page;
use super::routes::{Api, caller, reply};
use super::status;
use super::watch::{Watched, closing};
use crate::proto::v1;
use crate::service::{ApprovalView, Failure};
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::approvals_server::Approvals for Api {
    type WatchStream = Watched<ApprovalView, v1::Approval>;

    async fn list(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        reply(self.list_approvals(request).await)
    }

    async fn get(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<Response<v1::GetApprovalResponse>, Status> {
        reply(self.show_approval(request).await)
    }

    async fn watch(
        &self,
        request: Request<v1::WatchApprovalsRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watched = self.watch_approvals(request).await;
        Ok(Response::new(watched.map_err(status::of)?))
    }

    async fn decide(
        &self,
        request: Request<v1::DecideRequest>,
    ) -> Result<Response<v1::DecideResponse>, Status> {
        reply(self.decide_approval(request).await)
    }
}

impl Api {
    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<v1::ListApprovalsResponse, Failure> {
        let (peer, message) = caller(request)?;
        let after = convert::after_approval(&message.after)?;
        let limit = self.limits.rows(message.limit)?;
        let (seen, next) = self.continuation.approvals(&peer, after, limit).await?;
        let mut page = Page::new(self.limits.reply_bytes);
        let mut next = next.as_ref().map(ToString::to_string);
        let mut last = None;
        for view in &seen {
            if !page.push(convert::approval(view)) {
                next = last;
                break;
            }
            last = Some(view.approval.id.to_string());
        }
        Ok(v1::ListApprovalsResponse {
            approvals: page.rows,
            next: next.unwrap_or_default(),
        })
    }

    async fn show_approval(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<v1::GetApprovalResponse, Failure> {
        let (peer, message) = caller(request)?;
        let id = convert::approval_id(&message.approval_id)?;
        let (view, decision_id) = self.continuation.approval(&peer, id).await?;
        Ok(v1::GetApprovalResponse {
            approval: Some(convert::approval(&view)),
            decision_id,
        })
    }

    async fn watch_approvals(
        &self,
        request: Request<v1::WatchApprovalsRequest>,
    ) -> Result<Watched<ApprovalView, v1::Approval>, Failure> {
        let closing = closing(&request);
        let (peer, _message) = caller(request)?;
        let events = self.continuation.watch_approvals(&peer).await?;
        Ok(Watched::new(events, closing, |view| {
            convert::approval(&view)
        }))
    }

    async fn decide_approval(
        &self,
        request: Request<v1::DecideRequest>,
    ) -> Result<v1::DecideResponse, Failure> {
        let (peer, message) = caller(request)?;
        let ask = self.forms.decide(message)?;
        let (state, decision_id) = self.continuation.decide_approval(&peer, ask).await?;
        Ok(v1::DecideResponse {
            state: convert::approval_state(state),
            decision_id,
        })
    }
}
