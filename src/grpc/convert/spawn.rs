//! `Legs.Spawn`.

use super::Forms;
use super::field::{self, FormError, InField as _, InvalidField, required};
use super::grants;
use crate::canonical;
use crate::domain::arguments::Witnesses;
use crate::domain::grant::narrow::ChildTerms;
use crate::domain::time::Time;
use crate::proto::v1;
use crate::service::{ChildAsk, SpawnAsk, Spawned};
use prost::Message as _;

type Formed<T> = Result<T, InvalidField>;

impl Forms {
    /// `Legs.Spawn`.
    pub(in crate::grpc) fn spawn(&self, message: v1::SpawnRequest) -> Formed<SpawnAsk> {
        // A repeat is told from another request by what it asks for.
        let asked = canonical::sha256(&message.encode_to_vec());
        if message.children.is_empty() {
            return Err(FormError::Missing.at("children"));
        }
        let child = |(index, child)| {
            self.child(child)
                .map_err(|invalid| invalid.within(format_args!("children[{index}]")))
        };
        Ok(SpawnAsk {
            task: super::task(&message.task_id)?,
            leg: field::leg(message.leg).field("leg")?,
            request_id: self.request_id(message.request_id).field("request_id")?,
            asked,
            children: message
                .children
                .into_iter()
                .enumerate()
                .map(child)
                .collect::<Formed<_>>()?,
        })
    }

    fn child(&self, child: v1::Child) -> Formed<ChildAsk> {
        self.grant_fits(&child).field("asked")?;
        let mut witnesses = Witnesses::default();
        let call = required(child.call).field("call")?;
        let call = self
            .permission(call, &mut witnesses)
            .map_err(|invalid| invalid.within("call"))?;
        let asked = child.asked.unwrap_or_default();
        let risk_ceiling = grants::risk(asked.risk_ceiling).field("asked.risk_ceiling")?;
        let permissions = self
            .permissions(asked.permissions, &mut witnesses)
            .map_err(|invalid| invalid.within("asked"))?;
        let spender = match child.spender.as_str() {
            "" => None,
            text => Some(field::spiffe_id(text).field("spender")?),
        };
        Ok(ChildAsk {
            terms: ChildTerms {
                call,
                permissions,
                not_after: asked.not_after_ms.map(Time),
                audience_assurance: grants::assurance(asked.audience_must_be_local),
                depth: asked.depth,
                children: asked.children,
                uses: asked.uses,
                risk_ceiling,
                witnesses,
            },
            spender,
        })
    }
}

/// `Legs.Spawn`.
pub(in crate::grpc) fn spawned(spawned: &Spawned) -> v1::SpawnResponse {
    v1::SpawnResponse {
        children: spawned.ids.iter().map(ToString::to_string).collect(),
        repeat: spawned.repeat,
        decision_id: spawned.decision_id.clone(),
    }
}
