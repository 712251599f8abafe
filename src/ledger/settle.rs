//! Answers to whoever waits for the writer.

use super::store::Trouble;
use crate::service::ports::LedgerError;
use tokio::sync::oneshot;

/// Where the answer to an order goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// Sends an answer, once it is known whether the batch became durable.
pub(super) type Settle = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;

pub(super) fn settle<T: Send + 'static>(reply: Reply<T>, answer: Result<T, LedgerError>) -> Settle {
    Box::new(move |durable| {
        // A caller that has given up is no concern of the writer's.
        reply.send(durable.and(answer)).ok();
    })
}

/// Splits an outcome into what the caller hears and whether the store still works.
pub(super) fn answer<T: Send + 'static>(
    reply: Reply<T>,
    done: Result<T, Trouble>,
) -> (Settle, Result<(), String>) {
    match done {
        Ok(value) => (settle(reply, Ok(value)), Ok(())),
        Err(Trouble::Answer(error)) => (settle(reply, Err(error)), Ok(())),
        Err(Trouble::Store(why)) => (
            settle(reply, Err(LedgerError::Failed(why.clone()))),
            Err(why),
        ),
    }
}
