//! What commits have ended, kept for whoever resumes a feed, and who has to hear of a task's end.

use super::keys;
use super::plan::{Change, put, remove};
use super::rows::Row as _;
use super::store::{Head, ReadError, Rows, read_counter};
use crate::domain::id::{RecordNumber, SpiffeId, TaskId};
use crate::domain::revocation::Ending;
use crate::domain::step::{Purpose, TokenRecord};
use crate::domain::time::Time;
use crate::service::ports::ledger::KeptEndings;

/// Which endings are kept.
pub(super) fn kept(table: &impl Rows) -> Result<KeptEndings, ReadError> {
    let after = read_counter(table, keys::ENDINGS_FORGOTTEN)?.unwrap_or_default();
    Ok(KeptEndings {
        after: RecordNumber(after),
        newest: RecordNumber(Head::read(table)?.number),
    })
}

/// What the commits after this audit record ended, at most `limit`.
pub(super) fn endings(
    table: &impl Rows,
    after: RecordNumber,
    limit: usize,
) -> Result<Vec<(RecordNumber, Ending)>, ReadError> {
    let (from, to) = keys::endings_after(after);
    let rows = table.range(from.as_slice()..to.as_slice())?.take(limit);
    rows.map(|entry| {
        let (key, row) = entry?;
        ending(key.value(), row.value())
    })
    .collect()
}

fn ending(key: &[u8], row: &[u8]) -> Result<(RecordNumber, Ending), ReadError> {
    let number = keys::audit_number(key);
    let number = number.ok_or_else(|| ReadError::Corrupt("ending".to_owned()))?;
    let ending = Ending::decode(row).map_err(|error| ReadError::row("ending", &error))?;
    Ok((number, ending))
}

/// Whether a step's token of this task was ever issued for this audience.
pub(super) fn is_audience(
    table: &impl Rows,
    task: TaskId,
    id: &SpiffeId,
) -> Result<bool, ReadError> {
    Ok(table.get(keys::audience(task, id).as_slice())?.is_some())
}

/// Remembers the audience of a step's token, so that it need not be looked for among all tokens.
pub(super) fn follow_audience(
    table: &impl Rows,
    record: &TokenRecord,
    changes: &mut Vec<Change>,
) -> Result<(), ReadError> {
    if matches!(record.purpose, Purpose::Step(_))
        && !is_audience(table, record.task, &record.audience)?
    {
        let key = keys::audience(record.task, &record.audience);
        changes.push(put(key, Vec::new()));
    }
    Ok(())
}

/// The changes that remove the oldest endings, as far as they are from before a time, and how many those are.
pub(super) fn of_forget_endings(
    table: &impl Rows,
    before: Time,
    limit: usize,
) -> Result<(Vec<Change>, usize), ReadError> {
    let oldest = endings(table, RecordNumber(0), limit)?;
    let old = oldest.iter().take_while(|(_, ending)| ending.at < before);
    let mut changes: Vec<Change> = old
        .map(|(number, _)| remove(keys::ending(*number)))
        .collect();
    let count = changes.len();
    if let Some((newest, _)) = count.checked_sub(1).and_then(|last| oldest.get(last)) {
        let forgotten = newest.0.to_be_bytes().to_vec();
        changes.push(put(keys::ENDINGS_FORGOTTEN.to_vec(), forgotten));
    }
    Ok((changes, count))
}
