//! Questions to SPIRE: few at a time, one at a time about one process, and never older than the asking.
//!
//! Callers about the same process share a question, but only one that is yet to be sent: who asks for an
//! answer *now* never gets one to a question that was already on its way.

use crate::domain::evidence::ProcessKey;
use crate::domain::id::SpiffeId;
use crate::kernel::Snapshot;
use crate::service::ports::{DirectoryError, ProcessDirectory};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// SPIRE's answer: a set of IDs, sorted and never empty.
pub(super) type Reply = Result<Arc<[SpiffeId]>, DirectoryError>;

/// What a question is about: the process, and the program and user it was when it was looked at.
///
/// The program belongs to it: after an `exec`, an answer about the program before is about another one.
type Subject = (ProcessKey, Snapshot);

/// Who waits for the next question about each subject. A subject with an entry has a task that asks.
type Waiting = HashMap<Subject, Vec<oneshot::Sender<Reply>>>;

#[derive(Debug)]
pub(super) struct Questions {
    directory: Arc<dyn ProcessDirectory>,
    /// Questions that may be under way.
    turns: Semaphore,
    waiting_max: usize,
    queue_wait_max: Duration,
    waiting: Mutex<Waiting>,
}

impl Questions {
    pub(super) fn new(
        directory: Arc<dyn ProcessDirectory>,
        questions_max: usize,
        waiting_max: usize,
        queue_wait_max: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            directory,
            turns: Semaphore::new(questions_max.max(1)),
            waiting_max: waiting_max.max(1),
            queue_wait_max,
            waiting: Mutex::default(),
        })
    }

    /// Asks about a process, in a question sent after this call began.
    pub(super) async fn ask(self: &Arc<Self>, key: ProcessKey, snapshot: &Snapshot) -> Reply {
        let reply = self.enqueue((key, snapshot.clone()))?;
        // Two questions may be before this one's: the one under way, and then its own.
        let deadline = self.directory.deadline().saturating_mul(2);
        let deadline = deadline.saturating_add(self.queue_wait_max);
        match tokio::time::timeout(deadline, reply).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_dropped)) => Err(unavailable("the question was dropped")),
            Err(_elapsed) => Err(unavailable("too many questions are waiting")),
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        subject: Subject,
    ) -> Result<oneshot::Receiver<Reply>, DirectoryError> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        let full = waiting.values().map(Vec::len).sum::<usize>() >= self.waiting_max;
        match waiting.get_mut(&subject) {
            _ if full => return Err(unavailable("too many questions are waiting")),
            Some(others) => others.push(sender),
            None => {
                waiting.insert(subject.clone(), vec![sender]);
                drop(waiting);
                let asker = Asker {
                    questions: Arc::clone(self),
                    subject,
                };
                tokio::spawn(asker.run());
            }
        }
        Ok(receiver)
    }

    async fn send(&self, pid: i32) -> Reply {
        let question = self.directory.spiffe_ids(pid);
        let mut ids = tokio::time::timeout(self.directory.deadline(), question)
            .await
            .map_err(|_elapsed| unavailable("no answer within the deadline"))??;
        if ids.is_empty() {
            return Err(DirectoryError::NotEntitled);
        }
        ids.sort();
        ids.dedup();
        Ok(ids.into())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(why: &str) -> DirectoryError {
    DirectoryError::Unavailable(why.to_owned())
}

/// Asks about one subject as long as somebody waits.
struct Asker {
    questions: Arc<Questions>,
    subject: Subject,
}

impl Asker {
    async fn run(self) {
        let questions = &self.questions;
        loop {
            let Ok(_turn) = questions.turns.acquire().await else {
                return;
            };
            let Some(callers) = self.take() else {
                return;
            };
            let reply = questions.send(self.subject.0.pid).await;
            for caller in callers {
                // One that gave up meanwhile needs no answer.
                drop(caller.send(reply.clone()));
            }
        }
    }

    /// Those whose question is sent now; `None`, and the end of this task, when there are none.
    fn take(&self) -> Option<Vec<oneshot::Sender<Reply>>> {
        let mut waiting = self.questions.lock();
        let callers = waiting.get_mut(&self.subject)?;
        callers.retain(|caller| !caller.is_closed());
        if callers.is_empty() {
            waiting.remove(&self.subject);
            return None;
        }
        Some(std::mem::take(callers))
    }
}

impl Drop for Asker {
    /// Also after a panic nobody may wait for a task that is no more.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.questions.lock().remove(&self.subject);
        }
    }
}
