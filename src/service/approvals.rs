//! `Approvals`: what approvers see of what people are asked, and the decisions that they bring.

use super::ports::ledger::Decision;
use super::ports::{AttestedWorkload, Freshness, Peer, PersonError, VerifiedPerson};
use super::scene;
use super::watch::WatchStream;
use super::{Continuation, Failure};
use crate::domain::approval::{Approval, ApprovalState, Verdict};
use crate::domain::decide::approval::{self, AskDecide};
use crate::domain::denial::Reason;
use crate::domain::id::{ApprovalId, Digest, Hex, SpiffeId};
use crate::domain::lineage::{Load, Locator, Transition};
use crate::domain::role::{AsApprover, Held};
use crate::domain::time::Time;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeSet;
use std::sync::Arc;

const LIST: &str = "Approvals.List";
const GET: &str = "Approvals.Get";
const WATCH: &str = "Approvals.Watch";
const DECIDE: &str = "Approvals.Decide";

/// Open requests read at a time when all are walked.
const PAGE: usize = 256;

/// A request for approval as an approver sees it.
#[derive(Clone, Debug)]
pub struct ApprovalView {
    /// The row.
    pub approval: Approval,
    /// Where it is now.
    pub state: ApprovalState,
    /// When a yes that was given lapses unused.
    pub use_by: Option<Time>,
    /// The owner's workload.
    pub owner: Option<SpiffeId>,
    /// The server.
    pub server: SpiffeId,
}

/// An approver brings a person's decision.
#[derive(Clone, Debug)]
pub struct DecideAsk {
    /// Which request.
    pub id: ApprovalId,
    /// The digest that the person saw.
    pub digest: Digest,
    /// Yes or no.
    pub verdict: Verdict,
    /// The person's ID token, with the digest's base64url as its `nonce`.
    pub id_token: SecretString,
}

