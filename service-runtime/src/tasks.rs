//! Work that a client's disconnect must not interrupt.
//!
//! Guarantees that a task runs to its end, even when the request that started it is gone, and that it holds the slot of
//! that request until then. A graceful stop can wait for all tasks.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};

/// Work on more bytes than this goes to a thread of its own. Encrypting or parsing a megabyte would delay every other
/// connection of an async thread, while handing over a kilobyte takes longer than the work.
const INLINE_BYTES: usize = 64 * 1024;

/// The work panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task broke down")]
pub struct BrokenDown;

/// The slot of a request, shared by everything that works for it. It is free again when the last of them has ended.
pub type Held = Arc<dyn Any + Send + Sync>;

tokio::task_local! {
    // Not a parameter: what works for a request lies deep below the handler, and whoever starts it cannot forget this.
    static HELD: Held;
}

/// Runs `work` with the slot of its request. Tasks and blocking work that it starts hold the slot as well.
pub async fn holding<F: Future>(held: Held, work: F) -> F::Output {
    HELD.scope(held, work).await
}

/// The slot of the request that this work belongs to, if it has one.
pub(crate) fn held() -> Option<Held> {
    HELD.try_with(Arc::clone).ok()
}

/// Does work on a thread for blocking work. It holds the slot of its request until it is done.
///
/// # Errors
/// It panicked.
pub async fn blocking<T, F>(work: F) -> Result<T, BrokenDown>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let held = held();
    let work = move || {
        let done = work();
        drop(held);
        done
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| BrokenDown)
}

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
    blocking(work).await
}

/// The running tasks of a process.
#[derive(Clone, Debug)]
pub struct Tasks {
    // The workers of the HTTP server have runtimes of their own, which end with them: what outlives a request, and the
    // timers and connections of all tasks, belong to the process's one.
    runtime: Handle,
    running: Arc<watch::Sender<usize>>,
}

impl Tasks {
    /// Tasks that run on `runtime`, the multi-thread runtime of `main`.
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, running: Arc::new(watch::Sender::new(0)) }
    }

    /// Runs `future` to its end: in its caller while the result is awaited, and on the process's runtime from then on.
    /// Handing every task over at once would cost each request two wake-ups of other threads. The task holds the slot
    /// of the request that starts it.
    pub fn run_to_end<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let running = Running::start(Arc::clone(&self.running));
        let held = held();
        let work = async move {
            let output = match held {
                Some(held) => holding(held, future).await,
                None => future.await,
            };
            drop(running);
            output
        };
        Task { runtime: self.runtime.clone(), work: Some(Box::pin(work)) }
    }

    /// The number of running tasks.
    pub fn running(&self) -> usize {
        *self.running.borrow()
    }

    /// Waits until no task runs.
    pub async fn wait_idle(&self) {
        let mut running = self.running.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _count = running.wait_for(|count| *count == 0).await;
    }

    /// [`Self::wait_idle`] for a stop. It ends early enough that the process is not killed while it closes its files.
    /// An interrupted task is in the same state as after a crash.
    pub async fn wait_idle_at_stop(&self) {
        if tokio::time::timeout(LAST_TASKS, self.wait_idle()).await.is_err() {
            tracing::warn!(running = self.running(), "work is cut off by the stop");
        }
    }
}

/// How long a stop waits for tasks after all requests were answered or given up.
const LAST_TASKS: Duration = Duration::from_secs(5);

/// A task that is awaited. If it is dropped before its end, the task continues without its caller.
#[must_use = "a task that is not awaited runs in the background"]
pub struct Task<T: Send + 'static> {
    runtime: Handle,
    /// None after its end.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
}

impl<T: Send + 'static> Future for Task<T> {
    type Output = Result<T, BrokenDown>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(work) = &mut this.work else { return Poll::Ready(Err(BrokenDown)) };
        let polled = {
            let _timers_and_connections_live_there = this.runtime.enter();
            catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)))
        };
        let output = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(_panic) => Err(BrokenDown),
        };
        this.work = None;
        Poll::Ready(output)
    }
}

impl<T: Send + 'static> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            drop(self.runtime.spawn(work));
        }
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
        assert_eq!(panicking.await, Err(BrokenDown));
        assert_eq!(tasks.running(), 1);
        go.send(()).unwrap();
        tasks.wait_idle().await;
        assert_eq!(finished.await.unwrap(), 7);
        assert_eq!(tasks.running(), 0);
    }

    #[tokio::test]
    async fn place_of_a_request_is_kept_until_the_last_of_its_tasks_has_ended() {
        let tasks = Tasks::new(Handle::current());
        let place: Held = Arc::new(());
        let (go, wait) = oneshot::channel::<()>();
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let starts_work = async {
            drop(tasks.run_to_end(async {
                wait.await.unwrap();
                // From within the task, after its request is gone.
                let work = move || blocked.recv().unwrap();
                tokio::select! {
                    biased;
                    _ = blocking(work) => {}
                    () = std::future::ready(()) => {}
                }
            }));
        };
        holding(Arc::clone(&place), starts_work).await;
        assert_eq!(Arc::strong_count(&place), 2);
        go.send(()).unwrap();
        tasks.wait_idle().await;
        assert_eq!(Arc::strong_count(&place), 2);
        release.send(()).unwrap();
        while Arc::strong_count(&place) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn task_that_was_begun_goes_on_with_its_timer_after_the_runtime_of_its_starter_has_ended() {
        let process = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let tasks = Tasks::new(process.handle().clone());
        let (done, finished) = oneshot::channel::<u8>();
        let worker = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut task = tasks.run_to_end(async move {
            // Without a runtime that has timers this would panic.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            done.send(7).unwrap();
        });
        worker.block_on(std::future::poll_fn(|context| {
            assert!(Pin::new(&mut task).poll(context).is_pending());
            Poll::Ready(())
        }));
        drop(worker);
        drop(task);
        process.block_on(tasks.wait_idle());
        assert_eq!(process.block_on(finished).unwrap(), 7);
    }
}
