//! Lines on their way to the thread that writes them.
//!
//! Callers put their lines down under a short lock; the thread takes all that lie there at once. Guarantees that lines
//! are written in the order in which they came, that everybody who waits for the same write gets the same answer, and
//! that nobody waits for a thread that has gone. Lines that nobody waits for have room of their own, so that they never
//! push out one that somebody waits for; those beyond it are counted. The thread is woken only when it sleeps, and not before the other
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

use super::AuditUnavailable;
use crate::tasks::{Held, held};

/// What became of a write.
pub(super) type Outcome = Result<(), AuditUnavailable>;

/// A line without its place in the chain, and whether somebody waits for it.
pub(super) struct Line {
    pub(super) rendered: Vec<u8>,
    pub(super) awaited: bool,
    /// The place of the request that it belongs to: who resets a connection gets no other place before it is written.
    _held: Option<Held>,
}

impl Line {
    /// A line that nobody waits for.
    pub(super) fn unawaited(rendered: Vec<u8>) -> Self {
        Self { rendered, awaited: false, _held: None }
    }
}

/// Lines for one write.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<Line>,
    /// The number of lines that somebody waits for.
    awaited: usize,
    /// Lines for which there was no room.
    pub(super) dropped: u64,
    /// Those who wait for the write.
    pub(super) waiting: Waiting,
    /// The last batch: told when all is written. Absent in all others.
    pub(super) closing: Option<oneshot::Sender<()>>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0 && self.closing.is_none()
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

/// Lines at most that somebody waits for; beyond that the disk is hopelessly behind.
const MAX_AWAITED: usize = 65_536;
/// Lines at most that nobody waits for.
const MAX_UNAWAITED: usize = 16_384;

impl Queue {
    /// Puts a line down; the answer comes when it is written.
    ///
    /// # Errors
    /// The queue is full or closed.
    pub(super) fn push_awaited(self: &Arc<Self>, rendered: Vec<u8>) -> Result<Answer, AuditUnavailable> {
        let mut state = self.lock();
        let State { batch, closed, .. } = &mut *state;
        if *closed || batch.awaited >= MAX_AWAITED {
            return Err(AuditUnavailable);
        }
        batch.awaited += 1;
        batch.lines.push(Line { rendered, awaited: true, _held: held() });
        let write = Arc::clone(&batch.waiting.0);
        Ok(Answer { write, place: None, thread: Some(WakeThread(Arc::clone(self))) })
    }

    /// Puts a line down, or counts it when there is no room. After the end of the log it is nowhere.
    pub(super) fn push_unawaited(&self, rendered: Vec<u8>) {
        let mut state = self.lock();
        let State { batch, closed, .. } = &mut *state;
        if *closed {
            tracing::debug!("an audit line came after the end of the log");
            return;
        }
        if batch.lines.len() - batch.awaited < MAX_UNAWAITED {
            batch.lines.push(Line::unawaited(rendered));
        } else {
            batch.dropped += 1;
        }
        self.wake(state);
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
    pub(super) fn take(&self, room: Vec<Line>, patience: Duration) -> Option<Batch> {
        let mut state = self.lock();
        while state.batch.is_empty() {
            state.asleep = true;
            let woken = self.filled.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            let (awake, timed_out) = woken;
            state = awake;
            if timed_out.timed_out() && state.batch.is_empty() {
                state.asleep = false;
                return None;
            }
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
    use crate::tasks::holding;

    /// A queue with a thread that sleeps before it, and what that takes in the end.
    fn with_sleeper() -> (Arc<Queue>, mpsc::Receiver<usize>) {
        let queue = Arc::new(Queue::default());
        let (taken, outcome) = mpsc::channel();
        let sleeper = Arc::clone(&queue);
        thread::spawn(move || taken.send(sleeper.take(Vec::new(), LONG).map_or(0, |batch| batch.lines.len())));
        while !queue.lock().asleep {
            thread::yield_now();
        }
        (queue, outcome)
    }

    fn poll(answer: &mut Answer) {
        let polled = Pin::new(answer).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }

    #[tokio::test]
    async fn line_that_is_waited_for_keeps_the_place_of_its_request_until_it_is_taken_and_others_keep_none() {
        let (queue, place): (_, Held) = (Arc::new(Queue::default()), Arc::new(()));
        let asks = async {
            // The connection is reset at once.
            drop(queue.push_awaited(Vec::new()).unwrap());
            queue.push_unawaited(Vec::new());
        };
        holding(Arc::clone(&place), asks).await;
        assert_eq!(Arc::strong_count(&place), 2);
        drop(queue.take(Vec::new(), LONG));
        assert_eq!(Arc::strong_count(&place), 1);
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn thread_is_woken_when_the_tasks_that_were_ready_have_put_down_their_lines() {
        let (queue, taken) = with_sleeper();
        let mut answers = [(); 2].map(|()| queue.push_awaited(Vec::new()).unwrap());
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
            let mut answer = queue.push_awaited(Vec::new()).unwrap();
            (0..polls).for_each(|_| poll(&mut answer));
            drop(answer);
            assert_eq!(taken.recv_timeout(LONG), Ok(1));
        }
        let (queue, taken) = with_sleeper();
        queue.push_unawaited(Vec::new());
        assert_eq!(taken.recv_timeout(LONG), Ok(1));
    }
}
