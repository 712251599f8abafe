//! Keys of the one table: a byte for the kind, then what names the row, in the order of its bytes.
//!
//! One table, because every further one costs a commit tens of microseconds. Rows of a task sort by
//! its time-ordered identifier, so that new ones land at the end of the tree.

use crate::domain::id::{ApprovalId, Digest, Fence, RecordNumber, SpiffeId, StepNumber, TaskId};
use crate::domain::role::Owner;
use crate::domain::time::Time;

/// Version of the rows' layout, and of these keys.
pub(super) const SCHEMA: &[u8] = b"\x00schema";
/// The counter of runs.
pub(super) const EPOCH: &[u8] = b"\x00epoch";
/// What is revoked.
pub(super) const REVOCATIONS: &[u8] = b"\x00revocations";
/// The newest ending that is kept no longer, by its record.
pub(super) const ENDINGS_FORGOTTEN: &[u8] = b"\x00endings_forgotten";
/// The end of the audit chain.
pub(super) const HEAD: &[u8] = b"\x00head";

const TASK: u8 = 1;
const TERMS: u8 = 2;
const STEP: u8 = 3;
const RECORD: u8 = 4;
const NAME: u8 = 5;
const REQUEST: u8 = 6;
const AUDIT: u8 = 7;
const REQUEST_OF: u8 = 8;
const UNUSED: u8 = 9;
const NAME_OF: u8 = 10;
const LIVE: u8 = 11;
const LIVE_OF: u8 = 12;
const ENDED: u8 = 13;
const ENDING: u8 = 14;
const AUDIENCE: u8 = 15;
const APPROVAL: u8 = 20;
const OPEN_APPROVAL: u8 = 21;
const ACCOUNT: u8 = 22;
const CHILD: u8 = 30;
const SPAWNED: u8 = 31;

/// Names no task: what is read in place of one that is absent.
pub(super) const ABSENT: TaskId = TaskId([0xff; 16]);

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

pub(super) fn task(id: TaskId) -> Vec<u8> {
    key(TASK, &[&id.0])
}

pub(super) fn terms(id: TaskId) -> Vec<u8> {
    key(TERMS, &[&id.0])
}

pub(super) fn step(id: TaskId, number: StepNumber) -> Vec<u8> {
    key(STEP, &[&id.0, &number.0.to_be_bytes()])
}

pub(super) fn record(id: TaskId, fence: Fence) -> Vec<u8> {
    key(RECORD, &[&id.0, &fence.0.to_be_bytes()])
}

pub(super) fn name(name: Digest) -> Vec<u8> {
    key(NAME, &[&name.0])
}

pub(super) fn request(request: Digest) -> Vec<u8> {
    key(REQUEST, &[&request.0])
}

pub(super) fn audit(number: RecordNumber) -> Vec<u8> {
    key(AUDIT, &[&number.0.to_be_bytes()])
}

/// The newest request for approval of a step.
pub(super) fn approval(id: TaskId, number: StepNumber) -> Vec<u8> {
    key(APPROVAL, &[&id.0, &number.0.to_be_bytes()])
}

/// Says that a task waits for this decision.
pub(super) fn open_approval(id: ApprovalId) -> Vec<u8> {
    key(OPEN_APPROVAL, &[&id.bytes()])
}

/// Every decision that some task waits for, after this one.
pub(super) fn open_approvals_after(after: Option<ApprovalId>) -> (Vec<u8>, Vec<u8>) {
    let from = match after {
        Some(id) => key(OPEN_APPROVAL, &[&id.bytes(), &[0]]),
        None => vec![OPEN_APPROVAL],
    };
    (from, vec![OPEN_APPROVAL.saturating_add(1)])
}

/// The request in the key of an open one.
pub(super) fn open_approval_id(key: &[u8]) -> Option<ApprovalId> {
    let bytes: &[u8; 32] = key.get(1..)?.try_into().ok()?;
    Some(ApprovalId::from_bytes(bytes))
}

/// What an owner has asked of people.
pub(super) fn account(owner: &Owner) -> Vec<u8> {
    of_owner(ACCOUNT, owner)
}

/// How many tasks of an owner have not ended.
pub(super) fn live_of(owner: &Owner) -> Vec<u8> {
    of_owner(LIVE_OF, owner)
}

/// An owner's: its principal, or zeros, and then its workload, if it has one.
fn of_owner(kind: u8, owner: &Owner) -> Vec<u8> {
    let principal = owner.principal.unwrap_or(Digest([0; 32]));
    let workload = owner.workload.as_ref();
    let workload = workload.map(|role| role.spiffe_id.to_string());
    key(
        kind,
        &[&principal.0, workload.unwrap_or_default().as_bytes()],
    )
}

/// Leads from a task back to the requests that made it, so that they can be forgotten with it.
pub(super) fn request_of(id: TaskId, request: Digest) -> Vec<u8> {
    key(REQUEST_OF, &[&id.0, &request.0])
}

/// Leads from a task back to every name that it ever had, so that they can be forgotten with it.
pub(super) fn name_of(id: TaskId, name: Digest) -> Vec<u8> {
    key(NAME_OF, &[&id.0, &name.0])
}

