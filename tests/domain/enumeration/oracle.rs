//! What the design says that each command is answered, judged from the history alone.

use super::alphabet::{Command, Hand, HolderMayAct, On, Path, Shown, Token, Want};
use super::answer::{Answer, Expected};
use super::history::{Facts, Happened, History};
use super::steps::last_tokens;
use handfast::domain::decide::end::{Ending, LegEnding};
use handfast::domain::step::StepState;
use handfast::domain::task::TaskState;

/// A rule that the oracle gets wrong on purpose: the search must find the difference, as it would find it
/// if the real rule were wrong instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A twin without the evidence holds the role.
    BareTwinHolds,
    /// A used token is answered `fresh` again.
    FreshTwice,
    /// A deadline is not judged until somebody writes it down.
    DeadlineIgnored,
    /// A token is good past its end.
    ExpiryIgnored,
    /// A leg is pre-empted by whoever asks.
    LegPreempted,
    /// A dead ancestor is no dead child.
    OrphansLive,
    /// Taking up a leg again leaves its tokens as they are.
    ReattachKeepsTokens,
    /// A step whose outcome is unknown is retried blindly.
    UnknownRetried,
    /// A repeated request leaves two tokens of a step.
    TwoTokens,
    /// A task that waits for its owner gives out steps.
    WaitingStepsOn,
    /// Consent to one call of a step is consent to another.
    ConsentToAnything,
    /// Consent is used again, by a retry.
    ConsentTwice,
}

impl Flaw {
    pub(super) const ALL: [Self; 12] = [
        Self::BareTwinHolds,
        Self::FreshTwice,
        Self::DeadlineIgnored,
        Self::ExpiryIgnored,
        Self::LegPreempted,
        Self::OrphansLive,
        Self::ReattachKeepsTokens,
        Self::UnknownRetried,
        Self::TwoTokens,
        Self::WaitingStepsOn,
        Self::ConsentToAnything,
        Self::ConsentTwice,
    ];
}

/// What is expected of a command, and what will have happened if it is accepted.
pub(super) type Prediction = (Expected, Vec<Happened>);

/// The world as the history tells it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Oracle {
    pub(super) now: u64,
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
            setbacks,
            not_before,
            tasks: On::ALL.map(|on| history.facts(on, flaw)),
        }
    }

    pub(super) fn task(&self, on: On) -> &Facts {
        &self.tasks[on.index()]
    }

    /// `None` where the command cannot be given: it names a token or a step that never was.
    pub(super) fn predict(&self, command: Command, flaw: Option<Flaw>) -> Option<Prediction> {
        Some(match command {
            Command::Ask(by, on, want, path) => self.ask(on, (by, path), want),
            Command::Check(by, on, token, with) => {
                let nth = self.token(on, token)?;
                self.check(on, nth, (by, with), flaw)
            }
            Command::Decide(by, on, verdict, same) => self.decide(on, by, (verdict, same))?,
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
            Command::Restart => {
                let happened = vec![Happened::Restarted];
                (Expected::Only(Answer::Nothing), happened)
            }
            Command::Revoke(on) => self.cancelled(on),
            Command::Start(by, on, may_act) => self.start(on, by, may_act, flaw),
            Command::Sweep(_) | Command::Wait(_) => (Expected::Only(Answer::Nothing), Vec::new()),
        })
    }

    fn token(&self, on: On, token: Token) -> Option<usize> {
        let count = self.task(on).tokens.len();
        match token {
            Token::Newest => count.checked_sub(1),
            Token::Older => count.checked_sub(2),
        }
    }

    fn leg_over(&self, on: On) -> Vec<Happened> {
        let leg = self.task(on).leg;
        leg.map(|_| Happened::LegOver(on)).into_iter().collect()
    }

    fn start(&self, on: On, by: Hand, may_act: HolderMayAct, flaw: Option<Flaw>) -> Prediction {
        let task = self.task(on);
        if !performs(by, flaw) || task.forgotten {
            return unknown();
        }
        if let Some((_, how)) = task.end {
            return refused(name(how));
        }
        let mine = task.leg.is_some_and(|(holder, _)| holder == by);
        let taken = task.leg.is_some() && !mine && may_act && flaw != Some(Flaw::LegPreempted);
        if taken {
            return refused("held");
        }
        let reattached = mine && may_act;
        let mut happened = self.leg_over(on);
        if reattached {
            happened.clear();
        }
        happened.push(Happened::Started(on, by));
        (Expected::Only(Answer::Started { reattached }), happened)
    }

    fn end(&self, on: On, by: Hand, how: LegEnding) -> Prediction {
        let task = self.task(on);
        if !performs(by, None) || task.forgotten {
            return unknown();
        }
        if let Some((_, was)) = task.end {
            return match how {
                LegEnding::Task(ending) if ended(ending) == was => state(was),
                LegEnding::Task(_) | LegEnding::Yielded => refused(name(was)),
            };
        }
        match task.leg {
            Some((holder, false)) if holder == by => {}
            Some((holder, true)) if holder == by => return refused("reattach_first"),
            Some(_) | None => return refused("no_leg"),
        }
        let ending = match how {
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

    fn ask(&self, on: On, (by, path): (Hand, Path), want: Want) -> Prediction {
        let task = self.task(on);
        if by != Hand::Owner || task.forgotten {
            return unknown();
        }
        let mut happened = Vec::new();
        if want == Want::Update
            && let Some((_, was)) = task.end
        {
            return refused(name(was));
        }
        if task.end.is_none() {
            // The token itself is issued, and the task claimed, whatever `Check` says of it then.
            happened.push(Happened::Claimed(on));
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

pub(super) fn performs(by: Hand, flaw: Option<Flaw>) -> bool {
    match by {
        Hand::Second | Hand::Worker => true,
        Hand::Bare => flaw == Some(Flaw::BareTwinHolds),
        Hand::Approver | Hand::BareApprover | Hand::Owner | Hand::Server | Hand::Tool => false,
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
