//! From what a decision writes to rows put and removed.
//!
//! Everything that can be refused is refused here, before the first row of the work is touched: works
//! share a transaction, and one of them must not leave half of itself behind.

use super::keys;
use super::rows::Row;
use super::store::{ReadError, Rows, read, read_counter, read_task_id};
use crate::domain::approval::{Account, Approval};
use crate::domain::child::{ChildGrant, Spawned};
use crate::domain::id::{ApprovalId, Digest, TaskId};
use crate::domain::input::Input;
use crate::domain::lineage::{CreateTerms, Lineage, Writes};
use crate::domain::revocation::Revocations;
use crate::domain::step::TokenRecord;
use crate::domain::task::Task;
use crate::domain::time::Time;

/// One row to put, or to remove.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Its key.
    pub key: Vec<u8>,
    /// Its new bytes; `None` removes it.
    pub value: Option<Vec<u8>>,
}

pub(super) fn put(key: Vec<u8>, value: Vec<u8>) -> Change {
    Change {
        key,
        value: Some(value),
    }
}

pub(super) fn remove(key: Vec<u8>) -> Change {
    Change { key, value: None }
}

/// The changes of one decision, on the rows that it read.
///
/// # Errors
/// [`ReadError::Corrupt`] where the writes do not fit the rows: a name would belong to two tasks, or
/// rows have no task.
pub(super) fn of_writes(
    table: &impl Rows,
    lineage: &Lineage,
    writes: &Writes,
) -> Result<Vec<Change>, ReadError> {
    let Writes {
        task,
        terms,
        steps,
        records,
        children,
        spawned,
        bind,
        request,
        approval,
        account,
        revocations,
        ending: _, // by the number of its record, which is given last
    } = writes;
    let of_task = task.as_ref().map(|task| task.id);
    let written = of_task.or_else(|| terms.as_ref().map(|terms| terms.task));
    if let (Some(written), Some(read)) = (written, lineage.id)
        && written != read
    {
        return Err(misfit("rows of another task than was read"));
    }
    let id = written.or(lineage.id);
    let own = || id.ok_or_else(|| misfit("rows without a task"));
    let mut changes = Vec::new();
    put_revocations(table, revocations.as_deref(), &mut changes)?;
    if let Some(task) = task {
        changes.push(put(keys::task(task.id), task.encode()));
        follow_inputs(lineage.task.as_ref(), task, &mut changes);
        follow_life(table, lineage.task.as_ref(), Some(task), &mut changes)?;
    }
    if let Some(terms) = terms {
        put_terms(table, terms, &mut changes)?;
    }
    for step in steps {
        changes.push(put(keys::step(own()?, step.number), step.encode()));
    }
    for record in records {
        changes.push(put_record(own()?, record)?);
        super::feed::follow_audience(table, record, &mut changes)?;
    }
    if let Some(approval) = approval {
        changes.push(put_approval(own()?, approval)?);
    }
    if let Some(account) = account {
        changes.push(put_account(
            lineage
                .ancestors
                .last()
                .or(task.as_ref())
                .or(lineage.task.as_ref()),
            account,
        )?);
    }
    if !children.is_empty() {
        put_children(table, own()?, (children, spawned.as_ref()), &mut changes)?;
    }
    if let Some(name) = bind {
        put_name(table, own()?, *name, &mut changes)?;
    }
    if let Some((request, made)) = request {
        put_request(table, *request, *made, &mut changes)?;
    }
    Ok(changes)
}

/// Binds a name to a task; it stays the task's until the task is forgotten.
fn put_name(
    table: &impl Rows,
    id: TaskId,
    name: Digest,
    changes: &mut Vec<Change>,
) -> Result<(), ReadError> {
    if read_task_id(table, &keys::name(name))?.is_some_and(|other| other != id) {
        return Err(misfit("a name that belongs to another task"));
    }
    changes.push(put(keys::name(name), id.0.to_vec()));
    changes.push(put(keys::name_of(id, name), Vec::new()));
    Ok(())
}

