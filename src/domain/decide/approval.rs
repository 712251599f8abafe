//! Asking a person, the person's decision, and its one use.

use super::step::{self, AskStep, Ready, StepAsked};
use crate::domain::approval::{
    Account, Approval, ApprovalState, Decision, Matter, Sha256, Verdict, display,
};
use crate::domain::denial::Reason;
use crate::domain::event::CallerFacts;
use crate::domain::id::{ApprovalId, Digest, PrincipalHash, SpiffeId};
use crate::domain::input::Input;
use crate::domain::lineage::{Lineage, Now, Transition, Writes};
use crate::domain::policy::Permit;
use crate::domain::role::{AsApprover, AsPerformer, Held, NotHeld};
use crate::domain::step::StepState;
use crate::domain::task::Task;

/// A step for which policy wants a person's consent.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The step.
    pub ask: &'a AskStep,
    /// Its arguments in canonical form (RFC 8785).
    pub canonical: &'a str,
    /// The process that asks, as it was attested.
    pub asked_by: &'a CallerFacts,
    /// Names the request, if one is made.
    pub serial: [u8; 12],
    /// SHA-256.
    pub sha256: Sha256<'a>,
}

impl std::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted")
            .field("ask", &self.ask)
            .finish_non_exhaustive()
    }
}

/// How the matter stands.
#[derive(Clone, Copy, Debug)]
pub enum Standing<'a> {
    /// Nobody was asked about exactly this, or it is over: ask.
    Ask,
    /// A person has consented to exactly this.
    Granted(&'a Approval),
    /// A person is being asked about exactly this.
    Pending(&'a Approval),
    /// The step needs no token.
    Repeat(StepState),
}

/// How a step stands for which policy wants consent. Everything that would refuse the step itself comes first,
/// so that nobody is asked about what cannot be.
///
/// # Errors
/// As [`step::issue`].
pub fn standing<'a>(
    lineage: &'a Lineage,
    held: &Held<AsPerformer>,
    wanted: &Wanted<'_>,
    now: &Now<'_>,
) -> Result<Standing<'a>, Reason> {
    let ask = wanted.ask;
    let task = lineage.known(now)?;
    if let Ready::Repeat(state) = step::ready(lineage, held, ask, now)? {
        return Ok(Standing::Repeat(state));
    }
    // INVARIANT: what is shown is made of the very bytes that the call is digested from.
    if (wanted.sha256)(wanted.canonical.as_bytes()) != ask.call.call.arguments {
        return Err(Reason::CallDiffers);
    }
    let performer = performer(held)?;
    let Some(row) = lineage.approval.as_ref() else {
        return Ok(Standing::Ask);
    };
    // What is too long to be shown was not asked about.
    let same = display(wanted.canonical, now.limits.approval_text_bytes)
        .is_ok_and(|text| row.is_of(performer, &ask.call.call, &text, wanted.sha256));
    if (row.id.task, row.id.step) != (task.id, ask.number) || !same {
        return Ok(Standing::Ask);
    }
    let state = row.state_at(now.time, now.limits.use_within);
    Ok(match state {
        ApprovalState::Approved => Standing::Granted(row),
        // The reply with the token was lost, and no other use of it can be.
        ApprovalState::Used if lost_reply(task, row, ask, now) => Standing::Granted(row),
        ApprovalState::Open if waits_for(task, row.id) => Standing::Pending(row),
        ApprovalState::Lapsed
        | ApprovalState::Open
        | ApprovalState::Refused
        | ApprovalState::Used => Standing::Ask,
    })
}

fn performer(held: &Held<AsPerformer>) -> Result<&SpiffeId, Reason> {
    held.spiffe_id
        .as_ref()
        .ok_or(Reason::NotHeld(NotHeld::NoRole))
}

/// The same request again, while its first token is still unused: the new one takes that one's place.
fn lost_reply(task: &Task, row: &Approval, ask: &AskStep, now: &Now<'_>) -> bool {
    task.pending_at(now).is_some_and(|(step, state)| {
        state == StepState::Issued && Some(step.fence) == row.used_by && step.request == ask.request
    })
}

