//! What the history says of a person's consent, and what the design says of asking for it.

use super::alphabet::{Hand, On, SameDigest};
use super::answer::{Answer, Expected};
use super::flaw::Flaw;
use super::history::{Happened, History, Issued};
use super::oracle::{Oracle, Prediction, name, unknown, unless};
use super::steps::{newest, same_request};
use handfast::domain::approval::{ApprovalState, Verdict};
use handfast::domain::step::StepState;

/// In milliseconds; set on the real side too.
pub(super) const DECIDE_BY: u64 = 200_000;
pub(super) const USE_WITHIN: u64 = 25_000;
pub(super) const PAUSE: u64 = 10_000;

/// What the history says of a request for consent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Request {
    pub(super) step: u32,
    pub(super) arguments: u8,
    pub(super) state: ApprovalState,
    pub(super) verdict: Option<Verdict>,
    /// A newer request about the step took its place, or the step went on without consent.
    pub(super) replaced: bool,
    /// Until when it may be decided or, once it is approved, be used.
    pub(super) until: u64,
    /// The token that it was used for.
    pub(super) used_by: Option<usize>,
}

impl History {
    /// Every request for consent about a task, in order.
    pub(super) fn requests(&self, on: On) -> Vec<Request> {
        let all = self.events.iter().enumerate();
        let asked = all.filter_map(|(place, (at, what))| match what {
            Happened::Requested(task, step, arguments) if *task == on => {
                Some((place, *at, (*step, *arguments)))
            }
            _ => None,
        });
        let asked = asked.enumerate();
        asked
            .map(|(nth, asked)| self.request(on, nth, asked))
            .collect()
    }

    fn request(
        &self,
        on: On,
        nth: usize,
        (place, at, (step, arguments)): (usize, u64, (u32, u8)),
    ) -> Request {
        let after = &self.events[place + 1..];
        let decided = after.iter().find_map(|(at, what)| match what {
            Happened::Decided(task, which, verdict) if (*task, *which) == (on, nth) => {
                Some((*at, *verdict))
            }
            _ => None,
        });
        let used_by = after.iter().rev().find_map(|(_, what)| match what {
            Happened::Consumed(task, which, token) if (*task, *which) == (on, nth) => Some(*token),
            _ => None,
        });
        let replaced = after.iter().any(|(_, what)| {
            matches!(what, Happened::Requested(task, other, _) if (*task, *other) == (on, step))
        });
        // The step was issued after all, without consent.
        let open = after.iter().take_while(|(_, what)| {
            !matches!(what, Happened::Decided(task, which, _) if (*task, *which) == (on, nth))
        });
        let mut open = open.take_while(|(when, _)| *when < (at + DECIDE_BY).min(self.deadline(on)));
        let withdrawn = open.any(|(_, what)| {
            matches!(what, Happened::Issued(task, issued) if (*task, issued.step) == (on, step))
        });
        let until = match decided {
            Some((at, _)) => at + USE_WITHIN,
            None => (at + DECIDE_BY).min(self.deadline(on)),
        };
        let state = match decided {
            _ if used_by.is_some() => ApprovalState::Used,
            Some((_, Verdict::Refused)) => ApprovalState::Refused,
            _ if self.now >= until => ApprovalState::Lapsed,
            Some((_, Verdict::Approved)) => ApprovalState::Approved,
            None => ApprovalState::Open,
        };
        Request {
            step,
            arguments,
            state,
            verdict: decided.map(|(_, verdict)| verdict),
            replaced: replaced || withdrawn,
            until,
            used_by,
        }
    }

    /// Until when the consent is good for which a token was issued.
    pub(super) fn consent_behind(&self, on: On, token: usize) -> Option<u64> {
        let nth = self.events.iter().find_map(|(_, what)| match what {
            Happened::Consumed(task, nth, other) if (*task, *other) == (on, token) => Some(*nth),
            _ => None,
        })?;
        let decided = self.events.iter().find_map(|(at, what)| match what {
            Happened::Decided(task, which, _) if (*task, *which) == (on, nth) => Some(*at),
            _ => None,
        });
        decided.map(|at| at + USE_WITHIN)
    }

