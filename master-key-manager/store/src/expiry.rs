//! The end of a version.

/// When a version ends, as its row says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The manager wrote it: Unix seconds, `None` for never.
    Known(Option<u64>),
    /// The row has no tag, or one that does not fit it.
    Unverified,
}

/// The end of a version that a token opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// The end (Unix seconds); `None` for never, and for one that is not verified.
    pub at: Option<u64>,
    /// Set if it was over when the token was made.
    pub is_over: bool,
}

impl Expiry {
    /// The end where an expired version is only told: what is not verified is as none.
    pub fn told_at(self, now: u64) -> Ending {
        match self {
            Self::Known(at) => Ending { at, is_over: at.is_some_and(|at| at <= now) },
            Self::Unverified => Ending::default(),
        }
    }

    /// The end where an expired version is refused, which lies after `now`; `None` for never.
    ///
    /// # Errors
    /// The version has expired, or its end is not verified.
    pub fn after(self, now: u64) -> Result<Option<u64>, Expired> {
        match self {
            Self::Known(Some(at)) if at <= now => Err(Expired),
            Self::Known(at) => Ok(at),
            Self::Unverified => Err(Expired),
        }
    }
}

/// A version has expired, or counts as expired because nobody vouches for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_the_first_second_in_which_a_version_has_expired() {
        let ends = Expiry::Known(Some(10));
        assert_eq!((ends.after(9), ends.after(10)), (Ok(Some(10)), Err(Expired)));
        assert_eq!([9, 10].map(|now| ends.told_at(now).is_over), [false, true]);
        let never = Expiry::Known(None);
        assert_eq!((never.after(u64::MAX), never.told_at(u64::MAX)), (Ok(None), Ending::default()));
    }

    #[test]
    fn an_end_that_nobody_vouches_for_counts_as_over_where_that_is_refused_and_is_not_told() {
        assert_eq!((Expiry::Unverified.after(0), Expiry::Unverified.told_at(9)), (Err(Expired), Ending::default()));
    }
}
