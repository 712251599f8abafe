//! Questions to SPIRE: few at a time, one at a time about one process, and never older than the
//! asking.
//!
//! Callers about the same process share a question, but only one that is yet to be sent: who asks
//! for an answer *now* never gets one to a question that was already on its way.

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
/// The program belongs to it: after an `exec`, an answer about the program before is about another
/// one.
type Subject = (ProcessKey, Snapshot);

/// Who waits for the next question about each subject. A subject with an entry has a task that
/// asks.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ports::BoxFuture;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Answers one question per permit.
    #[derive(Debug)]
    struct Gated {
        asked: AtomicUsize,
        gate: Semaphore,
        deadline: Duration,
        answer: Vec<&'static str>,
    }

    impl ProcessDirectory for Gated {
        fn spiffe_ids(&self, pid: i32) -> BoxFuture<'_, Result<Vec<SpiffeId>, DirectoryError>> {
            Box::pin(async move {
                self.asked.fetch_add(1, Ordering::SeqCst);
                self.gate.acquire().await.unwrap().forget();
                assert_ne!(pid, 13, "on purpose");
                let ids = self.answer.iter().map(SpiffeId::new);
                Ok(ids.collect::<Result<_, _>>().unwrap())
            })
        }

        fn deadline(&self) -> Duration {
            self.deadline
        }
    }

    fn gated(deadline: Duration, answer: &[&'static str]) -> Arc<Gated> {
        Arc::new(Gated {
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            deadline,
            answer: answer.to_vec(),
        })
    }

    fn questions(directory: &Arc<Gated>, at_once: usize, waiting_max: usize) -> Arc<Questions> {
        let directory = directory.clone();
        Questions::new(directory, at_once, waiting_max, Duration::from_secs(60))
    }

    fn asking(questions: &Arc<Questions>, pid: i32) -> tokio::task::JoinHandle<Reply> {
        let questions = Arc::clone(questions);
        let key = ProcessKey {
            boot_id: [0; 16],
            pidfd_inode: 0,
            pid,
            start_ticks: 1,
        };
        let snapshot = Snapshot {
            uid: 1,
            gid: 1,
            cgroup: None,
            start_ticks: 1,
            image: None,
            traced: false,
        };
        tokio::spawn(async move { questions.ask(key, &snapshot).await })
    }

    impl Questions {
        fn waiters(&self) -> usize {
            self.lock().values().map(Vec::len).sum()
        }
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    const LONG: Duration = Duration::from_secs(60);
    const ID: &str = "spiffe://a.test/w";

    #[tokio::test]
    async fn callers_share_a_question_that_is_yet_to_be_sent() {
        let directory = gated(LONG, &[ID]);
        let questions = questions(&directory, 4, 100);
        let asked = || directory.asked.load(Ordering::SeqCst);
        let first = asking(&questions, 1);
        until(|| asked() == 1).await;
        let later: Vec<_> = (0..20).map(|_| asking(&questions, 1)).collect();
        until(|| questions.waiters() == 20).await;
        assert_eq!(asked(), 1, "one question about one process at a time");
        directory.gate.add_permits(1);
        first.await.unwrap().unwrap();
        until(|| asked() == 2).await;
        assert!(
            later.iter().all(|one| !one.is_finished()),
            "not the first answer"
        );
        directory.gate.add_permits(1);
        for one in later {
            assert_eq!(one.await.unwrap().unwrap().len(), 1);
        }
        assert_eq!(asked(), 2);
        until(|| questions.lock().is_empty()).await;
    }

    #[tokio::test]
    async fn few_questions_are_under_way_and_few_callers_wait() {
        let directory = gated(LONG, &[ID]);
        let questions = questions(&directory, 2, 3);
        let asked = || directory.asked.load(Ordering::SeqCst);
        let mut all: Vec<_> = (1..=2).map(|pid| asking(&questions, pid)).collect();
        until(|| asked() == 2).await;
        all.extend((3..=5).map(|pid| asking(&questions, pid)));
        until(|| questions.waiters() == 3).await;
        let refused = asking(&questions, 6).await.unwrap();
        assert_eq!(refused, Err(unavailable("too many questions are waiting")));
        assert_eq!(asked(), 2);
        directory.gate.add_permits(5);
        for one in all {
            one.await.unwrap().unwrap();
        }
        assert_eq!(asked(), 5);
    }

    #[tokio::test]
    async fn a_question_without_an_answer_ends() {
        let directory = gated(Duration::from_millis(20), &[ID]);
        let questions = questions(&directory, 1, 10);
        for _ in 0..2 {
            let reply = asking(&questions, 1).await.unwrap();
            assert_eq!(reply, Err(unavailable("no answer within the deadline")));
        }
        directory.gate.add_permits(1);
        asking(&questions, 1).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn nobody_asks_for_callers_that_gave_up() {
        let directory = gated(LONG, &[ID]);
        let questions = questions(&directory, 1, 10);
        let asked = || directory.asked.load(Ordering::SeqCst);
        let first = asking(&questions, 1);
        until(|| asked() == 1).await;
        let gone = asking(&questions, 2);
        until(|| questions.waiters() == 1).await;
        gone.abort();
        drop(gone.await);
        directory.gate.add_permits(9);
        first.await.unwrap().unwrap();
        until(|| questions.lock().is_empty()).await;
        assert_eq!(asked(), 1);
    }

    #[tokio::test]
    async fn a_broken_directory_leaves_nobody_waiting() {
        let directory = gated(LONG, &[ID]);
        directory.gate.add_permits(9);
        let questions = questions(&directory, 1, 10);
        for _ in 0..2 {
            let reply = asking(&questions, 13).await.unwrap();
            assert_eq!(reply, Err(unavailable("the question was dropped")));
        }
        asking(&questions, 1).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn ids_are_a_set_and_none_is_a_no() {
        let directory = gated(LONG, &["spiffe://a.test/x", ID, "spiffe://a.test/x"]);
        directory.gate.add_permits(9);
        let reply = asking(&questions(&directory, 1, 10), 1).await.unwrap();
        let ids: Vec<_> = reply.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(ids, [ID, "spiffe://a.test/x"]);
        let nobody = gated(LONG, &[]);
        nobody.gate.add_permits(9);
        let reply = asking(&questions(&nobody, 1, 10), 1).await.unwrap();
        assert_eq!(reply, Err(DirectoryError::NotEntitled));
    }
}
