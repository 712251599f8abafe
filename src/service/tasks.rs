//! `Tasks`: what the MCP server does with a task.

use super::leases::HoldKind;
use super::ports::{Freshness, Peer};
use super::{Continuation, Failure, Vouched};
use crate::domain::decide::Presented;
use crate::domain::decide::create::{self, Basis, Register};
use crate::domain::decide::end::{self, Ending};
use crate::domain::denial::Reason;
use crate::domain::evidence::Evidence;
use crate::domain::grant::{Grant, Permission, ToolCall};
use crate::domain::id::{Fence, PrincipalHash, SpiffeId, TaskId, Thumbprint};
use crate::domain::lineage::{Load, Locator, NewOwner};
use crate::domain::policy::{Action, CallFacts};
use crate::domain::role::{AsServer, Held};
use crate::domain::task::TaskState;
use crate::domain::time::Time;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// A server registers a task.
#[derive(Clone, Debug)]
pub struct RegisterAsk {
    /// Names the request for repeats, where there is no token.
    pub request_id: Vec<u8>,
    /// The client's create token, with the thumbprint of the certificate on its connection.
    pub token: Option<(SecretString, Thumbprint)>,
    /// The principal that the server verified.
    pub principal: Option<Vouched>,
    /// The call as received.
    pub call: ToolCall,
    /// The handle that the client will get.
    pub handle: SecretString,
    /// What remains of the owner's grant.
    pub keep: Option<Vec<Permission>>,
    /// What the server adds of its own.
    pub own: Grant,
    /// Who shall carry it out.
    pub performers: Vec<SpiffeId>,
    /// How long it may live.
    pub lifetime: Duration,
}

/// A registered task.
#[derive(Clone, Debug)]
pub struct RegisteredTask {
    /// The task.
    pub registered: create::Registered,
    /// The name for the queue.
    pub work_reference: SecretString,
    /// For `handfast explain`.
    pub decision_id: String,
}

const CREATE: &str = "Tasks.Create";
const FINISH: &str = "Tasks.Finish";

