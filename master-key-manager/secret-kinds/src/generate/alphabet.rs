//! The symbols that values are made of.

use bip39::Language;

pub(super) const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
pub(super) const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
pub(super) const DIGITS: &[u8] = b"0123456789";
/// The visible characters of ASCII that are no letters and no digits.
pub(super) const SYMBOLS: &[u8] = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
/// Letters and digits: a double click selects them, and no shell or URL takes them for something else.
pub(super) const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters that are taken for others.
pub(super) const LOOKALIKES: &[u8] = b"0O1lI|";

/// The words of passphrases: the English list of BIP 39, 2,048 words of 3 to 8 letters that differ in their first four.
pub(super) fn words() -> &'static [&'static str; 2048] {
    Language::English.word_list()
}

/// The random bits of `count` symbols of so many, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small numbers"
)]
pub(super) fn bits(count: usize, symbols: usize) -> u32 {
    (count as f64 * (symbols as f64).log2()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Pool;
    use crate::testing::Seeded;

    const DRAWN: u32 = 1_000_000;

    /// The statistic of a draw of a million, as a number of standard deviations above its mean.
    fn deviation(symbols: usize, mut draw: impl FnMut() -> usize) -> f64 {
        let mut counts = vec![0_u32; symbols];
        for _ in 0..DRAWN {
            counts[draw()] += 1;
        }
        let number = |count: usize| f64::from(u32::try_from(count).unwrap());
        let expected = f64::from(DRAWN) / number(symbols);
        let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        let freedom = number(symbols - 1);
        (chi_square - freedom) / (2.0 * freedom).sqrt()
    }

    /// Five standard deviations: one run in a million fails by chance, and the seed is fixed.
    const LIMIT: f64 = 5.0;

    #[test]
    fn symbols_of_every_alphabet_are_equally_likely_and_a_remainder_is_found() {
        let ascii = [LOWER, UPPER, DIGITS, SYMBOLS].concat();
        let readable: Vec<u8> = ascii.iter().copied().filter(|symbol| !LOOKALIKES.contains(symbol)).collect();
        let sizes = [LOWER.len(), DIGITS.len(), SYMBOLS.len(), BASE62.len(), ascii.len(), readable.len(), 3, 200, 256];
        for symbols in sizes.into_iter().chain([words().len(), 1000]) {
            let mut source = Seeded::new(symbols as u64);
            let mut pool = Pool::new(&mut source);
            let found = deviation(symbols, || pool.below(symbols).unwrap());
            assert!(found.abs() < LIMIT, "{symbols}: {found}");
        }
        // The control: a byte, reduced. 16, 32 and 256 divide a byte, so there is no bias to find.
        for symbols in [LOWER.len(), DIGITS.len(), BASE62.len(), ascii.len(), readable.len(), 3, 200] {
            let mut source = Seeded::new(symbols as u64);
            let mut pool = Pool::new(&mut source);
            let found = deviation(symbols, || pool.below(256).unwrap() % symbols);
            assert!(found > LIMIT, "the control for {symbols} is not found: {found}");
        }
    }

    #[test]
    fn alphabets_have_each_symbol_once() {
        for alphabet in [LOWER, UPPER, DIGITS, SYMBOLS, BASE62] {
            let mut sorted = alphabet.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), alphabet.len());
        }
        assert_eq!([LOWER, UPPER, DIGITS, SYMBOLS].concat().len(), 94);
        assert!(words().is_sorted() && words().iter().all(|word| (3..=8).contains(&word.len())));
        assert_eq!(bits(7, 2048), 77);
        assert_eq!(bits(32, 62), 190);
    }

    #[test]
    fn source_that_fails_and_empty_alphabet_give_nothing() {
        let mut pool_source = Seeded::failing();
        let mut pool = Pool::new(&mut pool_source);
        assert!(pool.below(10).is_err());
        let mut source = Seeded::new(1);
        let mut pool = Pool::new(&mut source);
        assert!(pool.below(0).is_err() && pool.below(65_537).is_err() && pool.one_of::<u8>(&[]).is_err());
        assert_eq!(pool.below(1), Ok(0));
    }
}
