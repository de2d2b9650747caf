//! Answers that hold values, as JSON in memory that is wiped.

use std::io::{self, Write};

use serde::Serialize;
use zeroize::Zeroizing;

/// The JSON text of an answer. `room` is its expected length in bytes. A longer text takes a new buffer, and the first
/// one is wiped.
///
/// # Errors
/// The answer has no JSON form.
pub fn to_json<T: Serialize>(answer: &T, room: usize) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let mut buffer = Wiped(Zeroizing::new(Vec::with_capacity(room)));
    serde_json::to_writer(&mut buffer, answer)?;
    Ok(buffer.0)
}

/// The length of the JSON text of an answer in bytes, with escapes.
pub fn json_len<T: Serialize>(answer: &T) -> usize {
    let mut length = Length(0);
    // Nothing that counts can fail.
    let _counted = serde_json::to_writer(&mut length, answer);
    length.0
}

struct Wiped(Zeroizing<Vec<u8>>);

impl Write for Wiped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            // A vector that grows by itself leaves a copy behind.
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.saturating_mul(2)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_whatever_the_room_and_its_length_is_known_before() {
        let answer = serde_json::json!({ "keys": ["\u{1}\"\\\n", "ä\u{7f}", "x".repeat(5_000)] });
        let expected = serde_json::to_vec(&answer).unwrap();
        for room in [0, 1, expected.len() - 1, expected.len()] {
            assert_eq!(*to_json(&answer, room).unwrap(), expected);
        }
        assert_eq!(json_len(&answer), expected.len());
        assert_eq!(to_json(&answer, expected.len()).unwrap().capacity(), expected.len(), "never grown");
    }
}
