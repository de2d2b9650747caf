//! The report of `rotate-keys`: every key with its age, fingerprint and state, the steps done, and the steps due.
//!
//! Guarantees that no key can be printed: a row has fingerprints, words and numbers only. The members of the JSON form
//! are stable, and one that does not apply is null.

use std::fmt::Write as _;

use serde::Serialize;

use crate::key_slots::KeyState;

/// The report.
#[derive(Clone, Debug, Serialize)]
pub struct KeyReport {
    /// `master-key-manager` or `encrypted-vault`.
    pub service: &'static str,
    /// When it was made (Unix seconds).
    pub time: u64,
    /// What this command did, in sentences.
    pub done: Vec<String>,
    /// What the operator is to do, in sentences.
    pub due: Vec<String>,
    /// All keys.
    pub keys: Vec<KeyRow>,
    /// What the vault signed about root keys that nothing is under any more, newest last.
    pub retirements: Vec<serde_json::Value>,
}

/// One key.
#[derive(Clone, Debug, Serialize)]
pub struct KeyRow {
    /// Which kind, by the name of its files: `token-signing`, `root-key`, `identity`, `transport`, `storage-key`, `pin`.
    pub key: &'static str,
    /// Name of the environment, of a root key.
    pub environment: Option<String>,
    /// Epoch of a root key, number of a storage key.
    pub number: Option<u32>,
    /// The kid of a public key; the first 16 characters of `b64(F(key, "fingerprint"))` of a symmetric one.
    pub fingerprint: String,
    /// What it is there for.
    pub state: KeyState,
    /// Since when (Unix seconds).
    pub since: u64,
    /// How long that is.
    pub age_seconds: u64,
    /// Whether a rotation is due.
    pub due: bool,
    /// When it is, or when a key that was replaced will be destroyed (Unix seconds).
    pub due_at: Option<u64>,
    /// How many versions or rows are under it.
    pub under_it: Option<u64>,
}

impl KeyReport {
    /// A report without rows.
    pub fn new(service: &'static str, time: u64) -> Self {
        Self { service, time, done: Vec::new(), due: Vec::new(), keys: Vec::new(), retirements: Vec::new() }
    }

    /// Adds a key. `life` is after how many seconds an active key is to be rotated; of others, when it ends.
    pub fn add(&mut self, kind: &'static str, fingerprint: String, (state, since): (KeyState, u64), life: Option<u64>) {
        let due_at = life.map(|life| since.saturating_add(life));
        self.keys.push(KeyRow {
            key: kind,
            environment: None,
            number: None,
            fingerprint,
            state,
            since,
            age_seconds: self.time.saturating_sub(since),
            due: state == KeyState::Active && due_at.is_some_and(|due_at| due_at <= self.time),
            due_at,
            under_it: None,
        });
    }

    /// Adds a numbered key.
    pub fn add_numbered(
        &mut self,
        kind: &'static str,
        (environment, number): (Option<String>, u32),
        fingerprint: String,
        (state, since): (KeyState, u64),
        (life, under_it): (Option<u64>, Option<u64>),
    ) {
        self.add(kind, fingerprint, (state, since), life);
        if let Some(row) = self.keys.last_mut() {
            row.environment = environment;
            row.number = Some(number);
            row.under_it = under_it;
        }
    }

    /// Says for each key that is due that it is, in the words of the command that rotates it.
    pub fn note_due_keys(&mut self) {
        for row in self.keys.iter().filter(|row| row.due) {
            let of = row.environment.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
            self.due.push(format!("{} is {} old; run rotate-keys {}{of}.", row.key, age(row.age_seconds), row.key));
        }
    }

    /// One JSON document.
    pub fn json(&self) -> String {
        // The types hold strings and numbers only.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// For people: what was done, a table, what is due.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for done in &self.done {
            let _infallible = writeln!(text, "{done}");
        }
        let heading = ["KEY", "NUMBER", "FINGERPRINT", "STATE", "AGE", "UNDER IT"].map(str::to_owned);
        let mut lines = vec![heading];
        for row in &self.keys {
            let name = row.environment.as_deref().map_or(row.key.to_owned(), |name| format!("{} {name}", row.key));
            let number = |number: Option<u64>| number.map_or(String::from("-"), |number| number.to_string());
            lines.push([
                name,
                number(row.number.map(u64::from)),
                row.fingerprint.clone(),
                row.state.as_str().to_owned(),
                age(row.age_seconds),
                number(row.under_it),
            ]);
        }
        let mut widths = [0; 6];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.len().max(*width);
            }
        }
        for line in &lines {
            let cells: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            let _infallible = writeln!(text, "{}", cells.join("  ").trim_end());
        }
        for retirement in &self.retirements {
            let _infallible = writeln!(text, "Signed by the vault: {retirement}");
        }
        for due in &self.due {
            let _infallible = writeln!(text, "Due: {due}");
        }
        text
    }
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> KeyReport {
        let mut report = KeyReport::new("encrypted-vault", 10_000_000);
        report.add("transport", "kid-1".to_owned(), (KeyState::Active, 9_999_999), Some(1_000));
        let names = (Some("dev".to_owned()), 3);
        report.add_numbered("root-key", names, "abc".to_owned(), (KeyState::Active, 0), (Some(86_400), Some(12)));
        report.done.push("Made nothing.".to_owned());
        report.note_due_keys();
        report
    }

    #[test]
    fn what_is_due_is_said_and_what_is_not_is_not() {
        let report = report();
        assert_eq!(report.due, ["root-key is 115 d old; run rotate-keys root-key dev."]);
        let text = report.text();
        assert!(text.starts_with("Made nothing.\nKEY "), "{text}");
        assert!(text.contains("root-key dev  3       abc          active  115 d  12"), "{text}");
        assert!(text.ends_with("rotate-keys root-key dev.\n"), "{text}");
    }

    #[test]
    fn members_of_the_json_form_are_stable() {
        let json: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&json), ["done", "due", "keys", "retirements", "service", "time"]);
        let members = "age_seconds due due_at environment fingerprint key number since state under_it"
            .split(' ')
            .collect::<Vec<_>>();
        for row in json["keys"].as_array().unwrap() {
            assert_eq!(names(row), members);
        }
        assert_eq!(json["keys"][0]["number"], serde_json::Value::Null);
        assert_eq!(json["keys"][1]["due_at"], 86_400);
    }
}
