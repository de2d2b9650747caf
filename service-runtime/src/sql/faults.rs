//! Planned faults of jobs, by their names or kinds: for tests of what remains when the disk or the process gives up.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::StoreFault;

/// A fault of all jobs of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing fails.
    #[default]
    None,
    /// Writes fail before anything is written.
    WritesFail,
    /// Writes happen, but the answers are lost.
    AnswersLost,
    /// Reads fail.
    ReadsFail,
    /// Writes happen, but the answers are lost, and nothing can be read to find out.
    Blind,
    /// Reads wait until another fault is set.
    ReadsWait,
}

/// The place where a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillPoint {
    /// Just before this job.
    Before(&'static str),
    /// Just after this job; its caller never learns of it.
    After(&'static str),
}

/// A fault of a single write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// It fails before anything is written, once.
    Fails,
    /// It happens, but the answer is lost, once.
    AnswerLost,
    /// The process dies just before it.
    DiesBefore,
    /// The process dies just after it.
    DiesAfter,
}

/// A plan of faults. Without an entry nothing is changed. Clones share it.
///
/// After its kill point nothing works any more, as in a process that is gone.
#[derive(Clone, Default)]
pub struct Faults(Arc<Plan>);

#[derive(Default)]
struct Plan {
    state: Mutex<State>,
    fault: watch::Sender<Fault>,
    waiting: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    kill_at: Option<KillPoint>,
    dead: bool,
    twice: bool,
    calls: HashMap<&'static str, u64>,
    /// The fault of a write that follows, and how many come before it.
    strike: Option<(u64, WriteFault)>,
    /// The job that it came to.
    struck: Option<&'static str>,
    /// The act that follows a call of a job.
    meanwhile: Option<(&'static str, u64, Act)>,
}

type Act = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

impl Faults {
    /// Lets the process die at the next pass of this point.
    pub fn kill_at(&self, point: KillPoint) {
        self.state().kill_at = Some(point);
    }

    /// Plans a fault of the write that comes after so many others from now on, whatever its name.
    pub fn strike(&self, after: u64, fault: WriteFault) {
        let mut state = self.state();
        (state.strike, state.struck) = (Some((after, fault)), None);
    }

    /// Lifts the fault of a write, and returns the job that it came to, if it has come.
    pub fn lift_strike(&self) -> Option<&'static str> {
        let mut state = self.state();
        state.strike = None;
        state.struck.take()
    }

    /// Runs `act` when the job has returned `calls` times more, before its caller hears of it.
    pub fn after_calls<F>(&self, job: &'static str, calls: u64, act: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut state = self.state();
        let call = state.calls.get(job).copied().unwrap_or_default() + calls;
        state.meanwhile = Some((job, call, Box::new(|| Box::pin(act()))));
    }

    /// Runs each write twice from now on. The first run is undone, as after a serialization failure.
    pub fn write_twice(&self) {
        self.state().twice = true;
    }

    /// Sets what is wrong with all jobs of a kind from now on.
    pub fn set(&self, fault: Fault) {
        self.0.fault.send_replace(fault);
    }

    /// Returns when a read waits because of [`Fault::ReadsWait`], or has waited.
    pub async fn read_begun(&self) {
        let mut waiting = self.0.waiting.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _waits = waiting.wait_for(|waits| *waits).await;
    }

    /// The number of times that a job has returned without an error.
    pub fn calls(&self, job: &'static str) -> u64 {
        self.state().calls.get(job).copied().unwrap_or_default()
    }

    /// Whether the kill point was passed.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Does the work of a job with its planned faults.
    ///
    /// # Errors
    /// Those of the work, and the planned ones.
    pub async fn through<T, E: From<StoreFault>>(
        &self,
        job: &'static str,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        self.pass(KillPoint::Before(job), StoreFault::Unavailable)?;
        let outcome = work.await?;
        self.pass(KillPoint::After(job), StoreFault::OutcomeUnknown)?;
        if let Some(act) = self.count(job) {
            act().await;
        }
        Ok(outcome)
    }

    /// Does the work of a job that writes.
    pub(super) async fn writing<T>(
        &self,
        job: &'static str,
        work: impl Future<Output = Result<T, StoreFault>> + Send,
    ) -> Result<T, StoreFault> {
        if self.has(Fault::WritesFail) {
            return Err(StoreFault::Unavailable);
        }
        let outcome = match self.next_write(job) {
            None => self.through(job, work).await,
            Some(WriteFault::Fails) => Err(StoreFault::Unavailable),
            Some(WriteFault::AnswerLost) => self.through(job, work).await.and(Err(StoreFault::OutcomeUnknown)),
            Some(WriteFault::DiesBefore) => {
                self.kill_at(KillPoint::Before(job));
                self.through(job, work).await
            }
            Some(WriteFault::DiesAfter) => {
                self.kill_at(KillPoint::After(job));
                self.through(job, work).await
            }
        };
        if self.has(Fault::AnswersLost) || self.has(Fault::Blind) { Err(StoreFault::OutcomeUnknown) } else { outcome }
    }

    /// Does the work of a job that reads.
    pub(super) async fn reading<T>(
        &self,
        job: &'static str,
        work: impl Future<Output = Result<T, StoreFault>> + Send,
    ) -> Result<T, StoreFault> {
        if self.has(Fault::ReadsWait) {
            self.0.waiting.send_replace(true);
            let mut fault = self.0.fault.subscribe();
            let _changed = fault.wait_for(|fault| *fault != Fault::ReadsWait).await;
        }
        if self.has(Fault::ReadsFail) || self.has(Fault::Blind) {
            return Err(StoreFault::Unavailable);
        }
        self.through(job, work).await
    }

    /// Whether no job must fail.
    pub(super) fn is_sound(&self) -> bool {
        self.has(Fault::None) && !self.is_dead()
    }

    fn has(&self, fault: Fault) -> bool {
        *self.0.fault.borrow() == fault
    }

    pub(super) fn writes_twice(&self) -> bool {
        self.state().twice
    }

    fn pass(&self, point: KillPoint, fault: StoreFault) -> Result<(), StoreFault> {
        let mut state = self.state();
        state.dead |= state.kill_at == Some(point);
        if state.dead { Err(fault) } else { Ok(()) }
    }

    /// Counts a write, and returns the fault that is planned for it.
    fn next_write(&self, job: &'static str) -> Option<WriteFault> {
        let mut state = self.state();
        let (left, fault) = state.strike?;
        state.strike = left.checked_sub(1).map(|left| (left, fault));
        if left > 0 {
            return None;
        }
        state.struck = Some(job);
        Some(fault)
    }

    /// Counts a call and returns what is to follow it.
    fn count(&self, job: &'static str) -> Option<Act> {
        let mut state = self.state();
        let calls = state.calls.entry(job).or_default();
        *calls += 1;
        let call = *calls;
        state.meanwhile.take_if(|(after, due, _)| *after == job && *due == call).map(|(_, _, act)| act)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}
