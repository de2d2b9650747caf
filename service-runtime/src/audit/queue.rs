//! Lines on their way to the thread that writes them.
//!
//! Callers put their lines down under a short lock; the thread takes all that lie there at once. Guarantees that lines
//! are written in the order in which they came, that everybody who waits for the same write gets the same answer, and
//! that nobody waits for a thread that has gone. Lines that nobody waits for have room of their own, so that they never
//! push out one that somebody waits for; those beyond it are counted.
//!
//! A wake-up of another thread costs more than a line, so there is one for each batch and thread. The first of a thread
//! that puts down a line wakes the writer, behind the other tasks that are ready there, which put down their lines too.
//! The writer wakes one of each thread, and that one wakes the others of its thread. Whoever leaves early hands on what
//! it had to do.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread::{self, ThreadId},
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
/// Polls of the first of a thread before it wakes the writer. The HTTP server polls a new request twice before it turns
/// to other tasks, so the third poll is the first one behind the tasks that are ready.
const POLLS_BEFORE: usize = 2;
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
        let (waiters, is_first) = batch.waiting.of_thread(thread::current().id());
        Ok(Answer { waiters, place: None, wakes: is_first.then(|| (POLLS_BEFORE, WakeWriter(Arc::clone(self)))) })
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
    waiters: Arc<Mutex<Waiters>>,
    /// Where our waker is among them.
    place: Option<usize>,
    /// In the first of a thread, until the writer is woken: how many polls are left before.
    wakes: Option<(usize, WakeWriter)>,
}

/// Wakes the writer when it is dropped: also when nobody waits any more.
struct WakeWriter(Arc<Queue>);

impl Drop for WakeWriter {
    fn drop(&mut self) {
        let queue = &self.0;
        queue.wake(queue.lock());
    }
}

/// The writer's side of all answers of one write, by thread. Dropped without an outcome, it answers that there is none.
#[derive(Default)]
pub(super) struct Waiting(Vec<(ThreadId, Arc<Mutex<Waiters>>)>);

/// Those who wait for one write and put down their lines on one thread.
#[derive(Default)]
struct Waiters {
    outcome: Option<Outcome>,
    /// None for those who left.
    wakers: Vec<Option<Waker>>,
}

impl Waiting {
    /// Those of this thread, and whether they are new.
    fn of_thread(&mut self, thread: ThreadId) -> (Arc<Mutex<Waiters>>, bool) {
        if let Some((_, waiters)) = self.0.iter().find(|(of, _)| *of == thread) {
            return (Arc::clone(waiters), false);
        }
        let waiters = Arc::default();
        self.0.push((thread, Arc::clone(&waiters)));
        (waiters, true)
    }

    /// Answers those who wait, and wakes one of each thread.
    pub(super) fn answer(&self, outcome: Outcome) {
        for (_, waiters) in &self.0 {
            let mut waiters = lock(waiters);
            if waiters.outcome.is_none() {
                waiters.outcome = Some(outcome);
                let one = waiters.wakers.iter_mut().find_map(Option::take);
                // Whoever is woken looks here at once.
                drop(waiters);
                one.into_iter().for_each(Waker::wake);
            }
        }
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
        let mut waiters = lock(&this.waiters);
        if let Some(outcome) = waiters.outcome {
            drop(waiters);
            this.leave();
            return Poll::Ready(outcome);
        }
        let waker = context.waker();
        let old = match this.place.and_then(|place| waiters.wakers.get_mut(place)) {
            Some(place) if place.as_ref().is_some_and(|ours| ours.will_wake(waker)) => None,
            Some(place) => place.replace(waker.clone()),
            None => {
                this.place = Some(waiters.wakers.len());
                waiters.wakers.push(Some(waker.clone()));
                None
            }
        };
        drop(waiters);
        drop(old);
        match &mut this.wakes {
            Some((0, _)) => this.wakes = None,
            Some((left, _)) => {
                *left -= 1;
                // Behind the tasks that are ready now.
                waker.wake_by_ref();
            }
            None => {}
        }
        Poll::Pending
    }
}

