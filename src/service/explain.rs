//! The true reason in words, for the operator: the rule, the evidence seen and what would change it.

use crate::domain::denial::Reason;
use crate::domain::evidence::{Evidence, Mismatch};
use crate::domain::role::NotHeld;
use crate::domain::task::Task;

const ALARM: &str = "a valid signature without a record behind it: if no ledger was restored, treat the agent's \
    key as stolen";
const CERTIFICATE: &str = "wrong key on this connection: the token is bound to another certificate";
const FEED_GAP: &str = "what ended since is forgotten, or this ledger (restored?) has not come so far, or has \
    another record there than the mark says";
const REVOKED_IDS: &str = "the limit limits.revoked_ids is reached: lifted IDs take a place until whatever they made \
    has ended and is forgotten (tasks.deadline_max and tasks.retention after the lift); raise it";
const REATTACH: &str = "the agent was restarted or its epoch was revoked: start again to take the \
    leg up";
const PERFORMER: &str = "a performer needs a [[workload]] row with a user or a cgroup, so that nobody else can \
    start first";
const STEP_IN_FLIGHT: &str = "another step, or this one for another request, is in flight";
const PRINCIPAL_DUE: &str = "the owner acts for a user, whom only the server can see: give the hand's `certificate`, \
    and have the server check the token that is the answer (`Check` for `update`)";
const STEP_UNKNOWN: &str = "nobody knows whether an earlier effect happened: its audience must report first, or its \
    owner settle it (`Legs.Resolve`). Policy may permit to go on past it (`skip_unknown`), and never to make the same \
    call under another number";

/// Explains a refusal.
pub(super) fn explain(reason: &Reason, task: Option<&Task>, evidence: &Evidence) -> String {
    match reason {
        Reason::Alarm => ALARM.to_owned(),
        Reason::AmbiguousIdentity => format!(
            "the caller has {} identities and not exactly one [[workload]] row: name one",
            evidence.spiffe_ids.len()
        ),
        Reason::ApprovalDecided
        | Reason::ApprovalDiffers
        | Reason::ApprovalLapsed
        | Reason::ApprovalPause { .. } => of_approval(reason).to_owned(),
        Reason::Budget(budget) => {
            format!("nothing is left of the grant's {budget}: no new step begins")
        }
        Reason::CallDiffers => "the tool was called with something else than the token says".into(),
        Reason::CallerRow(mismatch) => {
            let differs = differs(*mismatch);
            format!("the caller does not meet its own [[workload]] row: {differs}")
        }
        Reason::Certificate => CERTIFICATE.to_owned(),
        Reason::FeedGap => FEED_GAP.to_owned(),
        Reason::Fence => "a leg is up and another fence than its last start's was presented".into(),
        Reason::Grant => "neither the owner's grant nor the server's own permits this".to_owned(),
        Reason::Handle => "the handle is the name of another task, or is fixed already".to_owned(),
        Reason::Held { .. } => match task.and_then(|task| task.leg.as_ref()) {
            Some(leg) => format!(
                "leg {} is held by pid {}; it ends when that process exits, ends it, or is idle",
                leg.number.0, leg.holder.pid
            ),
            None => "another process holds the leg".to_owned(),
        },
        Reason::EpochRevoked | Reason::IdRevoked => revoked(reason).to_owned(),
        Reason::InputRequired => "the task waits for an answer before its next step".to_owned(),
        Reason::Limit("limits.revoked_ids") => REVOKED_IDS.to_owned(),
        Reason::Limit(limit) => format!("the limit {limit} is reached"),
        Reason::Narrowing { child, beyond } => more(*child, beyond.name()),
        Reason::NoLeg => "the caller has no live leg of this number: start one first".to_owned(),
        Reason::NotHeld(why) => not_held(*why, task, evidence),
        Reason::NotNarrower(unlent) => unlent.says().to_owned(),
        Reason::NotUnknown | Reason::PrincipalDue | Reason::TakenOver => of_handover(reason).into(),
        Reason::NotUsed => "the token was never used: there is nothing to report".to_owned(),
        Reason::OwnerAway => "its owner was not seen for `tasks.owner_seen_max`".to_owned(),
        Reason::OutcomeDiffers => "another outcome was reported first".to_owned(),
        Reason::Person(why) => format!("the person's ID token is not good: {why}"),
        Reason::PerformerUnknown => PERFORMER.to_owned(),
        Reason::Policy(explanation) => format!("policy: {explanation}"),
        Reason::ReattachFirst => REATTACH.to_owned(),
        Reason::RepeatDiffers => "a request of this name asked for something else".to_owned(),
        Reason::Spent => "a task was made of this child grant before".to_owned(),
        Reason::StepDiffers => "a used token of this step was for another call".to_owned(),
        Reason::StepInFlight => STEP_IN_FLIGHT.to_owned(),
        Reason::StepOutOfOrder => format!(
            "the next step is {}",
            task.map_or(1, |task| task.last_step.0.saturating_add(1))
        ),
        Reason::StepUnknown => STEP_UNKNOWN.to_owned(),
        Reason::Terminal(_) => format!("the task is {}, which is final", reason.name()),
        Reason::TokenExpired => "the token has expired".to_owned(),
        Reason::TokenInvalid(why) => format!("the token is not good here: {why}"),
        Reason::TokenVoid => "a newer token, the end of its leg or a restart voided it".to_owned(),
        Reason::Unknown => "no such task, name or record".to_owned(),
    }
}