/// Puts child grants: new ones of this task, or the one that it is, or would be, made of.
fn put_children(
    table: &impl Rows,
    id: TaskId,
    (children, spawned): (&[ChildGrant], Option<&Spawned>),
    changes: &mut Vec<Change>,
) -> Result<(), ReadError> {
    if let Some(spawned) = spawned {
        if spawned.parent != id {
            return Err(misfit("children of another task"));
        }
        let key = keys::spawned(spawned.parent, spawned.request);
        changes.push(put(key, spawned.encode()));
    }
    for child in children {
        let key = keys::child(child.id);
        let before: Option<ChildGrant> = read(table, &key, "child grant")?;
        // INVARIANT: a child grant is made once and spent or revoked once, and is otherwise never another.
        let is_open = |child: &ChildGrant| child.spent_at.is_none() && child.revoked_at.is_none();
        let fits = match &before {
            None => child.parent == id && is_open(child),
            Some(before) => child.id == id && is_open(before),
        };
        if !fits {
            return Err(misfit("a child grant that is not its own to write"));
        }
        changes.push(put(key, child.encode()));
    }
    Ok(())
}

fn put_request(
    table: &impl Rows,
    request: Digest,
    made: TaskId,
    changes: &mut Vec<Change>,
) -> Result<(), ReadError> {
    if read_task_id(table, &keys::request(request))?.is_some_and(|other| other != made) {
        return Err(misfit("a request that made another task"));
    }
    changes.push(put(keys::request(request), made.0.to_vec()));
    changes.push(put(keys::request_of(made, request), Vec::new()));
    Ok(())
}

fn misfit(what: &str) -> ReadError {
    ReadError::Corrupt(format!("decision writes {what}"))
}

fn put_record(id: TaskId, record: &TokenRecord) -> Result<Change, ReadError> {
    if record.task != id {
        return Err(misfit("a token record of another task"));
    }
    Ok(put(keys::record(id, record.fence), record.encode()))
}

fn put_approval(id: TaskId, approval: &Approval) -> Result<Change, ReadError> {
    if approval.id.task != id {
        return Err(misfit("a request for approval of another task"));
    }
    let key = keys::approval(id, approval.id.step);
    Ok(put(key, approval.encode()))
}

fn put_account(task: Option<&Task>, account: &Account) -> Result<Change, ReadError> {
    let owner = task.map(|task| &task.owner);
    let owner = owner.ok_or_else(|| misfit("an account without an owner"))?;
    Ok(put(keys::account(owner), account.encode()))
}

/// Keeps the list of open requests for approval in step with what the task waits for.
fn follow_inputs(before: Option<&Task>, after: &Task, changes: &mut Vec<Change>) {
    let approval = |input: &Input| match input {
        Input::Approval { id, .. } => Some(*id),
        Input::Server(_) => None,
    };
    let open =
        |task: &Task| -> Vec<ApprovalId> { task.inputs.iter().filter_map(approval).collect() };
    let (before, after) = (before.map(open).unwrap_or_default(), open(after));
    for id in before.iter().filter(|id| !after.contains(id)) {
        changes.push(remove(keys::open_approval(*id)));
    }
    for id in after.iter().filter(|id| !before.contains(id)) {
        changes.push(put(keys::open_approval(*id), Vec::new()));
    }
}

/// Puts what is revoked. A revoked epoch is over: the next one, by a new key or a new start, is a later one.
fn put_revocations(
    table: &impl Rows,
    revocations: Option<&Revocations>,
    changes: &mut Vec<Change>,
) -> Result<(), ReadError> {
    let Some(revocations) = revocations else {
        return Ok(());
    };
    changes.push(put(keys::REVOCATIONS.to_vec(), revocations.encode()));
    let epoch = read_counter(table, keys::EPOCH)?.unwrap_or_default();
    if epoch <= revocations.epochs.0 {
        let next = revocations.epochs.0.saturating_add(1);
        changes.push(put(keys::EPOCH.to_vec(), next.to_be_bytes().to_vec()));
    }
    Ok(())
}

