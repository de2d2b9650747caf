//! The reference: what the manager promises of secrets, in plain data. No keys, no database, no HTTP.

use std::collections::{BTreeMap, BTreeSet};

use super::acts::{Act, Change, How};

/// All secrets, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct World {
    pub(super) secrets: Vec<Secret>,
}

/// A secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Secret {
    /// `None` until somebody was told.
    pub(super) id: Option<String>,
    pub(super) path: String,
    pub(super) team: Option<&'static str>,
    pub(super) service_only: bool,
    pub(super) keeps: Option<u64>,
    pub(super) description: Option<String>,
    pub(super) life: Life,
    pub(super) versions: BTreeMap<u64, Version>,
    pub(super) current: Option<u64>,
    pub(super) previous: Option<u64>,
    pub(super) pending: Option<u64>,
    pub(super) rotation: Option<Rotation>,
    /// The open incident; true if it froze the secret.
    pub(super) incident: Option<bool>,
    /// How often the tokens of the secret were revoked, at least.
    pub(super) revoked: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Active,
    Deleted,
    Destroyed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) envelope: u64,
    pub(super) value: String,
    pub(super) state: State,
    pub(super) ends: Option<u64>,
    /// It was pending, and nobody has promoted it.
    pub(super) is_unpromoted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Committed,
    Abandoned,
    Destroyed,
}

/// A rotation that is under way; one whose pending version has no stage any more is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotation {
    pub(super) is_grace: bool,
    pub(super) version: u64,
    from: Option<u64>,
    pub(super) is_verified: bool,
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Empty if it is done.
    pub(super) code: String,
    /// The version that it made, or that a step was about.
    pub(super) version: Option<u64>,
    /// The secret, where it may be a new one.
    pub(super) id: Option<String>,
}

impl Said {
    pub(super) fn is_done(&self) -> bool {
        self.code.is_empty()
    }

    /// A code of which the caller does not learn whether it was done.
    pub(super) fn is_unclear(&self) -> bool {
        ["outcome_unknown", "storage_unavailable", "unavailable", "audit_unavailable"].contains(&self.code.as_str())
    }

    pub(super) fn is_as(&self, expected: &Self) -> bool {
        (&self.code, self.version) == (&expected.code, expected.version)
    }
}

pub(super) fn done(version: Option<u64>) -> Said {
    Said { code: String::new(), version, id: None }
}

pub(super) fn refused(code: &str) -> Said {
    Said { code: code.to_owned(), version: None, id: None }
}

impl World {
    /// Does an act that consists of one.
    pub(super) fn apply(&mut self, act: &Act) -> Said {
        match act {
            Act::Create { path, value, team } => match self.at(path) {
                Some(_) => refused("already_exists"),
                None => self.create(path, value, *team),
            },
            Act::Put { path, value } => match self.at(path) {
                Some(secret) => self.secrets[secret].write(value, (false, None), None),
                None => self.create(path, value, None),
            },
            Act::Change { secret, change: Change::Path(path) } => {
                if self.secrets[*secret].life != Life::Active {
                    return refused("secret_deleted");
                }
                if self.at(path).is_some_and(|other| other != *secret) {
                    return refused("already_exists");
                }
                self.secrets[*secret].path.clone_from(path);
                done(None)
            }
            Act::Write { secret, value, pending, if_version, ends } => {
                self.secrets[*secret].write(value, (*pending, *ends), *if_version)
            }
            Act::RollBack { secret, version, if_version } => self.secrets[*secret].roll_back(*version, *if_version),
            Act::Stage { secret, version, give } => self.secrets[*secret].stage(*version, *give),
            Act::Rotate { secret, value, how } => self.secrets[*secret].rotate(value, *how),
            Act::Verify(secret) => self.secrets[*secret].verify(),
            Act::Promote { secret, unverified } => self.secrets[*secret].promote(*unverified),
            Act::Finish(secret) => self.secrets[*secret].finish(),
            Act::Repair { secret, abandon } => self.secrets[*secret].repair(*abandon),
            Act::Change { secret, change } => self.secrets[*secret].change(change),
            Act::Delete(secret) => self.secrets[*secret].delete(),
            Act::Undelete(secret) => self.secrets[*secret].undelete(),
            Act::Destroy(secret) => self.secrets[*secret].destroy(),
            Act::DestroyVersions { secret, versions } => self.secrets[*secret].destroy_versions(versions),
            Act::Compromise { secret, freeze } => self.secrets[*secret].compromise(*freeze),
            Act::Close(secret) => self.secrets[*secret].close(),
            Act::Bulk(_) | Act::Import(_) => panic!("an act of several"),
        }
    }