    /// How many requests in a row came to nothing, and before when the owner's next one is refused.
    pub(super) fn pause(&self) -> (u32, u64) {
        let (mut setbacks, mut not_before) = (0, 0);
        for (place, (at, what)) in self.events.iter().enumerate() {
            let set_back = match what {
                Happened::Decided(_, _, Verdict::Approved) => {
                    (setbacks, not_before) = (0, 0);
                    false
                }
                Happened::Decided(_, _, Verdict::Refused) => true,
                Happened::Requested(on, step, _) => {
                    let before = self.until(place).requests(*on);
                    let mut same = before.iter().rev().filter(|it| it.step == *step);
                    same.next().is_some_and(|earlier| {
                        matches!(earlier.state, ApprovalState::Approved | ApprovalState::Open)
                    })
                }
                _ => false,
            };
            if set_back {
                not_before = at + PAUSE * 2_u64.pow(setbacks);
                setbacks += 1;
            }
        }
        (setbacks, not_before)
    }
}

/// Whether policy wants consent to a call with these arguments.
pub(super) fn is_sensitive(arguments: u8) -> bool {
    matches!(arguments, 2 | 3)
}

impl Oracle {
    /// Whether the task waits for a person, but for one that was asked about this step.
    pub(super) fn waits_for_person(&self, on: On, but: Option<u32>) -> bool {
        let task = self.task(on);
        let mut requests = task.requests.iter();
        task.end.is_none()
            && requests
                .any(|it| it.state == ApprovalState::Open && !it.replaced && Some(it.step) != but)
    }

    /// A step to which nothing but a person's consent is missing.
    pub(super) fn consent(
        &self,
        on: On,
        (ask, retry): (Issued, bool),
        flaw: Option<Flaw>,
    ) -> Prediction {
        let task = self.task(on);
        let numbered = task.requests.iter().enumerate().rev();
        let mut same_step = numbered.filter(|(_, it)| it.step == ask.step);
        let newest_request = same_step.next();
        let latest = newest_request.filter(|(_, it)| {
            it.arguments == ask.arguments || flaw == Some(Flaw::ConsentToAnything)
        });
        let before = newest(&task.tokens, ask.step);
        if let Some((nth, request)) = latest {
            let lost = request.used_by == task.tokens.len().checked_sub(1)
                && before.is_some_and(|token| token.state == StepState::Issued)
                && same_request(before, &ask);
            let again = lost || flaw == Some(Flaw::ConsentTwice);
            match request.state {
                ApprovalState::Open if request.replaced => {}
                ApprovalState::Open => return (Expected::Only(Answer::Pending), Vec::new()),
                ApprovalState::Used if !again => {}
                ApprovalState::Approved | ApprovalState::Used => {
                    let waits = task.waits || self.waits_for_person(on, None);
                    let objections = waits.then_some("input_required").into_iter().collect();
                    let happened = vec![
                        Happened::Issued(on, ask),
                        Happened::Consumed(on, nth, task.tokens.len()),
                    ];
                    return unless(objections, Answer::Token { retry }, happened);
                }
                ApprovalState::Lapsed | ApprovalState::Refused => {}
            }
        }
        let mut objections = Vec::new();
        if self.now < self.not_before {
            objections.push("approval_pause");
        }
        if task.waits || self.waits_for_person(on, Some(ask.step)) {
            objections.push("input_required");
        }
        let happened = vec![Happened::Requested(on, ask.step, ask.arguments)];
        unless(objections, Answer::Pending, happened)
    }

    /// A person's word on the task's newest request.
    pub(super) fn decide(
        &self,
        on: On,
        by: Hand,
        (verdict, same): (Verdict, SameDigest),
    ) -> Option<Prediction> {
        let task = self.task(on);
        let nth = task.requests.len().checked_sub(1)?;
        let request = &task.requests[nth];
        if by != Hand::Approver || task.forgotten {
            return Some(unknown());
        }
        let mut objections = Vec::new();
        if !same {
            objections.push("approval_differs");
        }
        objections.extend(task.end.map(|(_, how)| name(how)));
        let (state, happened) = match (request.verdict, verdict) {
            (Some(before), now) if before == now => (request.state, Vec::new()),
            (Some(_), _) => {
                objections.push("approval_decided");
                (request.state, Vec::new())
            }
            (None, _) => {
                if request.state != ApprovalState::Open || request.replaced {
                    objections.push("approval_lapsed");
                }
                let state = match verdict {
                    Verdict::Approved => ApprovalState::Approved,
                    Verdict::Refused => ApprovalState::Refused,
                };
                (state, vec![Happened::Decided(on, nth, verdict)])
            }
        };
        Some(unless(objections, Answer::Consent(state), happened))
    }
}
