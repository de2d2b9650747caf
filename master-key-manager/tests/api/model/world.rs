//! The reference: what the manager promises of secrets, in plain data. No keys, no database, no HTTP.

use std::collections::BTreeMap;

use super::acts::{Act, Change};

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
    pub(super) from: Option<u64>,
    pub(super) is_verified: bool,
}

/// An answer to a caller.
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
                Some(secret) if self.take_over(secret, *team) => self.secrets[secret].write(value, (false, None), None),
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
            Act::Create { path, team, .. } => match self.at(path) {
                Some(secret) if !self.take_over(secret, *team) => return None,
                found => found,
            },
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
        if matches!(act, Act::Rotate { .. }) && secret.under_way().is_none() {
            // One that is under way gets its place back from an emergency.
            secret.rotation = None;
        }
        Some(())
    }

    /// Gives a secret that never had a value to the create of its path. False if it is none, or nobody may write to it.
    pub(super) fn take_over(&mut self, secret: usize, team: Option<&'static str>) -> bool {
        let known = &mut self.secrets[secret];
        let is_empty = known.versions.values().all(|version| version.state == State::Abandoned);
        if !is_empty || known.life != Life::Active || known.incident == Some(true) {
            return false;
        }
        (known.team, known.service_only, known.keeps, known.description) = (team, false, None, None);
        true
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
