//! What an owner or its delegate does with a task besides asking about it.

use crate::answer::{self, Failure};
use crate::connection::request;
use crate::{Actor, ask, grants};
use handfast::proto::v1::legs_client::LegsClient;
use handfast::proto::v1::{
    Act, AskName, DelegateRequest, Keep, OrderToken, ResolveRequest, RevokeDelegationRequest,
    TakeoverRequest,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

impl Actor {
    pub(crate) async fn hand_over(&self, op: &Value) -> Result<Value, Failure> {
        let mut legs = LegsClient::new(self.connections.channel(op));
        let task = Some(AskName {
            server: ask::text(op, "server"),
            handle: ask::text(op, "handle"),
        });
        let certificate = self.own_certificate(op)?;
        match ask::text(op, "op").as_str() {
            "delegate" => {
                let ask = delegation(op, task, certificate);
                let reply = legs.delegate(request(ask, op)?).await?.into_inner();
                let made = reply.delegation.unwrap_or_default();
                Ok(answer(
                    reply.order_token.as_ref(),
                    &json!({
                        "number": made.number, "to": made.to, "not_after_ms": made.not_after_ms,
                        "permissions": made.permissions, "requirement": made.requirement,
                        "from": made.from, "decision_id": reply.decision_id,
                    }),
                ))
            }
            "revoke_delegation" => {
                let number = u32::try_from(ask::number(op, "number")).unwrap_or(u32::MAX);
                let ask = request(
                    RevokeDelegationRequest {
                        task,
                        number,
                        certificate,
                    },
                    op,
                )?;
                let reply = legs.revoke_delegation(ask).await?.into_inner();
                let done = json!({ "decision_id": reply.decision_id });
                Ok(answer(reply.order_token.as_ref(), &done))
            }
            "take_over" => {
                let request_id = own_request_id(op);
                let ask = request(
                    TakeoverRequest {
                        task,
                        request_id,
                        certificate,
                    },
                    op,
                )?;
                let reply = legs.takeover(ask).await?.into_inner();
                let done = json!({ "leg": reply.leg, "decision_id": reply.decision_id });
                Ok(answer(reply.order_token.as_ref(), &done))
            }
            _ => {
                let ask = ResolveRequest {
                    task,
                    step: u32::try_from(ask::number(op, "step")).unwrap_or(u32::MAX),
                    done: op.get("done").and_then(Value::as_bool).unwrap_or_default(),
                    certificate,
                };
                let reply = legs.resolve(request(ask, op)?).await?.into_inner();
                let state = answer::step_state(reply.state);
                let done = json!({ "state": state, "decision_id": reply.decision_id });
                Ok(answer(reply.order_token.as_ref(), &done))
            }
        }
    }
}

fn delegation(op: &Value, task: Option<AskName>, certificate: Vec<u8>) -> DelegateRequest {
    DelegateRequest {
        task,
        to: ask::text(op, "to"),
        acts: acts(op),
        permissions: op.get("permissions").map(|_| Keep {
            permissions: grants::permissions(op, "permissions"),
        }),
        not_after_ms: op.get("not_after_ms").and_then(Value::as_u64),
        principal: ask::principal(op),
        request_id: ask::text(op, "request_id").into_bytes(),
        certificate,
    }
}

/// What became of an order, or the token by which only the server can have it carried out.
fn answer(order: Option<&OrderToken>, done: &Value) -> Value {
    order.map_or_else(
        || done.clone(),
        |order| {
            json!({
                "token": order.token, "expires_at_ms": order.expires_at_ms,
                "decision_id": done["decision_id"],
            })
        },
    )
}

/// The request's name, or one that no other has.
fn own_request_id(op: &Value) -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    match op.get("request_id").and_then(Value::as_str) {
        Some(given) => given.as_bytes().to_vec(),
        None => NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes().to_vec(),
    }
}

fn acts(op: &Value) -> Vec<i32> {
    let names = op.get("acts").and_then(Value::as_array);
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    let act = |name: &str| Act::from_str_name(&format!("ACT_{}", name.to_uppercase()));
    names.map(|name| act(name).map_or(-1, i32::from)).collect()
}
