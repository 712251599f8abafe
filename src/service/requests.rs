//! `Requests.Issue`: tokens for owners.

use super::ports::ledger::{Decision, Recorded};
use super::ports::{BoundCertificate, Freshness, Peer, SignError};
use super::scene::Scene;
use super::{Continuation, Failure};
use crate::domain::arguments::Witnesses;
use crate::domain::claims::TokenClaims;
use crate::domain::decide::create::{self, AskCreate, CreateAsked};
use crate::domain::decide::owner::{self, AskOwner};
use crate::domain::delegation::Act;
use crate::domain::denial::Reason;
use crate::domain::grant::{Grant, Permission, SeenCall};
use crate::domain::id::{SpiffeId, TaskId};
use crate::domain::lineage::{Lineage, Load, Locator, Now, Transition};
use crate::domain::policy::{Action, CallFacts, Permit};
use crate::domain::role::{AsOwnerPrincipalDue, AsSpender, Held};
use crate::domain::time::Time;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// A create token is asked for.
#[derive(Clone, Debug)]
pub struct CreateAsk {
    /// Names the request for repeats.
    pub request_id: Vec<u8>,
    /// DER of the hand certificate.
    pub certificate: Vec<u8>,
    /// The call to be made at the server.
    pub call: SeenCall,
    /// What steps shall be permitted; `None` is nothing, or under a child grant all that it has.
    pub asked: Option<Grant>,
    /// The child grant to spend.
    pub child: Option<TaskId>,
    /// Arguments behind the digests in `asked`.
    pub witnesses: Witnesses,
    /// Who shall carry it out.
    pub performers: Vec<SpiffeId>,
    /// How long it may live.
    pub lifetime: Duration,
}

/// A query, cancel or update token is asked for.
#[derive(Clone, Debug)]
pub struct NameAsk {
    /// DER of the hand certificate.
    pub certificate: Vec<u8>,
    /// The server that gave the handle.
    pub server: SpiffeId,
    /// The handle.
    pub handle: SecretString,
}

/// A signed token, or word that none is needed.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The token; `None` for a repeat that needs none.
    pub token: Option<SecretString>,
    /// When it ends.
    pub expires_at: Time,
    /// For `handfast explain`.
    pub decision_id: String,
}

const CREATE: &str = "Requests.Issue(create)";
const QUERY: &str = "Requests.Issue(query)";
const CANCEL: &str = "Requests.Issue(cancel)";
const UPDATE: &str = "Requests.Issue(update)";

/// A rule of [`owner`] that issues a token with a record.
type IssueOwner = fn(
    &Lineage,
    &Held<AsOwnerPrincipalDue>,
    &AskOwner,
    &Permit,
    &Now<'_>,
) -> Result<Transition<TokenClaims>, Reason>;

