//! Requests: from messages to what the service is asked.

use super::Forms;
use super::field::{self, FormError, InField as _, InvalidField, required};
use crate::canonical;
use crate::domain::arguments::Witnesses;
use crate::domain::decide::end::{Ending, LegEnding};
use crate::domain::decide::report::Outcome;
use crate::domain::id::{Fence, Jti, LegNumber, SpiffeId, TaskId};
use crate::proto::v1;
use crate::service::{
    CheckOwner, CheckStep, CreateAsk, EndAsk, InputAsk, NameAsk, OwnerOperation, Proofs,
    RegisterAsk, ReportAsk, StartAsk, StepAsk, Vouched,
};
use secrecy::SecretString;
use std::time::Duration;

/// `Requests.Issue`.
#[derive(Debug)]
pub(in crate::grpc) enum IssueAsk {
    Cancel(NameAsk),
    Create(Box<CreateAsk>),
    Query(NameAsk),
    Update(NameAsk),
}

/// `Enforcement.Check`.
#[derive(Debug)]
pub(in crate::grpc) enum CheckAsk {
    Owner(CheckOwner),
    Step(CheckStep),
}

/// `Tasks.Finish`.
#[derive(Debug)]
pub(in crate::grpc) struct FinishAsk {
    pub(in crate::grpc) task: TaskId,
    pub(in crate::grpc) ending: Ending,
    pub(in crate::grpc) leg_fence: Option<Fence>,
}

type Formed<T> = Result<T, InvalidField>;

impl Forms {
    /// `Requests.Issue`.
    pub(in crate::grpc) fn issue(&self, message: v1::IssueRequest) -> Formed<IssueAsk> {
        use v1::issue_request::Operation;
        let v1::IssueRequest {
            request_id,
            certificate,
            operation,
        } = message;
        let certificate = self.certificate(certificate).field("certificate")?;
        match required(operation).field("operation")? {
            Operation::Create(ask) => {
                let request_id = self.request_id(request_id).field("request_id")?;
                let ask = self
                    .ask_create(ask, (request_id, certificate))
                    .map_err(|invalid| invalid.within("create"))?;
                Ok(IssueAsk::Create(Box::new(ask)))
            }
            Operation::Query(name) => {
                self.optional_request_id(request_id).field("request_id")?;
                let ask = self.ask_name(name, certificate);
                Ok(IssueAsk::Query(ask.map_err(|it| it.within("query"))?))
            }
            Operation::Cancel(name) => {
                self.request_id(request_id).field("request_id")?;
                let ask = self.ask_name(name, certificate);
                Ok(IssueAsk::Cancel(ask.map_err(|it| it.within("cancel"))?))
            }
            Operation::Update(name) => {
                self.request_id(request_id).field("request_id")?;
                let ask = self.ask_name(name, certificate);
                Ok(IssueAsk::Update(ask.map_err(|it| it.within("update"))?))
            }
        }
    }

    fn ask_create(
        &self,
        ask: v1::AskCreate,
        (request_id, certificate): (Vec<u8>, Vec<u8>),
    ) -> Formed<CreateAsk> {
        let mut witnesses = Witnesses::default();
        let asked = ask
            .asked
            .map(|asked| self.grant(asked, "asked", &mut witnesses))
            .transpose()?;
        let child = match ask.child.as_str() {
            "" => None,
            text => Some(field::task_id(text).field("child")?),
        };
        Ok(CreateAsk {
            request_id,
            certificate,
            call: self.seen_call(ask.call, "call")?,
            asked,
            child,
            witnesses,
            performers: performers(&ask.performers)?,
            lifetime: lifetime(ask.lifetime_ms),
        })
    }

    fn ask_name(&self, name: v1::AskName, certificate: Vec<u8>) -> Formed<NameAsk> {
        Ok(NameAsk {
            certificate,
            server: self.audience(&name.server).field("server")?,
            handle: self.handle(name.handle).field("handle")?,
        })
    }

