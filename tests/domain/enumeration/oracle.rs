//! What the design says that each command is answered, judged from the history alone.

use super::alphabet::{Command, Hand, HolderMayAct, On, Path, Shown, Token, Want};
use super::answer::{Answer, Expected};
use super::flaw::Flaw;
use super::history::{Facts, Happened, History};
use super::spawned::Fan;
use super::steps::last_tokens;
use handfast::domain::decide::end::{Ending, LegEnding};
use handfast::domain::delegation::Act;
use handfast::domain::step::StepState;
use handfast::domain::task::TaskState;

/// What is expected of a command, and what will have happened if it is accepted.
pub(super) type Prediction = (Expected, Vec<Happened>);

/// The world as the history tells it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Oracle {
    pub(super) now: u64,
    pub(super) user: bool,
    /// SPIFFE IDs that may do nothing now.
    pub(super) revoked: Vec<&'static str>,
    pub(super) fan: Fan,
    /// Requests for consent in a row that came to nothing.
    pub(super) setbacks: u32,
    /// When the owner's next request may be made.
    pub(super) not_before: u64,
    pub(super) tasks: [Facts; 3],
}

impl Oracle {
    pub(super) fn of(history: &History, flaw: Option<Flaw>) -> Self {
        let (setbacks, not_before) = history.pause();
        Self {
            now: history.now,
            user: history.setting.user,
            revoked: history.revoked_ids(),
            fan: history.fan(),
            setbacks,
            not_before,
            tasks: On::ALL.map(|on| history.facts(on, flaw)),
        }
    }

    pub(super) fn task(&self, on: On) -> &Facts {
        &self.tasks[on.index()]
    }

    /// `None` where the command cannot be given: it names something that never was.
    pub(super) fn predict(&self, command: Command, flaw: Option<Flaw>) -> Option<Prediction> {
        let named = command.on().is_none_or(|on| self.task(on).born.is_some());
        if !named && !matches!(command, Command::Spend(..)) {
            return None;
        }
        let prediction = self.judge(command, flaw)?;
        let revoked = command.by().is_some_and(|by| self.is_revoked(by, flaw));
        Some(if revoked {
            refused("id_revoked")
        } else {
            prediction
        })
    }

    fn judge(&self, command: Command, flaw: Option<Flaw>) -> Option<Prediction> {
        Some(match command {
            Command::Ask(by, on, want, path) => self.ask(on, (by, path), want, flaw),
            Command::Check(by, on, token, with) => {
                let nth = self.token(on, token)?;
                self.check(on, nth, (by, with), flaw)
            }
            Command::Decide(by, on, verdict, same) => self.decide(on, by, (verdict, same))?,
            Command::Delegate(by, on, lend) => self.delegate(on, by, lend, flaw),
            Command::End(by, on, how) => self.end(on, by, how),
            Command::Finish(by, on, how, shown) => self.finish(on, (by, shown), how),
            Command::Issue(by, on, which) => {
                let issued = self.wanted(on, by, which)?;
                self.issue(on, issued, flaw)
            }
            Command::Lose(on) => (Expected::Only(Answer::Nothing), self.leg_over(on)),
            Command::Report(by, on, token, outcome) => {
                let nth = self.token(on, token)?;
                self.report(on, nth, by, outcome)
            }
            Command::Require(by, on, shown) => self.require(on, by, shown),
            Command::Resolve(by, on, word) => self.resolve(on, by, word),
            Command::Restart => {
                let happened = vec![Happened::Restarted];
                (Expected::Only(Answer::Nothing), happened)
            }
            Command::Revoke(on) => self.cancelled(on),
            Command::RevokeDelegation(by, on, nth) => {
                self.revoke_delegation(on, by, self.nth(on, nth)?, flaw)
            }
            Command::RevokeTree(on) => self.cancelled(on.parent().unwrap_or(on)),
            Command::Spawn(by, cut) => self.spawn(by, cut, flaw)?,
            Command::Spend(by, half) => self.spend(by, half, flaw)?,
            Command::Start(by, on, may_act) => self.start(on, by, may_act, flaw),
            Command::Sweep(_) | Command::Wait(_) => (Expected::Only(Answer::Nothing), Vec::new()),
            Command::Takeover(by, on) => self.take_over(on, by, flaw),
            Command::Wide(wide) => self.wide(wide),
        })
    }