/// Keeps the lists of live and of ended tasks, and what each owner has of them, in step with a task.
fn follow_life(
    table: &impl Rows,
    before: Option<&Task>,
    after: Option<&Task>,
    changes: &mut Vec<Change>,
) -> Result<(), ReadError> {
    let entry = |task: &Task| {
        if task.state.is_terminal() {
            keys::ended(task.ended_at.unwrap_or(task.deadline), task.id)
        } else {
            keys::live(task.id)
        }
    };
    let (old, new) = (before.map(entry), after.map(entry));
    if old != new {
        changes.extend(old.map(remove));
        changes.extend(new.map(|key| put(key, Vec::new())));
    }
    let is_live = |task: &&Task| !task.state.is_terminal();
    let (was, is) = (before.filter(is_live), after.filter(is_live));
    let (Some(task), true) = (was.or(is), was.is_some() != is.is_some()) else {
        return Ok(());
    };
    let key = keys::live_of(&task.owner);
    let count = read_counter(table, &key)?.unwrap_or_default();
    let count = if is.is_some() {
        count.saturating_add(1)
    } else {
        count.saturating_sub(1)
    };
    changes.push(match count {
        0 => remove(key),
        count => put(key, count.to_be_bytes().to_vec()),
    });
    Ok(())
}

/// Puts create terms, and keeps the list of unused ones in step.
fn put_terms(
    table: &impl Rows,
    terms: &CreateTerms,
    changes: &mut Vec<Change>,
) -> Result<(), ReadError> {
    let key = keys::terms(terms.task);
    if let Some(before) = read::<CreateTerms>(table, &key, "create terms")?
        && before.used_at.is_none()
    {
        changes.push(remove(keys::unused(before.expires_at, before.task)));
    }
    if terms.used_at.is_none() {
        changes.push(put(keys::unused(terms.expires_at, terms.task), Vec::new()));
    }
    changes.push(put(key, terms.encode()));
    Ok(())
}

/// The changes that leave nothing of a task behind, nor of what it spawned: children without it are dead.
///
/// # Errors
/// [`ReadError::Corrupt`] for a row that cannot be read.
pub(super) fn of_forget(table: &impl Rows, id: TaskId) -> Result<Vec<Change>, ReadError> {
    let mut changes = of_forget_create(table, id)?;
    changes.push(remove(keys::child(id)));
    let (from, to) = keys::spawned_from(id);
    for entry in table.range(from.as_slice()..to.as_slice())? {
        let (key, value) = entry?;
        let spawned = Spawned::decode(value.value())
            .map_err(|error| ReadError::row("spawned children", &error))?;
        changes.extend(spawned.children.into_iter().map(keys::child).map(remove));
        changes.push(remove(key.value().to_vec()));
    }
    Ok(changes)
}

/// The changes that leave nothing of a task behind but the child grant that it would be made of.
fn of_forget_create(table: &impl Rows, id: TaskId) -> Result<Vec<Change>, ReadError> {
    let mut changes = vec![remove(keys::task(id))];
    let task: Option<Task> = read(table, &keys::task(id), "task")?;
    follow_life(table, task.as_ref(), None, &mut changes)?;
    if let Some(terms) = read::<CreateTerms>(table, &keys::terms(id), "create terms")? {
        if terms.used_at.is_none() {
            changes.push(remove(keys::unused(terms.expires_at, id)));
        }
        changes.push(remove(keys::terms(id)));
    }
    for (from, to) in keys::belongings(id) {
        for entry in table.range(from.as_slice()..to.as_slice())? {
            let (key, _) = entry?;
            let key = key.value();
            changes.extend(keys::led_to(key).map(remove));
            changes.push(remove(key.to_vec()));
        }
    }
    Ok(changes)
}

/// The changes that remove unused create terms, and how many terms that are.
///
/// # Errors
/// [`ReadError::Corrupt`] for a row that cannot be read.
pub(super) fn of_forget_terms(
    table: &impl Rows,
    before: Time,
    limit: usize,
) -> Result<(Vec<Change>, usize), ReadError> {
    let (from, to) = keys::unused_before(before);
    let mut changes = Vec::new();
    let mut count = 0_usize;
    for entry in table.range(from.as_slice()..to.as_slice())?.take(limit) {
        let (key, _) = entry?;
        let id = keys::timed_task(key.value())
            .ok_or_else(|| ReadError::Corrupt("list of unused create terms".to_owned()))?;
        // Removed in any case: what no unused terms stand behind would be met again for ever.
        changes.push(remove(key.value().to_vec()));
        if table.get(keys::task(id).as_slice())?.is_none() {
            changes.extend(of_forget_create(table, id)?);
            count = count.saturating_add(1);
        }
    }
    Ok((changes, count))
}