    /// `Tasks.Create`.
    pub(in crate::grpc) fn create(&self, message: v1::CreateRequest) -> Formed<RegisterAsk> {
        let token = self.proofs(message.token, message.proof)?;
        let principal = self.principal(message.principal)?;
        let request_id = match (&token, &principal) {
            (None, None) => return Err(FormError::Missing.at("token or principal")),
            // The token is the request's name then.
            (Some(_), _) => self.optional_request_id(message.request_id),
            (None, Some(_)) => self.request_id(message.request_id),
        };
        let keep = message.keep.map(|keep| {
            self.permissions(keep.permissions, &mut Witnesses::default())
                .map_err(|invalid| invalid.within("keep"))
        });
        Ok(RegisterAsk {
            request_id: request_id.field("request_id")?,
            token: token.map(|Proofs { token, certificate }| (token, certificate)),
            principal,
            call: self.seen_call(message.call, "call")?.call,
            handle: self.handle(message.handle).field("handle")?,
            keep: keep.transpose()?,
            own: self.grant(
                message.own.unwrap_or_default(),
                "own",
                &mut Witnesses::default(),
            )?,
            performers: performers(&message.performers)?,
            lifetime: lifetime(message.lifetime_ms),
        })
    }

    /// `Tasks.Finish`.
    pub(in crate::grpc) fn finish(&self, message: v1::FinishRequest) -> Formed<FinishAsk> {
        self.optional_request_id(message.request_id)
            .field("request_id")?;
        Ok(FinishAsk {
            task: task(&message.task_id)?,
            ending: if message.completed {
                Ending::Completed
            } else {
                Ending::Failed
            },
            leg_fence: message.leg_fence.map(Fence),
        })
    }

    /// `Tasks.RequireInput`.
    pub(in crate::grpc) fn input(&self, message: v1::RequireInputRequest) -> Formed<InputAsk> {
        self.optional_request_id(message.request_id)
            .field("request_id")?;
        if message.keys.is_empty() {
            return Err(FormError::Missing.at("keys"));
        }
        let max = self.inputs;
        if message.keys.len() > max {
            return Err(FormError::TooMany { max }.at("keys"));
        }
        let key = |(index, key)| {
            let key = self.input_key(key);
            key.map_err(|wrong| wrong.at(format!("keys[{index}]")))
        };
        Ok(InputAsk {
            task: task(&message.task_id)?,
            keys: message
                .keys
                .into_iter()
                .enumerate()
                .map(key)
                .collect::<Formed<_>>()?,
            leg_fence: message.leg_fence.map(Fence),
        })
    }

    /// `Legs.Start`.
    pub(in crate::grpc) fn start(&self, message: v1::StartRequest) -> Formed<StartAsk> {
        self.optional_request_id(message.request_id)
            .field("request_id")?;
        Ok(StartAsk {
            work_reference: field::secret(message.work_reference, self.reference_bytes)
                .field("work_reference")?,
            certificate: self.certificate(message.certificate).field("certificate")?,
        })
    }

    /// `Legs.Issue`.
    pub(in crate::grpc) fn step(&self, message: v1::IssueStepRequest) -> Formed<StepAsk> {
        let json = message.call.as_ref().map(|call| call.arguments.clone());
        let call = self.seen_call(message.call, "call")?;
        // The same bytes that `call` was digested from: what people see is what will be executed.
        let canonical = canonical::parse(&json.unwrap_or_default(), &self.arguments);
        Ok(StepAsk {
            task: task(&message.task_id)?,
            leg: field::leg(message.leg).field("leg")?,
            step: field::step(message.step).field("step")?,
            call,
            canonical: canonical
                .map_err(FormError::from)
                .field("call.arguments")?
                .canonical(),
            request_id: self.request_id(message.request_id).field("request_id")?,
            skip_unknown: message.skip_unknown,
        })
    }

    /// `Legs.End`.
    pub(in crate::grpc) fn end(&self, message: v1::EndRequest) -> Formed<EndAsk> {
        use v1::end_request::Outcome as Wire;
        self.optional_request_id(message.request_id)
            .field("request_id")?;
        let ending = match Wire::try_from(message.outcome) {
            Ok(Wire::Yielded) => LegEnding::Yielded,
            Ok(Wire::Completed) => LegEnding::Task(Ending::Completed),
            Ok(Wire::Failed) => LegEnding::Task(Ending::Failed),
            Ok(Wire::Unspecified) | Err(_) => return Err(FormError::Unnamed.at("outcome")),
        };
        Ok(EndAsk {
            task: task(&message.task_id)?,
            leg: field::leg(message.leg).field("leg")?,
            ending,
        })
    }

