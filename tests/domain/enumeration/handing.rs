//! The real side of what an owner does besides asking: `Legs.Delegate`, `RevokeDelegation`, `Takeover`, `Resolve`.

use super::alphabet::{Hand, On};
use super::answer::Answer;
use super::real::{Done, Moment};
use super::steps::called;
use super::wider::{Lend, Only};
use crate::fixture::{START, permit, role};
use handfast::domain::arguments::Witnesses;
use handfast::domain::decide::handover::{self, AskDelegate};
use handfast::domain::delegation::Act;
use handfast::domain::denial::Reason;
use handfast::domain::grant::{ArgumentConstraint, Permission};
use handfast::domain::id::{DelegationNumber, Digest, StepNumber};
use handfast::domain::order::{Order, Word};
use handfast::domain::role::{AsOwnerPrincipalDue, Held, Role};
use handfast::domain::time::Time;

/// The role that something is handed to.
fn receiver(hand: Hand) -> Role {
    match hand {
        Hand::Third => role("third", 70),
        Hand::Owner => role("assistant", 99),
        _ => role("relief", 60),
    }
}

fn only(only: Only) -> Vec<Permission> {
    let call = called(1);
    let tool = match only {
        Only::First => call.tool,
        Only::Nobodys => "delete".to_owned(),
    };
    vec![Permission {
        audience: call.audience,
        tool,
        arguments: ArgumentConstraint::Exact(call.arguments),
    }]
}

impl Moment<'_> {
    pub(super) fn delegate(&self, on: On, by: Hand, lend: Lend) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let who = self.hands.of(by);
        let held = Held::<AsOwnerPrincipalDue>::for_act(task, Act::Delegate, who)?;
        let terms = lend.terms(self.world.time.0 - START.0);
        let mut request = [0; 32];
        request[..2].copy_from_slice(&[by as u8, lend as u8]);
        let ask = AskDelegate {
            to: receiver(terms.to),
            principal: None,
            acts: terms.acts.iter().copied().collect(),
            permissions: terms.only.map(only),
            not_after: terms.until.map(|until| Time(START.0 + until)),
            request: Digest(request),
            asked: Digest(request),
            witnesses: Witnesses::default(),
        };
        let made = handover::delegate(self.seen(on), &held, &ask, &permit(), &self.now())?;
        let nth = usize::try_from(made.effect.number.0).unwrap() - 1;
        Ok(Done::with(Answer::Handed(nth), vec![made.writes]))
    }

    pub(super) fn revoke_delegation(&self, on: On, by: Hand, nth: usize) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let who = self.hands.of(by);
        let number = DelegationNumber(u32::try_from(nth).unwrap() + 1);
        let order = Order::TakeBack(number);
        let held = Held::<AsOwnerPrincipalDue>::for_order(task, &order, who)?;
        let revoked = handover::revoke(self.seen(on), &held, number, &permit(), &self.now())?;
        Ok(Done::with(Answer::Revoked, vec![revoked.writes]))
    }

    pub(super) fn take_over(&self, on: On, by: Hand) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let who = self.hands.of(by);
        let held = Held::<AsOwnerPrincipalDue>::for_act(task, Act::Takeover, who)?;
        // Each a request of its own; what a repeat gets is another test's.
        let request = task.leg.as_ref().map_or(0, |leg| leg.number.0);
        let request = Digest([u8::try_from(request).unwrap(); 32]);
        let taken = handover::take_over(self.seen(on), &held, request, &permit(), &self.now())?;
        Ok(Done::with(Answer::TakenOver, vec![taken.writes]))
    }

    pub(super) fn resolve(&self, on: On, by: Hand, word: Word) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let held = Held::<AsOwnerPrincipalDue>::check(task, self.hands.of(by))?;
        let step = StepNumber(task.last_step.0.max(1));
        let rows = self.rows(on, step, None);
        let resolved = handover::resolve(&rows, &held, (step, word), &permit(), &self.now())?;
        let answer = Answer::Outcome(resolved.effect);
        Ok(Done::with(answer, vec![resolved.writes]))
    }
}
