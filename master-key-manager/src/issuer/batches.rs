//! Batches of requests that end in a signature, so that the requests of a batch share commits and fsyncs.
//!
//! Signatures are made one after another. So their clients come back one by one, and each would pay for a commit of its
//! own. Instead, requests that come while enough are inside wait, and enter together. Guarantees that the signing
//! threads have work meanwhile, that no request waits while few are inside, that none is overtaken, and that an
//! abandoned one gives up its slot.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::oneshot;

/// The requests inside, and those that wait. Clones share it.
#[derive(Clone, Debug)]
pub struct Batches {
    state: Arc<Mutex<State>>,
    few: usize,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
}

/// A slot inside, until it is dropped.
#[derive(Debug)]
pub struct Slot(Batches);

/// Requests inside for each core: enough to keep a signing thread busy while the next ones pass through two databases.
const FEW_PER_CORE: usize = 4;
/// The longest batch: a longer one would hardly save more, and its last request would wait for long.
const BATCH: usize = 64;

impl Batches {
    /// Batches for one signing thread per core.
    pub fn for_each_core() -> Self {
        Self::new(FEW_PER_CORE * available_parallelism().map_or(1, NonZeroUsize::get))
    }

    fn new(few: usize) -> Self {
        Self { state: Arc::default(), few }
    }

    /// Waits for a slot.
    pub async fn enter(&self) -> Slot {
        let turn = {
            let mut state = self.lock();
            if state.inside < self.few && state.waiting.is_empty() {
                return self.slot(&mut state);
            }
            let (let_in, turn) = oneshot::channel();
            state.waiting.push_back(let_in);
            turn
        };
        // Whoever waits is let in by one who leaves: without an answer there is nobody to wait for.
        turn.await.unwrap_or_else(|_| self.slot(&mut self.lock()))
    }

    fn slot(&self, state: &mut State) -> Slot {
        state.inside += 1;
        Slot(self.clone())
    }

    fn leave(&self) {
        let mut state = self.lock();
        state.inside = state.inside.saturating_sub(1);
        if state.inside >= self.few {
            return;
        }
        let batch = state.waiting.len().min(BATCH);
        let batch: Vec<_> = state.waiting.drain(..batch).collect();
        let places: Vec<_> = batch.iter().map(|_| self.slot(&mut state)).collect();
        drop(state);
        for (let_in, slot) in batch.into_iter().zip(places) {
            // The slot of one who gave up is free again.
            drop(let_in.send(slot));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;

    use super::*;

    /// Those who have asked for a slot.
    fn queue(batches: &Batches, people: usize) -> Vec<BoxFuture<'_, Slot>> {
        let mut queue: Vec<_> = (0..people).map(|_| batches.enter().boxed()).collect();
        for person in &mut queue {
            assert!(person.now_or_never().is_none(), "went in alone");
        }
        queue
    }

    /// The places of those who may go in now; the others stay.
    fn go_in(queue: &mut Vec<BoxFuture<'_, Slot>>) -> Vec<Slot> {
        let mut places = Vec::new();
        queue.retain_mut(|person| match person.now_or_never() {
            Some(slot) => {
                places.push(slot);
                false
            }
            None => true,
        });
        places
    }

    #[test]
    fn few_go_in_at_once_and_the_others_together_when_one_of_the_few_has_left() {
        let batches = Batches::new(3);
        let mut few: Vec<_> = (0..3).map(|_| batches.enter().now_or_never().unwrap()).collect();
        let mut waiting = queue(&batches, 5);
        assert!(go_in(&mut waiting).is_empty());
        few.pop();
        let batch = go_in(&mut waiting);
        assert_eq!((batch.len(), waiting.len()), (5, 0));
        // Seven are inside: the next wait until two are left.
        let mut next = queue(&batches, 2);
        drop(few);
        let mut batch = batch.into_iter();
        for left in [4, 3] {
            assert!(go_in(&mut next).is_empty());
            drop(batch.next());
            assert_eq!(batch.len(), left);
        }
        assert!(go_in(&mut next).is_empty());
        drop(batch.next());
        assert_eq!(go_in(&mut next).len(), 2);
    }

    #[test]
    fn batch_has_an_end_and_nobody_is_overtaken() {
        let batches = Batches::new(1);
        let first = batches.enter().now_or_never().unwrap();
        let mut waiting = queue(&batches, BATCH + 2);
        drop(first);
        let batch = go_in(&mut waiting);
        assert_eq!((batch.len(), waiting.len()), (BATCH, 2));
        let mut late = queue(&batches, 1);
        drop(batch);
        assert_eq!((go_in(&mut late).len(), go_in(&mut waiting).len()), (1, 2));
        assert!(batches.enter().now_or_never().is_some());
    }

    #[test]
    fn who_gives_up_makes_room_before_and_after_it_was_let_in() {
        let batches = Batches::new(1);
        let first = batches.enter().now_or_never().unwrap();
        let mut waiting = queue(&batches, 4);
        drop(waiting.drain(..2));
        drop(first);
        // Both were let in; one goes without having looked.
        waiting.pop();
        assert_eq!(go_in(&mut waiting).len(), 1);
        assert!(batches.enter().now_or_never().is_some(), "a slot was lost");
    }
}