impl Continuation {
    /// Issues a create token.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn issue_create(&self, peer: &Peer, ask: CreateAsk) -> Result<IssuedToken, Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let evidence = caller.evidence();
        let now = self.now()?;
        let hand = self.certificate(&ask.certificate, now)?;
        let refuse = |reason| self.refuse_early(CREATE, evidence, reason);
        let id = self.settings.acting_id(evidence).map_err(refuse)?;
        let owner = self.settings.record_role(&id, evidence).map_err(refuse)?;
        let performers = self.settings.performers(&ask.performers).map_err(refuse)?;
        let request = self.request_digest(evidence, CREATE, &ask.request_id)?;
        let spent = ask.child;
        let ask = AskCreate {
            task: self.new_task_id(now)?,
            owner,
            call: ask.call,
            asked: ask.asked,
            child: None,
            witnesses: ask.witnesses,
            performers,
            lifetime: ask.lifetime,
            jti: self.jti()?,
            certificate: hand.thumbprint,
            certificate_ends: hand.ends,
            request,
        };
        let judge = self.judge(CREATE, evidence, move |scene| {
            let ask = AskCreate {
                child: spender(scene, spent)?,
                ..ask.clone()
            };
            let actor = Some(&ask.owner.spiffe_id);
            scene.fact("audience", &ask.call.call.audience);
            scene.fact("tool", &ask.call.call.tool);
            let mut permits = vec![scene.permit_call(
                Action::Create,
                actor,
                CallFacts::of(&ask.call.call, true),
                None,
            )?];
            permits.extend(permit_lent(scene, &ask)?);
            create::issue(scene.lineage, &ask, &permits, &scene.now)
        });
        let load = Load {
            child: spent,
            ..Load::of(Locator::Request(request))
        };
        match self.decide(load, judge).await? {
            Decision::Recorded(recorded) => {
                let asked = recorded.map(|asked| match asked {
                    CreateAsked::Issue(claims) => Ok(*claims),
                    CreateAsked::Repeat(task) => Err(task),
                });
                let claims = asked.split().map_err(|_task| {
                    Failure::Internal("a repeat was recorded as a change".to_owned())
                })?;
                self.sign(&claims)
            }
            Decision::Noted(noted) => Ok(IssuedToken {
                token: None,
                expires_at: now,
                decision_id: self.decision_id(noted.number()),
            }),
            Decision::Denied(denied) => Err(self.refuse(denied)),
        }
    }

    /// Issues a query token.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn issue_query(&self, peer: &Peer, ask: NameAsk) -> Result<IssuedToken, Failure> {
        let caller = self.attest(peer, Freshness::Recent).await?;
        let (load, ask) = self.name_ask(&ask)?;
        let judge = self.judge(QUERY, caller.evidence(), move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsOwnerPrincipalDue>::for_act(task, Act::Query, scene.evidence)?;
            let permit = scene.permit(Action::Query, held.spiffe_id.as_ref())?;
            owner::issue_query(scene.lineage, &held, &ask, &permit, &scene.now)
        });
        match self.decide(load, judge).await? {
            Decision::Noted(claims) => {
                let token = self
                    .ports
                    .signer
                    .sign_read(&claims)
                    .map_err(|error| unsigned(&error))?;
                Ok(IssuedToken {
                    token: Some(token.into()),
                    expires_at: claims.effect().expires_at,
                    decision_id: self.decision_id(claims.number()),
                })
            }
            // The first one claims the task, durably.
            Decision::Recorded(claims) => self.sign(&claims),
            Decision::Denied(denied) => Err(self.refuse(denied)),
        }
    }

    /// Issues a cancel token.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn issue_cancel(&self, peer: &Peer, ask: NameAsk) -> Result<IssuedToken, Failure> {
        let how = (CANCEL, Act::Cancel, Action::Cancel);
        self.issue_effectful(peer, ask, how, owner::issue_cancel)
            .await
    }

    /// Issues an update token: for the answer to what a task waits for.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn issue_update(&self, peer: &Peer, ask: NameAsk) -> Result<IssuedToken, Failure> {
        let how = (UPDATE, Act::Update, Action::Update);
        self.issue_effectful(peer, ask, how, owner::issue_update)
            .await
    }

    async fn issue_effectful(
        &self,
        peer: &Peer,
        ask: NameAsk,
        (name, act, action): (&'static str, Act, Action),
        issue: IssueOwner,
    ) -> Result<IssuedToken, Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let (load, ask) = self.name_ask(&ask)?;
        let judge = self.judge(name, caller.evidence(), move |scene| {
            let task = scene.lineage.known(&scene.now)?;
            let held = Held::<AsOwnerPrincipalDue>::for_act(task, act, scene.evidence)?;
            let permit = scene.permit(action, held.spiffe_id.as_ref())?;
            issue(scene.lineage, &held, &ask, &permit, &scene.now)
        });
        match self.decide(load, judge).await? {
            Decision::Recorded(claims) => self.sign(&claims),
            Decision::Noted(_) => Err(Failure::Internal("an owner's token has no row".to_owned())),
            Decision::Denied(denied) => Err(self.refuse(denied)),
        }
    }

    fn name_ask(&self, ask: &NameAsk) -> Result<(Load, AskOwner), Failure> {
        let name = self
            .ports
            .names
            .handle(&ask.server, ask.handle.expose_secret());
        let owner = self.owner_ask(&ask.certificate)?;
        Ok((Load::of(Locator::Name(name)), owner))
    }

    /// What a token for an owner is bound to: its hand certificate (DER).
    pub(super) fn owner_ask(&self, certificate: &[u8]) -> Result<AskOwner, Failure> {
        let hand = self.certificate(certificate, self.now()?)?;
        Ok(AskOwner {
            jti: self.jti()?,
            certificate: hand.thumbprint,
            certificate_ends: hand.ends,
        })
    }

    /// Checks a leg or hand certificate's form and own signature.
    pub(super) fn certificate(&self, der: &[u8], now: Time) -> Result<BoundCertificate, Failure> {
        self.ports
            .certificates
            .check(der, now)
            .map_err(|why| Failure::Invalid(format!("certificate: {why}")))
    }

    /// Signs what is durable.
    pub(super) fn sign(&self, claims: &Recorded<TokenClaims>) -> Result<IssuedToken, Failure> {
        let token = self
            .ports
            .signer
            .sign(claims)
            .map_err(|error| unsigned(&error))?;
        Ok(IssuedToken {
            token: Some(token.into()),
            expires_at: claims.effect().expires_at,
            decision_id: self.decision_id(claims.number()),
        })
    }

    /// Names a request of this process for repeats.
    pub(super) fn request_digest(
        &self,
        evidence: &crate::domain::evidence::Evidence,
        method: &'static str,
        request_id: &[u8],
    ) -> Result<crate::domain::id::Digest, Failure> {
        let process = evidence.process.as_ref().ok_or_else(|| {
            self.refuse_early(
                method,
                evidence,
                Reason::NotHeld(crate::domain::role::NotHeld::NotLocal),
            )
        })?;
        Ok(self.ports.names.request(process, method, request_id))
    }

    /// A time-ordered identifier: milliseconds, then random bits (UUID version 7, RFC 9562 §5.7).
    pub(super) fn new_task_id(&self, now: Time) -> Result<TaskId, Failure> {
        let mut bytes = [0_u8; 16];
        self.random(&mut bytes)?;
        let [_, _, ms @ ..] = now.0.to_be_bytes();
        for (slot, byte) in bytes.iter_mut().zip(ms) {
            *slot = byte;
        }
        if let Some(version) = bytes.get_mut(6) {
            *version = (*version & 0x0f) | 0x70;
        }
        if let Some(variant) = bytes.get_mut(8) {
            *variant = (*variant & 0x3f) | 0x80;
        }
        Ok(TaskId(bytes))
    }
}

