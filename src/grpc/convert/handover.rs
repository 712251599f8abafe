//! `Legs.Delegate`, `RevokeDelegation`, `Takeover` and `Resolve`.

use super::Forms;
use super::field::{self, FormError, InField as _, InvalidField, required};
use super::{answers, words};
use crate::canonical;
use crate::domain::arguments::Witnesses;
use crate::domain::decide::handover::Word;
use crate::domain::delegation::{Act, Delegation};
use crate::domain::id::{DelegationNumber, StepNumber};
use crate::domain::time::Time;
use crate::proto::v1;
use crate::service::{DelegateAsk, NamedTask};
use prost::Message as _;

type Formed<T> = Result<T, InvalidField>;

impl Forms {
    /// `Legs.Delegate`.
    pub(in crate::grpc) fn delegate(
        &self,
        message: v1::DelegateRequest,
    ) -> Formed<(NamedTask, DelegateAsk)> {
        self.grant_fits(&message).field("permissions")?;
        // A repeat is told from another request by what it asks for.
        let asked = canonical::sha256(&message.encode_to_vec());
        let mut witnesses = Witnesses::default();
        let acts = message.acts.iter().enumerate();
        let acts = acts.map(|(index, number)| {
            act(*number).map_err(|invalid| invalid.at(format!("acts[{index}]")))
        });
        let permissions = message.permissions.map(|keep| {
            self.permissions(keep.permissions, &mut witnesses)
                .map_err(|invalid| invalid.within("permissions"))
        });
        let ask = DelegateAsk {
            to: field::spiffe_id(&message.to).field("to")?,
            principal: self.principal(message.principal)?,
            acts: acts.collect::<Formed<_>>()?,
            permissions: permissions.transpose()?,
            not_after: message.not_after_ms.map(Time),
            request_id: self.request_id(message.request_id).field("request_id")?,
            asked,
            witnesses,
        };
        Ok((self.named(message.task)?, ask))
    }

    /// `Legs.RevokeDelegation`.
    pub(in crate::grpc) fn revoke_delegation(
        &self,
        message: v1::RevokeDelegationRequest,
    ) -> Formed<(NamedTask, DelegationNumber)> {
        if message.number == 0 {
            return Err(FormError::Zero.at("number"));
        }
        Ok((self.named(message.task)?, DelegationNumber(message.number)))
    }

    /// `Legs.Takeover`.
    pub(in crate::grpc) fn take_over(
        &self,
        message: v1::TakeoverRequest,
    ) -> Formed<(NamedTask, Vec<u8>)> {
        let request_id = self.request_id(message.request_id).field("request_id")?;
        Ok((self.named(message.task)?, request_id))
    }

    /// `Legs.Resolve`.
    pub(in crate::grpc) fn resolve(
        &self,
        message: v1::ResolveRequest,
    ) -> Formed<(NamedTask, (StepNumber, Word))> {
        let step = field::step(message.step).field("step")?;
        let word = if message.done {
            Word::Done
        } else {
            Word::NotDone
        };
        Ok((self.named(message.task)?, (step, word)))
    }

    fn named(&self, name: Option<v1::AskName>) -> Formed<NamedTask> {
        let name = required(name).field("task")?;
        Ok(NamedTask {
            server: self.audience(&name.server).field("task.server")?,
            handle: self.handle(name.handle).field("task.handle")?,
        })
    }
}

fn act(number: i32) -> Result<Act, FormError> {
    match v1::Act::try_from(number) {
        Ok(v1::Act::Cancel) => Ok(Act::Cancel),
        Ok(v1::Act::Delegate) => Ok(Act::Delegate),
        Ok(v1::Act::Perform) => Ok(Act::Perform),
        Ok(v1::Act::Query) => Ok(Act::Query),
        Ok(v1::Act::Takeover) => Ok(Act::Takeover),
        Ok(v1::Act::Update) => Ok(Act::Update),
        Ok(v1::Act::Unspecified) | Err(_) => Err(FormError::Missing),
    }
}

fn act_number(act: Act) -> i32 {
    let act = match act {
        Act::Cancel => v1::Act::Cancel,
        Act::Delegate => v1::Act::Delegate,
        Act::Perform => v1::Act::Perform,
        Act::Query => v1::Act::Query,
        Act::Takeover => v1::Act::Takeover,
        Act::Update => v1::Act::Update,
    };
    act.into()
}

/// A delegation as it was granted.
pub(in crate::grpc) fn delegation(delegation: &Delegation) -> v1::Delegation {
    let lent = delegation.permissions.iter().flatten();
    v1::Delegation {
        number: delegation.number.0,
        to: delegation.to.spiffe_id.to_string(),
        acts: delegation.acts.iter().copied().map(act_number).collect(),
        lends_all: delegation.permissions.is_none(),
        permissions: lent.map(words::permission).collect(),
        not_after_ms: answers::at_ms(delegation.not_after),
        from: delegation.from.map_or(0, |number| number.0),
        requirement: delegation.to.required.to_string(),
        ended_at_ms: delegation.ended_at.map(answers::at_ms),
    }
}