impl Answer {
    /// The writer wakes another one in our place; after it has answered, all others are woken.
    fn leave(&mut self) {
        let Some(place) = self.place.take() else { return };
        let mut waiters = lock(&self.waiters);
        let ours = waiters.wakers.get_mut(place).and_then(Option::take);
        let others = if waiters.outcome.is_some() { std::mem::take(&mut waiters.wakers) } else { Vec::new() };
        drop(waiters);
        drop(ours);
        others.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.leave();
    }
}

fn lock(waiters: &Mutex<Waiters>) -> MutexGuard<'_, Waiters> {
    waiters.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        task::Wake,
    };

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

    /// Counts how often somebody is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// An answer that is waited for, and how often its task is woken from now on.
    struct Waits(Answer, Arc<Woken>);

    impl Waits {
        fn on(queue: &Arc<Queue>) -> Self {
            let mut waits = Self(queue.push_awaited(Vec::new()).unwrap(), Arc::default());
            assert_eq!(waits.outcome(), None);
            waits.1.0.store(0, Ordering::SeqCst);
            waits
        }

        fn outcome(&mut self) -> Option<Outcome> {
            let waker = Waker::from(Arc::clone(&self.1));
            match Pin::new(&mut self.0).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(outcome) => Some(outcome),
                Poll::Pending => None,
            }
        }
    }

    fn woken<const N: usize>(tasks: [&Woken; N]) -> [usize; N] {
        tasks.map(|task| task.0.load(Ordering::SeqCst))
    }

    #[test]
    fn writer_wakes_one_of_each_thread_and_that_one_the_others_of_its_thread() {
        let queue = Arc::new(Queue::default());
        let [mut first, mut second, mut third] = [(); 3].map(|()| Waits::on(&queue));
        let elsewhere = Arc::clone(&queue);
        let mut fourth = thread::spawn(move || Waits::on(&elsewhere)).join().unwrap();
        let batch = queue.take(Vec::new(), LONG).unwrap();
        batch.waiting.answer(Ok(()));
        assert_eq!(woken([&first.1, &second.1, &third.1, &fourth.1]), [1, 0, 0, 1]);
        assert_eq!(first.outcome(), Some(Ok(())));
        assert_eq!(woken([&first.1, &second.1, &third.1, &fourth.1]), [1, 1, 1, 1]);
        assert_eq!([&mut second, &mut third, &mut fourth].map(Waits::outcome), [Some(Ok(())); 3]);
        drop(batch);
        assert_eq!(woken([&first.1, &second.1, &third.1, &fourth.1]), [1, 1, 1, 1]);
    }

    #[test]
    fn whoever_leaves_before_the_write_is_not_the_one_that_the_writer_wakes() {
        let queue = Arc::new(Queue::default());
        let [first, second] = [(); 2].map(|()| Waits::on(&queue));
        let batch = queue.take(Vec::new(), LONG).unwrap();
        drop(first.0);
        drop(batch);
        assert_eq!(woken([&first.1, &second.1]), [0, 1]);
    }

    #[test]
    fn whoever_leaves_after_the_write_without_a_look_at_it_wakes_the_others() {
        let queue = Arc::new(Queue::default());
        let [first, mut second] = [(); 2].map(|()| Waits::on(&queue));
        drop(queue.take(Vec::new(), LONG));
        assert_eq!(woken([&first.1, &second.1]), [1, 0]);
        drop(first.0);
        assert_eq!(woken([&second.1]), [1]);
        assert_eq!(second.outcome(), Some(Err(AuditUnavailable)));
    }

    #[test]
    fn only_the_first_of_a_thread_comes_back_to_wake_the_writer() {
        let queue = Arc::new(Queue::default());
        let [first, second] = [(); 2].map(|()| {
            let mut waits = Waits(queue.push_awaited(Vec::new()).unwrap(), Arc::default());
            assert_eq!(waits.outcome(), None);
            waits
        });
        assert_eq!(woken([&first.1, &second.1]), [1, 0]);
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
        for _ in 0..POLLS_BEFORE {
            answers.iter_mut().for_each(poll);
        }
        assert!(queue.lock().asleep);
        let [first, second] = &mut answers;
        poll(second);
        assert!(queue.lock().asleep);
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