    fn token(&self, on: On, token: Token) -> Option<usize> {
        let count = self.task(on).tokens.len();
        match token {
            Token::Newest => count.checked_sub(1),
            Token::Older => count.checked_sub(2),
        }
    }

    pub(super) fn leg_over(&self, on: On) -> Vec<Happened> {
        let leg = self.task(on).leg;
        leg.map(|_| Happened::LegOver(on)).into_iter().collect()
    }

    fn start(&self, on: On, by: Hand, may_act: HolderMayAct, flaw: Option<Flaw>) -> Prediction {
        let task = self.task(on);
        let Some(strength) = self.strength(on, by, Act::Perform, flaw) else {
            return unknown();
        };
        if task.forgotten {
            return unknown();
        }
        let mut objections = Vec::new();
        objections.extend(task.end.map(|(_, how)| name(how)));
        if self.is_barred(on, by) && flaw != Some(Flaw::BarredStarts) {
            objections.push("taken_over");
        }
        let kept = task.leg.filter(|leg| leg.holder == by && may_act);
        let others = task.leg.is_some_and(|leg| leg.holder != by);
        if others && may_act && flaw != Some(Flaw::LegPreempted) {
            objections.push("held");
        }
        let mut happened = self.leg_over(on);
        if kept.is_some() {
            happened.clear();
        }
        let lent = kept.map_or(strength.lent(), |leg| leg.lent);
        happened.push(Happened::Started(on, by, lent));
        let reattached = kept.is_some();
        unless(objections, Answer::Started { reattached }, happened)
    }

    fn end(&self, on: On, by: Hand, how: LegEnding) -> Prediction {
        let task = self.task(on);
        if self.strength(on, by, Act::Perform, None).is_none() || task.forgotten {
            return unknown();
        }
        if let Some((_, was)) = task.end {
            return match how {
                LegEnding::Task(ending) if ended(ending) == was => state(was),
                LegEnding::Task(_) | LegEnding::Yielded => refused(name(was)),
            };
        }
        match task.leg {
            Some(leg) if leg.holder == by && leg.suspended => return refused("reattach_first"),
            Some(leg) if leg.holder == by => {}
            Some(_) | None => return refused("no_leg"),
        }
        let lent = task.leg.and_then(|leg| leg.lent);
        let part = lent.is_some_and(|nth| task.delegations[nth].is_a_part());
        let ending = match how {
            LegEnding::Task(_) if part => return refused("grant"),
            LegEnding::Task(ending) => ending,
            LegEnding::Yielded => {
                let answer = Answer::State(self.running(on));
                return (Expected::Only(answer), self.leg_over(on));
            }
        };
        let mut objections = Vec::new();
        if ending == Ending::Completed {
            let states = last_tokens(&task.tokens).map(|token| token.state);
            objections.extend(states.filter_map(|state| match state {
                StepState::Used => Some("step_in_flight"),
                StepState::Unknown => Some("step_unknown"),
                _ => None,
            }));
        }
        let how = ended(ending);
        let happened = vec![Happened::Ended(on, how)];
        unless(objections, Answer::State(how), happened)
    }

    fn finish(&self, on: On, (by, shown): (Hand, Shown), how: Ending) -> Prediction {
        let task = self.task(on);
        if by != Hand::Server || task.forgotten {
            return unknown();
        }
        match task.end {
            Some((_, was)) if was == ended(how) => state(was),
            Some((_, was)) => refused(name(was)),
            None if task.leg.is_some() && shown != Shown::Current => refused("fence"),
            None => {
                let how = ended(how);
                let happened = vec![Happened::Ended(on, how)];
                (Expected::Only(Answer::State(how)), happened)
            }
        }
    }

