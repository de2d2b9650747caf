//! The processes of the manager, as their polls name them.
//!
//! Guarantees that two managers that run at the same time are noticed at the next poll of the older one. That happens
//! when a disk was cloned, or when a replaced machine still runs. A restart is not mistaken for it: the process before
//! a restart never polls again. Recorded polls have no effect, because they were made before the present process began.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use shared_proto::command::LIFE_SECONDS;
use shared_proto::wire::vault::InstanceId;

/// The processes of the manager that have polled this vault.
#[derive(Default)]
pub struct ManagerInstances(Mutex<Known>);

/// The manager runs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondManager;

#[derive(Default)]
struct Known {
    current: Option<Living>,
    /// Earlier processes, newest last.
    before: VecDeque<InstanceId>,
    /// Boot seconds when one of them came back last.
    came_back: Option<u64>,
}

#[derive(Clone, Copy)]
struct Living {
    id: InstanceId,
    /// When its first poll was signed (Unix seconds).
    since: u64,
}

/// Processes that are remembered: one that comes back after more restarts of another is noticed one poll later.
const REMEMBERED: usize = 8;
/// How long two managers are assumed after the last sign of the second: by then none of its commands is valid any more.
const APART_SECONDS: u64 = LIFE_SECONDS;

impl ManagerInstances {
    /// Notes a good poll that process `id` signed at `issued_at` (Unix seconds) and that came at `boot` seconds of the
    /// boot clock.
    ///
    /// # Errors
    /// Another process of the manager runs too, or did so a moment ago.
    pub fn note_poll(&self, id: InstanceId, issued_at: u64, boot: u64) -> Result<(), SecondManager> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.current {
            Some(current) if current.id == id || issued_at <= current.since => {}
            Some(current) => {
                if known.before.contains(&id) {
                    if !known.is_double(boot) {
                        tracing::error!("ALARM: two managers with the same identity poll this vault; end one of them");
                    }
                    known.came_back = Some(boot);
                }
                known.before.retain(|other| *other != id);
                known.before.push_back(current.id);
                if known.before.len() > REMEMBERED {
                    known.before.pop_front();
                }
                known.current = Some(Living { id, since: issued_at });
            }
            None => known.current = Some(Living { id, since: issued_at }),
        }
        if known.is_double(boot) { Err(SecondManager) } else { Ok(()) }
    }

    /// Whether two managers run.
    pub fn are_two(&self, boot: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_double(boot)
    }
}

impl Known {
    fn is_double(&self, boot: u64) -> bool {
        self.came_back.is_some_and(|at| boot.saturating_sub(at) < APART_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use shared_proto::encoding::Bytes;

    use super::*;

    const A: InstanceId = Bytes([1; 16]);
    const B: InstanceId = Bytes([2; 16]);
    const C: InstanceId = Bytes([3; 16]);

    #[test]
    fn restart_is_no_second_manager_however_often_and_whatever_is_shown_of_its_past() {
        let known = ManagerInstances::default();
        for second in 0..50 {
            let id = Bytes([u8::try_from(second).unwrap(); 16]);
            assert_eq!(known.note_poll(id, second, second), Ok(()));
            // A late or recorded poll of the one before, signed when this one had not begun.
            if let Some(before) = second.checked_sub(1) {
                let before_it = Bytes([u8::try_from(before).unwrap(); 16]);
                assert_eq!(known.note_poll(before_it, second, second), Ok(()));
            }
            assert_eq!(known.note_poll(id, second, second), Ok(()));
        }
    }

    #[test]
    fn one_that_comes_back_is_noticed_and_both_are_told_until_one_is_gone_for_a_minute() {
        let known = ManagerInstances::default();
        assert_eq!(known.note_poll(A, 10, 0), Ok(()));
        assert_eq!(known.note_poll(B, 11, 1), Ok(()), "a restart, as far as one can see");
        assert_eq!(known.note_poll(A, 11, 1), Ok(()), "a late one");
        for second in 2..9 {
            assert_eq!(known.note_poll(A, 10 + second, second), Err(SecondManager));
            assert_eq!(known.note_poll(B, 10 + second, second), Err(SecondManager));
        }
        for second in 9..66 {
            assert_eq!(known.note_poll(A, 10 + second, second), Err(SecondManager), "{second}");
        }
        assert!(known.are_two(67) && !known.are_two(68));
        assert_eq!(known.note_poll(A, 78, 68), Ok(()));
        assert_eq!(known.note_poll(C, 80, 70), Ok(()), "it may restart again");
        assert_eq!(known.note_poll(B, 81, 71), Err(SecondManager), "and the other one is not forgotten");
    }
}
