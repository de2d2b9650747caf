//! Jobs of the writer: work with a typed result, behind one trait, so that one queue holds all of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{StoreFault, code_of, fault_of};

/// A job whose type of result is forgotten.
pub(super) trait Job: Send {
    /// Does the work inside its savepoint; an error is undone.
    fn work(&mut self, conn: &Connection) -> rusqlite::Result<()>;
    /// Refuses a job instead of doing it, or after its savepoint was lost.
    fn refuse(&mut self, fault: StoreFault);
    /// Answers with the outcome of the work, or with the fault of the batch.
    fn answer(self: Box<Self>, batch: Result<(), StoreFault>);
}

/// A job with the type of its result.
pub(super) struct Typed<T, F> {
    name: &'static str,
    work: Option<F>,
    outcome: Option<Result<T, StoreFault>>,
    reply: Option<oneshot::Sender<Result<T, StoreFault>>>,
}

impl<T, F> Typed<T, F> {
    /// Work whose outcome goes to `reply`.
    pub(super) fn new(name: &'static str, work: F, reply: oneshot::Sender<Result<T, StoreFault>>) -> Self {
        Self { name, work: Some(work), outcome: None, reply: Some(reply) }
    }
}

impl<T, F> Job for Typed<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn work(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let Some(work) = self.work.take() else { return Ok(()) };
        match catch_unwind(AssertUnwindSafe(|| work(conn))) {
            Ok(Ok(value)) => {
                self.outcome = Some(Ok(value));
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::warn!(job = self.name, error = code_of(&error), "a database job failed and was undone");
                self.outcome = Some(Err(fault_of(&error)));
                Err(error)
            }
            Err(_panic) => {
                self.outcome = Some(Err(StoreFault::Unavailable));
                Err(rusqlite::Error::InvalidQuery)
            }
        }
    }

    fn refuse(&mut self, fault: StoreFault) {
        self.work = None;
        self.outcome = Some(Err(fault));
    }

    fn answer(mut self: Box<Self>, batch: Result<(), StoreFault>) {
        let answer = match (batch, self.outcome.take()) {
            // A job that was undone by itself wrote nothing, whatever became of the batch.
            (_, Some(Err(fault))) | (Err(fault), _) => Err(fault),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(StoreFault::Unavailable),
        };
        if let Some(reply) = self.reply.take() {
            // The caller may be gone; the work is done all the same.
            let _caller_gone = reply.send(answer);
        }
    }
}

impl<T, F> Drop for Typed<T, F> {
    fn drop(&mut self) {
        // Left in the queue of a writer that closed: it is known that nothing was written.
        if let (Some(_), Some(reply)) = (self.work.take(), self.reply.take()) {
            let _caller_gone = reply.send(Err(StoreFault::Unavailable));
        }
    }
}