    fn require(&self, on: On, by: Hand, shown: Shown) -> Prediction {
        let task = self.task(on);
        if by != Hand::Server || task.forgotten {
            return unknown();
        }
        match task.end {
            Some((_, was)) => refused(name(was)),
            None if task.leg.is_some() && shown != Shown::Current => refused("fence"),
            None => {
                let answer = Answer::State(TaskState::InputRequired);
                (Expected::Only(answer), vec![Happened::Required(on)])
            }
        }
    }

    fn running(&self, on: On) -> TaskState {
        state_of(self.task(on).waits || self.waits_for_person(on, None))
    }

    fn cancelled(&self, on: On) -> Prediction {
        if let Some((_, was)) = self.task(on).end {
            return state(was);
        }
        let cancelled = TaskState::Cancelled;
        let happened = vec![Happened::Ended(on, cancelled)];
        (Expected::Only(Answer::State(cancelled)), happened)
    }

    fn ask(&self, on: On, (by, path): (Hand, Path), want: Want, flaw: Option<Flaw>) -> Prediction {
        let task = self.task(on);
        let Some(strength) = self.strength(on, by, want.act(), flaw) else {
            return unknown();
        };
        if task.forgotten {
            return unknown();
        }
        let mut happened = Vec::new();
        if want == Want::Update {
            if let Some((_, was)) = task.end {
                return refused(name(was));
            }
            if self.unheard(on, (by, strength)) && flaw != Some(Flaw::BarredAnswers) {
                return refused("taken_over");
            }
        }
        if task.end.is_none() {
            // The token itself is issued, and the task claimed, whatever `Check` says of it then.
            happened.push(Happened::Claimed(on));
        }
        if self.is_revoked(path.caller(), flaw) {
            return (Expected::Only(Answer::Refused("id_revoked")), happened);
        }
        if path != Path::Right {
            return (Expected::Only(Answer::Unknown), happened);
        }
        let expected = match want {
            Want::Cancel => {
                let (expected, cancelled) = self.cancelled(on);
                happened.extend(cancelled);
                expected
            }
            Want::Query => {
                let state = task.end.map_or_else(|| self.running(on), |(_, how)| how);
                Expected::Only(Answer::State(state))
            }
            Want::Update => {
                if task.waits {
                    happened.push(Happened::Answered(on));
                }
                let waits = self.waits_for_person(on, None);
                Expected::Only(Answer::State(state_of(waits)))
            }
        };
        (expected, happened)
    }
}

pub(super) fn unknown() -> Prediction {
    (Expected::Only(Answer::Unknown), Vec::new())
}

/// The answer, unless something speaks against it: then nothing happens.
pub(super) fn unless(
    objections: Vec<&'static str>,
    answer: Answer,
    happened: Vec<Happened>,
) -> Prediction {
    if objections.is_empty() {
        (Expected::Only(answer), happened)
    } else {
        (Expected::Refused(objections), Vec::new())
    }
}

pub(super) fn refused(reason: &'static str) -> Prediction {
    (Expected::Refused(vec![reason]), Vec::new())
}

fn state(state: TaskState) -> Prediction {
    (Expected::Only(Answer::State(state)), Vec::new())
}

fn state_of(waits: bool) -> TaskState {
    if waits {
        TaskState::InputRequired
    } else {
        TaskState::Working
    }
}

fn ended(how: Ending) -> TaskState {
    match how {
        Ending::Completed => TaskState::Completed,
        Ending::Failed => TaskState::Failed,
    }
}

/// The reason that an ended task gives.
pub(super) fn name(how: TaskState) -> &'static str {
    match how {
        TaskState::Cancelled => "cancelled",
        TaskState::Completed => "completed",
        TaskState::Expired => "expired",
        TaskState::Failed => "failed",
        TaskState::InputRequired | TaskState::Working => "running",
    }
}
