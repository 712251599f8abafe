//! The real side: one command put to the rules of `src/domain`, in the order in which the service does.

use super::alphabet::{Command, Hand, On, Path, Shown, Want, With};
use super::answer::Answer;
use super::consents::is_sensitive;
use super::history::Issued;
use super::rows::{Store, View, World};
use super::steps::called;
use crate::fixture::{
    PRINCIPAL, evidence, owner, permit, present, second_worker, server, tool, twin, worker,
};
use handfast::domain::claims::TokenClaims;
use handfast::domain::decide::check::{self, OwnerChecked, StepChecked};
use handfast::domain::decide::leg::{self, AskStart};
use handfast::domain::decide::owner as ask;
use handfast::domain::decide::report::{self, Outcome};
use handfast::domain::decide::step::{self, AskStep, StepAsked};
use handfast::domain::decide::{Presented, end, input};
use handfast::domain::denial::Reason;
use handfast::domain::evidence::{Assurance, Evidence, Required};
use handfast::domain::grant::ToolCall;
use handfast::domain::id::{Digest, Fence, Jti, LegNumber, StepNumber};
use handfast::domain::lineage::{Lineage, Now, Transition, Writes};
use handfast::domain::role::{
    AsAudience, AsOwner, AsOwnerPrincipalDue, AsPerformer, AsServer, Held,
};
use handfast::domain::task::Task;
use std::time::Duration;

/// What the rules made of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) answer: Answer,
    /// One for each commit.
    pub(super) writes: Vec<Writes>,
    pub(super) token: Option<TokenClaims>,
    /// A create token, and who was given it.
    pub(super) created: Option<TokenClaims>,
    pub(super) asker: Option<Hand>,
}

impl Done {
    pub(super) fn with(answer: Answer, writes: Vec<Writes>) -> Self {
        Self {
            answer,
            writes,
            token: None,
            created: None,
            asker: None,
        }
    }
}

/// The hands' evidence, made once.
#[derive(Debug)]
pub(super) struct Hands([(Hand, Evidence); 11]);

impl Hands {
    pub(super) fn new() -> Self {
        Self([
            (Hand::Approver, evidence("approver", 107, 50)),
            (Hand::Bare, twin()),
            (Hand::BareApprover, evidence("approver", 108, 51)),
            (Hand::BareRelief, evidence("relief", 110, 61)),
            (Hand::Owner, owner()),
            (Hand::Relief, evidence("relief", 109, 60)),
            (Hand::Second, second_worker()),
            (Hand::Server, server()),
            (Hand::Third, evidence("third", 111, 70)),
            (Hand::Tool, tool()),
            (Hand::Worker, worker()),
        ])
    }

    pub(super) fn of(&self, hand: Hand) -> &Evidence {
        let found = self.0.iter().find(|(whose, _)| *whose == hand);
        &found.unwrap().1
    }
}

/// One moment of the world, for every command that could be given in it.
pub(super) struct Moment<'a> {
    pub(super) store: &'a Store,
    pub(super) world: &'a World,
    pub(super) hands: &'a Hands,
    pub(super) views: [View; 3],
}

