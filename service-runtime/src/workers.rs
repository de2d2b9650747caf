//! A fixed number of threads for arithmetic that would keep an async thread busy.
//!
//! Guarantees that work runs in the order in which it came, and that a panic in it ends neither the thread nor the wait
//! for it. More threads than cores would only take turns, and each would keep memory of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use crossbeam_channel::{Sender, unbounded};
use tokio::sync::oneshot;

use crate::{process::StartError, tasks::BrokenDown};

/// The threads. Clones share them; they end with the last clone.
#[derive(Clone, Debug)]
pub struct Workers {
    // Not bounded: who waits for work is a request, and those are.
    queue: Sender<Work>,
}

type Work = Box<dyn FnOnce() + Send>;

impl Workers {
    /// Starts one thread for each core.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(name: &str) -> Result<Self, StartError> {
        let (queue, inbox) = unbounded::<Work>();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            let inbox = inbox.clone();
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || inbox.into_iter().for_each(|work| work()))
                .map_err(|error| StartError::new(format!("A thread cannot be started ({error}).")))?;
        }
        Ok(Self { queue })
    }

    /// Does `work` on one of the threads; also when nobody waits for it any more.
    ///
    /// # Errors
    /// It panicked.
    pub async fn run<T, F>(&self, work: F) -> Result<T, BrokenDown>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (reply, outcome) = oneshot::channel();
        let work = move || {
            let done = catch_unwind(AssertUnwindSafe(work)).map_err(|_panic| BrokenDown);
            let _caller_gone = reply.send(done);
        };
        self.queue.send(Box::new(work)).map_err(|_| BrokenDown)?;
        outcome.await.unwrap_or(Err(BrokenDown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_leaves_the_async_thread_and_a_panic_breaks_nothing_but_itself() {
        let workers = Workers::start("worker").unwrap();
        let here = thread::current().id();
        // More panics than there are threads.
        for _ in 0..2 * thread::available_parallelism().unwrap().get() {
            assert_eq!(workers.run(|| panic!("on purpose")).await, Err::<(), _>(BrokenDown));
        }
        assert_ne!(workers.run(|| thread::current().id()).await.unwrap(), here);
    }
}
