//! The guesses of one caller at the value of one version within a minute.
//!
//! The vault counts guesses at a version, whoever asks. Guarantees that one caller takes a part of that budget only, so that the
//! others can go on to compare, that a caller whose clock is behind opens no new budget, and that counting takes bounded memory: what
//! cannot be counted is not asked. What one caller is counted for has a bound of its own, and callers have a share that many others
//! cannot take.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Subject, Version};

/// Guesses of one caller at one version within a minute: a third of those that the vault allows.
const OF_ONE: u32 = 40;
/// Versions that one caller guesses at within a minute: some pages of a search, or the values of some documents.
const VERSIONS_OF_ONE: usize = 5_000;
/// Versions of all callers that are counted within a minute, but for the share of each: some 30 MB.
const COUNTED: usize = 300_000;
/// Versions that each caller is counted for also when those of all are spent.
const SHARE: usize = 64;
/// Callers who have such a share: some 30 MB more.
const SHARES: usize = 5_000;
/// Seconds.
const MINUTE: u64 = 60;

/// Counts guesses by caller and version, minute by minute.
#[derive(Default)]
pub(super) struct CallerGuesses(Mutex<Minute>);

#[derive(Default)]
struct Minute {
    number: u64,
    counted: usize,
    /// Strangers of development mode are one caller.
    callers: HashMap<Option<Subject>, HashMap<(SecretId, Version), u32>>,
}

impl CallerGuesses {
    /// Takes a guess of a caller at each of these envelopes, at a time in Unix seconds. A time that is earlier than one before it
    /// counts in the minute of that one. What was counted before one that is refused stays counted.
    ///
    /// # Errors
    /// `RateLimited`: his budget for one of them is spent, or no more can be counted in this minute.
    pub(super) fn take(
        &self,
        caller: Option<Subject>,
        envelopes: impl Iterator<Item = (SecretId, Version)>,
        now: u64,
    ) -> Result<(), Refusal> {
        let refused = || Err(Refusal::new(ErrorCode::RateLimited).fact(Fact::Wait(MINUTE - now % MINUTE)));
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number < now / MINUTE {
            *minute = Minute { number: now / MINUTE, ..Minute::default() };
        }
        let Minute { counted: all, callers, .. } = &mut *minute;
        if callers.len() >= SHARES && !callers.contains_key(&caller) {
            return refused();
        }
        let own = callers.entry(caller).or_default();
        for envelope in envelopes {
            let counted = own.get(&envelope).copied();
            // His share is counted apart from what all have together.
            let is_beyond = own.len() >= SHARE;
            let is_full = counted.is_none() && (own.len() >= VERSIONS_OF_ONE || is_beyond && *all >= COUNTED);
            if is_full || counted.is_some_and(|counted| counted >= OF_ONE) {
                return refused();
            }
            *all += usize::from(counted.is_none() && is_beyond);
            own.insert(envelope, counted.unwrap_or(0).saturating_add(1));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use shared_proto::id::ServiceId;

    use super::*;

    fn envelope() -> (SecretId, Version) {
        (SecretId::generate(), Version::FIRST)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as guesses are counted")]
    fn caller() -> Option<Subject> {
        Some(Subject::Service(ServiceId::generate()))
    }

    #[test]
    fn a_caller_who_has_spent_his_guesses_leaves_the_others_theirs() {
        let (guesses, one, other, version) = (CallerGuesses::default(), caller(), caller(), envelope());
        for _ in 0..OF_ONE {
            assert!(guesses.take(one, [version].into_iter(), 119).is_ok());
        }
        let refused = guesses.take(one, [envelope(), version].into_iter(), 119).err().map(|refusal| refusal.code());
        assert_eq!(refused, Some(ErrorCode::RateLimited), "also among others");
        assert!(guesses.take(one, [envelope()].into_iter(), 119).is_ok());
        assert!(guesses.take(other, [version].into_iter(), 119).is_ok());
        assert!(guesses.take(one, [version].into_iter(), 120).is_ok(), "the next minute is a new one");
    }

    #[test]
    fn an_earlier_clock_opens_no_new_budget() {
        let (guesses, one, version) = (CallerGuesses::default(), caller(), envelope());
        let at = |now| guesses.take(one, [version].into_iter(), now).is_ok();
        assert!((0..OF_ONE).all(|_| at(120)));
        assert!(!at(119), "it counts in the minute that has begun");
        assert!(!at(120));
        assert!(at(180));
    }

    #[test]
    fn counting_has_a_bound_for_each_caller_and_for_all() {
        let guesses = &CallerGuesses::default();
        let taken = |caller| {
            (0..VERSIONS_OF_ONE + 5).filter(move |_| guesses.take(caller, [envelope()].into_iter(), 0).is_ok())
        };
        assert_eq!(taken(caller()).count(), VERSIONS_OF_ONE);
        let callers = COUNTED / VERSIONS_OF_ONE + 5;
        let all: usize = (1..callers).map(|_| taken(caller()).count()).sum();
        assert_eq!(all, COUNTED + callers * SHARE - VERSIONS_OF_ONE, "those of all are spent");
        assert_eq!(taken(caller()).count(), SHARE, "and another caller has his share");
        let rest = SHARES - callers - 1;
        assert_eq!((0..rest + 5).filter(|_| guesses.take(caller(), [envelope()].into_iter(), 0).is_ok()).count(), rest);
        assert!(guesses.take(caller(), [envelope()].into_iter(), 61).is_ok());
    }
}
