//! The reference: what both services together promise, in plain data. No keys, no files, no HTTP.
//!
//! A restored vault has the rows of its backup and, if an event was numbered since, only new seal keys. A restored
//! manager has the catalogue of its backup and takes all events back. Both restored forget what neither backup knows.

use std::collections::{BTreeMap, BTreeSet};

/// A secret and the number of a version.
pub(super) type Name = (String, u64);

/// What a version holds. Two writes of the same value are different contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) id: usize,
    pub(super) value: String,
}

/// A numbered event; its number is its place in the chain, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Token(String),
    Subject(String),
    Credential(String),
    Secret(String),
    Version(Name),
    All,
    Destroy(Name),
    /// Of a subject or key that no token has.
    Nothing,
}

/// A token and what is known of it from outside.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) jti: String,
    pub(super) subject: String,
    pub(super) client: String,
    pub(super) rseq: usize,
    /// Envelopes.
    pub(super) grants: Vec<(Name, Content)>,
    /// The generation of seal keys that it is sealed to.
    pub(super) seals: usize,
}

/// A version of the catalogue.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// The number of the envelope that it points to.
    pub(super) envelope: u64,
    /// `None`: a number that the vault had already, given up.
    pub(super) content: Option<Content>,
    /// It was destroyed. Its envelope is in the vault while another version points to it.
    pub(super) destroyed: bool,
}

/// The content of the vault's database besides events.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) envelopes: BTreeMap<Name, Content>,
    /// The numbers of rollbacks.
    pub(super) unused: BTreeSet<Name>,
}

/// What the manager's database holds besides events.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalogue {
    pub(super) paths: BTreeMap<String, String>,
    pub(super) versions: BTreeMap<Name, Version>,
    pub(super) subjects: BTreeMap<String, String>,
    /// What was written under an `Idempotency-Key`.
    pub(super) repeats: BTreeMap<String, Name>,
}

/// What `refuse` was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals {
    pub(super) tokens: BTreeSet<String>,
    pub(super) subjects: BTreeSet<String>,
    pub(super) everything: bool,
}

/// A backup: the length of the chain in it, and the rest.
#[derive(Clone, Debug)]
pub(super) struct Backup<T> {
    pub(super) file: std::path::PathBuf,
    pub(super) chain: usize,
    pub(super) content: T,
}

/// Both services.
#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    pub(super) chain: Vec<Event>,
    pub(super) catalogue: Catalogue,
    /// Bodies under an `Idempotency-Key` since the manager's start.
    pub(super) bodies: BTreeMap<String, String>,
    pub(super) rows: Rows,
    pub(super) seals: usize,
    pub(super) refusals: Refusals,
    pub(super) contents: usize,
}

