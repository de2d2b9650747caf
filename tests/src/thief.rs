//! The thief of the drills: a Python program that knows only the protocol's document.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::{repository, target_dir};

/// What the thief found.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// Values that he opened.
    pub opened: Vec<Opened>,
    /// Values that he guessed, and was told that they are right.
    pub guessed: Vec<Opened>,
    /// Versions that he knows to have the same value, a group for each.
    pub alike: Vec<Vec<String>>,
    /// Credentials that a manager would take, in hex.
    pub credentials: Vec<String>,
    /// Names that he read.
    pub names: Vec<String>,
    /// How many rows the tables have that he looked at to their end, by folder of the loot and table.
    pub tables: BTreeMap<String, BTreeMap<String, u64>>,
    /// Virtual tables that he passed over, by folder of the loot.
    pub skipped: BTreeMap<String, Vec<String>>,
    /// Places where the value lies readably.
    pub canary: Vec<Value>,
    /// What he had, by kind.
    pub pieces: serde_json::Map<String, Value>,
    /// What he stumbled over.
    pub notes: Vec<String>,
}

/// A value that the thief opened.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Opened {
    /// The secret.
    pub secret_id: String,
    /// The version.
    pub version: u64,
    /// The value, in base64.
    pub value_b64: String,
}

impl Report {
    /// How many pieces of a kind he had.
    pub fn count(&self, kind: &str) -> u64 {
        self.pieces.get(kind).and_then(Value::as_u64).unwrap_or_else(|| panic!("the thief does not count {kind}"))
    }
}

/// Lets the thief work on a loot directory.
///
/// # Panics
///
/// When he himself fails.
pub fn rob(scenario: &str, loot: &Path) -> Report {
    rob_with(scenario, loot, &[])
}

/// As [`rob`], with further options of `thief.py`.
///
/// # Panics
///
/// When he himself fails.
pub fn rob_with(scenario: &str, loot: &Path, options: &[&str]) -> Report {
    let loot = loot.to_str().expect("a plain path");
    let arguments: Vec<&str> = [scenario, "--loot", loot].iter().chain(options).copied().collect();
    let output = python("tests/thief/thief.py", &arguments);
    serde_json::from_slice(&output).expect("the thief reports in JSON")
}

/// Runs a Python script of the repository; the answer is what it printed.
///
/// # Panics
///
/// When it fails.
pub fn python(script: &str, arguments: &[&str]) -> Vec<u8> {
    let python =
        std::env::var_os("SPLITVAULT_PYTHON").map_or_else(|| target_dir().join("venv/bin/python3"), PathBuf::from);
    let output = Command::new(&python)
        .arg("-B")
        .arg(repository().join(script))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/test.sh makes it", python.display()));
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
