//! `Legs`: what an owner, or its delegate, orders about a task besides asking about it.

use super::convert::{self, OrderForm};
use super::routes::{Api, caller};
use crate::domain::order::Ordered;
use crate::proto::v1;
use crate::service::ports::Peer;
use crate::service::{Failure, OrderAnswer};
use tonic::Request;

/// What became of an order, or the token that has it carried out; and the decision ID.
type Answered = (Result<Ordered, v1::OrderToken>, String);

impl Api {
    pub(super) async fn delegate_task(
        &self,
        request: Request<v1::DelegateRequest>,
    ) -> Result<v1::DelegateResponse, Failure> {
        let (peer, message) = caller(request)?;
        let (ordered, decision_id) = self.order(&peer, self.forms.delegate(message)?).await?;
        let (delegation, order_token) = match ordered {
            Ok(Ordered::Delegated(made)) => (Some(convert::delegation(&made)), None),
            Ok(_) => return Err(another()),
            Err(token) => (None, Some(token)),
        };
        Ok(v1::DelegateResponse {
            delegation,
            decision_id,
            order_token,
        })
    }

    pub(super) async fn take_delegation_back(
        &self,
        request: Request<v1::RevokeDelegationRequest>,
    ) -> Result<v1::RevokeDelegationResponse, Failure> {
        let (peer, message) = caller(request)?;
        let form = self.forms.revoke_delegation(message)?;
        let (ordered, decision_id) = self.order(&peer, form).await?;
        Ok(v1::RevokeDelegationResponse {
            decision_id,
            order_token: ordered.err(),
        })
    }

    pub(super) async fn take_task_over(
        &self,
        request: Request<v1::TakeoverRequest>,
    ) -> Result<v1::TakeoverResponse, Failure> {
        let (peer, message) = caller(request)?;
        let (ordered, decision_id) = self.order(&peer, self.forms.take_over(message)?).await?;
        let (leg, order_token) = match ordered {
            Ok(Ordered::TakenOver(leg)) => (leg.0, None),
            Ok(_) => return Err(another()),
            Err(token) => (0, Some(token)),
        };
        Ok(v1::TakeoverResponse {
            leg,
            decision_id,
            order_token,
        })
    }

    pub(super) async fn resolve_step(
        &self,
        request: Request<v1::ResolveRequest>,
    ) -> Result<v1::ResolveResponse, Failure> {
        let (peer, message) = caller(request)?;
        let (ordered, decision_id) = self.order(&peer, self.forms.resolve(message)?).await?;
        let (state, order_token) = match ordered {
            Ok(Ordered::Resolved(state)) => (convert::step_state(state), None),
            Ok(_) => return Err(another()),
            Err(token) => (v1::StepState::Unspecified.into(), Some(token)),
        };
        Ok(v1::ResolveResponse {
            state,
            decision_id,
            order_token,
        })
    }

    async fn order(&self, peer: &Peer, form: OrderForm) -> Result<Answered, Failure> {
        let (task, ask, certificate) = form;
        let answer = self.continuation.order(peer, &task, ask, certificate);
        Ok(match answer.await? {
            OrderAnswer::Done(ordered, decision_id) => (Ok(ordered), decision_id),
            OrderAnswer::Token(issued) => {
                let issued = convert::issued(&issued);
                let token = v1::OrderToken {
                    token: issued.token,
                    expires_at_ms: issued.expires_at_ms,
                };
                (Err(token), issued.decision_id)
            }
        })
    }
}

fn another() -> Failure {
    Failure::Internal("another order was answered".to_owned())
}
