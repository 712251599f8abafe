//! What the design says of a step and its tokens.

use super::alphabet::{Hand, On, Which, With};
use super::answer::{Answer, Expected};
use super::consents::is_sensitive;
use super::flaw::Flaw;
use super::history::{Happened, Issued, TokenFacts};
use super::oracle::{Oracle, Prediction, name, refused, unknown, unless};
use crate::fixture::call;
use handfast::domain::decide::report::Outcome;
use handfast::domain::delegation::Act;
use handfast::domain::grant::ToolCall;
use handfast::domain::step::StepState;

/// Arguments of a call that the server added of its own.
pub(super) const SERVERS: u8 = 9;
/// Arguments of a call that a limited delegation does not lend.
const UNLENT: u8 = 8;

impl Oracle {
    /// The step that is asked for.
    pub(super) fn wanted(&self, on: On, by: Hand, which: Which) -> Option<Issued> {
        let tokens = &self.task(on).tokens;
        let last = tokens.iter().map(|token| token.issued.step).max();
        let step = match which {
            Which::Next
            | Which::Sensitive
            | Which::SensitiveOther
            | Which::Servers
            | Which::Unlent => last.unwrap_or_default() + 1,
            Which::Gap => last.unwrap_or_default() + 2,
            Which::Again | Which::Altered | Which::Anew => last?,
            Which::Earlier => last?.checked_sub(1).filter(|step| *step > 0)?,
        };
        let before = newest(tokens, step).map(|token| &token.issued);
        let (arguments, request) = before.map_or((1, 0), |it| (it.arguments, it.request));
        Some(Issued {
            by,
            step,
            arguments: match which {
                Which::Altered => {
                    if arguments == 1 {
                        2
                    } else {
                        1
                    }
                }
                Which::Sensitive => 2,
                Which::SensitiveOther => 3,
                Which::Servers => SERVERS,
                Which::Unlent => UNLENT,
                Which::Again | Which::Anew | Which::Earlier | Which::Gap | Which::Next => arguments,
            },
            request: match which {
                Which::Again | Which::Gap | Which::Next => request,
                Which::Altered | Which::Anew | Which::Earlier => request + 1,
                Which::Sensitive => 70,
                Which::SensitiveOther => 80,
                Which::Servers => 90,
                Which::Unlent => 100,
            },
        })
    }

    pub(super) fn issue(&self, on: On, ask: Issued, flaw: Option<Flaw>) -> Prediction {
        let task = self.task(on);
        if self.strength(on, ask.by, Act::Perform, flaw).is_none() || task.forgotten {
            return unknown();
        }
        if let Some((_, how)) = task.end {
            return refused(name(how));
        }
        let lent = match task.leg {
            Some(leg) if leg.holder == ask.by => {
                if leg.suspended {
                    return refused("reattach_first");
                }
                leg.lent
            }
            Some(_) | None => return refused("no_leg"),
        };
        let tokens = &task.tokens;
        let mut objections = Vec::new();
        if !self.lends(on, lent, &ask) && flaw != Some(Flaw::AllIsLent) {
            objections.push("grant");
        }
        let last = tokens.iter().map(|token| token.issued.step).max();
        if ask.step > last.unwrap_or_default() + 1 {
            objections.push("step_out_of_order");
        }
        let used = tokens.iter().filter(|token| token.used);
        let used = used.filter(|token| token.issued.step == ask.step);
        let retry = used.clone().next().is_some();
        if used.clone().any(|it| it.issued.arguments != ask.arguments) {
            objections.push("step_differs");
        }
        let before = newest(tokens, ask.step);
        match before.map(|token| token.state) {
            Some(state @ (StepState::Done | StepState::Used)) => {
                return unless(objections, Answer::Outcome(state), Vec::new());
            }
            Some(StepState::Unknown) if flaw != Some(Flaw::UnknownRetried) => {
                objections.push("step_unknown");
            }
            Some(StepState::Issued) if !same_request(before, &ask) => {
                objections.push("step_in_flight");
            }
            _ => {}
        }
        objections.extend(busy(tokens, ask.step));
        if is_sensitive(ask.arguments) {
            if !objections.is_empty() {
                return unless(objections, Answer::Pending, Vec::new());
            }
            return self.consent(on, (ask, retry), flaw);
        }
        // What a person is still asked about this very step is of no account: it needs no consent.
        let waits = task.waits || self.waits_for_person(on, Some(ask.step));
        if waits && flaw != Some(Flaw::WaitingStepsOn) {
            objections.push("input_required");
        }
        if before.is_none() && task.uses_left == Some(0) {
            objections.push("budget");
        }
        let answer = Answer::Token { retry };
        let happened = vec![Happened::Issued(on, ask)];
        unless(objections, answer, happened)
    }

