//! A person's consent, as policy sees it: judged anew whenever it is used.

use super::Settings;
use super::scene::Scene;
use crate::domain::approval::Approval;
use crate::domain::denial::Reason;
use crate::domain::event::CallerFacts;
use crate::domain::evidence::{Assurance, Evidence, Releases};
use crate::domain::grant::Authority;
use crate::domain::id::{Fence, PrincipalHash, SpiffeId, StepNumber};
use crate::domain::policy::{Action, CallFacts, Consent, Permit, PersonFacts, PolicyInput};
use crate::domain::role::{AsApprover, Held, Role};
use crate::domain::time::Time;

impl Settings {
    /// The approver roles that there are.
    pub(super) fn approver_roles(&self) -> Vec<Role> {
        let role = |id: &SpiffeId| {
            self.workloads.get(id).map(|row| Role {
                spiffe_id: id.clone(),
                required: row.required.clone(),
            })
        };
        self.approvers.iter().filter_map(role).collect()
    }
}

impl Scene<'_> {
    /// Asks policy whether an approver may see a request, or bring this person's decision.
    ///
    /// # Errors
    /// [`Reason::Policy`] with its explanation.
    pub(super) fn permit_approve(
        &mut self,
        (approver, evidence): (&SpiffeId, &Evidence),
        row: &Approval,
        person: Option<PersonFacts>,
    ) -> Result<Permit, Reason> {
        let call = CallFacts::of(&row.call, row.authority == Authority::Asked);
        let input = self.about_call(Action::Approve, Some(approver), call);
        self.ask(&PolicyInput {
            evidence: Some(evidence.clone()),
            consent: Consent {
                person,
                performer: Some(row.performer.clone()),
                ..Consent::default()
            },
            ..input
        })
    }

    /// What policy sees of a person.
    pub(super) fn person(&self, issuer: &str, person: PrincipalHash) -> PersonFacts {
        // Whoever a tree is for judges nothing in it, however deep; nor does whom a part of it was lent to.
        let mut lent = self.lineage.line().flat_map(|task| &task.delegations);
        let mut line = self.lineage.line();
        PersonFacts {
            issuer: issuer.to_owned(),
            is_delegate: lent.any(|it| it.principal == Some(person)),
            is_owner: line.any(|task| task.owner.principal == Some(person)),
        }
    }

    /// The consent that a decision stands for, if whoever brought it still may: its `[[approver]]` and
    /// `[[workload]]` rows are there, what it showed then still meets them, it is still no hand of a party to the
    /// task, and policy still lets it approve.
    pub(super) fn consent(
        &mut self,
        settings: &Settings,
        row: &Approval,
        performing: &CallerFacts,
    ) -> Option<Consent> {
        let decision = row.decision.as_ref()?;
        if self.rows.revocations.voids_decision(decision) {
            return None;
        }
        let mut roles = settings.approver_roles();
        roles.retain(|role| role.spiffe_id == decision.approver);
        let evidence = remembered(&decision.brought_by, decision.at, &settings.releases);
        let line = self.lineage.line();
        Held::<AsApprover>::apart(line, performing, &roles, &evidence).ok()?;
        let person = self.person(&decision.issuer, decision.person);
        let approver = (&decision.approver, &evidence);
        self.permit_approve(approver, row, Some(person.clone()))
            .ok()?;
        Some(Consent {
            approved: true,
            approver: Some(decision.approver.clone()),
            person: Some(person),
            performer: None,
        })
    }

    /// The consent for which the token of this step and fence was issued; none for a token that was issued
    /// without any.
    pub(super) fn consent_used_by(
        &mut self,
        settings: &Settings,
        (step, fence): (Option<StepNumber>, Fence),
    ) -> Consent {
        let lineage = self.lineage;
        let pending = lineage.task.iter().filter_map(|task| task.pending.as_ref());
        let mut steps = pending.chain(&lineage.step);
        let newest = steps.find(|row| Some(row.number) == step);
        if newest.is_some_and(|row| row.fence != fence) {
            // Overtaken: it permits nothing whatever policy says, and the rules say why.
            return Consent::supposed();
        }
        let row = lineage.approval.as_ref();
        row.filter(|row| row.used_by == Some(fence))
            .and_then(|row| self.consent(settings, row, &row.asked_by))
            .unwrap_or_default()
    }
}

/// What was learned of a caller before.
fn remembered(facts: &CallerFacts, at: Time, releases: &Releases) -> Evidence {
    let CallerFacts {
        spiffe_ids,
        assurance,
        process,
        uid,
        cgroup,
        executable,
    } = facts.clone();
    Evidence {
        spiffe_ids,
        assurance: assurance.unwrap_or(Assurance::Principal),
        process,
        uid,
        cgroup,
        executable,
        releases: releases.of(executable),
        // A traced one was judged by policy then.
        traced: false,
        attested_at: at,
    }
}
