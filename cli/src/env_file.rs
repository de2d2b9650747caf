//! Files with lines `NAME=value`: read for `run`, written by `export`.
//!
//! No byte of a value is changed: `$` and `` ` `` stand for themselves, and what tools read differently is refused.

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::folder::check_variable;

/// The longest file.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// A line of a file.
pub(crate) struct Assignment {
    pub(crate) name: String,
    pub(crate) value: Zeroizing<String>,
}

/// Reads a file. An error names a line, and never a value.
pub(crate) fn read(text: &str) -> Result<Vec<Assignment>, Failure> {
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let mut assignments: Vec<Assignment> = Vec::new();
    while !reader.rest.is_empty() {
        let line = reader.line;
        if let Some(assignment) = reader.assignment().map_err(|reason| at(line, reason))? {
            if assignments.iter().any(|known| known.name == assignment.name) {
                return Err(at(line, "a name stands twice"));
            }
            assignments.push(assignment);
        }
    }
    Ok(assignments)
}

fn at(line: usize, reason: &str) -> Failure {
    Failure::failed(format!("Line {line} of the file cannot be read: {reason}."))
        .next("A line is NAME=value; single quotes keep a value as it is.")
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

const BLANKS: [char; 2] = [' ', '\t'];

impl<'a> Reader<'a> {
    fn assignment(&mut self) -> Result<Option<Assignment>, &'static str> {
        let line = self.rest.split('\n').next().unwrap_or_default();
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            self.skip_line();
            return Ok(None);
        }
        let (name, _) = line.split_once('=').ok_or("it is not NAME=value")?;
        let behind = name.len() + 1;
        let name = name.trim_matches(BLANKS);
        let name = name.strip_prefix("export").filter(|rest| rest.starts_with(BLANKS)).unwrap_or(name);
        let name = name.trim_start_matches(BLANKS);
        check_variable(name).map_err(|_| "the name is not that of a variable")?;
        let name = name.to_owned();
        self.skip(behind);
        self.skip(self.rest.len() - self.rest.trim_start_matches(BLANKS).len());
        let value = match self.rest.chars().next() {
            Some('\'') => self.single()?,
            Some('"') => self.double()?,
            Some(_) | None => self.bare()?,
        };
        if value.contains('\0') {
            return Err("a variable cannot hold a zero byte");
        }
        Ok(Some(Assignment { name, value }))
    }

    fn bare(&mut self) -> Result<Zeroizing<String>, &'static str> {
        let value = self.rest.split('\n').next().unwrap_or_default().trim_end_matches([' ', '\t', '\r']);
        self.skip_line();
        // References have it; behind a blank it begins a comment for some tools.
        if value.starts_with('#') || value.contains(" #") || value.contains("\t#") {
            return Err("some tools take a # for a comment; put the value into single quotes");
        }
        if value.starts_with('`') {
            return Err("values in backticks are not read");
        }
        Ok(Zeroizing::new(value.to_owned()))
    }

    fn single(&mut self) -> Result<Zeroizing<String>, &'static str> {
        self.skip(1);
        let (value, _) = self.rest.split_once('\'').ok_or("a quote does not end")?;
        let value = Zeroizing::new(value.to_owned());
        self.skip(value.len() + 1);
        self.end_of_line()?;
        Ok(value)
    }

    fn double(&mut self) -> Result<Zeroizing<String>, &'static str> {
        self.skip(1);
        // Long enough from the start: a buffer that grows leaves parts of the value behind.
        let mut value = Zeroizing::new(String::with_capacity(self.rest.len()));
        let mut letters = self.rest.char_indices();
        let length = loop {
            match letters.next() {
                None => return Err("a quote does not end"),
                Some((at, '"')) => break at,
                Some((_, '\\')) => value.push(match letters.next().map(|(_, letter)| letter) {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some(letter @ ('\\' | '"' | '$')) => letter,
                    Some(_) | None => return Err("tools read this backslash differently; use single quotes"),
                }),
                Some((_, letter)) => value.push(letter),
            }
        };
        self.skip(length + 1);
        self.end_of_line()?;
        Ok(value)
    }

    /// Nothing but a comment follows a quote.
    fn end_of_line(&mut self) -> Result<(), &'static str> {
        let behind = self.rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let trimmed = behind.trim_start_matches(BLANKS);
        let ends = trimmed.is_empty() || trimmed.starts_with('#') && trimmed.len() < behind.len();
        self.skip_line();
        if ends { Ok(()) } else { Err("something follows the quote that ends a value") }
    }

    fn skip_line(&mut self) {
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        self.skip(end);
    }

    fn skip(&mut self, bytes: usize) {
        let (gone, rest): (&'a str, &'a str) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += gone.matches('\n').count();
        self.rest = rest;
    }
}

/// Adds a line that this and other readers take for this value.
pub(crate) fn write(name: &str, value: &str, out: &mut Zeroizing<String>) {
    out.push_str(name);
    out.push('=');
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '%' | '+' | ',' | '=');
    if !value.is_empty() && value.chars().all(plain) {
        out.push_str(value);
    } else if !value.contains('\'') {
        out.push('\'');
        out.push_str(value);
        out.push('\'');
    } else {
        out.push('"');
        for letter in value.chars() {
            match letter {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\\' | '"' | '$' => out.extend(['\\', letter]),
                letter => out.push(letter),
            }
        }
        out.push('"');
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        read(text).unwrap().into_iter().map(|one| (one.name, one.value.to_string())).collect()
    }

    #[test]
    fn no_byte_of_a_value_is_changed() {
        let text = "# c\nexport A=sv://dev/a#b@2\r\nB='p$ss w#rd'\nC=\"a\\n\\$b\" # c\nD='two\nlines'\nE=\nF = `x\n"
            .replace("F = `x", "F = x`");
        let expected =
            [("A", "sv://dev/a#b@2"), ("B", "p$ss w#rd"), ("C", "a\n$b"), ("D", "two\nlines"), ("E", ""), ("F", "x`")];
        assert_eq!(pairs(&text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_tools_read_differently_is_refused_with_its_line_and_without_the_value() {
        for wrong in [
            "s3cret",
            "1A=s3cret",
            "A=s3cret # c",
            "A='s3cret",
            "A=\"s3\\qcret\"",
            "A='s3cret'x",
            "A=s3cret\nA=x",
            "A-B=s3cret",
        ] {
            let failure = format!("{:?}", read(&format!("\n{wrong}")).err().unwrap());
            assert!(failure.contains("Line ") && !failure.contains("s3"), "{failure}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for value in ["", "plain", "with space", "p$ss", "it's", "a\"b'c\\d$e\nf\rg\th", "#x", "é`", "'", "\n"] {
            let mut out = Zeroizing::new(String::new());
            write("A", value, &mut out);
            assert_eq!(pairs(&out), [("A".to_owned(), value.to_owned())], "{}", *out);
        }
    }
}
