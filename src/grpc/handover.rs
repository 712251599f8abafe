//! `Legs`: what an owner, or its delegate, does with a task besides asking about it.

use super::convert;
use super::routes::{Api, caller};
use crate::proto::v1;
use crate::service::Failure;
use tonic::Request;

impl Api {
    pub(super) async fn delegate_task(
        &self,
        request: Request<v1::DelegateRequest>,
    ) -> Result<v1::DelegateResponse, Failure> {
        let (peer, message) = caller(request)?;
        let (task, ask) = self.forms.delegate(message)?;
        let (made, decision_id) = self.continuation.delegate(&peer, &task, ask).await?;
        Ok(v1::DelegateResponse {
            delegation: Some(convert::delegation(&made)),
            decision_id,
        })
    }

    pub(super) async fn take_delegation_back(
        &self,
        request: Request<v1::RevokeDelegationRequest>,
    ) -> Result<v1::RevokeDelegationResponse, Failure> {
        let (peer, message) = caller(request)?;
        let (task, number) = self.forms.revoke_delegation(message)?;
        let revoked = self.continuation.revoke_delegation(&peer, &task, number);
        Ok(v1::RevokeDelegationResponse {
            decision_id: revoked.await?,
        })
    }

    pub(super) async fn take_task_over(
        &self,
        request: Request<v1::TakeoverRequest>,
    ) -> Result<v1::TakeoverResponse, Failure> {
        let (peer, message) = caller(request)?;
        let (task, request_id) = self.forms.take_over(message)?;
        let taken = self.continuation.take_over(&peer, &task, &request_id);
        let (leg, decision_id) = taken.await?;
        Ok(v1::TakeoverResponse {
            leg: leg.0,
            decision_id,
        })
    }

    pub(super) async fn resolve_step(
        &self,
        request: Request<v1::ResolveRequest>,
    ) -> Result<v1::ResolveResponse, Failure> {
        let (peer, message) = caller(request)?;
        let (task, resolved) = self.forms.resolve(message)?;
        let (state, decision_id) = self.continuation.resolve(&peer, &task, resolved).await?;
        Ok(v1::ResolveResponse {
            state: convert::step_state(state),
            decision_id,
        })
    }
}
