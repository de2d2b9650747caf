//! The strength of a password that somebody gave: how many guesses it takes to find it.

/// The strength of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// 0 (among the first guesses) to 4 (safe also when a hash of it is stolen).
    pub score: u8,
    /// The decimal logarithm of the number of guesses.
    pub guesses_log10: f64,
}

/// Estimates the strength of a value with `zxcvbn`.
///
/// The first 32 characters are looked at, because the work grows fast with the length (docs/adr/0032-sign-on.md); what
/// follows makes a text only harder to guess. Bytes that are no text are looked at as if each were a character of Latin-1.
pub fn strength(value: &[u8]) -> Strength {
    let text = match std::str::from_utf8(value) {
        Ok(text) => text.chars().take(LOOKED_AT).collect(),
        Err(_) => value.iter().take(LOOKED_AT).map(|byte| char::from(*byte)).collect::<String>(),
    };
    let text = zeroize::Zeroizing::new(text);
    if text.is_empty() {
        return Strength { score: 0, guesses_log10: 0.0 };
    }
    let estimate = zxcvbn::zxcvbn(&text, &[]);
    Strength { score: u8::from(estimate.score()).min(4), guesses_log10: estimate.guesses_log10() }
}

const LOOKED_AT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strength_grows_with_what_a_guesser_must_try() {
        let of = |text: &str| strength(text.as_bytes());
        assert_eq!(of("").score, 0);
        assert_eq!(of("password1").score, 0);
        assert!(of("password1").guesses_log10 < of("lamp-river-17").guesses_log10);
        assert_eq!(of("kX9#vTq2!mZ7pLw4").score, 4);
        assert!(strength(&[0xff; 4]).guesses_log10 > 0.0);
    }

    #[test]
    fn long_text_costs_no_more_than_its_beginning() {
        let long = "p4ssw0rd!".repeat(100_000);
        let short: String = long.chars().take(32).collect();
        assert_eq!(strength(long.as_bytes()), strength(short.as_bytes()));
    }
}