fn waits_for(task: &Task, approval: ApprovalId) -> bool {
    task.inputs
        .iter()
        .any(|input| matches!(input, Input::Approval { id, .. } if *id == approval))
}

/// Asks a person, in the same commit that makes the task wait for it. An earlier request about this step that
/// was about something else is void.
///
/// # Errors
/// [`Reason::ApprovalPause`] too soon after requests that came to nothing, [`Reason::InputRequired`] while the
/// task waits for something else, [`Reason::Limit`] for a text too long to be shown, or for too many requests.
pub fn open(
    lineage: &Lineage,
    held: &Held<AsPerformer>,
    wanted: &Wanted<'_>,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<StepAsked>, Reason> {
    let task = lineage.known(now)?;
    let ask = wanted.ask;
    let mut account = account(lineage, now);
    if !now.time.reached(account.not_before) {
        return Err(Reason::ApprovalPause {
            retry_after: account.not_before.since(now.time),
        });
    }
    let mut next = task.clone();
    next.wait_on(now.time, |input| match input {
        Input::Approval { id, .. } => id.step != ask.number,
        Input::Server(_) => true,
    });
    if !next.inputs.is_empty() {
        return Err(Reason::InputRequired);
    }
    let id = ApprovalId {
        task: task.id,
        step: ask.number,
        serial: wanted.serial,
    };
    account
        .open
        .retain(|open| (open.task, open.step) != (id.task, id.step));
    if account.open.len() >= now.limits.approvals_per_owner {
        return Err(Reason::Limit("limits.approvals_per_owner"));
    }
    // Replaced before it came to anything: the next one has to wait.
    if lineage.approval.as_ref().is_some_and(|earlier| {
        matches!(
            earlier.state_at(now.time, now.limits.use_within),
            ApprovalState::Approved | ApprovalState::Open
        )
    }) {
        account.set_back(now.time, now.limits.approval_pauses());
    }
    account.open.push(id);
    let row = requested(id, performer(held)?, wanted, (lineage, task), now)?;
    let decide_by = row.decide_by;
    next.wait_for(
        Input::Approval {
            id,
            until: decide_by,
        },
        now.time,
    );
    let writes = Writes {
        task: Some(next),
        approval: Some(row),
        account: Some(account),
        ..Writes::default()
    };
    Ok(Transition {
        writes,
        effect: StepAsked::Pending { id, decide_by },
    })
}

fn requested(
    id: ApprovalId,
    performer: &SpiffeId,
    wanted: &Wanted<'_>,
    (lineage, task): (&Lineage, &Task),
    now: &Now<'_>,
) -> Result<Approval, Reason> {
    let text = display(wanted.canonical, now.limits.approval_text_bytes)?;
    let decide_by = now.time.after(now.limits.decide_by).min(task.deadline);
    let call = &wanted.ask.call.call;
    let matter = Matter {
        id,
        performer,
        call,
        text: &text,
        decide_by,
    };
    Ok(Approval {
        id,
        performer: performer.clone(),
        asked_by: wanted.asked_by.clone(),
        call: call.clone(),
        authority: step::begun_under(lineage, task, id.step, &wanted.ask.call, now)?,
        opened_at: now.time,
        decide_by,
        digest: matter.digest(wanted.sha256),
        decision: None,
        used_by: None,
        text,
    })
}

/// The owner's account, without requests that are over: their tasks wait for them no more, or have ended.
fn account(lineage: &Lineage, now: &Now<'_>) -> Account {
    let mut account = lineage.account.clone().unwrap_or_default();
    account.open.retain(|id| {
        lineage.owing.iter().any(|task| {
            let open = |input: &Input| {
                input.is_open(now.time)
                    && matches!(input, Input::Approval { id: other, .. } if other == id)
            };
            task.id == id.task
                && !task.state_at(now.time).is_terminal()
                && task.inputs.iter().any(open)
        })
    });
    account
}

