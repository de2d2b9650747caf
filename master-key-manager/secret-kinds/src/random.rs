//! Randomness that is handed over, and symbols drawn from it without bias.

use zeroize::Zeroizing;

use crate::Refused;

/// A source of random bytes, fit for keys.
pub trait Random {
    /// Fills the bytes.
    ///
    /// # Errors
    ///
    /// The source gives none. Nothing may be generated then.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Refused>;
}

/// Bytes that were drawn ahead: a source is asked once for many symbols.
pub struct Pool<'a> {
    source: &'a mut dyn Random,
    bytes: Zeroizing<[u8; 256]>,
    used: usize,
}

impl<'a> Pool<'a> {
    /// A pool on a source.
    pub fn new(source: &'a mut dyn Random) -> Self {
        Self { source, bytes: Zeroizing::new([0; 256]), used: 256 }
    }

    /// A number below `end`, each one as likely as the others.
    ///
    /// Numbers of the incomplete last round are drawn again: with a remainder instead, small numbers come more often.
    ///
    /// # Errors
    ///
    /// The source gives nothing, or `end` is 0 or above 65,536.
    pub fn below(&mut self, end: usize) -> Result<usize, Refused> {
        const NO_SYMBOL: Refused = Refused::new("there is nothing to draw from");
        let rounds = if end <= 256 { 256_usize } else { 65_536 };
        let complete = rounds - rounds.checked_rem(end).ok_or(NO_SYMBOL)?;
        if end > rounds {
            return Err(NO_SYMBOL);
        }
        loop {
            let high = if rounds > 256 { usize::from(self.byte()?) << 8 } else { 0 };
            let drawn = high | usize::from(self.byte()?);
            if drawn < complete {
                return Ok(drawn % end);
            }
        }
    }

    /// One of the symbols, each as likely as the others.
    ///
    /// # Errors
    ///
    /// As [`Self::below`].
    pub fn one_of<'s, T>(&mut self, symbols: &'s [T]) -> Result<&'s T, Refused> {
        let index = self.below(symbols.len())?;
        symbols.get(index).ok_or(Refused::new("there is nothing to draw from"))
    }

    fn byte(&mut self) -> Result<u8, Refused> {
        if self.used >= self.bytes.len() {
            self.source.fill(&mut *self.bytes)?;
            self.used = 0;
        }
        let byte = self.bytes.get(self.used).copied().unwrap_or_default();
        self.used += 1;
        Ok(byte)
    }
}