    /// `Enforcement.Check`.
    pub(in crate::grpc) fn check(&self, message: v1::CheckRequest) -> Formed<CheckAsk> {
        use v1::check_request::Operation;
        let proofs = self.proofs(message.token, message.proof)?;
        let principal = self.principal(message.principal)?;
        let (operation, name, within) = match required(message.operation).field("operation")? {
            Operation::Step(call) => {
                if principal.is_some() {
                    let wrong = FormError::OutOfPlace("of an owner");
                    return Err(wrong.at("principal"));
                }
                return Ok(CheckAsk::Step(CheckStep {
                    proofs: required(proofs).field("token")?,
                    call: self.seen_call(Some(call), "step")?,
                }));
            }
            Operation::Query(name) => (OwnerOperation::Query, name, "query"),
            Operation::Cancel(name) => (OwnerOperation::Cancel, name, "cancel"),
            Operation::Update(name) => (OwnerOperation::Update, name, "update"),
        };
        if proofs.is_none() && principal.is_none() {
            return Err(FormError::Missing.at("token or principal"));
        }
        let handle = self.handle(name.handle).field("handle");
        Ok(CheckAsk::Owner(CheckOwner {
            operation,
            proofs,
            principal,
            handle: handle.map_err(|invalid| invalid.within(within))?,
        }))
    }

    /// A token and what shows that its key is on the connection: both or neither.
    fn proofs(&self, token: String, proof: Option<v1::Proof>) -> Formed<Option<Proofs>> {
        use v1::proof::Proof;
        // Secret at once, so that a refused one is wiped too.
        let len = token.len();
        let token = SecretString::from(token);
        if len == 0 {
            return match proof {
                None => Ok(None),
                Some(_) => Err(FormError::OutOfPlace("with a token").at("proof")),
            };
        }
        if len > self.token_bytes {
            let bytes_max = self.token_bytes;
            return Err(FormError::TooLong { bytes_max }.at("token"));
        }
        let proof = proof.and_then(|proof| proof.proof);
        let Proof::PeerCertificate(der) = required(proof).field("proof")?;
        let certificate = self
            .peer_certificate(&der)
            .field("proof.peer_certificate")?;
        Ok(Some(Proofs { token, certificate }))
    }

    pub(super) fn principal(&self, principal: Option<v1::Principal>) -> Formed<Option<Vouched>> {
        let Some(v1::Principal { issuer, subject }) = principal else {
            return Ok(None);
        };
        Ok(Some(Vouched {
            issuer: field::text(issuer, self.principal_bytes).field("principal.issuer")?,
            subject: field::text(subject, self.principal_bytes).field("principal.subject")?,
        }))
    }
}

/// `Enforcement.Report`.
pub(in crate::grpc) fn report(message: &v1::ReportRequest) -> Formed<ReportAsk> {
    use v1::report_request::Outcome as Wire;
    let outcome = match Wire::try_from(message.outcome) {
        Ok(Wire::Done) => Outcome::Done,
        Ok(Wire::NotDone) => Outcome::NotDone,
        Ok(Wire::Unknown) => Outcome::Unknown,
        Ok(Wire::Unspecified) | Err(_) => return Err(FormError::Unnamed.at("outcome")),
    };
    Ok(ReportAsk {
        task: task(&message.task_id)?,
        step: field::step(message.step).field("step")?,
        fence: Fence(message.fence),
        jti: Jti(field::bytes(&message.jti).field("jti")?),
        outcome,
    })
}

/// `Legs.Hold`.
pub(in crate::grpc) fn hold(message: &v1::HoldRequest) -> Formed<(TaskId, LegNumber)> {
    Ok((
        task(&message.task_id)?,
        field::leg(message.leg).field("leg")?,
    ))
}

/// The field `task_id`.
pub(in crate::grpc) fn task(text: &str) -> Formed<TaskId> {
    field::task_id(text).field("task_id")
}

fn performers(ids: &[String]) -> Formed<Vec<SpiffeId>> {
    let each = |(index, id): (usize, &String)| {
        field::spiffe_id(id).map_err(|wrong| wrong.at(format!("performers[{index}]")))
    };
    ids.iter().enumerate().map(each).collect()
}

/// Zero is the longest that the agent allows, which the rules know.
fn lifetime(ms: u64) -> Duration {
    match ms {
        0 => Duration::MAX,
        _ => Duration::from_millis(ms),
    }
}