    /// The act was begun and given up: its number is used up. `None` for one that is done as a whole or not at all.
    pub(super) fn give_up(&mut self, act: &Act) -> Option<()> {
        let abandoned = |envelope, ends| Version {
            envelope,
            value: String::new(),
            state: State::Abandoned,
            ends,
            is_unpromoted: false,
        };
        let secret = match act {
            Act::Put { path, .. } => self.at(path),
            Act::Create { path, .. } if self.at(path).is_some() => return None,
            Act::Create { .. } => None,
            Act::Write { secret, .. } | Act::Rotate { secret, .. } | Act::RollBack { secret, .. } => Some(*secret),
            _ => return None,
        };
        let Some(secret) = secret else {
            self.apply(act);
            let secret = self.secrets.last_mut()?;
            secret.versions.insert(1, abandoned(1, None));
            secret.current = None;
            return Some(());
        };
        let secret = &mut self.secrets[secret];
        let number = secret.last() + 1;
        let version = match act {
            Act::RollBack { version, .. } => {
                let target = secret.versions.get(version)?;
                abandoned(target.envelope, target.ends)
            }
            Act::Write { ends, .. } => abandoned(number, *ends),
            _ => abandoned(number, None),
        };
        secret.versions.insert(number, version);
        if matches!(act, Act::Rotate { .. }) {
            secret.rotation = None;
        }
        Some(())
    }

    /// The secret at a path, unless it is destroyed.
    pub(super) fn at(&self, path: &str) -> Option<usize> {
        self.secrets.iter().position(|secret| secret.life != Life::Destroyed && secret.path == path)
    }

    fn create(&mut self, path: &str, value: &str, team: Option<&'static str>) -> Said {
        let mut secret = Secret {
            id: None,
            path: path.to_owned(),
            team,
            service_only: false,
            keeps: None,
            description: None,
            life: Life::Active,
            versions: BTreeMap::new(),
            current: None,
            previous: None,
            pending: None,
            rotation: None,
            incident: None,
            revoked: 0,
        };
        let said = secret.write(value, (false, None), None);
        self.secrets.push(secret);
        said
    }
}

impl Secret {
    pub(super) fn last(&self) -> u64 {
        self.versions.keys().next_back().copied().unwrap_or_default()
    }

    pub(super) fn is_committed(&self, version: u64) -> bool {
        self.versions.get(&version).is_some_and(|version| version.state == State::Committed)
    }

    pub(super) fn under_way(&self) -> Option<&Rotation> {
        self.rotation.as_ref().filter(|found| found.is_grace || self.pending == Some(found.version))
    }

    /// The envelopes that the vault has.
    pub(super) fn envelopes(&self) -> BTreeSet<u64> {
        let committed = self.versions.values().filter(|version| version.state == State::Committed);
        committed.map(|version| version.envelope).collect()
    }

    /// What a token gets.
    pub(super) fn read(&self, version: Option<u64>) -> String {
        match version.filter(|version| self.is_committed(*version)) {
            None => "secret_not_found".to_owned(),
            Some(_) if self.life != Life::Active => "secret_deleted".to_owned(),
            Some(_) if self.incident == Some(true) => "secret_frozen".to_owned(),
            Some(version) => format!("={}", self.versions[&version].value),
        }
    }

