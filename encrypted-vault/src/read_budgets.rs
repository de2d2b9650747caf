//! The budgets of what the tokens of one subject may open within a minute.
//!
//! The operator of the vault sets them, and the manager has no part in them: they bound what a thief of a credential
//! takes before somebody notices. A thief of the manager signs tokens of any subject. Guarantees that a version is opened only within both budgets of its
//! subject, and that the counters take bounded memory: what cannot be counted is not opened.
//!
//! A minute is one of the boot clock, so any 60 seconds have twice the budget at most. A restart begins a new minute.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use service_runtime::StartError;
use shared_proto::id::{SecretId, Subject};

/// Budgets of each subject. One that is absent is unlimited.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetSettings {
    /// Versions that may be opened within a minute, 1 to 10,000,000.
    pub reads_per_minute: Option<u32>,
    /// Different secrets of which a version may be opened within a minute, 1 to 100,000.
    pub secrets_per_minute: Option<u32>,
}

impl BudgetSettings {
    /// Checks the ranges.
    ///
    /// # Errors
    /// A budget is outside its range.
    pub fn check(&self) -> Result<(), StartError> {
        let settings = [
            ("reads_per_minute", self.reads_per_minute, 10_000_000),
            ("secrets_per_minute", self.secrets_per_minute, 100_000),
        ];
        for (name, value, most) in settings {
            if value.is_some_and(|value| !(1..=most).contains(&value)) {
                return Err(StartError::new(format!("[budgets] {name} is 1 to {most}.")));
            }
        }
        Ok(())
    }
}

/// The budget of a subject is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Seconds until it is new.
    pub wait: u64,
}

/// Counts opened versions by subject, minute by minute.
#[derive(Debug)]
pub struct ReadBudgets {
    settings: BudgetSettings,
    minute: Mutex<Minute>,
}

#[derive(Debug, Default)]
struct Minute {
    number: u64,
    reads: HashMap<Subject, Counts>,
    secrets: HashSet<(Subject, SecretId)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    reads: u32,
    secrets: u32,
}

/// The most subjects that are counted within a minute.
const SUBJECTS: usize = 100_000;
/// The most pairs of a subject and a secret that are counted within a minute: some 100 MB.
const PAIRS: usize = 1_000_000;

impl ReadBudgets {
    /// Budgets with these settings.
    pub fn new(settings: BudgetSettings) -> Self {
        Self { settings, minute: Mutex::default() }
    }

    /// Takes the opening of one version at `boot` seconds of the boot clock.
    ///
    /// # Errors
    /// A budget of the subject is spent, or no more can be counted in this minute; nothing is taken.
    pub fn take(&self, subject: Subject, secret: SecretId, boot: u64) -> Result<(), Exhausted> {
        let BudgetSettings { reads_per_minute, secrets_per_minute } = self.settings;
        if reads_per_minute.is_none() && secrets_per_minute.is_none() {
            return Ok(());
        }
        let exhausted = Exhausted { wait: MINUTE - boot % MINUTE };
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        minute.turn(boot / MINUTE);
        let counts = minute.reads.get(&subject).copied();
        if counts.is_none() && minute.reads.len() >= SUBJECTS {
            return Err(exhausted);
        }
        let Counts { reads, secrets } = counts.unwrap_or_default();
        if reads_per_minute.is_some_and(|most| reads >= most) {
            return Err(exhausted);
        }
        let mut after = Counts { reads: reads.saturating_add(1), secrets };
        if let Some(most) = secrets_per_minute
            && !minute.secrets.contains(&(subject, secret))
        {
            if secrets >= most || minute.secrets.len() >= PAIRS {
                return Err(exhausted);
            }
            minute.secrets.insert((subject, secret));
            after.secrets = secrets.saturating_add(1);
        }
        minute.reads.insert(subject, after);
        Ok(())
    }
}

impl Minute {
    fn turn(&mut self, number: u64) {
        if self.number != number {
            *self = Self { number, ..Self::default() };
        }
    }
}

/// Seconds.
const MINUTE: u64 = 60;

#[cfg(test)]
mod tests {
    use shared_proto::id::PersonId;

    use super::*;

    fn subject() -> Subject {
        Subject::Person(PersonId::generate())
    }

    fn budgets(reads: Option<u32>, secrets: Option<u32>) -> ReadBudgets {
        ReadBudgets::new(BudgetSettings { reads_per_minute: reads, secrets_per_minute: secrets })
    }

    #[test]
    fn reads_of_a_subject_end_with_its_budget_and_begin_again_with_the_minute() {
        let (budgets, one, other, secret) = (budgets(Some(3), None), subject(), subject(), SecretId::generate());
        for _ in 0..3 {
            assert_eq!(budgets.take(one, secret, 119), Ok(()));
        }
        assert_eq!(budgets.take(one, secret, 119), Err(Exhausted { wait: 1 }));
        assert_eq!(budgets.take(other, secret, 119), Ok(()), "others have their own");
        assert_eq!(budgets.take(one, secret, 120), Ok(()));
    }

    #[test]
    fn different_secrets_are_counted_once_each() {
        let (budgets, one) = (budgets(Some(100), Some(2)), subject());
        let [first, second, third] = [(); 3].map(|()| SecretId::generate());
        for secret in [first, second, first, second, first] {
            assert_eq!(budgets.take(one, secret, 0), Ok(()));
        }
        assert_eq!(budgets.take(one, third, 7), Err(Exhausted { wait: 53 }));
        assert_eq!(budgets.take(one, first, 7), Ok(()), "what was opened may be opened again");
        assert_eq!(budgets.take(subject(), third, 7), Ok(()));
    }

    #[test]
    fn refused_opening_takes_nothing() {
        let (budgets, one) = (budgets(Some(2), Some(1)), subject());
        let [first, second] = [(); 2].map(|()| SecretId::generate());
        assert_eq!(budgets.take(one, first, 0), Ok(()));
        assert!(budgets.take(one, second, 0).is_err());
        assert_eq!(budgets.take(one, first, 0), Ok(()), "the refused one was not counted as a read");
        assert!(budgets.take(one, first, 0).is_err());
    }

    #[test]
    fn without_settings_nothing_is_counted_and_with_them_counting_has_a_bound() {
        let free = budgets(None, None);
        assert!((0..10).all(|_| free.take(subject(), SecretId::generate(), 0).is_ok()));
        assert_eq!(free.minute.lock().unwrap().reads.len(), 0);
        let bound = budgets(Some(1), None);
        let secret = SecretId::generate();
        let taken = (0..SUBJECTS + 5).filter(|_| bound.take(subject(), secret, 0).is_ok()).count();
        assert_eq!(taken, SUBJECTS);
        assert_eq!(bound.take(subject(), secret, 61), Ok(()));
    }

    #[test]
    fn budgets_outside_their_range_are_refused_at_the_start() {
        let check = |reads, secrets| BudgetSettings { reads_per_minute: reads, secrets_per_minute: secrets }.check();
        assert!(check(None, None).is_ok() && check(Some(1), Some(100_000)).is_ok());
        for (reads, secrets, name) in [
            (Some(0), None, "reads_per_minute"),
            (Some(10_000_001), None, "reads_per_minute"),
            (None, Some(0), "secrets_per_minute"),
            (None, Some(100_001), "secrets_per_minute"),
        ] {
            assert!(check(reads, secrets).unwrap_err().sentence.contains(name));
        }
    }
}