/// Orders unused create terms by their end.
pub(super) fn unused(ends: Time, id: TaskId) -> Vec<u8> {
    key(UNUSED, &[&ends.0.to_be_bytes(), &id.0])
}

/// Lists a task that has not ended, as written.
pub(super) fn live(id: TaskId) -> Vec<u8> {
    key(LIVE, &[&id.0])
}

/// Orders ended tasks by their end.
pub(super) fn ended(at: Time, id: TaskId) -> Vec<u8> {
    key(ENDED, &[&at.0.to_be_bytes(), &id.0])
}

/// The child grant that this task is, or would be, made of.
pub(super) fn child(id: TaskId) -> Vec<u8> {
    key(CHILD, &[&id.0])
}

/// What a request spawned from this task.
pub(super) fn spawned(parent: TaskId, request: Digest) -> Vec<u8> {
    key(SPAWNED, &[&parent.0, &request.0])
}

/// The range that holds what was spawned from this task.
pub(super) fn spawned_from(parent: TaskId) -> (Vec<u8>, Vec<u8>) {
    (
        key(SPAWNED, &[&parent.0]),
        key(SPAWNED, &[&parent.0, &[0xff_u8; 33]]),
    )
}

/// Every task row after this task, or every one.
pub(super) fn tasks_after(after: Option<TaskId>) -> (Vec<u8>, Vec<u8>) {
    after_task(TASK, after)
}

/// The list of tasks that have not ended, after this task or from the first.
pub(super) fn live_after(after: Option<TaskId>) -> (Vec<u8>, Vec<u8>) {
    after_task(LIVE, after)
}

fn after_task(kind: u8, after: Option<TaskId>) -> (Vec<u8>, Vec<u8>) {
    let from = match after {
        // The least key that is greater than the task's own.
        Some(id) => key(kind, &[&id.0, &[0]]),
        None => vec![kind],
    };
    (from, vec![kind.saturating_add(1)])
}

/// Every audit record from this one on.
pub(super) fn audit_from(number: RecordNumber) -> (Vec<u8>, Vec<u8>) {
    (audit(number), vec![AUDIT.saturating_add(1)])
}

/// Every entry of unused create terms that ended before this time.
pub(super) fn unused_before(before: Time) -> (Vec<u8>, Vec<u8>) {
    (vec![UNUSED], key(UNUSED, &[&before.0.to_be_bytes()]))
}

/// What the commit with this audit record ended.
pub(super) fn ending(number: RecordNumber) -> Vec<u8> {
    key(ENDING, &[&number.0.to_be_bytes()])
}

/// Every ending after this audit record.
pub(super) fn endings_after(number: RecordNumber) -> (Vec<u8>, Vec<u8>) {
    let from = ending(RecordNumber(number.0.saturating_add(1)));
    (from, vec![ENDING.saturating_add(1)])
}

/// Says that a step's token of this task was issued for this audience.
pub(super) fn audience(id: TaskId, audience: &SpiffeId) -> Vec<u8> {
    key(AUDIENCE, &[&id.0, audience.to_string().as_bytes()])
}

/// Every entry of a task that ended at this time or before.
pub(super) fn ended_by(at: Time) -> (Vec<u8>, Vec<u8>) {
    let after = at.0.saturating_add(1);
    (vec![ENDED], key(ENDED, &[&after.to_be_bytes()]))
}

/// The ranges that hold a task's steps, token records and their audiences, requests, names and approvals.
pub(super) fn belongings(id: TaskId) -> [(Vec<u8>, Vec<u8>); 7] {
    // One byte longer than the longest key of its kind, or greater than any letter of a SPIFFE ID, so nothing of the
    // task sorts after it.
    [
        STEP,
        RECORD,
        AUDIENCE,
        REQUEST_OF,
        NAME_OF,
        APPROVAL,
        OPEN_APPROVAL,
    ]
    .map(|kind| (key(kind, &[&id.0]), key(kind, &[&id.0, &[0xff_u8; 33]])))
}

/// The record number in the key of an audit record, or of an ending.
pub(super) fn audit_number(key: &[u8]) -> Option<RecordNumber> {
    let bytes = key.get(1..)?.first_chunk::<8>()?;
    (key.len() == 9).then(|| RecordNumber(u64::from_be_bytes(*bytes)))
}

/// The task in the key of an entry of the tasks that have not ended.
pub(super) fn live_task(key: &[u8]) -> Option<TaskId> {
    key.get(1..)?.try_into().ok().map(TaskId)
}

/// The task in the key of an entry of unused create terms, or of ended tasks.
pub(super) fn timed_task(key: &[u8]) -> Option<TaskId> {
    key.get(9..)?.try_into().ok().map(TaskId)
}

/// The row that finds a task by a request or a name, from the key that leads from the task back to it.
pub(super) fn led_to(key: &[u8]) -> Option<Vec<u8>> {
    let digest = || key.get(17..)?.try_into().ok().map(Digest);
    match *key.first()? {
        REQUEST_OF => digest().map(request),
        NAME_OF => digest().map(name),
        _ => None,
    }
}
