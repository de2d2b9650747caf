//! Lines of `NAME=value`.
//!
//! There is no standard, and tools differ. What they read alike is read, what they read differently is refused, so that no
//! value is stored that its programs never had. `$` is a character like others.

use std::collections::HashSet;

use zeroize::Zeroizing;

use super::{Entries, Entry, filled};
use crate::Refused;

/// Reads a document.
pub(super) fn read(document: &str) -> Result<Vec<Entry>, Refused> {
    let mut reader = Reader { rest: document, line: 1 };
    let (mut entries, mut known) = (Entries::default(), HashSet::new());
    while !reader.rest.is_empty() {
        let line = reader.line;
        let Some(name) = reader.name()? else { continue };
        if !known.insert(name.to_owned()) {
            return Err(Refused::at_line("a name stands twice", line));
        }
        let value = reader.value()?.and_then(filled).map_err(|refused| Refused::at_line(refused.reason(), line));
        entries.push(Entry { names: vec![name.to_owned()], line: Some(line), value })?;
    }
    Ok(entries.0)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

const BLANKS: [char; 2] = [' ', '\t'];

impl<'a> Reader<'a> {
    /// The name of an assignment, behind whose sign the reader stands then; nothing for a line without one.
    fn name(&mut self) -> Result<Option<&'a str>, Refused> {
        let line = self.rest.split('\n').next().unwrap_or_default();
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            self.end_line();
            return Ok(None);
        }
        // A line of a key or of another value is never taken for a name, nor shown as one: nothing of the document is taken.
        let wrong =
            || Refused::at_line("the line is not NAME=value; a value of several lines stands in quotes", self.line);
        let (name, _) = line.split_once('=').ok_or_else(wrong)?;
        let behind = name.len() + 1;
        let name = name.trim_matches(BLANKS);
        let name = name.strip_prefix("export").filter(|rest| rest.starts_with(BLANKS)).unwrap_or(name);
        let name = name.trim_start_matches(BLANKS);
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
        if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') || !name.chars().all(is_part) {
            return Err(wrong());
        }
        self.skip(behind);
        Ok(Some(name))
    }

    /// The value behind the sign, with the rest of its line.
    fn value(&mut self) -> Result<Result<Zeroizing<String>, Refused>, Refused> {
        let blanks = self.rest.len() - self.rest.trim_start_matches(BLANKS).len();
        self.skip(blanks);
        match self.rest.chars().next() {
            Some('\'') => self.single().map(Ok),
            Some('"') => self.double(),
            Some(_) | None => Ok(self.unquoted()),
        }
    }

    fn unquoted(&mut self) -> Result<Zeroizing<String>, Refused> {
        let value = self.rest.split('\n').next().unwrap_or_default().trim_end_matches([' ', '\t', '\r']);
        self.end_line();
        if value.starts_with('`') {
            return Err(Refused::new("values in backticks are not read; use single quotes"));
        }
        if value.starts_with('#') || value.contains(" #") || value.contains("\t#") {
            return Err(Refused::new("some tools take a # for a comment; put the value into single quotes"));
        }
        Ok(Zeroizing::new(value.to_owned()))
    }

    /// Everything up to the next quote, as it stands.
    fn single(&mut self) -> Result<Zeroizing<String>, Refused> {
        let begun = self.line;
        self.skip(1);
        let Some((value, _)) = self.rest.split_once('\'') else {
            return Err(Refused::at_line("the quote does not end", begun));
        };
        let value = Zeroizing::new(value.to_owned());
        self.skip(value.len() + 1);
        self.nothing_follows()?;
        Ok(value)
    }

    fn double(&mut self) -> Result<Result<Zeroizing<String>, Refused>, Refused> {
        let begun = self.line;
        self.skip(1);
        // Long enough from the start: a buffer that grows leaves parts of the value behind.
        let end = self.rest.len();
        let mut value = Zeroizing::new(String::with_capacity(self.quoted_length().unwrap_or(end)));
        let (mut fault, mut letters) = (None, self.rest.char_indices());
        let length = loop {
            match letters.next() {
                None => return Err(Refused::at_line("the quote does not end", begun)),
                Some((at, '"')) => break at,
                Some((_, '\\')) => match letters.next().map(|(_, letter)| letter) {
                    Some('n') => value.push('\n'),
                    Some('r') => value.push('\r'),
                    Some('t') => value.push('\t'),
                    Some(letter @ ('\\' | '"' | '$')) => value.push(letter),
                    Some(_) | None => {
                        fault = Some(Refused::new("tools read this backslash differently; use single quotes"));
                    }
                },
                Some((_, letter)) => value.push(letter),
            }
        };
        self.skip(length + 1);
        self.nothing_follows()?;
        Ok(fault.map_or(Ok(value), Err))
    }

    /// The bytes up to the quote that ends a value.
    fn quoted_length(&self) -> Option<usize> {
        let mut is_escaped = false;
        self.rest.find(|letter: char| {
            let ends = letter == '"' && !is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            ends
        })
    }

    fn nothing_follows(&mut self) -> Result<(), Refused> {
        let behind = self.rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let trimmed = behind.trim_start_matches(BLANKS);
        if !(trimmed.is_empty() || trimmed.starts_with('#') && trimmed.len() < behind.len()) {
            return Err(Refused::at_line("something follows the quote that ends a value", self.line));
        }
        self.end_line();
        Ok(())
    }

    fn end_line(&mut self) {
        let length = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
        self.skip(length);
    }

    fn skip(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += passed.matches('\n').count();
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only value of a document, or why it has none.
    fn value(document: &str) -> Result<String, &'static str> {
        let entries = read(document).map_err(|refused| refused.reason())?;
        assert_eq!(entries.len(), 1, "{document}");
        let value = entries.into_iter().next().unwrap().value;
        value.map(|value| value.to_string()).map_err(|refused| refused.reason())
    }

    #[test]
    fn values_are_taken_as_they_stand() {
        for (document, expected) in [
            ("A=b", "b"),
            ("A=pa$$word$HOME${X}$(id)`id`", "pa$$word$HOME${X}$(id)`id`"),
            ("  export A =  b c  \r\n", "b c"),
            ("A=b#c", "b#c"),
            ("A=a\"b'c=d==", "a\"b'c=d=="),
            ("A=C:\\new\\table\\", "C:\\new\\table\\"),
            ("# c\n\n\t#d\nA=b\n", "b"),
            ("A='$b \\n \" # c' # comment", "$b \\n \" # c"),
            ("A='-----BEGIN X-----\r\nab==\r\n-----END X-----\n'\n", "-----BEGIN X-----\r\nab==\r\n-----END X-----\n"),
            ("A=\"b\\nc\\\\n\\\"$HOME\\$d\"", "b\nc\\n\"$HOME$d"),
            ("A=\"two\nlines\"", "two\nlines"),
            ("A=\u{e9}\u{1f511}", "\u{e9}\u{1f511}"),
        ] {
            assert_eq!(value(document).as_deref(), Ok(expected), "{document}");
        }
    }

    #[test]
    fn what_tools_read_differently_is_refused_and_the_rest_is_taken() {
        for document in ["A=", "A=''", "A=\"\"", "A=b #c", "A=#b", "A=b\t#c", "A=`b`", "A=\"\\x41\"", "A=\"\\u0041\""] {
            assert!(value(document).is_err(), "{document}");
            let both = read(&format!("{document}\nB=c\n")).ok().unwrap();
            assert!(both[0].value.is_err() && both[1].value.as_ref().is_ok_and(|value| **value == "c"), "{document}");
        }
        let lines: Vec<_> = read("A='\n\n'\n\nB=c").ok().unwrap().iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [Some(1), Some(5)]);
    }

    #[test]
    fn nothing_of_a_document_out_of_form_is_taken() {
        for (document, line) in [
            ("A", 1),
            ("A=b\nnothing", 2),
            ("A=b\n\nA=c", 3),
            ("=b", 1),
            ("1A=b", 1),
            ("A B=c", 1),
            ("A/B=c", 1),
            ("A='b\nc", 1),
            ("B=c\nA=\"b\\\"\n", 2),
            ("A='b'c", 1),
            ("A='b'#c", 1),
            ("A=\"b\nc\" d", 2),
            // A key without quotes: its lines are neither names nor values.
            ("A=-----BEGIN X-----\nabcd==\n-----END X-----\n", 3),
        ] {
            let refused = read(document).err().expect(document);
            assert_eq!(refused.line(), Some(line), "{document}");
        }
    }
}