impl Moment<'_> {
    pub(super) fn now(&self) -> Now<'_> {
        Now {
            time: self.world.time,
            epoch: self.world.epoch,
            limits: &self.store.limits,
        }
    }

    /// The rows that a command about this step and token reads.
    pub(super) fn rows(&self, on: On, step: StepNumber, fence: Option<Fence>) -> Lineage {
        let mut steps = self.store.steps(self.world, on);
        let mut records = self.store.records(self.world, on);
        Lineage {
            step: steps.find(|row| row.number == step).cloned(),
            record: records.find(|row| Some(row.fence) == fence).cloned(),
            ..self.views[on.index()].seen.clone()
        }
    }

    pub(super) fn known(&self, on: On) -> Result<&Task, Reason> {
        self.seen(on).known(&self.now())
    }

    pub(super) fn seen(&self, on: On) -> &Lineage {
        &self.views[on.index()].seen
    }

    /// Puts the command to the rules. `issued` says which step is asked for, `nth` which token or delegation is
    /// meant.
    pub(super) fn perform(&self, command: Command, named: &Named) -> Done {
        let done = match command.by().map(|by| self.admit(by)) {
            Some(Err(reason)) => Err(reason),
            Some(Ok(())) | None => self.judge(command, named),
        };
        done.unwrap_or_else(|reason| Done::with(reason.into(), Vec::new()))
    }

    fn judge(&self, command: Command, named: &Named) -> Result<Done, Reason> {
        match command {
            Command::Ask(by, on, want, path) => self.ask(on, (by, path), want),
            Command::Check(by, on, _, with) => self.check(on, named.nth, (by, with)),
            Command::Decide(by, on, verdict, same) => {
                self.decide(on, (by, named.request), (verdict, same))
            }
            Command::Delegate(by, on, lend) => self.delegate(on, by, lend),
            Command::End(by, on, how) => self.end(on, by, how),
            Command::Finish(by, on, how, shown) => self.finish(on, (by, shown), how),
            Command::Issue(_, on, _) => self.issue(on, named.issued.as_ref().unwrap()),
            Command::Lose(on) => Ok(self.lose(on)),
            Command::Report(by, on, _, outcome) => self.report(on, named.nth, by, outcome),
            Command::Require(by, on, shown) => self.require(on, by, shown),
            Command::Resolve(by, on, word) => self.resolve(on, by, word),
            Command::Restart | Command::Wait(_) => Ok(Done::with(Answer::Nothing, Vec::new())),
            Command::Revoke(_) | Command::RevokeTree(_) => {
                let on = command.on().unwrap();
                let task = self.views[on.index()].seen.task.as_ref().unwrap();
                Ok(state(end::revoke(task, &self.now())))
            }
            Command::RevokeDelegation(by, on, _) => self.revoke_delegation(on, by, named.nth),
            Command::Spawn(by, cut) => self.spawn(by, cut),
            Command::Spend(by, half) => self.spend(by, half),
            Command::Start(by, on, may_act) => self.start(on, by, may_act),
            Command::Sweep(on) => {
                let swept = end::sweep(&self.views[on.index()].rows, &self.now());
                Ok(Done::with(Answer::Nothing, vec![swept.writes]))
            }
            Command::Takeover(by, on) => self.take_over(on, by),
            Command::Wide(wide) => self.wide(wide),
        }
    }

    fn start(&self, on: On, by: Hand, holder_may_act: bool) -> Result<Done, Reason> {
        let who = self.hands.of(by);
        let task = self.known(on)?;
        let held = Held::<AsPerformer>::check(task, who)?;
        let ask = AskStart {
            certificate: Digest([u8::try_from(who.process.unwrap().pid).unwrap(); 32]),
            certificate_ends: self.world.time.after(Duration::from_secs(2 * 3600)),
            uid: who.uid,
            holder_may_act: task.leg.is_some() && holder_may_act,
        };
        let started = leg::start(
            &self.views[on.index()].seen,
            &held,
            &ask,
            &permit(),
            &self.now(),
        )?;
        let reattached = started.effect.reattached;
        Ok(Done::with(
            Answer::Started { reattached },
            vec![started.writes],
        ))
    }

    fn issue(&self, on: On, wanted: &Issued) -> Result<Done, Reason> {
        let number = StepNumber(wanted.step);
        let task = self.known(on)?;
        let held = Held::<AsPerformer>::check(task, self.hands.of(wanted.by))?;
        let step = u8::try_from(wanted.step).unwrap();
        let mut request = [0; 32];
        request[..3].copy_from_slice(&[wanted.by as u8, step, wanted.request]);
        let mut key = [0; 32];
        key[..2].copy_from_slice(&[step, wanted.arguments]);
        let ask = AskStep {
            leg: LegNumber(task.legs.0.max(1)),
            number,
            call: called(wanted.arguments).into(),
            idempotency_key: Digest(key),
            request: Digest(request),
            skip_unknown: None,
            jti: Jti([u8::try_from(task.fence.0).unwrap(); 16]),
        };
        let rows = self.rows(on, number, None);
        let issued = if is_sensitive(wanted.arguments) {
            self.with_consent(rows, on, &held, (&ask, wanted))?
        } else {
            step::issue(&rows, &held, &ask, &permit(), &self.now())?
        };
        Ok(match issued.effect {
            StepAsked::Issue { claims, .. } => {
                let retry = claims.operation.name() == "retry";
                Done {
                    token: Some(*claims),
                    ..Done::with(Answer::Token { retry }, vec![issued.writes])
                }
            }
            StepAsked::Repeat(state) => Done::with(Answer::Outcome(state), vec![issued.writes]),
            StepAsked::Pending { .. } => Done::with(Answer::Pending, vec![issued.writes]),
        })
    }

    fn check(&self, on: On, nth: usize, (by, with): (Hand, With)) -> Result<Done, Reason> {
        let mut token = present(self.store.token(self.world, on, nth).clone());
        let arguments = match with {
            With::OtherCall => Digest([0; 32]),
            With::OtherKey | With::Right => token.claims.arguments.unwrap(),
        };
        let call = ToolCall {
            arguments,
            tool: token.claims.tool.clone().unwrap(),
            ..called(1)
        };
        if with == With::OtherKey {
            token.certificate = Digest([0; 32]);
        }
        let step = token.claims.step.unwrap();
        let rows = self.rows(on, step, Some(token.claims.fence));
        let held = self.audience(&token, by)?;
        if rows.revocations.voids(&token.claims) {
            return Err(Reason::TokenVoid);
        }
        let context = (&permit(), &self.now());
        let checked = check::step(&rows, &held, &token, &call.into(), context)?;
        let answer = match checked.effect {
            StepChecked::Fresh(_) => Answer::Fresh,
            StepChecked::Repeat(state) => Answer::Outcome(state),
        };
        Ok(Done::with(answer, vec![checked.writes]))
    }

    fn audience(&self, token: &Presented, by: Hand) -> Result<Held<AsAudience>, Reason> {
        let row = Required {
            uid: Some(40),
            ..Required::default()
        };
        let audience = &token.claims.audience;
        let who = self.hands.of(by);
        Ok(Held::<AsAudience>::check(
            audience,
            Some(&row),
            Assurance::Svid,
            who,
        )?)
    }

    fn report(&self, on: On, nth: usize, by: Hand, outcome: Outcome) -> Result<Done, Reason> {
        let token = present(self.store.token(self.world, on, nth).clone());
        let rows = self.rows(on, token.claims.step.unwrap(), Some(token.claims.fence));
        let held = self.audience(&token, by)?;
        let reported = report::report(&rows, &held, token.claims.jti, outcome, &self.now())?;
        let answer = Answer::Outcome(reported.effect);
        Ok(Done::with(answer, vec![reported.writes]))
    }

    fn end(&self, on: On, by: Hand, how: end::LegEnding) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let held = Held::<AsPerformer>::check(task, self.hands.of(by))?;
        let leg = LegNumber(task.legs.0.max(1));
        end::end(task, &held, (leg, how), &permit(), &self.now()).map(state)
    }

    fn lose(&self, on: On) -> Done {
        let task = self.views[on.index()].seen.task.as_ref().unwrap();
        let lost = leg::lose(task, task.legs);
        Done::with(Answer::Nothing, vec![lost.writes])
    }

    fn finish(&self, on: On, (by, shown): (Hand, Shown), how: end::Ending) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let held = Held::<AsServer>::check(task, self.hands.of(by))?;
        let how = (how, fence(task, shown));
        end::finish(task, &held, how, &permit(), &self.now()).map(state)
    }

    fn require(&self, on: On, by: Hand, shown: Shown) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let held = Held::<AsServer>::check(task, self.hands.of(by))?;
        let ask = (["amount".to_owned()], fence(task, shown));
        let ask = (ask.0.as_slice(), ask.1);
        input::require(task, &held, ask, &permit(), &self.now()).map(state)
    }

    fn ask(&self, on: On, (by, path): (Hand, Path), want: Want) -> Result<Done, Reason> {
        let task = self.known(on)?;
        let held = Held::<AsOwnerPrincipalDue>::for_act(task, want.act(), self.hands.of(by))?;
        let ask = self.owner_ask(task);
        let issue = match want {
            Want::Cancel => ask::issue_cancel,
            Want::Query => ask::issue_query,
            Want::Update => ask::issue_update,
        };
        let issued = issue(self.seen(on), &held, &ask, &permit(), &self.now())?;
        let token = present(issued.effect);
        let record = issued.writes.records.first().cloned();
        let between = Lineage {
            task: issued.writes.task.clone().or_else(|| Some(task.clone())),
            record,
            ..self.views[on.index()].seen.clone()
        };
        let mut writes = vec![issued.writes];
        let caller = self.admit(path.caller());
        let answer = match caller.and_then(|()| self.ask_server(&between, &token, want, path)) {
            Ok(checked) => {
                writes.push(checked.writes);
                checked.effect
            }
            Err(reason) => reason.into(),
        };
        Ok(Done::with(answer, writes))
    }

    /// The owner's token at its server, or at whoever says that it is.
    fn ask_server(
        &self,
        rows: &Lineage,
        token: &Presented,
        want: Want,
        path: Path,
    ) -> Result<Transition<Answer>, Reason> {
        let task = rows.known(&self.now())?;
        // A delegate comes without a user.
        let owner = task.owner.workload.as_ref().map(|role| &role.spiffe_id);
        let for_user = self.store.setting.user && owner == Some(&token.claims.actor);
        let principal = match path {
            Path::AtAnother | Path::Right => Some(PRINCIPAL).filter(|_| for_user),
            Path::OtherPrincipal => Some(Digest([1; 32])),
        };
        let server = Held::<AsServer>::check(task, self.hands.of(path.caller()))?;
        let workload = Some(&token.claims.actor);
        // As the service asks: by the token's record, where it has one.
        let owner = match check::record(rows, token) {
            Some(record) => {
                let who = (&token.claims.actor, principal);
                Held::<AsOwner>::by_token(task, Some(want.act()), record, who)?
            }
            None => Held::<AsOwner>::for_act(task, want.act(), workload, principal)?,
        };
        let (roles, token, now) = ((&server, &owner), Some(token), self.now());
        let checked = match want {
            Want::Cancel => check::cancel(rows, roles, token, &permit(), &now)?,
            Want::Query => check::query(task, roles, token, &permit(), &now)?,
            Want::Update => check::update(rows, roles, token, &permit(), &now)?,
        };
        let effect = Answer::State(match checked.effect {
            OwnerChecked::Cancelled => handfast::domain::task::TaskState::Cancelled,
            OwnerChecked::Ended(state)
            | OwnerChecked::Ordered(_, state)
            | OwnerChecked::Read(state)
            | OwnerChecked::Updated(state) => state,
        });
        Ok(Transition {
            writes: checked.writes,
            effect,
        })
    }
}

/// What the oracle read out of a command that names something of the past.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    pub(super) nth: usize,
    /// The step that the task's newest request for consent is about.
    pub(super) request: StepNumber,
    pub(super) issued: Option<Issued>,
}

fn fence(task: &Task, shown: Shown) -> Option<Fence> {
    let current = task.leg.as_ref().map(|leg| leg.fence);
    match shown {
        Shown::Current => current,
        Shown::Nothing => None,
        Shown::Stale => Some(Fence(current.unwrap_or(task.fence).0 - 1)),
    }
}

fn state(transition: Transition<handfast::domain::task::TaskState>) -> Done {
    Done::with(Answer::State(transition.effect), vec![transition.writes])
}