fn more(child: Option<usize>, field: &str) -> String {
    let which = child.map_or_else(String::new, |index| format!("children[{index}]."));
    format!("{which}{field} asks for more than there is to give")
}

fn of_handover(reason: &Reason) -> &'static str {
    match reason.name() {
        "not_unknown" => "the step's outcome is known, or its effect may still be happening",
        "principal_due" => PRINCIPAL_DUE,
        _ => "the owner took the task over from this process; another may start",
    }
}

fn of_approval(reason: &Reason) -> &'static str {
    match reason.name() {
        "approval_decided" => "a person has decided before: the first decision counts",
        "approval_differs" => "the digest is not that of this request: the person saw another",
        "approval_pause" => {
            "earlier requests of this owner were refused or replaced: the pause doubles each time"
        }
        _ => "nobody decided in time, or the step was asked for with other content since",
    }
}

fn not_held(why: NotHeld, task: Option<&Task>, evidence: &Evidence) -> String {
    let caller: Vec<String> = evidence
        .spiffe_ids
        .iter()
        .map(ToString::to_string)
        .collect();
    let caller = caller.join(", ");
    match why {
        NotHeld::Evidence(Mismatch::Process) => {
            let roles = task
                .into_iter()
                .flat_map(|task| std::iter::once(&task.server).chain(&task.owner.workload));
            let holder = roles
                .filter(|role| evidence.spiffe_ids.contains(&role.spiffe_id))
                .find_map(|role| role.required.process);
            match holder {
                Some(process) => format!(
                    "{caller} has the ID, but the role is held by pid {}",
                    process.pid
                ),
                None => format!("{caller} has the ID, but is another process"),
            }
        }
        NotHeld::Evidence(mismatch) => {
            format!(
                "{caller} has the ID but not its evidence: {}",
                differs(mismatch)
            )
        }
        NotHeld::NoRole => format!("no role: {caller} is not named in the task for this"),
        NotHeld::NotApart => format!(
            "{caller} may be the hand of a party to this task: an approver needs another ID, another \
            process, and another user or cgroup than its owner, server and performers"
        ),
        NotHeld::NotLocal => {
            "the role needs a process on this node, or stronger assurance".to_owned()
        }
        NotHeld::Principal => "other principal than the task's".to_owned(),
    }
}

fn differs(mismatch: Mismatch) -> &'static str {
    match mismatch {
        Mismatch::Cgroup => "its cgroup differs",
        Mismatch::Executable => "its executable differs",
        Mismatch::Release => "its executable belongs to no such release",
        Mismatch::Process => "it is another process",
        Mismatch::Uid => "its user ID differs",
        Mismatch::Unbounded => "the row demands nothing that could be checked",
    }
}

fn revoked(reason: &Reason) -> &'static str {
    if *reason == Reason::IdRevoked {
        "every SPIFFE ID of the caller is revoked here: `handfast revoke lift` lets it act again"
    } else {
        "the running epoch was revoked: its successor begins now"
    }
}
