//! `Legs.Delegate`, `RevokeDelegation`, `Takeover` and `Resolve`.

use super::Forms;
use super::answers;
use super::field::{self, FormError, InField as _, InvalidField, required};
use crate::canonical;
use crate::domain::arguments::Witnesses;
use crate::domain::delegation::{Act, Delegation};
use crate::domain::id::DelegationNumber;
use crate::domain::order::Word;
use crate::domain::time::Time;
use crate::proto::v1;
use crate::service::{DelegateAsk, NamedTask, OrderAsk, words};
use prost::Message as _;

type Formed<T> = Result<T, InvalidField>;

/// Which task, what is ordered, and the hand certificate, if one is given.
pub(in crate::grpc) type OrderForm = (NamedTask, OrderAsk, Option<Vec<u8>>);

impl Forms {
    /// `Legs.Delegate`.
    pub(in crate::grpc) fn delegate(&self, mut message: v1::DelegateRequest) -> Formed<OrderForm> {
        self.grant_fits(&message).field("permissions")?;
        let hand = std::mem::take(&mut message.certificate);
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
        self.order(message.task, OrderAsk::Delegate(Box::new(ask)), hand)
    }

    /// `Legs.RevokeDelegation`.
    pub(in crate::grpc) fn revoke_delegation(
        &self,
        message: v1::RevokeDelegationRequest,
    ) -> Formed<OrderForm> {
        if message.number == 0 {
            return Err(FormError::Zero.at("number"));
        }
        let ask = OrderAsk::RevokeDelegation(DelegationNumber(message.number));
        self.order(message.task, ask, message.certificate)
    }

    /// `Legs.Takeover`.
    pub(in crate::grpc) fn take_over(&self, message: v1::TakeoverRequest) -> Formed<OrderForm> {
        let request_id = self.request_id(message.request_id).field("request_id")?;
        let ask = OrderAsk::Takeover(request_id);
        self.order(message.task, ask, message.certificate)
    }

    /// `Legs.Resolve`.
    pub(in crate::grpc) fn resolve(&self, message: v1::ResolveRequest) -> Formed<OrderForm> {
        let step = field::step(message.step).field("step")?;
        let word = if message.done {
            Word::Done
        } else {
            Word::NotDone
        };
        let ask = OrderAsk::Resolve(step, word);
        self.order(message.task, ask, message.certificate)
    }

    fn order(
        &self,
        task: Option<v1::AskName>,
        ask: OrderAsk,
        certificate: Vec<u8>,
    ) -> Formed<OrderForm> {
        let certificate = match certificate {
            none if none.is_empty() => None,
            given => Some(self.certificate(given).field("certificate")?),
        };
        Ok((self.named(task)?, ask, certificate))
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
