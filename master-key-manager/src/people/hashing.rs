//! The threads that hash passwords: a hash takes 19 MiB and a twentieth of a second.

use std::thread::available_parallelism;

use service_runtime::workers::Workers;
use service_runtime::{Refusal, StartError};
use shared_proto::error::ErrorCode;
use tokio::sync::Semaphore;

/// Hashes passwords, a few at once.
pub struct Hashing {
    workers: Workers<()>,
    places: Semaphore,
}

/// Hashes at once. More would take memory, and leave no core to the rest of the service.
const THREADS: usize = 2;
/// Hashes at once and in the queue. The last of them waits two seconds or less.
const PLACES: usize = 64;

impl Hashing {
    /// Starts the threads.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start() -> Result<Self, StartError> {
        let threads = available_parallelism().map_or(1, usize::from).min(THREADS);
        let workers = Workers::start("password-hasher", vec![(); threads])?;
        Ok(Self { workers, places: Semaphore::new(PLACES) })
    }

    /// Does this work in turn.
    ///
    /// # Errors
    /// `overloaded`: too much of it waits. `internal`: it broke down.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let _place = self.places.try_acquire().map_err(|_| Refusal::new(ErrorCode::Overloaded))?;
        Ok(self.workers.run(move |()| work()).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn queue_of_hashes_has_an_end_and_goes_on_afterwards() {
        let hashing = Hashing::start().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
        let mut waiting = Vec::new();
        for _ in 0..PLACES {
            let wait = std::sync::Arc::clone(&wait);
            let mut one = Box::pin(hashing.run(move || wait.lock().unwrap().recv().is_err()));
            assert!(one.as_mut().now_or_never().is_none());
            waiting.push(one);
        }
        let refused = hashing.run(|| ()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Overloaded);
        drop(go);
        for one in waiting {
            assert_eq!(one.await, Ok(true));
        }
        assert_eq!(hashing.run(|| 7).await, Ok(7));
    }
}
