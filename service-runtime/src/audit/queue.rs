//! Lines on their way to the thread that writes them.
//!
//! Callers put their lines down under a short lock; the thread takes all that lie there at once. Guarantees that lines
//! are written in the order in which they came, that everybody who waits for the same write gets the same answer, and
//! that nobody waits for a thread that has gone. The thread is woken only when it sleeps, and not before the other
//! tasks that are ready on the caller's thread have put down their lines too: otherwise it would push the caller aside
//! for each of them, to write one line.

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

impl Batch {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.closing.is_none()
    }
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
    pub(super) fn push(self: &Arc<Self>, entry: Entry, awaited: bool) -> Result<Option<Answer>, AuditUnavailable> {
        let mut state = self.lock();
        if state.closed || state.batch.lines.len() >= MAX_WAITING {
            return Err(AuditUnavailable);
        }
        state.batch.lines.push(Line { entry, awaited });
        if awaited {
            let write = Arc::clone(&state.batch.waiting.0);
            return Ok(Some(Answer { write, place: None, thread: Some(WakeThread(Arc::clone(self))) }));
        }
        self.wake(state);
        Ok(None)
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
        while state.batch.is_empty() {
            state.asleep = true;
            state = match patience {
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let woken = self.filled.wait_timeout(state, patience);
                    let (state, timed_out) = woken.unwrap_or_else(PoisonError::into_inner);
                    if timed_out.timed_out() && state.batch.is_empty() {
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
    /// Until the thread is woken for the line.
    thread: Option<WakeThread>,
}

/// Wakes the thread when it is dropped: also when nobody waits any more.
struct WakeThread(Arc<Queue>);

impl Drop for WakeThread {
    fn drop(&mut self) {
        let queue = &self.0;
        queue.wake(queue.lock());
    }
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
            drop(write);
            this.thread = None;
        } else {
            this.place = Some(write.wakers.len());
            write.wakers.push(context.waker().clone());
            drop(write);
            // Behind the tasks that are ready now.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;
    use crate::audit::{AuditRecord, AuditStatus};

    fn entry() -> Entry {
        Entry { timestamp: 1, record: AuditRecord::background("read", AuditStatus::Success), others: None }
    }

    /// A queue with a thread that sleeps before it, and what that takes in the end.
    fn with_sleeper() -> (Arc<Queue>, mpsc::Receiver<usize>) {
        let queue = Arc::new(Queue::default());
        let (taken, outcome) = mpsc::channel();
        let sleeper = Arc::clone(&queue);
        thread::spawn(move || taken.send(sleeper.take(Vec::new(), None).map_or(0, |batch| batch.lines.len())));
        while !queue.lock().asleep {
            thread::yield_now();
        }
        (queue, outcome)
    }

    fn poll(answer: &mut Answer) {
        let polled = Pin::new(answer).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn thread_is_woken_when_the_tasks_that_were_ready_have_put_down_their_lines() {
        let (queue, taken) = with_sleeper();
        let mut answers = [(); 2].map(|()| queue.push(entry(), true).unwrap().unwrap());
        answers.iter_mut().for_each(poll);
        assert!(queue.lock().asleep);
        let [first, _second] = &mut answers;
        poll(first);
        assert_eq!(taken.recv_timeout(LONG), Ok(2));
    }

    #[test]
    fn thread_is_woken_for_a_line_that_nobody_waits_for_any_more() {
        for polls in 0..2 {
            let (queue, taken) = with_sleeper();
            let mut answer = queue.push(entry(), true).unwrap().unwrap();
            (0..polls).for_each(|_| poll(&mut answer));
            drop(answer);
            assert_eq!(taken.recv_timeout(LONG), Ok(1));
        }
        let (queue, taken) = with_sleeper();
        assert!(queue.push(entry(), false).unwrap().is_none());
        assert_eq!(taken.recv_timeout(LONG), Ok(1));
    }
}
