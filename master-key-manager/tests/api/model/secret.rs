//! A secret of the reference, and what becomes of it.

use std::collections::BTreeSet;

use super::acts::{Change, How};
use super::world::{Life, Rotation, Said, Secret, State, Version, done, refused};

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

    /// The value that a token gets.
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
            self.pending = Some(number);
        } else {
            self.make_current(number);
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

    pub(super) fn roll_back(&mut self, target: u64, if_version: Option<u64>) -> Said {
        if !self.is_committed(target) {
            return refused("secret_not_found");
        }
        if self.life != Life::Active {
            return refused("secret_deleted");
        }
        if if_version.is_some_and(|seen| Some(seen) != self.current) {
            return refused("version_conflict");
        }
        let Version { envelope, value, .. } = self.versions[&target].clone();
        // It ends as a version that is written now: the end that acts give is later than that, and the earlier one counts.
        let number = self.add(envelope, value, None);
        self.make_current(number);
        done(Some(number))
    }

    pub(super) fn stage(&mut self, version: u64, give: bool) -> Said {
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

    pub(super) fn rotate(&mut self, value: &str, how: How) -> Said {
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

    pub(super) fn verify(&mut self) -> Said {
        let rotation = match self.promotable() {
            Ok(rotation) => rotation,
            Err(said) => return said,
        };
        let version = rotation.version;
        self.rotation = Some(Rotation { is_verified: true, ..rotation });
        done(Some(version))
    }

    pub(super) fn promote(&mut self, unverified: bool) -> Said {
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

    pub(super) fn finish(&mut self) -> Said {
        let Some(rotation) = self.rotation.take_if(|found| found.is_grace) else { return refused("rotation_conflict") };
        self.previous = self.previous.filter(|known| rotation.from != Some(*known));
        done(Some(rotation.version))
    }

    pub(super) fn repair(&mut self, abandon: bool) -> Said {
        if abandon && let Some(pending) = self.pending.take() {
            self.rotation.take_if(|found| found.version == pending);
        }
        done(None)
    }

    pub(super) fn change(&mut self, change: &Change) -> Said {
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

    pub(super) fn delete(&mut self) -> Said {
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

    pub(super) fn undelete(&mut self) -> Said {
        match self.life {
            Life::Active => return refused("secret_not_deleted"),
            Life::Destroyed => return refused("secret_deleted"),
            Life::Deleted => self.life = Life::Active,
        }
        done(None)
    }

    pub(super) fn destroy(&mut self) -> Said {
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

    pub(super) fn destroy_versions(&mut self, versions: &[u64]) -> Said {
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

    pub(super) fn compromise(&mut self, freeze: bool) -> Said {
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

    pub(super) fn close(&mut self) -> Said {
        if self.incident.take().is_some() { done(None) } else { refused("already_exists") }
    }
}
