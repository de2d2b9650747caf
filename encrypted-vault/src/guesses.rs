//! The budget of guesses at the value of one version within a minute.
//!
//! Whoever asks whether a value is that of a version tests a guess. The manager asks for callers that may read the
//! secret, with a value or with versions that hold guesses, so the budget is for a manager that is not what it was, and
//! for a caller's loop. Guarantees that no version is guessed at more often, and that the counters take bounded memory: what cannot be counted is not compared.
//!
//! A minute is one of the boot clock, so any 60 seconds have twice the budget at most.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use shared_proto::id::{SecretId, Version};

/// Guesses at one version within a minute. A writer that asks whether its value is a new one asks once.
const PER_VERSION: u32 = 120;
/// The most versions that are counted within a minute: some 10 MB, and 1,700 writes a second that ask.
const COUNTED: usize = 100_000;
/// Seconds.
const MINUTE: u64 = 60;

/// The budget of a version is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Seconds until it is new.
    pub wait: u64,
}

/// Counts guesses by version, minute by minute.
#[derive(Debug, Default)]
pub struct GuessBudgets(Mutex<Minute>);

#[derive(Debug, Default)]
struct Minute {
    number: u64,
    versions: HashMap<(SecretId, Version), u32>,
}

impl GuessBudgets {
    /// Takes a guess at each of these versions at `boot` seconds of the boot clock. What was counted before one that is
    /// refused stays counted.
    ///
    /// # Errors
    /// The budget of one of them is spent, or no more can be counted in this minute.
    pub fn take(&self, versions: impl Iterator<Item = (SecretId, Version)>, boot: u64) -> Result<(), Spent> {
        let spent = Spent { wait: MINUTE - boot % MINUTE };
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number != boot / MINUTE {
            *minute = Minute { number: boot / MINUTE, versions: HashMap::new() };
        }
        for version in versions {
            let counted = minute.versions.get(&version).copied();
            if counted.is_none() && minute.versions.len() >= COUNTED || counted.is_some_and(|n| n >= PER_VERSION) {
                return Err(spent);
            }
            minute.versions.insert(version, counted.unwrap_or(0).saturating_add(1));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> (SecretId, Version) {
        (SecretId::generate(), Version::FIRST)
    }

    #[test]
    fn guesses_at_a_version_end_with_its_budget_and_begin_again_with_the_minute() {
        let (budgets, one) = (GuessBudgets::default(), version());
        for _ in 0..PER_VERSION {
            assert_eq!(budgets.take([one].into_iter(), 119), Ok(()));
        }
        assert_eq!(budgets.take([one].into_iter(), 119), Err(Spent { wait: 1 }));
        assert_eq!(budgets.take([version(), one].into_iter(), 119), Err(Spent { wait: 1 }), "also among others");
        assert_eq!(budgets.take([version()].into_iter(), 119), Ok(()), "others have their own");
        assert_eq!(budgets.take([one].into_iter(), 120), Ok(()));
    }

    #[test]
    fn counting_has_a_bound_and_what_is_not_counted_is_refused() {
        let budgets = GuessBudgets::default();
        let taken = (0..COUNTED + 5).filter(|_| budgets.take([version()].into_iter(), 0).is_ok()).count();
        assert_eq!(taken, COUNTED);
        assert_eq!(budgets.take([version()].into_iter(), 61), Ok(()));
    }
}
