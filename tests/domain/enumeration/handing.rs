//! The real side of what an owner does besides asking: `Legs.Delegate`, `RevokeDelegation`, `Takeover`, `Resolve`.

use super::alphabet::{Hand, On};
use super::answer::Answer;
use super::real::{Done, Moment};
use super::steps::called;
use super::wider::{Lend, Only};
use crate::fixture::{START, permit, present, role};
use crate::ordering::ordered;
use handfast::domain::arguments::Witnesses;
use handfast::domain::decide::Presented;
use handfast::domain::decide::check::{self, OwnerChecked};
use handfast::domain::decide::handover::AskDelegate;
use handfast::domain::decide::owner::{self, AskOwner, OrderAnswered};
use handfast::domain::delegation::Act;
use handfast::domain::denial::Reason;
use handfast::domain::grant::{ArgumentConstraint, Permission};
use handfast::domain::id::{DelegationNumber, Digest, Jti, PrincipalHash, StepNumber};
use handfast::domain::lineage::{Lineage, Transition};
use handfast::domain::order::{Asked, Order, Ordered, Word};
use handfast::domain::role::{AsOwner, AsOwnerPrincipalDue, AsServer, Held, Role};
use handfast::domain::task::Task;
use handfast::domain::time::Time;
use std::time::Duration;

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
        self.order(on, &held, &Order::Delegate(Box::new(ask)))
    }

    pub(super) fn revoke_delegation(&self, on: On, by: Hand, nth: usize) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let who = self.hands.of(by);
        let number = DelegationNumber(u32::try_from(nth).unwrap() + 1);
        let order = Order::RevokeDelegation(number);
        let held = Held::<AsOwnerPrincipalDue>::for_order(task, &order, who)?;
        self.order(on, &held, &order)
    }

    pub(super) fn take_over(&self, on: On, by: Hand) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let who = self.hands.of(by);
        let held = Held::<AsOwnerPrincipalDue>::for_act(task, Act::Takeover, who)?;
        // Each a request of its own; what a repeat gets is another test's.
        let request = task.leg.as_ref().map_or(0, |leg| leg.number.0);
        let request = Digest([u8::try_from(request).unwrap(); 32]);
        self.order(on, &held, &Order::Takeover(request, ()))
    }

    pub(super) fn resolve(&self, on: On, by: Hand, word: Word) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let held = Held::<AsOwnerPrincipalDue>::check(task, self.hands.of(by))?;
        let step = StepNumber(task.last_step.0.max(1));
        self.order(on, &held, &Order::Resolve(step, (), word))
    }

    /// At once; or, for an owner that acts for a user, by a token and its server, which has seen the user.
    fn order(
        &self,
        on: On,
        held: &Held<AsOwnerPrincipalDue>,
        asked: &Asked,
    ) -> Result<Done, Reason> {
        let rows = match asked.step() {
            Some(step) => self.rows(on, step, None),
            None => self.seen(on).clone(),
        };
        let task = rows.known(&self.now())?;
        let Some(user) = held.due(task) else {
            return ordered(&rows, held, asked, &self.now()).map(done);
        };
        let ask = self.owner_ask(task);
        let issued = owner::issue_order(&rows, held, (asked, &ask), &permit(), &self.now())?;
        let claims = match issued.effect {
            OrderAnswered::Done(ordered) => return Ok(done(Transition::unchanged(ordered))),
            OrderAnswered::Token(claims) => claims,
        };
        let between = Lineage {
            task: issued.writes.task.clone(),
            record: issued.writes.records.first().cloned(),
            ..rows.clone()
        };
        let carried_out = self.carried_out(&between, &present(*claims), user)?;
        let mut all = done(carried_out);
        all.writes.insert(0, issued.writes);
        Ok(all)
    }

    pub(super) fn owner_ask(&self, task: &Task) -> AskOwner {
        AskOwner {
            jti: Jti([u8::try_from(task.fence.0).unwrap(); 16]),
            certificate: Digest([8; 32]),
            certificate_ends: self.world.time.after(Duration::from_secs(2 * 3600)),
        }
    }

    fn carried_out(
        &self,
        rows: &Lineage,
        token: &Presented,
        user: PrincipalHash,
    ) -> Result<Transition<Ordered>, Reason> {
        let task = rows.known(&self.now())?;
        let server = Held::<AsServer>::check(task, self.hands.of(Hand::Server))?;
        let order = check::ordered(rows, token).ok_or(Reason::Alarm)?;
        let record = check::record(rows, token).ok_or(Reason::Alarm)?;
        let who = (&token.claims.actor, Some(user));
        let owner = Held::<AsOwner>::by_token(task, order.act(), record, who)?;
        let (roles, what) = ((&server, &owner), (token, order));
        let checked = check::order(rows, roles, what, &permit(), &self.now())?;
        Ok(checked.map(|checked| match checked {
            OwnerChecked::Ordered(ordered, _) => ordered,
            other => panic!("an order was answered {other:?}"),
        }))
    }
}

fn done(ordered: Transition<Ordered>) -> Done {
    let answer = match ordered.effect {
        Ordered::Delegated(made) => Answer::Handed(usize::try_from(made.number.0).unwrap() - 1),
        Ordered::Resolved(state) => Answer::Outcome(state),
        Ordered::DelegationRevoked(_) => Answer::Revoked,
        Ordered::TakenOver(_) => Answer::TakenOver,
    };
    Done::with(answer, vec![ordered.writes])
}
