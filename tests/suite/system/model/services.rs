//! The services beside the reference: takes a step at both, and tells where they differ.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use system_tests::{Answer, Installation, Service};

use super::reference::{Backup, Catalogue, Event, Name, Reference, Rows, Token};
use super::steps::{Rotated, Step};

/// Both, and what the test remembers.
pub(super) struct Services {
    pub(super) installation: Installation,
    pub(super) reference: Reference,
    pub(super) tokens: Vec<Token>,
    /// Every version that was ever written.
    pub(super) names: Vec<Name>,
    manager_backups: Vec<Backup<Catalogue>>,
    vault_backups: Vec<Backup<Rows>>,
    pub(super) strangers: Option<String>,
    files: usize,
}

/// A sentence when services and reference differ.
pub(super) type Agreed = Result<(), String>;

impl Services {
    pub(super) fn new(installation: Installation) -> Self {
        Self {
            installation,
            reference: Reference::default(),
            tokens: Vec::new(),
            names: Vec::new(),
            manager_backups: Vec::new(),
            vault_backups: Vec::new(),
            strangers: None,
            files: 0,
        }
    }

    /// Takes a step.
    pub(super) async fn take(&mut self, step: Step) -> Agreed {
        match step {
            Step::Store { path, label } => self.store(&format!("a/{path}"), label, None).await,
            Step::StoreAgain { key, body } => self.store(&format!("b/{key}"), 0, Some((key, body))).await,
            Step::StoreAsStranger => self.store_as_stranger().await,
            Step::Rollback { at, conflict } => self.roll_back(at, conflict).await,
            Step::Mint { first, second, label } => self.mint(first, second, label).await,
            Step::MintNewest { secret } => self.mint_newest(secret).await,
            Step::RevokeToken(at) => self.revoke_token(at).await,
            Step::RevokeSubject(label) => {
                let what = json!({"kind": "subject", "user_id": user(label)});
                let known = self.reference.catalogue.subjects.get(&user(label)).cloned();
                let event = known.clone().map_or(Event::Nothing, Event::Subject);
                self.revoke_if(known.is_some(), "subject_not_found", what, event).await
            }
            Step::RevokeSecret(at) => {
                let Some((secret, _)) = pick(&self.names, at) else { return Ok(()) };
                let known = self.reference.catalogue.versions.keys().any(|(owner, _)| *owner == secret);
                let what = json!({"kind": "secret", "key_id": secret});
                self.revoke_if(known, "secret_not_found", what, Event::Secret(secret)).await
            }
            Step::RevokeVersion(at) => {
                let Some(name) = pick(&self.names, at) else { return Ok(()) };
                let envelope = self.reference.catalogue.versions.get(&name).map(|version| version.envelope);
                let what = json!({"kind": "version", "key_id": name.0, "version": name.1});
                let event = Event::Version((name.0, envelope.unwrap_or(name.1)));
                self.revoke_if(envelope.is_some(), "secret_not_found", what, event).await
            }
            Step::RevokeStrangers => {
                let Some(client) = self.strangers.clone() else { return Ok(()) };
                self.revoke(json!({"kind": "disable-credential", "client_id": client}), Event::Credential(client)).await
            }
            Step::RevokeForeignKey => {
                // Once is enough; a second event of a key gets no number of its own.
                if self.reference.chain.contains(&Event::Nothing) {
                    return Ok(());
                }
                self.revoke(json!({"kind": "signing-key", "kid": "A".repeat(43)}), Event::Nothing).await
            }
            Step::RevokeAll => self.revoke(json!({"kind": "all"}), Event::All).await,
            Step::Destroy(at) => self.destroy(at).await,
            Step::RestartManager { kill } => {
                restart(&mut self.installation.manager, kill).await;
                self.reference.bodies.clear();
                self.settled().await
            }
            Step::RestartVault { kill } => {
                restart(&mut self.installation.vault, kill).await;
                self.settled().await
            }
            Step::BackupManager => {
                let file = self.new_file("manager");
                self.installation.manager.back_up(&file);
                let content = self.reference.catalogue.clone();
                self.manager_backups.push(Backup { file, chain: self.reference.chain.len(), content });
                Ok(())
            }
            Step::BackupVault => {
                let file = self.new_file("vault");
                self.installation.vault.back_up(&file);
                let content = self.reference.rows.clone();
                self.vault_backups.push(Backup { file, chain: self.reference.chain.len(), content });
                Ok(())
            }
            Step::RestoreManager(at) => {
                let Some(backup) = pick(&self.manager_backups, at) else { return Ok(()) };
                restore(&mut self.installation.manager, &backup.file).await;
                self.installation.manager.start().await;
                self.reference.restore_manager(&backup);
                self.settled().await
            }
            Step::RestoreVault(at) => {
                let Some(backup) = pick(&self.vault_backups, at) else { return Ok(()) };
                restore(&mut self.installation.vault, &backup.file).await;
                self.installation.vault.start().await;
                self.reference.restore_vault(&backup);
                self.settled().await
            }
            Step::RestoreBoth { vault, manager } => self.restore_both(vault, manager).await,
            Step::Refuse(what, at) => {
                self.refuse(what, at, false);
                Ok(())
            }
            Step::Lift(what, at) => {
                self.refuse(what, at, true);
                Ok(())
            }
            Step::LiftAll => {
                self.lift_all();
                Ok(())
            }
            Step::Reconcile => self.reconcile().await,
            Step::Rotate(key) => {
                self.rotate(key);
                Ok(())
            }
        }
    }

