//! When a call is sent again: the error table decides.
//!
//! What may have been carried out is never sent again, unless it changes nothing or has an `Idempotency-Key`.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use shared_proto::error::Retry;

use crate::ClientError;
use crate::error::TransportFault;

/// How often a call is sent again, and how long it waits for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// The most times that a call is sent; 1 for no repetition.
    pub attempts: u32,
    /// The longest time to wait between two of them. When a service asks for a longer one, its refusal is the answer.
    pub longest_pause: Duration,
}

impl Retries {
    /// Each call is sent once.
    pub const fn none() -> Self {
        Self { attempts: 1, longest_pause: Duration::ZERO }
    }

    /// Each call is sent up to four times, with pauses of a fifth of a second up to five seconds.
    pub const fn usual() -> Self {
        Self { attempts: 4, longest_pause: Duration::from_secs(5) }
    }

    /// The pause after so many attempts, of which a service may have asked for one. `None` when there is no further one.
    pub(crate) fn pause(self, attempts: u32, asked: Option<Duration>) -> Option<Duration> {
        if attempts >= self.attempts {
            return None;
        }
        match asked {
            Some(asked) if asked > self.longest_pause => None,
            Some(asked) => Some(asked.max(FIRST_PAUSE)),
            None => {
                let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(attempts - 1).unwrap_or(u32::MAX));
                Some(doubled.mul_f64(1.0 + jitter()).min(self.longest_pause))
            }
        }
    }
}

/// Tells whether a call that failed so may be sent again. `repeatable` is a call that changes nothing, or has a key by which
/// a repeat is recognized.
pub(crate) fn repeats(error: &ClientError, repeatable: bool) -> bool {
    match error {
        ClientError::Refused(problem) => match problem.code.retry() {
            Retry::Later => true,
            Retry::SameKey => repeatable,
            Retry::No | Retry::NewToken => false,
        },
        // Nothing was sent.
        ClientError::Transport(TransportFault::Connect) => true,
        ClientError::Transport(TransportFault::Deadline | TransportFault::Broken) => repeatable,
        // Gateways in between say it without a document.
        ClientError::Malformed { status } => repeatable && matches!(status, 429 | 502..=504),
        ClientError::Transport(TransportFault::SetUp) | ClientError::Address(_) => false,
    }
}

/// Up to a half, so that clients that failed at one moment do not come back at one moment.
fn jitter() -> f64 {
    // A new state of the standard library's maps is random; what is needed here is no more than that it differs.
    let drawn = RandomState::new().build_hasher().finish() % 500;
    f64::from(u32::try_from(drawn).unwrap_or_default()) / 1000.0
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use shared_proto::error::{ErrorCode, Problem};

    use super::*;

    fn refused(code: ErrorCode) -> ClientError {
        ClientError::Refused(Box::new(Problem::new(code, "req_1")))
    }

    #[test]
    fn change_that_may_have_been_carried_out_is_sent_again_only_with_its_key() {
        for error in [
            refused(ErrorCode::OutcomeUnknown),
            ClientError::Transport(TransportFault::Broken),
            ClientError::Transport(TransportFault::Deadline),
            ClientError::Malformed { status: 502 },
        ] {
            assert!(repeats(&error, true), "{error}");
            assert!(!repeats(&error, false), "{error}");
        }
    }

    #[test]
    fn what_was_not_carried_out_is_sent_again_and_what_would_be_refused_again_is_not() {
        for repeatable in [false, true] {
            assert!(repeats(&ClientError::Transport(TransportFault::Connect), repeatable));
            for code in ErrorCode::ALL {
                let expected = match code.retry() {
                    Retry::Later => true,
                    Retry::SameKey => repeatable,
                    Retry::No | Retry::NewToken => false,
                };
                assert_eq!(repeats(&refused(*code), repeatable), expected, "{}", code.as_str());
            }
            assert!(!repeats(&ClientError::Malformed { status: 200 }, repeatable));
        }
    }

    #[test]
    fn pauses_grow_and_end_and_a_service_may_ask_for_longer_ones() {
        let retries = Retries::usual();
        let seconds = Duration::from_secs;
        for (attempt, least, most) in [(1, 200, 300), (2, 400, 600), (3, 800, 1200)] {
            let pause = retries.pause(attempt, None).unwrap().as_millis();
            assert!((least..=most).contains(&pause), "{pause} after {attempt}");
        }
        assert_eq!(retries.pause(4, None), None);
        assert_eq!(retries.pause(1, Some(seconds(3))), Some(seconds(3)));
        assert_eq!(retries.pause(1, Some(seconds(60))), None);
        assert_eq!(Retries::none().pause(1, None), None);
    }
}
