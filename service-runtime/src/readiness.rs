//! The answer of `/health/ready`: words for an operator, from one table for both services, and one word for strangers.
//!
//! The body is plain text, words separated by spaces. The first word is `ready` (with 200) or the most important
//! trouble (with 503), further troubles follow, and then whatever setting weakens the service: `audit-os`,
//! `development`, each `danger` option. It says nothing about secrets, names, users or counts.

use crate::{audit::AuditSync, config::Mode};

macro_rules! troubles {
    ($($variant:ident, $word:literal, $meaning:literal, $remedy:literal;)*) => {
        /// Why a service is not ready; the most important one first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Trouble {
            $(#[doc = $meaning] $variant,)*
        }

        impl Trouble {
            /// Every trouble, the most important one first.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word for it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }

            /// What to do.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),* }
            }
        }
    };
}

troubles! {
    Storage, "storage", "The database, or the vault's mark, cannot be read or written.",
        "Look at the disk: space, mount, I/O errors; with PostgreSQL, at its server and the way there, which the log names. It recovers by itself; if the log says that the database is damaged, restore a backup.";
    Registry, "registry", "Principals and policy in the manager's database are not what the manager wrote last, so nobody is let in.",
        "Keep the database as evidence, restore a backup of it, and confirm what it holds with `policy confirm`.";
    Catalogue, "catalogue", "A row of the manager's database (the place of a secret, an environment, a label, a waiting revocation or an idempotency key) is not what the manager wrote, and is not used. The log names the first one.",
        "Keep the database as evidence, restore a backup of it, and restart.";
    Audit, "audit", "The audit log cannot be written, or its file is not where it belongs, so nothing is released.",
        "As for storage. If the log says that the file was removed, renamed, replaced or cut, put it back (see below). If it says that lines are lost or were altered, keep the files as evidence and restart.";
    Descriptors, "descriptors", "The process may open no further file or connection.",
        "Raise the limit of open files, or lower `limits.connections`.";
    Refusing, "refusing", "The vault's operator refuses everything, or the file of local refusals cannot be read, which refuses everything too.",
        "See `refuse list`, and then `refuse lift everything`, or repair what the log says of the file.";
    Conflict, "conflict", "The events of manager and vault contradict each other, or two managers with the same identity run; no revocation gets through and nothing is minted. The log says which.",
        "Compare the backups of both, restore the one that is wrong, restart both. Of two managers end one.";
    Clock, "clock", "The clocks of manager and vault differ by more than 30 seconds.",
        "Set both clocks. It recovers by itself.";
    Starting, "starting", "Manager and vault have not spoken since the start, or since all seal keys are new.",
        "Wait a second or two; start the other service.";
    CatchingUp, "catching-up", "Events that the other service has are being fetched. A vault that was told of newer ones and does not get them within 5 seconds opens nothing.",
        "Wait; if it stays, look at the manager and the network between them.";
    VaultUnreachable, "vault-unreachable", "The manager gets no good answer from the vault.",
        "Look at the vault, the network and the pins; the manager's log has the reason.";
    Keys, "keys", "No key of the other service is known that is valid now, or no seal key could be made.",
        "As for vault-unreachable and clock; at the vault, look at the runtime directory.";
}

/// The readiness of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    troubles: Vec<Trouble>,
    settings: String,
}

impl Readiness {
    /// The readiness by these checks: `true` means that there is this trouble. `settings` is that of [`settings`].
    pub fn new(checks: &[(Trouble, bool)], settings: &str) -> Self {
        let mut troubles: Vec<Trouble> =
            checks.iter().filter(|(_, there)| *there).map(|(trouble, _)| *trouble).collect();
        troubles.sort_unstable();
        // What two checks see is one trouble.
        troubles.dedup();
        Self { troubles, settings: settings.to_owned() }
    }

    /// Whether the service has everything that it needs for its work.
    pub fn is_ready(&self) -> bool {
        self.troubles.is_empty()
    }

    /// The word for strangers: `ready` or `not-ready`. In development mode, where strangers are trusted, all words.
    pub fn public_text(&self) -> String {
        if self.settings.split_whitespace().any(|word| word == DEVELOPMENT) {
            return self.text();
        }
        if self.is_ready() { "ready" } else { "not-ready" }.to_owned()
    }

    /// The words.
    pub fn text(&self) -> String {
        let mut words: Vec<&str> = self.troubles.iter().map(|trouble| trouble.word()).collect();
        if words.is_empty() {
            words.push("ready");
        }
        words.extend(self.settings.split_whitespace());
        words.join(" ")
    }
}

/// The words for settings that weaken a service.
pub fn settings(mode: Mode, sync: AuditSync, dangers: &[&str]) -> String {
    let mut words = Vec::new();
    if sync == AuditSync::Os {
        words.push("audit-os");
    }
    if mode == Mode::Development {
        words.push(DEVELOPMENT);
    }
    words.extend(dangers);
    words.join(" ")
}

const DEVELOPMENT: &str = "development";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_most_important_trouble_and_settings_come_last() {
        let settings = settings(Mode::Development, AuditSync::Os, &["danger.swap"]);
        let checks = [(Trouble::Keys, true), (Trouble::Clock, false), (Trouble::Storage, true)];
        let readiness = Readiness::new(&checks, &settings);
        assert_eq!(readiness.text(), "storage keys audit-os development danger.swap");
        assert!(!readiness.is_ready());
        let good = Readiness::new(&[(Trouble::Keys, false)], "");
        assert_eq!((good.text().as_str(), good.is_ready()), ("ready", true));
        assert_eq!(readiness.public_text(), readiness.text());
    }

    #[test]
    fn strangers_get_one_word_outside_development() {
        for (dangers, trouble, word) in [(&["danger.swap"][..], true, "not-ready"), (&["danger.swap"], false, "ready")]
        {
            let settings = settings(Mode::Production, AuditSync::Os, dangers);
            assert_eq!(Readiness::new(&[(Trouble::Clock, trouble)], &settings).public_text(), word);
        }
    }

    #[test]
    fn the_table_of_the_operator_has_every_word_with_its_meaning_and_remedy() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
        let document = std::fs::read_to_string(path).unwrap();
        let rows: Vec<String> = Trouble::ALL
            .iter()
            .map(|trouble| format!("| `{}` | {} | {} |", trouble.word(), trouble.meaning(), trouble.remedy()))
            .collect();
        assert!(document.contains(&rows.join("\n")), "docs/operations.md lacks:\n{}", rows.join("\n"));
    }
}