    /// Every token so far opens what it must, and nothing else.
    pub(super) async fn compare(&self) -> Agreed {
        for (at, token) in self.tokens.iter().enumerate() {
            // What it names, and something that it may not name.
            let other = pick(&self.names, at * 7).map(|(secret, _)| secret);
            let secrets = token.grants.iter().map(|((secret, _), _)| secret.clone()).chain(other);
            for secret in secrets {
                let answer = self.installation.read(&secret, &token.text).await;
                let got = if answer.status == 200 { Ok(answer.text("decrypted_key")) } else { Err(answer.code()) };
                let expected = self.reference.read(token, &secret);
                if got.as_ref().map_err(String::as_str) != expected.as_ref().map_err(|code| *code) {
                    return Err(format!("token {at} {token:?} reads {secret}: expected {expected:?}, got {got:?}"));
                }
            }
        }
        let list = self.installation.admin_call("GET", "/api/revocations", None).await.expect(200);
        let newest = list.number("newest");
        agree("newest event", newest, self.reference.chain.len() as u64)
    }

    /// It is refused while the rotation before is under way.
    fn rotate(&self, key: Rotated) {
        let Installation { vault, manager, .. } = &self.installation;
        let output = match key {
            Rotated::Transport => vault.run(&["rotate-keys", "transport"]),
            Rotated::StorageKey => vault.run(&["rotate-keys", "storage-key"]),
            Rotated::TokenSigning => manager.run(&["rotate-keys", "token-signing"]),
            Rotated::RootKey => manager.run(&["rotate-keys", "root-key", "dev"]),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let refused = said.contains("is refused") || said.contains("is under way");
        assert!(output.status.success() || refused, "{key:?}: {said}");
    }

    async fn restore_both(&mut self, vault: usize, manager: usize) -> Agreed {
        let backups = pick(&self.vault_backups, vault).zip(pick(&self.manager_backups, manager));
        let Some((of_vault, of_manager)) = backups else { return Ok(()) };
        restore(&mut self.installation.vault, &of_vault.file).await;
        restore(&mut self.installation.manager, &of_manager.file).await;
        self.installation.vault.start().await;
        self.installation.manager.start().await;
        self.reference.restore_both(&of_vault, &of_manager);
        // Backups with events that nobody knows any more contradict those that will get their numbers.
        let length = self.reference.chain.len();
        self.vault_backups.retain(|backup| backup.chain <= length);
        self.manager_backups.retain(|backup| backup.chain <= length);
        self.settled().await
    }

    async fn reconcile(&mut self) -> Agreed {
        let forgotten = self.reference.forgotten();
        let answer = self.installation.admin_call("POST", "/api/reconcile", Some(json!({"adopt": true}))).await;
        let found = answer.expect(200).json();
        let mut names: Vec<Name> = found["found"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["key_id"].as_str().unwrap().to_owned(), one["version"].as_u64().unwrap()))
            .collect();
        names.sort();
        let secrets: BTreeSet<String> = names.iter().map(|(secret, _)| secret.clone()).collect();
        agree("forgotten versions", names, forgotten.clone())?;
        agree("adopted versions", found["adopted"].as_u64(), Some(forgotten.len() as u64))?;
        // One that lost its row has lost its rules, too, and needs an approval until somebody lifts that.
        for secret in secrets {
            let body = Some(json!({"requires_approval": false}));
            self.installation.admin_call("PATCH", &format!("/api/secrets/{secret}"), body).await.expect(200);
        }
        self.reference.adopt();
        Ok(())
    }

    fn new_file(&mut self, service: &str) -> PathBuf {
        self.files += 1;
        self.installation.folder().join(format!("{service}.{}.backup", self.files))
    }
}

async fn restart(service: &mut Service, kill: bool) {
    if kill {
        service.kill();
    } else {
        service.stop().await;
    }
    service.start().await;
}

async fn restore(service: &mut Service, file: &Path) {
    service.stop().await;
    service.restore(file);
}

/// The code of a refusal, or the status.
pub(super) fn said(answer: &Answer) -> String {
    if answer.status < 400 { answer.status.to_string() } else { answer.code() }
}

pub(super) fn user(label: usize) -> String {
    format!("user{label}")
}

pub(super) fn pick<T: Clone>(list: &[T], at: usize) -> Option<T> {
    list.get(at.checked_rem(list.len())?).cloned()
}

#[expect(clippy::needless_pass_by_value, reason = "what is compared is mostly made for the comparison")]
pub(super) fn agree<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Agreed {
    if got == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {got:?}")) }
}
