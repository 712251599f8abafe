//! The real side of a person's consent: `Legs.Issue` under a policy that wants it, and `Approvals.Decide`.

use super::alphabet::{Hand, On, SameDigest};
use super::answer::Answer;
use super::history::Issued;
use super::real::{Done, Moment};
use crate::fixture::{permit, role};
use handfast::canonical;
use handfast::domain::approval::Verdict;
use handfast::domain::decide::approval::{self, AskDecide, Standing, Wanted};
use handfast::domain::decide::step::{AskStep, StepAsked};
use handfast::domain::denial::Reason;
use handfast::domain::event::CallerFacts;
use handfast::domain::evidence::Evidence;
use handfast::domain::id::{Digest, StepNumber};
use handfast::domain::lineage::{Lineage, Transition};
use handfast::domain::role::{AsApprover, AsPerformer, Held};

impl Moment<'_> {
    /// Rows besides, in the order in which the service asks.
    pub(super) fn with_consent(
        &self,
        rows: Lineage,
        on: On,
        held: &Held<AsPerformer>,
        (ask, wanted): (&AskStep, &Issued),
    ) -> Result<Transition<StepAsked>, Reason> {
        let (account, owing) = self.store.account(self.world);
        let before = self.store.approval(self.world, on, ask.number);
        let mut serial = before.map_or([0; 12], |row| row.id.serial);
        serial[0] += 1;
        let rows = Lineage {
            approval: before.cloned(),
            account,
            owing,
            ..rows
        };
        let asked_by = facts(self.hands.of(wanted.by));
        let wanted = Wanted {
            ask,
            canonical: &wanted.arguments.to_string(),
            asked_by: &asked_by,
            serial,
            sha256: &canonical::sha256,
        };
        let now = self.now();
        match approval::standing(&rows, held, &wanted, &now)? {
            Standing::Ask => approval::open(&rows, held, &wanted, &permit(), &now),
            Standing::Granted(_) => approval::consume(&rows, held, &wanted, &permit(), &now),
            Standing::Pending(row) => Ok(Transition::unchanged(StepAsked::Pending {
                id: row.id,
                decide_by: row.decide_by,
            })),
            Standing::Repeat(state) => Ok(Transition::unchanged(StepAsked::Repeat(state))),
        }
    }

    pub(super) fn decide(
        &self,
        on: On,
        (by, step): (Hand, StepNumber),
        (verdict, same): (Verdict, SameDigest),
    ) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let row = self.store.approval(self.world, on, step).unwrap();
        let who = self.hands.of(by);
        let roles = [role("approver", 50)];
        let held = Held::<AsApprover>::apart([task].into_iter(), &row.asked_by, &roles, who)?;
        let (account, owing) = self.store.account(self.world);
        let rows = Lineage {
            approval: Some(row.clone()),
            account,
            owing,
            ..self.rows(on, step, None)
        };
        let ask = AskDecide {
            id: row.id,
            digest: if same { row.digest } else { Digest([0; 32]) },
            verdict,
            brought_by: facts(who),
            issuer: "https://people.example".to_owned(),
            person: Digest([4; 32]),
        };
        let decided = approval::decide(&rows, &held, &ask, &permit(), &self.now())?;
        let answer = Answer::Consent(decided.effect);
        Ok(Done::with(answer, vec![decided.writes]))
    }
}

fn facts(who: &Evidence) -> CallerFacts {
    CallerFacts {
        spiffe_ids: who.spiffe_ids.clone(),
        assurance: Some(who.assurance),
        process: who.process,
        uid: who.uid,
        cgroup: who.cgroup.clone(),
        executable: who.executable,
    }
}
