//! Questions to the person at the terminal.

use std::io::{self, IsTerminal as _, Read as _};

use zeroize::Zeroizing;

use crate::failure::Failure;

/// Tells whether a person is there to be asked.
pub(crate) fn is_person() -> bool {
    io::stdin().is_terminal()
}

/// Asks for something that is not shown while it is typed.
pub(crate) fn hidden(question: &str) -> Result<Zeroizing<String>, Failure> {
    let answer = rpassword::prompt_password(format!("{question}: ")).map(Zeroizing::new);
    answer.map_err(|error| Failure::of_system("The terminal cannot be read", &error))
}

/// Asks for a word that says that something is meant.
pub(crate) fn confirmed(question: &str, word: &str) -> Result<bool, Failure> {
    crate::output::remark(&format!("{question} Type {word} to go on."));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(|error| Failure::of_system("Standard input cannot be read", &error))?;
    Ok(answer.trim() == word)
}

/// All of standard input, up to a number of bytes; more is refused.
pub(crate) fn standard_input(most: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    bounded(io::stdin().lock(), most, "Standard input")
}

/// All of a source, up to a number of bytes, in one buffer that does not grow.
pub(crate) fn bounded(source: impl io::Read, most: usize, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    let read = source.take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::of_system(&format!("{what} cannot be read"), &error))?;
    if bytes.len() > most {
        return Err(Failure::failed(format!("{what} has more than {most} bytes.")));
    }
    Ok(bytes)
}

/// The lines of standard input, for what people are asked for.
pub(crate) fn lines() -> Result<Vec<Zeroizing<String>>, Failure> {
    let bytes = standard_input(16 << 10)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::failed("Standard input is not text."))?;
    Ok(text.lines().map(|line| Zeroizing::new(line.to_owned())).collect())
}
