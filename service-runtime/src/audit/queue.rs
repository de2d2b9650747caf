//! Lines on their way to the thread that writes them.
//!
//! Callers put their lines down under a short lock; the thread takes all that lie there at once. Guarantees that lines
//! are written in the order in which they came, that everybody who waits for the same write gets the same answer, and
//! that nobody waits for a thread that has gone. The thread is woken only when it sleeps: under load that is never.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{AuditUnavailable, record::Entry};

/// What became of a write.
pub(super) type Outcome = Result<(), AuditUnavailable>;

/// A line, and whether somebody waits for it.
pub(super) struct Line {
    pub(super) entry: Entry,
    pub(super) awaited: bool,
}

/// Lines for one write.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<Line>,
    /// Those who wait for the write.
    pub(super) waiting: Waiting,
    /// The last batch: told when all is written. Absent in all others.
    pub(super) closing: Option<oneshot::Sender<()>>,
}

/// The lines that wait.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    batch: Batch,
    asleep: bool,
    closed: bool,
}

/// Lines that wait at most; beyond that the disk is hopelessly behind.
const MAX_WAITING: usize = 65_536;

impl Queue {
    /// Puts a line down. The answer comes for lines that are awaited.
    ///
    /// # Errors
    /// The queue is full or closed.
    pub(super) fn push(&self, entry: Entry, awaited: bool) -> Result<Option<Answer>, AuditUnavailable> {
        let mut state = self.lock();
        if state.closed || state.batch.lines.len() >= MAX_WAITING {
            return Err(AuditUnavailable);
        }
        state.batch.lines.push(Line { entry, awaited });
        let answer = awaited.then(|| Answer { write: Arc::clone(&state.batch.waiting.0), place: None });
        self.wake(state);
        Ok(answer)
    }

    /// No line comes after this one; the answer comes when all are written. None if it was closed before.
    pub(super) fn close(&self) -> Option<oneshot::Receiver<()>> {
        let (closing, closed) = oneshot::channel();
        let mut state = self.lock();
        if std::mem::replace(&mut state.closed, true) {
            return None;
        }
        state.batch.closing = Some(closing);
        self.wake(state);
        Some(closed)
    }

    /// Takes all that waits, as soon as there is something; None if nothing comes within `patience`. `room` is the
    /// vector of an earlier batch, to be filled again.
    pub(super) fn take(&self, room: Vec<Line>, patience: Option<Duration>) -> Option<Batch> {
        let mut state = self.lock();
        while state.batch.lines.is_empty() && state.batch.closing.is_none() {
            state.asleep = true;
            state = match patience {
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let woken = self.filled.wait_timeout(state, patience);
                    let (state, timed_out) = woken.unwrap_or_else(PoisonError::into_inner);
                    if timed_out.timed_out() && state.batch.lines.is_empty() && state.batch.closing.is_none() {
                        return None;
                    }
                    state
                }
            };
        }
        state.asleep = false;
        Some(std::mem::replace(&mut state.batch, Batch { lines: room, ..Batch::default() }))
    }

    /// The thread ends: whoever waits is answered, and nobody comes after.
    pub(super) fn abandon(&self) {
        // The batch is dropped, and that answers those who wait for it.
        *self.lock() = State { closed: true, ..State::default() };
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.filled.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when the write is done.
pub(super) struct Answer {
    write: Arc<Mutex<Write>>,
    /// Where our waker is among those of the write.
    place: Option<usize>,
}

/// The writer's side of all answers of one write. Dropped without an outcome, it answers that there is none.
#[derive(Default)]
pub(super) struct Waiting(Arc<Mutex<Write>>);

#[derive(Default)]
struct Write {
    outcome: Option<Outcome>,
    wakers: Vec<Waker>,
}

impl Waiting {
    /// Answers those who wait.
    pub(super) fn answer(&self, outcome: Outcome) {
        let mut write = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write.outcome.get_or_insert(outcome);
        let wakers = std::mem::take(&mut write.wakers);
        // Whoever is woken looks here at once.
        drop(write);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.answer(Err(AuditUnavailable));
    }
}

impl Future for Answer {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let this = self.get_mut();
        let mut write = this.write.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = write.outcome {
            return Poll::Ready(outcome);
        }
        if let Some(waker) = this.place.and_then(|place| write.wakers.get_mut(place)) {
            waker.clone_from(context.waker());
        } else {
            this.place = Some(write.wakers.len());
            write.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}