/// Its epoch may have been revoked since it was recorded: its record is void then, and asking again helps.
fn unsigned(error: &SignError) -> Failure {
    match error {
        SignError::Epoch => Failure::Unavailable(error.to_string()),
        SignError::Key(_) => Failure::Internal(error.to_string()),
    }
}

/// Asks policy about everything that the owner lends. A child's grant was cut out of one that policy has
/// permitted; its steps are asked about anew.
fn permit_lent(scene: &mut Scene<'_>, ask: &AskCreate) -> Result<Vec<Permit>, Reason> {
    let lent = ask.asked.iter().filter(|_| ask.child.is_none());
    let permit = |permission: &Permission| {
        let facts = CallFacts {
            audience: permission.audience.clone(),
            tool: permission.tool.clone(),
            owner_authority: true,
        };
        scene.permit_call(Action::Grant, Some(&ask.owner.spiffe_id), facts, None)
    };
    lent.flat_map(|asked| &asked.permissions)
        .map(permit)
        .collect()
}

/// The role of whoever spends a child grant, if one is to be spent.
fn spender(
    scene: &mut Scene<'_>,
    child: Option<TaskId>,
) -> Result<Option<(TaskId, Held<AsSpender>)>, Reason> {
    let Some(id) = child else {
        return Ok(None);
    };
    scene.fact("child", &id);
    let child = scene.lineage.child.as_ref().ok_or(Reason::Unknown)?;
    let held = Held::<AsSpender>::check(child, scene.evidence)?;
    Ok(Some((id, held)))
}
