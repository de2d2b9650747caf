//! A fixed number of threads for work that would keep an async thread busy: arithmetic, and reading databases.
//!
//! Guarantees that work begins in the order in which it came, and that a panic in it ends neither the thread nor the
//! wait for it. Abandoned work is not begun. The threads have ended when the last handle is dropped. Each thread has a
//! state of its own, such as a connection.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::oneshot;

use crate::{StartError, tasks::BrokenDown};

/// The threads, each with an `S`. Clones share them; they end with the last clone.
#[derive(Debug)]
pub struct Workers<S> {
    threads: Arc<Threads<S>>,
}

impl<S> Clone for Workers<S> {
    fn clone(&self) -> Self {
        Self { threads: Arc::clone(&self.threads) }
    }
}

#[derive(Debug)]
struct Threads<S> {
    // None while the threads end.
    queue: Option<Sender<Work<S>>>,
    running: Vec<JoinHandle<()>>,
}

type Work<S> = Box<dyn FnOnce(&mut S) + Send>;

/// The most work in the queue, abandoned work included: far more than there are requests.
const QUEUE: usize = 4_096;

impl Workers<()> {
    /// Starts one thread for each core: more would only take turns, and each would keep memory of its own.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn for_each_core(name: &str) -> Result<Self, StartError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::start(name, vec![(); cores])
    }
}

impl<S: Send + 'static> Workers<S> {
    /// Starts a thread for each state.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(name: &str, states: Vec<S>) -> Result<Self, StartError> {
        Self::start_prepared(name, states, |_state| ())
    }

    /// Starts a thread for each state, which is prepared before the first work.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start_prepared(name: &str, states: Vec<S>, prepare: fn(&mut S)) -> Result<Self, StartError> {
        let (queue, inbox) = bounded(QUEUE);
        let mut threads = Threads { queue: Some(queue), running: Vec::with_capacity(states.len()) };
        for mut state in states {
            let inbox: Receiver<Work<S>> = inbox.clone();
            let started = thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || {
                    let _panicked = catch_unwind(AssertUnwindSafe(|| prepare(&mut state)));
                    inbox.into_iter().for_each(|work| work(&mut state));
                })
                .map_err(|error| StartError::new(format!("A thread cannot be started ({error}).")))?;
            threads.running.push(started);
        }
        Ok(Self { threads: Arc::new(threads) })
    }

    /// Does `work` on one of the threads. Once begun it runs to its end, even when nobody waits for it any more.
    ///
    /// # Errors
    /// It panicked, or too much work waits.
    pub async fn run<T, F>(&self, work: F) -> Result<T, BrokenDown>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> T + Send + 'static,
    {
        let (reply, outcome) = oneshot::channel();
        let work = move |state: &mut S| {
            // Clients who come and go must not make those wait who stay.
            if reply.is_closed() {
                return;
            }
            let done = catch_unwind(AssertUnwindSafe(|| work(state))).map_err(|_panic| BrokenDown);
            let _caller_gone = reply.send(done);
        };
        let queue = self.threads.queue.as_ref().ok_or(BrokenDown)?;
        queue.try_send(Box::new(work)).map_err(|_| BrokenDown)?;
        outcome.await.unwrap_or(Err(BrokenDown))
    }
}

impl<S> Drop for Threads<S> {
    fn drop(&mut self) {
        self.queue = None;
        // Work may have had the last handle: its thread ends by itself.
        let here = thread::current().id();
        for other in self.running.drain(..).filter(|one| one.thread().id() != here) {
            let _panics_are_caught = other.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn work_leaves_the_async_thread_and_a_panic_breaks_nothing_but_itself() {
        let workers = Workers::start("worker", vec![0, 0]).unwrap();
        let here = thread::current().id();
        // More panics than there are threads.
        for _ in 0..4 {
            assert_eq!(workers.run(|_| panic!("on purpose")).await, Err::<(), _>(BrokenDown));
        }
        assert_ne!(workers.run(|_| thread::current().id()).await.unwrap(), here);
    }

    #[tokio::test]
    async fn each_thread_keeps_its_state_and_has_ended_when_the_last_handle_is_gone() {
        let state = Arc::new(());
        let workers = Workers::start("worker", vec![(0, Arc::clone(&state))]).unwrap();
        let other = workers.clone();
        for expected in 1..=3 {
            let count = |state: &mut (i32, Arc<()>)| {
                state.0 += 1;
                state.0
            };
            assert_eq!(workers.run(count).await, Ok(expected));
        }
        drop(workers);
        assert_eq!(other.run(|state| state.0).await, Ok(3));
        drop(other);
        assert_eq!(Arc::strong_count(&state), 1);
    }

    #[test]
    fn work_that_was_begun_ends_when_nobody_waits_and_may_have_the_last_handle() {
        let workers = Workers::start("worker", vec![()]).unwrap();
        let last = workers.clone();
        let (begin, begun) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let (report, outcome) = mpsc::channel();
        let mut waiting = Box::pin(workers.run(move |()| {
            begin.send(()).unwrap();
            wait.recv().unwrap();
            report.send(catch_unwind(AssertUnwindSafe(|| drop(last))).is_ok()).unwrap();
        }));
        assert!(waiting.as_mut().now_or_never().is_none());
        begun.recv_timeout(LONG).unwrap();
        drop(waiting);
        drop(workers);
        go.send(()).unwrap();
        assert_eq!(outcome.recv_timeout(LONG), Ok(true));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_not_begun_and_the_queue_has_an_end() {
        let done = Arc::new(AtomicUsize::new(0));
        let workers = Workers::start("worker", vec![Arc::clone(&done)]).unwrap();
        let count = |done: &mut Arc<AtomicUsize>| done.fetch_add(1, Ordering::SeqCst);
        let (go, wait) = mpsc::channel();
        let mut first = Box::pin(workers.run(move |_| wait.recv_timeout(LONG)));
        assert!(first.as_mut().now_or_never().is_none());
        // The thread may not have taken the first one yet.
        for _ in 1..QUEUE {
            assert!(workers.run(count).now_or_never().is_none());
        }
        let mut refused = (0..2).filter_map(|_| workers.run(count).now_or_never());
        assert_eq!(refused.next(), Some(Err(BrokenDown)));
        go.send(()).unwrap();
        assert_eq!(first.await, Ok(Ok(())));
        // Ends when all that waits was taken.
        drop(workers);
        assert_eq!(done.load(Ordering::SeqCst), 0);
    }

    const LONG: Duration = Duration::from_secs(30);
}