impl Reference {
    /// What a read answers: the value, or the code of a refusal.
    pub(super) fn read(&self, token: &Token, secret: &str) -> Result<String, &'static str> {
        let Refusals { tokens, subjects, everything } = &self.refusals;
        if *everything || tokens.contains(&token.jti) || subjects.contains(&token.subject) {
            return Err("token_invalid");
        }
        if self.since(token.rseq).any(|event| hits_token(event, token)) {
            return Err("token_invalid");
        }
        if token.rseq > self.chain.len() {
            return Err("revocations_behind");
        }
        let Some((name, content)) = token.grants.iter().find(|((granted, _), _)| granted == secret) else {
            return Err("secret_not_found");
        };
        if self.is_destroyed(name) || self.since(token.rseq).any(|event| hits_grant(event, name)) {
            return Err("token_invalid");
        }
        if token.seals != self.seals {
            return Err("seal_key_unknown");
        }
        match self.rows.envelopes.get(name) {
            None => Err("secret_not_found"),
            // The number was used twice, because both services forgot it: the token's release key does not fit.
            Some(row) if row != content => Err("token_invalid"),
            Some(row) => Ok(row.value.clone()),
        }
    }

    /// Numbers an event, unless it is one that happens once and has happened.
    pub(super) fn number(&mut self, event: Event) -> usize {
        let once = matches!(event, Event::Token(_) | Event::Credential(_) | Event::Destroy(_));
        if let (true, Some(known)) = (once, self.chain.iter().position(|known| *known == event)) {
            return known + 1;
        }
        if let Event::Destroy(name) = &event {
            self.rows.envelopes.remove(name);
        }
        self.chain.push(event);
        self.chain.len()
    }

    /// The version that a store under `path` gets: the secret, if there is one, and the number.
    pub(super) fn next_version(&mut self, path: &str) -> (Option<String>, u64) {
        let Some(secret) = self.catalogue.paths.get(path).cloned() else { return (None, 1) };
        let number = self.next_number(&secret, None);
        (Some(secret), number)
    }

    /// The number that the next version of a secret gets: a rollback's, with its envelope, or a write's.
    fn next_number(&mut self, secret: &str, rollback: Option<u64>) -> u64 {
        let mut number = 1 + self.newest(secret, |_| true).unwrap_or(0);
        // Numbers that a restored manager forgot and the vault did not are passed over.
        loop {
            let name = (secret.to_owned(), number);
            let is_known = self.rows.envelopes.contains_key(&name) || self.rows.unused.contains(&name);
            if !is_known && !self.is_destroyed(&name) {
                return number;
            }
            let given_up = Version { envelope: rollback.unwrap_or(number), content: None, destroyed: false };
            self.catalogue.versions.insert(name, given_up);
            number += 1;
        }
    }

    /// A secret is rolled back to an envelope. Returns the new version.
    pub(super) fn roll_back(&mut self, (secret, envelope): Name, content: Content) -> Name {
        let name = (secret.clone(), self.next_number(&secret, Some(envelope)));
        self.rows.unused.insert(name.clone());
        self.catalogue.versions.insert(name.clone(), Version { envelope, content: Some(content), destroyed: false });
        name
    }

    /// A version that was once committed is destroyed: returns its envelope, if nothing points to it any more.
    pub(super) fn destroy(&mut self, name: &Name) -> Option<Name> {
        let version = self.catalogue.versions.get_mut(name)?;
        version.destroyed = true;
        let envelope = version.envelope;
        let used =
            |other: &Name| other.0 == name.0 && self.committed(other).is_some_and(|(found, _)| found.1 == envelope);
        (!self.catalogue.versions.keys().any(used)).then(|| (name.0.clone(), envelope))
    }

    /// A version is written.
    pub(super) fn store(&mut self, name: Name, value: &str) -> Content {
        self.contents += 1;
        let content = Content { id: self.contents, value: value.to_owned() };
        let version = Version { envelope: name.1, content: Some(content.clone()), destroyed: false };
        self.catalogue.versions.insert(name.clone(), version);
        self.rows.envelopes.insert(name, content.clone());
        content
    }

    /// The envelope that a token for this version is made for; `None` when there is nothing to make it for.
    pub(super) fn committed(&self, name: &Name) -> Option<(Name, Content)> {
        let version = self.catalogue.versions.get(name).filter(|version| !version.destroyed)?;
        let envelope = (name.0.clone(), version.envelope);
        version.content.clone().filter(|_| !self.is_destroyed(&envelope)).map(|content| (envelope, content))
    }

    /// The newest version of a secret that a token can be made for.
    pub(super) fn newest_committed(&self, secret: &str) -> Option<Name> {
        let number = self.newest(secret, |name| self.committed(name).is_some())?;
        Some((secret.to_owned(), number))
    }

    /// Tells whether the envelope was destroyed.
    pub(super) fn is_destroyed(&self, name: &Name) -> bool {
        self.chain.iter().any(|event| matches!(event, Event::Destroy(destroyed) if destroyed == name))
    }

    /// Whether a credential was revoked, which disables it.
    pub(super) fn is_disabled(&self, client: &str) -> bool {
        self.chain.iter().any(|event| matches!(event, Event::Credential(revoked) if revoked == client))
    }

    /// The vault has the rows of a backup; the manager pushes the events that it lacks.
    pub(super) fn restore_vault(&mut self, backup: &Backup<Rows>) {
        self.rows = backup.content.clone();
        let destroyed: Vec<Name> = self.rows.envelopes.keys().filter(|name| self.is_destroyed(name)).cloned().collect();
        for name in destroyed {
            self.rows.envelopes.remove(&name);
        }
        if backup.chain < self.chain.len() {
            self.seals += 1;
        }
    }

    /// The manager has the catalogue of a backup; it takes the events back from the vault.
    pub(super) fn restore_manager(&mut self, backup: &Backup<Catalogue>) {
        self.catalogue = backup.content.clone();
        self.bodies.clear();
    }

    /// What both backups lack is forgotten.
    pub(super) fn restore_both(&mut self, vault: &Backup<Rows>, manager: &Backup<Catalogue>) {
        if vault.chain < self.chain.len() {
            self.seals += 1;
        }
        self.chain.truncate(vault.chain.max(manager.chain));
        self.restore_manager(manager);
        let at_its_time = Backup { chain: self.chain.len(), ..vault.clone() };
        self.restore_vault(&at_its_time);
    }

    /// The vault has these and the catalogue lacks them.
    pub(super) fn forgotten(&self) -> Vec<Name> {
        let known = |name: &Name| self.catalogue.versions.get(name).is_some_and(|version| version.content.is_some());
        self.rows.envelopes.keys().filter(|name| !known(name)).cloned().collect()
    }

    /// They are in the catalogue again.
    pub(super) fn adopt(&mut self) {
        for name in self.forgotten() {
            let content = self.rows.envelopes.get(&name).cloned();
            let version = Version { envelope: name.1, content, destroyed: false };
            self.catalogue.versions.insert(name, version);
        }
    }

    fn since(&self, rseq: usize) -> impl Iterator<Item = &Event> {
        self.chain.iter().skip(rseq)
    }

    fn newest(&self, secret: &str, wanted: impl Fn(&Name) -> bool) -> Option<u64> {
        let mine = self.catalogue.versions.keys().filter(|(owner, _)| owner == secret);
        mine.filter(|name| wanted(name)).map(|(_, number)| *number).max()
    }
}

fn hits_token(event: &Event, token: &Token) -> bool {
    match event {
        Event::Token(jti) => *jti == token.jti,
        Event::Subject(subject) => *subject == token.subject,
        Event::Credential(client) => *client == token.client,
        Event::All => true,
        Event::Secret(_) | Event::Version(_) | Event::Destroy(_) | Event::Nothing => false,
    }
}

fn hits_grant(event: &Event, name: &Name) -> bool {
    match event {
        Event::Secret(secret) => *secret == name.0,
        Event::Version(version) => version == name,
        Event::Token(_)
        | Event::Subject(_)
        | Event::Credential(_)
        | Event::All
        | Event::Destroy(_)
        | Event::Nothing => false,
    }
}