impl Continuation {
    /// Registers a task: burns the create token, or takes the principal vouched for.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn create(&self, peer: &Peer, ask: RegisterAsk) -> Result<RegisteredTask, Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let evidence = caller.evidence();
        let now = self.now()?;
        if !self
            .ports
            .names
            .handle_is_strong(ask.handle.expose_secret())
        {
            return Err(Failure::Invalid(
                "handle: needs at least 120 random bits (a UUID version 4 has enough)".to_owned(),
            ));
        }
        let token = match &ask.token {
            None => None,
            Some((token, certificate)) => {
                Some(self.presented(CREATE, evidence, (token, *certificate), now)?)
            }
        };
        let (load, register) = self.register(evidence, &ask, token, now)?;
        let issuer = ask.principal.as_ref().map(|vouched| vouched.issuer.clone());
        let judge = self.judge(CREATE, evidence, move |scene| {
            permit_register(scene, &register, issuer.as_deref()).and_then(|permits| {
                create::register(scene.lineage, &register, &permits, &scene.now)
            })
        });
        let (registered, decision_id) = self.answer(load, judge).await?;
        Ok(RegisteredTask {
            work_reference: self.ports.names.work_reference(registered.task).into(),
            decision_id,
            registered,
        })
    }

    fn register(
        &self,
        evidence: &Evidence,
        ask: &RegisterAsk,
        token: Option<Presented>,
        now: Time,
    ) -> Result<(Load, Register), Failure> {
        let refuse = |reason| self.refuse_early(CREATE, evidence, reason);
        // With a token the server acts as the audience it names; the rules compare again.
        let id = match &token {
            Some(presented) => presented.claims.audience.clone(),
            None => self.settings.acting_id(evidence).map_err(refuse)?,
        };
        let server = self.settings.record_role(&id, evidence).map_err(refuse)?;
        let name = self.ports.names.handle(&id, ask.handle.expose_secret());
        let (locator, basis) = match token {
            Some(presented) => (
                Locator::Task(presented.claims.task),
                Basis::Token(Box::new(presented)),
            ),
            None if ask.principal.is_none() => {
                return Err(Failure::Invalid("needs a token or a principal".to_owned()));
            }
            None => {
                let request = self.request_digest(evidence, CREATE, &ask.request_id)?;
                let task = self.new_task_id(now)?;
                (
                    Locator::Request(request),
                    Basis::Principal { task, request },
                )
            }
        };
        let register = Register {
            server,
            basis,
            principal: ask
                .principal
                .as_ref()
                .map(|vouched| self.principal(vouched)),
            call: ask.call.clone(),
            keep: ask.keep.clone(),
            own: ask.own.clone(),
            performers: self.settings.performers(&ask.performers).map_err(refuse)?,
            lifetime: ask.lifetime,
            name,
        };
        Ok((
            Load {
                name: Some(name),
                tasks_of: Some(NewOwner {
                    principal: register.principal,
                }),
                ..Load::of(locator)
            },
            register,
        ))
    }

    /// Verifies a token's bytes. What it permits is for the rules to say.
    pub(super) fn presented(
        &self,
        operation: &'static str,
        evidence: &Evidence,
        (token, certificate): (&SecretString, Thumbprint),
        now: Time,
    ) -> Result<Presented, Failure> {
        match self.ports.signer.verify(token.expose_secret(), now) {
            Ok(claims) => Ok(Presented {
                claims,
                certificate,
            }),
            // The port's word for it.
            Err("token_expired") => {
                Err(self.refuse_early(operation, evidence, Reason::TokenExpired))
            }
            Err(why) => Err(self.refuse_early(operation, evidence, Reason::TokenInvalid(why))),
        }
    }

    pub(super) fn principal(&self, vouched: &Vouched) -> PrincipalHash {
        self.ports
            .names
            .principal(&vouched.issuer, &vouched.subject)
    }

    /// Finishes a task as its server.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn finish(
        &self,
        peer: &Peer,
        task: TaskId,
        ending: Ending,
        leg_fence: Option<Fence>,
    ) -> Result<(TaskState, String), Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let judge = self.judge(FINISH, caller.evidence(), move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsServer>::check(task, scene.evidence)?;
            let permit = scene.permit(Action::Finish, held.spiffe_id.as_ref())?;
            end::finish(task, &held, (ending, leg_fence), &permit, &scene.now)
        });
        let this = self.clone();
        super::to_the_end(async move {
            let answer = this.answer(Load::of(Locator::Task(task)), judge).await?;
            this.fell(task, HoldKind::Finished);
            Ok(answer)
        })
        .await
    }
}

/// Asks policy about everything that a registration brings into the world.
fn permit_register(
    scene: &mut super::scene::Scene<'_>,
    ask: &Register,
    issuer: Option<&str>,
) -> Result<Vec<crate::domain::policy::Permit>, Reason> {
    let server = Some(&ask.server.spiffe_id);
    scene.fact("audience", &ask.call.audience);
    scene.fact("tool", &ask.call.tool);
    let mut permits = Vec::new();
    if let Some(issuer) = issuer {
        let facts = CallFacts::of(&ask.call, false);
        permits.push(scene.permit_call(Action::Vouch, server, facts, Some(issuer))?);
    }
    if let Basis::Token(presented) = &ask.basis {
        let facts = CallFacts::of(&ask.call, true);
        let owner = Some(&presented.claims.actor);
        permits.push(scene.permit_call(Action::Create, owner, facts, None)?);
    }
    for permission in &ask.own.permissions {
        let facts = CallFacts {
            audience: permission.audience.clone(),
            tool: permission.tool.clone(),
            owner_authority: false,
        };
        permits.push(scene.permit_call(Action::Grant, server, facts, None)?);
    }
    Ok(permits)
}
