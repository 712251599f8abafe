//! Holds commits back between the decision and the ledger, so that a test can say which of two comes first.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Where commits wait, by the operation that they would record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    closed: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    /// From now on no commit of this operation passes.
    pub(crate) fn close(&self, operation: &str) {
        let closed = Arc::new(Semaphore::new(0));
        let mut all = self.closed.lock().expect("is whole");
        all.insert(operation.to_owned(), closed);
    }

    /// Lets every commit of this operation pass, those that wait first.
    pub(crate) fn open(&self, operation: &str) {
        let opened = self.closed.lock().expect("is whole").remove(operation);
        opened.expect("was closed").close();
    }

    /// Where a commit of this operation waits for its turn.
    pub(crate) async fn pass(&self, operation: &str) {
        let closed = self
            .closed
            .lock()
            .expect("is whole")
            .get(operation)
            .cloned();
        if let Some(closed) = closed {
            self.waiting.send_modify(|waiting| *waiting += 1);
            // Nobody gives a permit: it ends with the semaphore.
            closed.acquire().await.expect_err("is opened for all");
            self.waiting.send_modify(|waiting| *waiting -= 1);
        }
    }

    /// Starts calls of a closed operation and waits until each of them is decided and not yet committed.
    pub(crate) async fn decided<T, F>(&self, calls: Vec<F>) -> Vec<JoinHandle<T>>
    where
        T: Debug + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let mut waiting = self.waiting.subscribe();
        let all = *waiting.borrow() + calls.len();
        let calls: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
        let held = waiting.wait_for(|waiting| *waiting == all);
        held.await.expect("has a sender");
        calls
    }
}