/// Issues the step's token and uses the consent up, in one commit.
///
/// # Errors
/// As [`step::issue`]; [`Reason::Unknown`] without consent.
pub fn consume(
    lineage: &Lineage,
    held: &Held<AsPerformer>,
    wanted: &Wanted<'_>,
    permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<StepAsked>, Reason> {
    let Standing::Granted(row) = standing(lineage, held, wanted, now)? else {
        return Err(Reason::Unknown);
    };
    let decided_at = row.decision.as_ref().map(|decision| decision.at);
    let until = decided_at.unwrap_or_default().after(now.limits.use_within);
    let mut issued = step::issue_until(lineage, held, wanted.ask, permit, (now, Some(until)))?;
    if let StepAsked::Issue { claims, .. } = &issued.effect {
        issued.writes.approval = Some(Approval {
            used_by: Some(claims.fence),
            ..row.clone()
        });
    }
    Ok(issued)
}

/// A person's decision.
#[derive(Clone, Debug)]
pub struct AskDecide {
    /// Which request.
    pub id: ApprovalId,
    /// The digest that the person saw.
    pub digest: Digest,
    /// Yes or no.
    pub verdict: Verdict,
    /// The process that brings it, as it was attested.
    pub brought_by: CallerFacts,
    /// `iss` of the person's ID token.
    pub issuer: String,
    /// Keyed digest of issuer and subject.
    pub person: PrincipalHash,
}

/// Records a person's decision: the first wins. The task no longer waits for it.
///
/// # Errors
/// [`Reason::Unknown`] for no such request, [`Reason::Terminal`] after the task's end,
/// [`Reason::ApprovalDiffers`] with another digest, [`Reason::ApprovalLapsed`] too late,
/// [`Reason::ApprovalDecided`] after another decision.
pub fn decide(
    lineage: &Lineage,
    held: &Held<AsApprover>,
    ask: &AskDecide,
    _permit: &Permit,
    now: &Now<'_>,
) -> Result<Transition<ApprovalState>, Reason> {
    let task = lineage.known(now)?;
    let row = lineage
        .approval
        .as_ref()
        .filter(|row| row.id == ask.id)
        .ok_or(Reason::Unknown)?;
    let approver = held
        .spiffe_id
        .clone()
        .ok_or(Reason::NotHeld(NotHeld::NoRole))?;
    if row.digest != ask.digest {
        return Err(Reason::ApprovalDiffers);
    }
    task.runnable(now.time)?;
    let state = row.state_at(now.time, now.limits.use_within);
    if let Some(before) = &row.decision {
        let same = before.verdict == ask.verdict && before.person == ask.person;
        return if same {
            Ok(Transition::unchanged(state))
        } else {
            Err(Reason::ApprovalDecided)
        };
    }
    if state != ApprovalState::Open || !waits_for(task, row.id) {
        return Err(Reason::ApprovalLapsed);
    }
    let decided = Approval {
        decision: Some(Decision {
            verdict: ask.verdict,
            at: now.time,
            approver,
            brought_by: ask.brought_by.clone(),
            issuer: ask.issuer.clone(),
            person: ask.person,
        }),
        ..row.clone()
    };
    let mut next = task.clone();
    next.wait_on(
        now.time,
        |input| !matches!(input, Input::Approval { id, .. } if *id == row.id),
    );
    let mut account = account(lineage, now);
    account.open.retain(|open| *open != row.id);
    match ask.verdict {
        Verdict::Approved => account.settle(),
        Verdict::Refused => account.set_back(now.time, now.limits.approval_pauses()),
    }
    let effect = decided.state_at(now.time, now.limits.use_within);
    let writes = Writes {
        task: Some(next),
        approval: Some(decided),
        account: Some(account),
        ..Writes::default()
    };
    Ok(Transition { writes, effect })
}