impl Continuation {
    /// Shows one request.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn approval(
        &self,
        peer: &Peer,
        id: ApprovalId,
    ) -> Result<(ApprovalView, String), Failure> {
        let caller = self.attest(peer, Freshness::Recent).await?;
        match self.look(GET, &caller, id).await? {
            Ok(seen) => Ok(seen),
            Err(denied) => Err(self.refuse(denied)),
        }
    }

    /// One page of open requests, in the order of their tasks: those that the caller may decide. Fewer than
    /// `limit`, even none, where others were left out; it goes on after `next`.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn approvals(
        &self,
        peer: &Peer,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> Result<(Vec<ApprovalView>, Option<ApprovalId>), Failure> {
        let caller = self.attest(peer, Freshness::Recent).await?;
        self.is_approver(LIST, &caller)?;
        let ids = self.ports.ledger.open_approvals(after, limit).await?;
        let next = (ids.len() >= limit).then(|| ids.last().copied()).flatten();
        let mut seen = Vec::new();
        for id in ids {
            seen.extend(self.look_if_open(LIST, &caller, id).await?);
        }
        Ok((seen, next))
    }

    /// Tells an approver every open request that it may decide, and each new one. Each time it is judged anew.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn watch_approvals(&self, peer: &Peer) -> Result<WatchStream<ApprovalView>, Failure> {
        let mut asked = self.watchers.approvals(peer).map_err(Failure::Busy)?;
        let caller = self.attest(peer, Freshness::Recent).await?;
        self.is_approver(WATCH, &caller)?;
        let (this, peer) = (self.clone(), peer.clone());
        Ok(WatchStream::fed(
            self.settings.hold_queue_max,
            None,
            |sender| async move {
                let mut told = BTreeSet::new();
                loop {
                    let news = this.news(&peer, &mut told).await;
                    let failed = news.is_err();
                    let news = news.map_or_else(
                        |failure| vec![Err(failure)],
                        |news| news.into_iter().map(Ok).collect(),
                    );
                    for view in news {
                        if sender.send(view).await.is_err() {
                            return;
                        }
                    }
                    if failed {
                        return;
                    }
                    asked.next().await;
                }
            },
        ))
    }

    /// Open requests that were not told before. What is over is forgotten, so that no more is kept than is open.
    async fn news(
        &self,
        peer: &Peer,
        told: &mut BTreeSet<ApprovalId>,
    ) -> Result<Vec<ApprovalView>, Failure> {
        let caller = self.attest(peer, Freshness::Recent).await?;
        self.is_approver(WATCH, &caller)?;
        let (mut after, mut open, mut news) = (None, BTreeSet::new(), Vec::new());
        loop {
            let ids = self.ports.ledger.open_approvals(after, PAGE).await?;
            for id in &ids {
                if !told.contains(id) {
                    news.extend(self.look_if_open(WATCH, &caller, *id).await?);
                }
            }
            after = ids.last().copied();
            let last = ids.len() < PAGE;
            open.extend(ids);
            if last {
                break;
            }
        }
        *told = open;
        Ok(news)
    }

    /// Whoever has no approver role at all hears what everybody without a role hears.
    fn is_approver(
        &self,
        operation: &'static str,
        caller: &AttestedWorkload,
    ) -> Result<(), Failure> {
        let roles = self.settings.approver_roles();
        match Held::<AsApprover>::check(&roles, caller.evidence()) {
            Ok(_) => Ok(()),
            Err(why) => Err(self.refuse_early(operation, caller.evidence(), Reason::NotHeld(why))),
        }
    }

    async fn look_if_open(
        &self,
        operation: &'static str,
        caller: &AttestedWorkload,
        id: ApprovalId,
    ) -> Result<Option<ApprovalView>, Failure> {
        let seen = self.look(operation, caller, id).await?;
        // Not for this approver: left out, and no refusal of anything it asked for.
        Ok(seen
            .ok()
            .map(|(view, _)| view)
            .filter(|view| view.state == ApprovalState::Open))
    }

    async fn look(
        &self,
        operation: &'static str,
        caller: &AttestedWorkload,
        id: ApprovalId,
    ) -> Result<Result<(ApprovalView, String), Box<super::ports::ledger::Denied>>, Failure> {
        let settings = Arc::clone(&self.settings);
        let judge = self.judge(operation, caller.evidence(), move |scene| {
            let (lineage, now) = (scene.lineage, scene.now);
            let task = lineage.known(&now)?;
            let row = lineage.approval.as_ref().filter(|row| row.id == id);
            let row = row.ok_or(Reason::Unknown)?;
            let roles = settings.approver_roles();
            let held =
                Held::<AsApprover>::apart(lineage.line(), &row.asked_by, &roles, scene.evidence)?;
            let approver = held.spiffe_id.as_ref().ok_or(Reason::Unknown)?;
            scene.permit_approve((approver, scene.evidence), row, None)?;
            let state = row.state_at(now.time, now.limits.use_within);
            let ended = task.state_at(now.time).is_terminal();
            Ok(Transition::unchanged(ApprovalView {
                state: if ended && matches!(state, ApprovalState::Approved | ApprovalState::Open) {
                    ApprovalState::Lapsed
                } else {
                    state
                },
                use_by: row
                    .decision
                    .as_ref()
                    .filter(|decision| decision.verdict == Verdict::Approved)
                    .map(|decision| decision.at.after(now.limits.use_within)),
                owner: task
                    .owner
                    .workload
                    .as_ref()
                    .map(|role| role.spiffe_id.clone()),
                server: task.server.spiffe_id.clone(),
                approval: row.clone(),
            }))
        });
        let load = Load {
            approval: Some(id.step),
            ..Load::of(Locator::Task(id.task))
        };
        let (view, number) = match self.decide(load, judge).await? {
            Decision::Recorded(seen) => {
                let number = seen.number();
                (seen.into_effect(), number)
            }
            Decision::Noted(seen) => {
                let number = seen.number();
                (seen.into_effect(), number)
            }
            Decision::Denied(denied) => return Ok(Err(denied)),
        };
        Ok(Ok((view, self.decision_id(number))))
    }

    /// Records a person's decision.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn decide_approval(
        &self,
        peer: &Peer,
        ask: DecideAsk,
    ) -> Result<(ApprovalState, String), Failure> {
        let (this, peer) = (self.clone(), peer.clone());
        super::to_the_end(async move { this.bring(&peer, ask).await }).await
    }

    async fn bring(&self, peer: &Peer, ask: DecideAsk) -> Result<(ApprovalState, String), Failure> {
        let caller = self.attest(peer, Freshness::Now).await?;
        let evidence = caller.evidence();
        let token = ask.id_token.expose_secret();
        let verified = self
            .ports
            .persons
            .verify(token, (ask.digest, ask.verdict), self.now()?);
        // Whoever is no approver hears of that first, whatever the token is.
        let person = match verified.await {
            Ok(person) => Ok(person),
            Err(PersonError::Refused(why)) => Err(Reason::Person(why)),
            Err(error @ PersonError::Unavailable(_)) => {
                return Err(Failure::Unavailable(error.to_string()));
            }
        };
        let names = &self.ports.names;
        let hash = |it: &VerifiedPerson| names.principal(&it.issuer, &it.subject);
        let hash = person.as_ref().ok().map(hash);
        let brought_by = scene::caller(evidence);
        let settings = Arc::clone(&self.settings);
        let DecideAsk {
            id,
            digest,
            verdict,
            id_token: _,
        } = ask;
        let judge = self.judge(DECIDE, evidence, move |scene| {
            let lineage = scene.lineage;
            lineage.known(&scene.now)?;
            let row = lineage.approval.as_ref().filter(|row| row.id == id);
            let row = row.ok_or(Reason::Unknown)?;
            let roles = settings.approver_roles();
            let held =
                Held::<AsApprover>::apart(lineage.line(), &row.asked_by, &roles, scene.evidence)?;
            let approver = held.spiffe_id.as_ref().ok_or(Reason::Unknown)?;
            scene.fact("approval", &id);
            scene.fact("approval_s256", &Hex(&digest.0));
            let (person, hash) = (person.clone()?, hash.ok_or(Reason::Unknown)?);
            // Nobody had seen the request when that login was made.
            if person.issued_by < row.opened_at {
                return Err(Reason::Person("id_token_before_request"));
            }
            let facts = scene.person(&person.issuer, hash);
            let permit = scene.permit_approve((approver, scene.evidence), row, Some(facts))?;
            let ask = AskDecide {
                id,
                digest,
                verdict,
                brought_by: brought_by.clone(),
                issuer: person.issuer,
                person: hash,
            };
            scene.fact("person", &Hex(&hash.0));
            scene.fact("verdict", &format!("{verdict:?}").to_lowercase());
            approval::decide(lineage, &held, &ask, &permit, &scene.now)
        });
        let load = Load {
            approval: Some(id.step),
            account: true,
            ..Load::of(Locator::Task(id.task))
        };
        self.answer(load, judge).await
    }
}