    pub(super) fn write(
        &mut self,
        value: &str,
        (is_pending, ends): (bool, Option<u64>),
        if_version: Option<u64>,
    ) -> Said {
        if self.life != Life::Active {
            return refused("secret_deleted");
        }
        if if_version.is_some_and(|seen| seen != self.current.unwrap_or_default()) {
            return refused("version_conflict");
        }
        let number = self.add(self.last() + 1, value.to_owned(), ends);
        if is_pending {
            self.pending = Some(number)
        } else {
            self.make_current(number)
        }
        done(Some(number))
    }

    fn add(&mut self, envelope: u64, value: String, ends: Option<u64>) -> u64 {
        let number = self.last() + 1;
        let version = Version { envelope, value, state: State::Committed, ends, is_unpromoted: false };
        self.versions.insert(number, version);
        number
    }

    fn make_pending(&mut self, number: u64) {
        self.pending = Some(number);
        self.versions.get_mut(&number).expect("it was added").is_unpromoted = true;
    }

    fn make_current(&mut self, number: u64) {
        (self.previous, self.current) = (self.current, Some(number));
    }

    fn roll_back(&mut self, target: u64, if_version: Option<u64>) -> Said {
        if !self.is_committed(target) {
            return refused("secret_not_found");
        }
        if self.life != Life::Active {
            return refused("secret_deleted");
        }
        if if_version.is_some_and(|seen| Some(seen) != self.current) {
            return refused("version_conflict");
        }
        let Version { envelope, value, ends, .. } = self.versions[&target].clone();
        let number = self.add(envelope, value, ends);
        self.make_current(number);
        done(Some(number))
    }

    fn stage(&mut self, version: u64, give: bool) -> Said {
        if !self.versions.contains_key(&version) {
            return refused("secret_not_found");
        }
        if self.life != Life::Active {
            return refused("secret_deleted");
        }
        let is_current = self.current == Some(version);
        if is_current || (give && (!self.is_committed(version) || self.pending == Some(version))) {
            return refused("version_conflict");
        }
        if give {
            self.previous = Some(version);
        } else {
            self.previous = self.previous.filter(|known| *known != version);
            self.pending = self.pending.filter(|known| *known != version);
        }
        done(None)
    }

    fn rotate(&mut self, value: &str, how: How) -> Said {
        if self.life != Life::Active {
            return refused("secret_deleted");
        }
        let is_busy = self.under_way().is_some() || self.pending.is_some();
        if is_busy && how != How::Emergency {
            return refused("rotation_conflict");
        }
        let from = self.current;
        let version = self.add(self.last() + 1, value.to_owned(), None);
        self.rotation = Some(Rotation { is_grace: how == How::Activate, version, from, is_verified: false });
        match how {
            How::Activate => self.make_current(version),
            How::Staged => self.make_pending(version),
            How::Emergency => {
                self.make_current(version);
                (self.previous, self.pending, self.rotation) = (None, None, None);
                self.revoked += 1;
            }
        }
        done(Some(version))
    }

    /// The rotation of the pending version, if it may be promoted.
    fn promotable(&self) -> Result<Rotation, Said> {
        if self.life != Life::Active {
            return Err(refused("secret_deleted"));
        }
        let version = self.pending.ok_or_else(|| refused("rotation_conflict"))?;
        match self.under_way() {
            Some(found) if !found.is_grace => Ok(found.clone()),
            Some(_) => Err(refused("rotation_conflict")),
            None => Ok(Rotation { is_grace: false, version, from: self.current, is_verified: false }),
        }
    }

    fn verify(&mut self) -> Said {
        let rotation = match self.promotable() {
            Ok(rotation) => rotation,
            Err(said) => return said,
        };
        let version = rotation.version;
        self.rotation = Some(Rotation { is_verified: true, ..rotation });
        done(Some(version))
    }

    fn promote(&mut self, unverified: bool) -> Said {
        let rotation = match self.promotable() {
            Ok(rotation) => rotation,
            Err(said) => return said,
        };
        if !rotation.is_verified && !unverified {
            return refused("rotation_conflict");
        }
        if self.current != rotation.from {
            return refused("version_conflict");
        }
        let version = rotation.version;
        (self.previous, self.current, self.pending) = (self.current, self.pending, None);
        self.versions.get_mut(&version).expect("it was pending").is_unpromoted = false;
        self.rotation = Some(Rotation { is_grace: true, ..rotation });
        done(Some(version))
    }

