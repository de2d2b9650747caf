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

/// Adds a line that shells, python-dotenv and Docker Compose take for this value, as this reader does.
///
/// # Errors
/// They would read it differently, or as something that is not this variable.
pub(crate) fn write(name: &str, value: &str, out: &mut Zeroizing<String>) -> Result<(), Failure> {
    let quote = quote_of(value).map_err(|reason| {
        Failure::failed(format!("The value for {name} has {reason}, which readers of dotenv take differently."))
            .next("Export it with --format json or --format shell.")
    })?;
    out.push_str(name);
    out.push('=');
    out.extend(quote);
    out.push_str(value);
    out.extend(quote);
    out.push('\n');
    Ok(())
}

/// The quote in which a value stands as it is, if it needs one.
fn quote_of(value: &str) -> Result<Option<char>, &'static str> {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '%' | '+' | ',' | '=');
    if value.chars().all(plain) {
        return Ok(None);
    }
    // A reader by lines would take what follows for lines of their own.
    if value.contains(['\n', '\r', '\u{2028}', '\u{2029}']) {
        return Err("a line break");
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err("a control character");
    }
    if value.contains("${") {
        return Err("${");
    }
    if value.ends_with('\\') || value.contains("\\\\") {
        return Err("a backslash before another one or at the end");
    }
    match value.contains('\'') {
        false => Ok(Some('\'')),
        true if value.contains(['"', '\\', '$', '`']) => Err("a single quote, and \", \\, $ or `"),
        true => Ok(Some('"')),
    }
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

    fn written(value: &str) -> Option<String> {
        let mut out = Zeroizing::new(String::new());
        write("A", value, &mut out).ok().map(|()| out.to_string())
    }

    #[test]
    fn what_is_written_reads_back() {
        for value in
            ["", "plain", "with space", "p$ss", "it's", "a\"b\\d$e`f`\tg", "#x", "é`", "'", "$(id)", "it's #1!"]
        {
            let line = written(value).unwrap();
            assert_eq!(pairs(&line), [("A".to_owned(), value.to_owned())], "{line}");
            assert_eq!(line.lines().count(), 1, "{line}");
        }
    }

    #[test]
    fn shell_reads_what_is_written_and_runs_none_of_it() {
        for value in ["", "p$ss w#rd", "it's", "a\"b\\d$e`id`\tg", "$(id)", "it's #1! ; id"] {
            let script = format!("{}printf %s \"$A\"", written(value).unwrap());
            let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), value);
        }
    }

    #[test]
    fn what_readers_take_differently_is_refused_with_its_name_and_without_the_value() {
        for value in
            ["it's `s3`", "it's $s3", "it's \"s3\"", "it's\\s3", "s3\nB=x", "s3\r", "s3\\", "s3\\\\t", "${s3}", "s3\0"]
        {
            let failure = write("A", value, &mut Zeroizing::new(String::new())).unwrap_err();
            let failure = format!("{failure:?}");
            assert!(failure.contains("The value for A ") && failure.contains("json"), "{failure}");
            assert!(!failure.contains("s3"), "{failure}");
        }
    }
}
