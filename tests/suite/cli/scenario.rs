//! Scenarios: files with commands, and what each prints.
//!
//! `$ ` begins a command of a shell, `+ ` goes on with it. `> ` is a line of standard output, `! ` one of standard error, `? ` the
//! exit code if it is not 0; `# ` is a comment. What differs from run to run is shown as `sec_…`, `TIME`, `MANAGER`, `VAULT` and
//! `HOME`, and several blanks as two. With `SPLITVAULT_UPDATE_SCENARIOS` in the environment a file is written anew.

use std::path::PathBuf;

use system_tests::repository;

use super::User;

/// Runs the commands of a file, and compares the whole.
pub(super) fn plays(user: &User, name: &str) {
    let file = file(name);
    let expected = std::fs::read_to_string(&file).unwrap();
    let actual = play(user, &expected);
    if std::env::var_os("SPLITVAULT_UPDATE_SCENARIOS").is_some() {
        std::fs::write(&file, &actual).unwrap();
        return;
    }
    let differs = expected.lines().zip(actual.lines()).position(|(expected, actual)| expected != actual);
    let line = differs.unwrap_or_else(|| expected.lines().count().min(actual.lines().count()));
    assert!(expected == actual, "{name} differs from line {}:\n{actual}", line + 1);
}

fn file(name: &str) -> PathBuf {
    repository().join("tests/suite/cli/scenarios").join(format!("{name}.txt"))
}

fn play(user: &User, text: &str) -> String {
    let mut played = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.strip_prefix("$ ") else {
            if line.is_empty() || line.starts_with('#') {
                played.push_str(line);
                played.push('\n');
            }
            continue;
        };
        let mut command = first.to_owned();
        played.push_str(line);
        played.push('\n');
        while let Some(more) = lines.next_if(|line| line.starts_with("+ ")) {
            command = format!("{command}\n{}", &more[2..]);
            played.push_str(more);
            played.push('\n');
        }
        played.push_str(&answer(user, &command));
    }
    played
}

fn answer(user: &User, command: &str) -> String {
    let output = user.shell(command).stdin(std::process::Stdio::null()).output().unwrap();
    let mut told = String::new();
    for (sign, stream) in [('>', &output.stdout), ('!', &output.stderr)] {
        for line in String::from_utf8_lossy(stream).lines() {
            let line = format!("{sign} {}", plain(user, line));
            told.push_str(line.trim_end());
            told.push('\n');
        }
    }
    if output.status.code() != Some(0) {
        let code = output.status.code().map_or("signal".to_owned(), |code| code.to_string());
        told.extend(["? ", &code, "\n"]);
    }
    told
}

/// A line without what differs from run to run.
fn plain(user: &User, line: &str) -> String {
    let home = user.home().display().to_string();
    let named = line.replace(&user.manager(), "MANAGER").replace(&user.vault(), "VAULT").replace(&home, "HOME");
    // A slow machine takes longer than a moment.
    let mut rest = named.replace("1 minute ago", "just now");
    let mut out = String::new();
    while let Some(letter) = rest.chars().next() {
        let taken = if let Some(length) = id(&rest) {
            out.extend([&rest[..3], "_…"]);
            length
        } else if is_time(&rest) {
            out.push_str("TIME");
            20
        } else {
            if !(letter == ' ' && out.ends_with("  ")) {
                out.push(letter);
            }
            letter.len_utf8()
        };
        rest = rest.split_off(taken);
    }
    out
}

/// The length of an id that a text begins with.
fn id(text: &str) -> Option<usize> {
    let (prefix, rest) = text.split_at_checked(4)?;
    let is_prefix = prefix.ends_with('_') && prefix[..3].bytes().all(|byte| byte.is_ascii_lowercase());
    let digits = rest.get(..22)?.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (is_prefix && digits).then_some(26)
}

fn is_time(text: &str) -> bool {
    let form = b"0000-00-00T00:00:00Z";
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    text.as_bytes().get(..form.len()).is_some_and(|bytes| bytes.iter().zip(form).all(fits))
}
