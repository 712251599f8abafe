//! `Legs`: what an owner, or its delegate, orders about a task besides asking about it.

use super::convert::{self, OrderForm};
use super::routes::{Api, caller};
use crate::domain::order::Ordered;
use crate::proto::v1;
use crate::service::ports::Peer;
use crate::service::{Failure, OrderAnswer};
use tonic::Request;

/// What became of an order, or the token that has it carried out.
struct Answered {
    ordered: Option<Ordered>,
    order_token: Option<v1::OrderToken>,
    decision_id: String,
}

impl Api {
    pub(super) async fn delegate_task(
        &self,
        request: Request<v1::DelegateRequest>,
    ) -> Result<v1::DelegateResponse, Failure> {
        let (peer, message) = caller(request)?;
        let answered = self.order(&peer, self.forms.delegate(message)?).await?;
        let delegation = match answered.ordered {
            None => None,
            Some(Ordered::Delegated(made)) => Some(convert::delegation(&made)),
            Some(_) => return Err(wrong_order()),
        };
        Ok(v1::DelegateResponse {
            delegation,
            decision_id: answered.decision_id,
            order_token: answered.order_token,
        })
    }

    pub(super) async fn revoke_task_delegation(
        &self,
        request: Request<v1::RevokeDelegationRequest>,
    ) -> Result<v1::RevokeDelegationResponse, Failure> {
        let (peer, message) = caller(request)?;
        let form = self.forms.revoke_delegation(message)?;
        let answered = self.order(&peer, form).await?;
        Ok(v1::RevokeDelegationResponse {
            decision_id: answered.decision_id,
            order_token: answered.order_token,
        })
    }

    pub(super) async fn take_task_over(
        &self,
        request: Request<v1::TakeoverRequest>,
    ) -> Result<v1::TakeoverResponse, Failure> {
        let (peer, message) = caller(request)?;
        let answered = self.order(&peer, self.forms.take_over(message)?).await?;
        let leg = match answered.ordered {
            None => 0,
            Some(Ordered::TakenOver(leg)) => leg.0,
            Some(_) => return Err(wrong_order()),
        };
        Ok(v1::TakeoverResponse {
            leg,
            decision_id: answered.decision_id,
            order_token: answered.order_token,
        })
    }

    pub(super) async fn resolve_step(
        &self,
        request: Request<v1::ResolveRequest>,
    ) -> Result<v1::ResolveResponse, Failure> {
        let (peer, message) = caller(request)?;
        let answered = self.order(&peer, self.forms.resolve(message)?).await?;
        let state = match answered.ordered {
            None => v1::StepState::Unspecified.into(),
            Some(Ordered::Resolved(state)) => convert::step_state(state),
            Some(_) => return Err(wrong_order()),
        };
        Ok(v1::ResolveResponse {
            state,
            decision_id: answered.decision_id,
            order_token: answered.order_token,
        })
    }

    async fn order(&self, peer: &Peer, form: OrderForm) -> Result<Answered, Failure> {
        let (task, ask, certificate) = form;
        let answer = self.continuation.order(peer, &task, ask, certificate);
        Ok(match answer.await? {
            OrderAnswer::Done(ordered, decision_id) => Answered {
                ordered: Some(ordered),
                order_token: None,
                decision_id,
            },
            OrderAnswer::Token(issued) => {
                let issued = convert::issued(&issued);
                Answered {
                    ordered: None,
                    order_token: Some(v1::OrderToken {
                        token: issued.token,
                        expires_at_ms: issued.expires_at_ms,
                    }),
                    decision_id: issued.decision_id,
                }
            }
        })
    }
}

fn wrong_order() -> Failure {
    Failure::Internal("another order was answered".to_owned())
}
