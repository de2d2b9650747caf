//! Work that a client's disconnect must not cut in half.
//!
//! Guarantees that a task started here runs to its end on the runtime it was given, also when the request that started
//! it is gone, and that a graceful stop can wait for all of them.

use std::{future::Future, sync::Arc};

use tokio::{runtime::Handle, sync::watch, task::JoinHandle};

/// Work on more bytes than this goes to a thread of its own: ciphering or parsing a megabyte would hold up every other
/// connection of an async thread, while handing over a kilobyte takes longer than the work.
const INLINE_BYTES: usize = 64 * 1024;

/// The work panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task broke down")]
pub struct BrokenDown;

/// Does work on `bytes` bytes, in place or on a blocking thread.
///
/// # Errors
/// It panicked on its thread.
pub async fn by_size<T, F>(bytes: usize, work: F) -> Result<T, BrokenDown>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if bytes <= INLINE_BYTES {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| BrokenDown)
}

/// The running tasks of a process.
#[derive(Clone, Debug)]
pub struct Tasks {
    // The workers of the HTTP server have runtimes of their own, which end with them: tasks go to the process's one.
    runtime: Handle,
    running: Arc<watch::Sender<usize>>,
}

impl Tasks {
    /// Tasks that run on `runtime`, the multi-thread runtime of `main`.
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, running: Arc::new(watch::Sender::new(0)) }
    }

    /// Runs `future` to its end. Dropping the handle does not stop it.
    pub fn run_to_end<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let running = Running::start(Arc::clone(&self.running));
        self.runtime.spawn(async move {
            let output = future.await;
            drop(running);
            output
        })
    }

    /// How many run now.
    pub fn running(&self) -> usize {
        *self.running.borrow()
    }

    /// Returns when none runs.
    pub async fn wait_idle(&self) {
        let mut running = self.running.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _count = running.wait_for(|count| *count == 0).await;
    }
}

/// Counts one task, also when it panics.
struct Running(Arc<watch::Sender<usize>>);

impl Running {
    fn start(running: Arc<watch::Sender<usize>>) -> Self {
        running.send_modify(|count| *count += 1);
        Self(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_work_leaves_the_async_thread_and_small_work_does_not() {
        let here = std::thread::current().id();
        let place = async |bytes| by_size(bytes, || std::thread::current().id()).await.unwrap();
        assert_eq!(place(INLINE_BYTES).await, here);
        assert_ne!(place(INLINE_BYTES + 1).await, here);
        assert_eq!(by_size(INLINE_BYTES + 1, || panic!("on purpose")).await, Err::<(), _>(BrokenDown));
    }

    use tokio::sync::oneshot;

    #[tokio::test]
    async fn task_survives_its_starter_and_is_waited_for() {
        let tasks = Tasks::new(Handle::current());
        let (go, wait) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel::<u8>();
        drop(tasks.run_to_end(async move {
            wait.await.unwrap();
            done.send(7).unwrap();
        }));
        let panicking = tasks.run_to_end(async { panic!("counted all the same") });
        assert!(panicking.await.is_err());
        assert_eq!(tasks.running(), 1);
        go.send(()).unwrap();
        tasks.wait_idle().await;
        assert_eq!(finished.await.unwrap(), 7);
        assert_eq!(tasks.running(), 0);
    }
}