    pub(super) fn check(
        &self,
        on: On,
        nth: usize,
        (by, with): (Hand, With),
        flaw: Option<Flaw>,
    ) -> Prediction {
        let task = self.task(on);
        let token = &task.tokens[nth];
        if by != Hand::Tool {
            return unknown();
        }
        let mut objections = Vec::new();
        match with {
            With::OtherCall => objections.push("call_differs"),
            With::OtherKey => objections.push("wrong_key"),
            With::Right => {}
        }
        if token.epoch_over {
            objections.push("token_invalid");
        }
        // Also of a used one: whoever got it is heard no more.
        if token.epoch_revoked || self.is_revoked(token.issued.by, None) {
            objections.push("token_void");
        }
        if self.now >= token.expires && flaw != Some(Flaw::ExpiryIgnored) {
            objections.push("token_expired");
        }
        objections.extend(task.end.map(|(_, how)| name(how)));
        if token.state == StepState::Void {
            objections.push("token_void");
        }
        let fresh = !token.used || flaw == Some(Flaw::FreshTwice);
        let (answer, happened) = if fresh {
            (Answer::Fresh, vec![Happened::Used(on, nth)])
        } else {
            (Answer::Outcome(token.state), Vec::new())
        };
        unless(objections, answer, happened)
    }

    pub(super) fn report(&self, on: On, nth: usize, by: Hand, outcome: Outcome) -> Prediction {
        let task = self.task(on);
        let token = &task.tokens[nth];
        if by != Hand::Tool || task.forgotten {
            return unknown();
        }
        if !token.used {
            return refused("not_used");
        }
        let said = match outcome {
            Outcome::Done => StepState::Done,
            Outcome::NotDone => StepState::NotDone,
            Outcome::Unknown => StepState::Unknown,
        };
        let open = matches!(token.state, StepState::Used | StepState::Unknown);
        if !open && token.state != said {
            return refused("outcome_differs");
        }
        let mut happened = Vec::new();
        if token.state != said {
            happened.push(Happened::Reported(on, nth, outcome));
        }
        (Expected::Only(Answer::Outcome(said)), happened)
    }
}

pub(super) fn newest(tokens: &[TokenFacts], step: u32) -> Option<&TokenFacts> {
    tokens.iter().rev().find(|it| it.issued.step == step)
}

/// The newest token of every step.
pub(super) fn last_tokens(tokens: &[TokenFacts]) -> impl Iterator<Item = &TokenFacts> {
    let newer = |token: &&TokenFacts| newest(tokens, token.issued.step) == Some(*token);
    tokens.iter().filter(newer)
}

pub(super) fn same_request(before: Option<&TokenFacts>, ask: &Issued) -> bool {
    before.is_some_and(|token| (token.issued.by, token.issued.request) == (ask.by, ask.request))
}

/// Why no other step than this may be begun: one is in flight, or nobody knows how one ended.
fn busy(tokens: &[TokenFacts], step: u32) -> impl Iterator<Item = &'static str> {
    let others = last_tokens(tokens).filter(move |token| token.issued.step != step);
    others.filter_map(|token| match token.state {
        StepState::Issued | StepState::Used => Some("step_in_flight"),
        StepState::Unknown => Some("step_unknown"),
        StepState::Done | StepState::NotDone | StepState::Void => None,
    })
}

/// The call with these arguments, which are a number.
pub(super) fn called(arguments: u8) -> ToolCall {
    let first = call(0);
    let tool = if arguments == SERVERS {
        "move".to_owned()
    } else {
        first.tool
    };
    ToolCall {
        tool,
        arguments: handfast::canonical::sha256(arguments.to_string().as_bytes()),
        ..call(0)
    }
}