    fn finish(&mut self) -> Said {
        let Some(rotation) = self.rotation.take_if(|found| found.is_grace) else { return refused("rotation_conflict") };
        self.previous = self.previous.filter(|known| rotation.from != Some(*known));
        done(Some(rotation.version))
    }

    fn repair(&mut self, abandon: bool) -> Said {
        if abandon && let Some(pending) = self.pending.take() {
            self.rotation.take_if(|found| found.version == pending);
        }
        done(None)
    }

    fn change(&mut self, change: &Change) -> Said {
        if self.life != Life::Active {
            return refused("secret_deleted");
        }
        match change {
            Change::Path(path) => self.path.clone_from(path),
            Change::Team(team) => self.team = *team,
            Change::ServiceOnly(is) => self.service_only = *is,
            Change::Keeps(versions) => self.keeps = *versions,
            Change::Description(text) => self.description.clone_from(text),
        }
        done(None)
    }

    fn delete(&mut self) -> Said {
        match self.life {
            Life::Destroyed => return refused("secret_deleted"),
            Life::Deleted => {}
            Life::Active => {
                self.life = Life::Deleted;
                self.revoked += 1;
            }
        }
        done(None)
    }

    fn undelete(&mut self) -> Said {
        match self.life {
            Life::Active => return refused("secret_not_deleted"),
            Life::Destroyed => return refused("secret_deleted"),
            Life::Deleted => self.life = Life::Active,
        }
        done(None)
    }

    fn destroy(&mut self) -> Said {
        if self.life == Life::Active {
            return refused("secret_not_deleted");
        }
        if self.life == Life::Deleted {
            self.life = Life::Destroyed;
            self.path = format!("destroyed/{}", self.id.as_deref().expect("it was seen before"));
            (self.team, self.description) = (None, None);
            for version in self.versions.values_mut().filter(|version| version.state == State::Committed) {
                version.state = State::Destroyed;
            }
            (self.current, self.previous, self.pending) = (None, None, None);
        }
        done(None)
    }

    fn destroy_versions(&mut self, versions: &[u64]) -> Said {
        let versions: BTreeSet<u64> = versions.iter().copied().collect();
        let was_stored = |version| self.versions.get(version).is_some_and(|found| found.state != State::Abandoned);
        if !versions.iter().all(was_stored) {
            return refused("secret_not_found");
        }
        for version in versions {
            self.versions.get_mut(&version).expect("it was there").state = State::Destroyed;
        }
        self.mend();
        done(None)
    }

    /// Stages fall back to what is left.
    fn mend(&mut self) {
        self.pending = self.pending.filter(|version| self.is_committed(*version));
        let newest_below = |limit: u64| {
            let fits = |number: &u64| {
                let is_open = !self.versions[number].is_unpromoted && self.is_committed(*number);
                *number < limit && is_open && self.pending != Some(*number)
            };
            self.versions.keys().rev().copied().find(fits)
        };
        let current = match self.current {
            Some(current) if self.is_committed(current) => Some(current),
            gone => newest_below(gone.unwrap_or(u64::MAX)),
        };
        let stays = |previous: u64| Some(previous) != current && self.is_committed(previous);
        let previous = match self.previous {
            Some(previous) if !stays(previous) => newest_below(current.unwrap_or_default()),
            unchanged => unchanged,
        };
        (self.current, self.previous) = (current, previous);
    }

    fn compromise(&mut self, freeze: bool) -> Said {
        if self.life == Life::Destroyed || (self.life == Life::Deleted && freeze) {
            return refused("secret_deleted");
        }
        if self.incident.is_some() {
            return refused("already_exists");
        }
        self.incident = Some(freeze);
        self.revoked += 1;
        done(None)
    }

    fn close(&mut self) -> Said {
        if self.incident.take().is_some() { done(None) } else { refused("already_exists") }
    }
}
