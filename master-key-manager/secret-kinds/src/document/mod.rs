//! Documents with many values, as they are imported: dotenv, JSON, YAML.
//!
//! Guarantees that a value is taken as it stands: nothing is expanded, no alias is followed, no number is rounded. What two
//! readers could read differently is refused instead of guessed. Size, depth and number are bounded, and no refusal
//! repeats a name or a value.

mod dotenv;
mod json;
mod yaml;

use manager_api::import::{DocumentFormat, MAX_DOCUMENT_BYTES, MAX_IMPORTED};
use zeroize::Zeroizing;

use crate::Refused;

/// The deepest folder of a document.
pub const DEEPEST_FOLDER: usize = 16;

/// One value of a document. It has no `Debug` form.
pub struct Entry {
    /// The names that lead to it, from the outermost folder.
    pub names: Vec<String>,
    /// Its line, where the format has lines.
    pub line: Option<usize>,
    /// The value, or why it has none that could be taken.
    pub value: Result<Zeroizing<String>, Refused>,
}

/// Reads a document.
///
/// # Errors
/// It is not in its format, has too many or too deep values, or a name twice. Then nothing of it is taken.
pub fn read(format: DocumentFormat, document: &str) -> Result<Vec<Entry>, Refused> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(Refused::new("a document has at most 1048576 bytes"));
    }
    if document.starts_with('\u{feff}') {
        return Err(Refused::new("the document begins with a byte order mark; save it without"));
    }
    let entries = match format {
        DocumentFormat::Dotenv => dotenv::read(document)?,
        DocumentFormat::Json => json::read(document)?,
        DocumentFormat::Yaml => yaml::read(document)?,
    };
    if entries.is_empty() { Err(Refused::new("the document has no value")) } else { Ok(entries) }
}

/// Collects entries up to the bound.
#[derive(Default)]
struct Entries(Vec<Entry>);

impl Entries {
    fn push(&mut self, entry: Entry) -> Result<(), Refused> {
        if self.0.len() == MAX_IMPORTED {
            return Err(Refused::new("a document has at most 500 values"));
        }
        self.0.push(entry);
        Ok(())
    }
}

/// A value that is not empty: a placeholder must not take the place of a secret.
fn filled(value: Zeroizing<String>) -> Result<Zeroizing<String>, Refused> {
    if value.is_empty() { Err(Refused::new("the value is empty")) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(Entry: Debug, Display, Clone);

    #[test]
    fn the_number_of_values_and_the_size_are_bounded() {
        let lines = |count: usize| (0..count).map(|number| format!("N{number}=v")).collect::<Vec<_>>().join("\n");
        assert_eq!(read(DocumentFormat::Dotenv, &lines(MAX_IMPORTED)).ok().unwrap().len(), MAX_IMPORTED);
        assert!(read(DocumentFormat::Dotenv, &lines(MAX_IMPORTED + 1)).is_err());
        let large = format!("A={}", "x".repeat(MAX_DOCUMENT_BYTES));
        for format in [DocumentFormat::Dotenv, DocumentFormat::Json, DocumentFormat::Yaml] {
            assert!(read(format, &large).is_err());
            assert!(read(format, "").is_err() && read(format, "\u{feff}{\"a\": \"b\"}").is_err());
        }
    }
}
