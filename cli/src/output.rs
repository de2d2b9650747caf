//! What is printed: tables and sentences for people, JSON for programs, values as they are.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;

use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::arguments::Form;
use crate::failure::{Failure, is_shown, visible};

/// Standard output.
pub(crate) struct Output {
    form: Form,
    is_terminal: bool,
    /// Not the library's own stream, which keeps a copy of what goes through it. `None` if there is no standard output.
    stdout: Option<BufWriter<File>>,
}

impl Output {
    pub(crate) fn new(form: Form) -> Self {
        let stdout = io::stdout().as_fd().try_clone_to_owned().ok().map(|stream| BufWriter::new(File::from(stream)));
        Self { form, is_terminal: io::stdout().is_terminal(), stdout }
    }

    /// Tells whether programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Tells whether people look at it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// A line for people.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        let mut line = visible(text);
        line.push('\n');
        self.raw(line.as_bytes())
    }

    /// A document for programs.
    pub(crate) fn json(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        if self.is_terminal {
            let text = serde_json::to_string_pretty(document).map(Zeroizing::new);
            let text = text.map_err(|error| Failure::of_output(&error.into()))?;
            self.raw(quiet_json(&text).as_bytes())?;
        } else {
            serde_json::to_writer(self.stdout()?, document).map_err(|error| Failure::of_output(&error.into()))?;
        }
        self.raw(b"\n")
    }

    /// A sentence for people or a document for programs.
    pub(crate) fn told(&mut self, sentence: &str, document: &impl Serialize) -> Result<(), Failure> {
        if self.is_json() { self.json(document) } else { self.line(sentence) }
    }

    /// A table for people.
    pub(crate) fn table<const N: usize>(&mut self, heads: [&str; N], rows: Vec<[String; N]>) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        match self.width() {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table.set_header(heads);
        for row in rows {
            table.add_row(row.map(|cell| visible(&cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let bold = self.has_colours();
        for (number, line) in table.lines().enumerate() {
            let line = line.trim_end();
            let line = if bold && number == 0 { format!("\u{1b}[1m{line}\u{1b}[0m\n") } else { format!("{line}\n") };
            self.raw(line.as_bytes())?;
        }
        Ok(())
    }

    /// Names and what is said of each, one a line.
    pub(crate) fn facts(&mut self, facts: &[(&str, String)]) -> Result<(), Failure> {
        let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (name, fact) in facts {
            self.line(&format!("{name:width$}  {fact}"))?;
        }
        Ok(())
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout()?.write_all(bytes).map_err(|error| Failure::of_output(&error))
    }

    /// Bytes of a value, of which no copy is left in a buffer. A terminal is shown text alone.
    pub(crate) fn secret(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.is_terminal && !is_harmless(bytes) {
            return Err(Failure::failed("It is not text alone, so it is not shown on a terminal.")
                .next("Write it to a file: --out FILE"));
        }
        self.end()?;
        self.stdout()?.get_mut().write_all(bytes).map_err(|error| Failure::of_output(&error))
    }

    /// Sees that all of it was taken: a full disk shows only now.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        self.stdout()?.flush().map_err(|error| Failure::of_output(&error))
    }

    fn stdout(&mut self) -> Result<&mut BufWriter<File>, Failure> {
        self.stdout.as_mut().ok_or_else(|| Failure::failed("There is no standard output."))
    }

    fn width(&self) -> Option<u16> {
        let size = self.is_terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
        size.map(|size| size.ws_col).filter(|width| *width >= 40)
    }

    fn has_colours(&self) -> bool {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        self.is_terminal && set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb")
    }
}

/// Text that moves no cursor and changes no terminal. A carriage return hides what stands before it.
pub(crate) fn is_harmless(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).ok();
    let is_quiet = |line: &str| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.chars().all(|c| is_shown(c) || c == '\t')
    };
    text.is_some_and(|text| text.split('\n').all(is_quiet))
}

/// The same document with escapes in place of what would change a terminal. Such letters stand in texts alone.
fn quiet_json(text: &str) -> Zeroizing<String> {
    let mut quiet = Zeroizing::new(String::with_capacity(text.len() * 2));
    for letter in text.chars() {
        if is_shown(letter) || letter == '\n' {
            quiet.push(letter);
        } else {
            quiet.extend(["\\u", &format!("{:04x}", u32::from(letter))]);
        }
    }
    quiet
}

/// A remark for people, beside the output.
pub(crate) fn remark(text: &str) {
    // Nothing is left to tell a failure of this to.
    let _ = writeln!(io::stderr(), "splitvault: {}", visible(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_is_shown_text_alone() {
        assert!(is_harmless("é\n\tx\r\ny\r".as_bytes()));
        for harmful in
            [&b"\xff"[..], b"\x1b[2J", b"a\0b", b"\x07", b"shown\rhidden", b"\xc2\x9b2J", "\u{202e}x".as_bytes()]
        {
            assert!(!is_harmless(harmful), "{harmful:?}");
        }
    }

    #[test]
    fn document_for_a_terminal_is_the_same_and_moves_no_cursor() {
        let document = serde_json::json!({ "a": "\u{9b}2J\u{7f}\u{1b}é\u{202e}" });
        let quiet = quiet_json(&serde_json::to_string_pretty(&document).unwrap());
        assert!(is_harmless(quiet.as_bytes()), "{}", *quiet);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&quiet).unwrap(), document);
    }
}
