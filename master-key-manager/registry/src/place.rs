//! Places of secrets, and what else decisions about them rest on: tags, audience, retention, deletion.
//!
//! They are rows of the catalogue, each with its own tag, so that a million of them cost no memory. A tag alone does not tell
//! an earlier row that somebody put back. So each change of a place is a change of the registry, too, which keeps its number:
//! a row counts only with the number of the newest change of it, or as it was made if there was none.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use manager_api::id::IncidentId;
use manager_api::name::SecretPath;
use manager_api::read_limit::ReadLimit;
use manager_api::retention::Retention;
use manager_api::secrets::SecretStatus;
use manager_api::tags::Tags;
use manager_policy::SecretFacts;
use serde::{Deserialize, Serialize};
use shared_proto::Rejected;
use shared_proto::encoding::from_json;
use shared_proto::id::{EnvironmentId, SecretId, Subject};

use crate::renewal::RenewalId;
use crate::{RowKey, RowKind, RowTag, Snapshot};

/// The newest change of the place of a secret. A secret that has its place since it was made has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The secret.
    pub secret_id: SecretId,
    /// The number of the entry that made the change. The entry sets it.
    pub number: u64,
    /// The deletion of the secret, which outlives its row: whoever removes that has not taken the deletion back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
}

impl Place {
    /// A change of the place of a secret, which gets its number with its entry.
    pub const fn changed(secret_id: SecretId) -> Self {
        Self { secret_id, number: 0, deletion: None }
    }
}

/// The rules of a secret, on which decisions about it rest beside its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRules {
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Set for a secret that people never read.
    #[serde(default, skip_serializing_if = "is_false")]
    pub service_only: bool,
    /// Set for a secret that is read after an approval only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub requires_approval: bool,
    /// The rule by which its former versions are destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// How often tokens are made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<ReadLimit>,
    /// The incident because of which no token is made for the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<IncidentId>,
    /// The deletion; absent while the secret is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
}

/// The deletion of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// When it was deleted (Unix seconds).
    pub deleted_at: u64,
    /// The time until which it can be taken back (Unix seconds).
    pub recoverable_until: u64,
    /// The principal who deleted it; absent for a stranger of development mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_by: Option<Subject>,
    /// Set once its envelopes are erased, or are about to be. There is no way back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub destroyed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

impl SecretRules {
    /// The rules of a secret whose own ones are lost with its row. They may have been the narrowest: otherwise whoever removes a
    /// row has the secret given back without them.
    #[must_use]
    pub fn of_lost(frozen: Option<IncidentId>) -> Self {
        Self { service_only: true, requires_approval: true, frozen, ..Self::default() }
    }

    /// The state of the secret.
    pub fn status(&self) -> SecretStatus {
        match self.deletion {
            None => SecretStatus::Active,
            Some(Deletion { destroyed: true, .. }) => SecretStatus::Destroyed,
            Some(Deletion { destroyed: false, .. }) => SecretStatus::Deleted,
        }
    }

    /// Tells whether the secret is in a list of secrets with a state; without one, of those that are active.
    pub fn is_listed(&self, state: Option<SecretStatus>) -> bool {
        self.status() == state.unwrap_or(SecretStatus::Active)
    }

    /// The time from which on the service has something to erase (Unix seconds): when a deleted secret can be taken back no
    /// more, and at once of one that is destroyed. `None` for an active one.
    pub fn erase_at(&self) -> Option<u64> {
        self.deletion.map(|deletion| if deletion.destroyed { 0 } else { deletion.recoverable_until })
    }

    /// The time from which on nothing of a destroyed secret is kept (Unix seconds): [`KEPT_DAYS`] after the end of the time in
    /// which it could have been taken back. `None` for one that is not destroyed.
    pub fn prune_at(&self) -> Option<u64> {
        let destroyed = self.deletion.filter(|deletion| deletion.destroyed);
        destroyed.map(|deletion| deletion.recoverable_until.saturating_add(KEPT_DAYS * 86_400))
    }

    /// The text of a row: empty for no rules.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn write(&self) -> Result<String, Rejected> {
        if *self == Self::default() { Ok(String::new()) } else { serde_json::to_string(self).map_err(|_| Rejected) }
    }

    /// The rules of a text.
    ///
    /// # Errors
    /// It is none that [`Self::write`] made.
    pub fn read(text: &str) -> Result<Self, Rejected> {
        if text.is_empty() { Ok(Self::default()) } else { from_json(text.as_bytes()).map_err(|_| Rejected) }
    }
}

/// How many days a destroyed secret is listed after the end of the time in which it could have been taken back: a quarter of a
/// year, as long as entries of the log are kept.
pub const KEPT_DAYS: u64 = 90;

/// A row of the catalogue, as far as decisions rest on it. Nothing of it is used before [`PlaceRow::verified`].
#[derive(Clone, Copy, Debug)]
pub struct PlaceRow<'a> {
    /// The secret.
    pub secret: SecretId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its path.
    pub path: &'a str,
    /// The number of the change by which it has this place.
    pub number: u64,
    /// The number that the registry had when a row without a change was written or renewed; 0 for one of an earlier release, and
    /// for one with a number.
    pub since: u64,
    /// The text of its rules.
    pub rules: &'a str,
}

impl PlaceRow<'_> {
    /// The tag of the row.
    pub fn tag(&self, key: &RowKey) -> RowTag {
        let place: [&[u8]; 3] = [self.secret.as_bytes(), self.environment.as_bytes(), self.path.as_bytes()];
        if (self.number, self.since, self.rules) == (0, 0, "") {
            // As rows of earlier releases are.
            return key.tag(RowKind::Place, &place);
        }
        let (number, since) = (self.number.to_be_bytes(), self.since.to_be_bytes());
        let rest: [&[u8]; 3] = [&number, &since, self.rules.as_bytes()];
        key.tag(RowKind::ChangedPlace, &[place, rest].concat())
    }

    /// What the row says, if the manager wrote it and it was not put back; `None` otherwise. `newest` is the number of the
    /// newest entry that the transaction sees which has read the row: a change that it does not see yet does not count.
    ///
    /// # Errors
    /// The manager wrote it, and it cannot be read; or those of `newest`.
    pub fn verified<E: From<Rejected>>(
        &self,
        key: &RowKey,
        tag: Option<&RowTag>,
        newest: impl FnOnce() -> Result<u64, E>,
    ) -> Result<Option<(SecretFacts, SecretRules)>, E> {
        if !key.fits_tag(RowKind::ChangedPlace, self.secret, &self.tag(key), tag) {
            return Ok(None);
        }
        if let Some(change) = key.change_after(self)
            && newest()? >= change
        {
            key.note_unfit(RowKind::ChangedPlace, self.secret);
            return Ok(None);
        }
        let rules = SecretRules::read(self.rules)?;
        let path = SecretPath::parse(self.path.to_owned()).map_err(|_| Rejected)?;
        let facts = SecretFacts {
            id: self.secret,
            environment: self.environment,
            path,
            tags: rules.tags.clone(),
            service_only: rules.service_only,
            number: self.number,
        };
        Ok(Some((facts, rules)))
    }
}

impl RowKey {
    /// Has the numbers of places compared with those of a verified state from now on.
    pub fn follow(&self, state: &Snapshot) {
        let mut known = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let (before, after) = (known.number(), state.number());
        if after > before {
            // The first one that this process knows was written by another, which knew the one before.
            let former = if before == 0 { after.saturating_sub(1) } else { before };
            self.former.store(former, Ordering::SeqCst);
        }
        *known = state.clone();
    }

    /// The number of the verified state before the newest one. Whatever transaction sees the entry of the newest state verifies with
    /// this one or with it: numbers that no entry has may lie between them.
    pub fn former_number(&self) -> u64 {
        self.former.load(Ordering::SeqCst)
    }

    /// The number of the newest verified state.
    pub fn verified_number(&self) -> u64 {
        self.state.read().unwrap_or_else(PoisonError::into_inner).number()
    }

    /// Tells whether the place of a secret has changed since it was made, by the newest verified state. A row of it that has no
    /// number counts no more.
    pub fn has_changed(&self, secret: SecretId) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).place(secret).is_some()
    }

    /// The number of the entry after which a place counts no more; `None` for the newest one, and for one that the state does
    /// not know yet: it is in the database before this process takes it into use. A number that was given to no change is not
    /// newer than the state for long: the next entry has it.
    fn change_after(&self, row: &PlaceRow<'_>) -> Option<u64> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let place = state.place(row.secret);
        let known = place.map_or(0, |place| place.number);
        if place.is_none() && row.number == 0 {
            // One that is older than the last renewal belongs to a secret that is gone.
            return state
                .renewal(RenewalId::Places)
                .filter(|renewal| row.since < renewal.floor)
                .map(|last| last.number);
        }
        if row.number == known || row.number > state.number() {
            return None;
        }
        // One with another number that is not older belongs to no change.
        Some(if row.number < known { known } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Author, Change, Record, RegistryKey};

    fn row(number: u64, rules: &str) -> PlaceRow<'_> {
        let (secret, environment) = (SecretId::from_bytes([1; 16]), EnvironmentId::from_bytes([2; 16]));
        PlaceRow { secret, environment, path: "a/b", number, since: 0, rules }
    }

    fn verified(row: &PlaceRow<'_>, key: &RowKey, tag: Option<&RowTag>) -> Option<(SecretFacts, SecretRules)> {
        row.verified(key, tag, || Ok::<_, Rejected>(u64::MAX)).unwrap()
    }

    fn changed(state: &Snapshot) -> Snapshot {
        let change = Change::from(Record::from(Place::changed(row(0, "").secret)));
        let key = RegistryKey::new(&[7; 32]);
        state.propose(vec![change], (Author::Service, "", 1), 0, &key).unwrap().after
    }

    #[test]
    fn a_row_from_before_rows_had_rules_fits_as_it_was_made() {
        let key = RowKey::new(&[1; 32]);
        let row = row(0, "");
        let former = key.tag(RowKind::Place, &[row.secret.as_bytes(), row.environment.as_bytes(), row.path.as_bytes()]);
        let (facts, rules) = verified(&row, &key, Some(&former)).unwrap();
        assert_eq!((facts.path.as_str(), rules), ("a/b", SecretRules::default()));
    }

    #[test]
    fn rules_without_their_tag_are_no_rules() {
        let key = RowKey::new(&[1; 32]);
        let rules = r#"{"tags":{"team":"pay"},"service_only":true}"#;
        let tag = row(0, rules).tag(&key);
        let (facts, _) = verified(&row(0, rules), &key, Some(&tag)).unwrap();
        assert!(facts.service_only && !facts.tags.is_empty());
        for other in [row(0, ""), row(0, r#"{"service_only":true}"#), row(1, rules)] {
            assert!(verified(&other, &key, Some(&tag)).is_none());
        }
        assert!(verified(&row(0, rules), &key, None).is_none());
    }

    #[test]
    fn a_row_that_no_renewal_has_reached_counts_no_more_and_what_was_renewed_does() {
        let (key, registry) = (RowKey::new(&[1; 32]), RegistryKey::new(&[7; 32]));
        let state = changed(&changed(&Snapshot::empty()));
        let gone = Change::from(crate::RecordName::from(row(0, "").secret));
        let renewal = Change::from(crate::Renewal::up_to(2));
        let state = state.propose(vec![gone, renewal], (Author::Service, "", 1), 0, &registry).unwrap().after;
        assert_eq!((state.places().count(), state.place_floor()), (0, 2));
        key.follow(&state);
        let fits = |number: u64, since: u64, newest: u64| {
            let row = PlaceRow { since, ..row(number, "") };
            row.verified(&key, Some(&row.tag(&key)), || Ok::<_, Rejected>(newest)).unwrap().is_some()
        };
        // What it had before its first change, after it, and in the end.
        assert_eq!([(0, 0), (0, 1), (1, 0), (2, 0)].map(|(number, since)| fits(number, since, 3)), [false; 4]);
        assert_eq!([2, 3].map(|since| fits(0, since, 3)), [true, true]);
        assert!(fits(0, 1, 2), "a transaction that began before the renewal sees what held then");
        let moved = PlaceRow { since: 2, ..row(0, "") };
        assert!(verified(&moved, &key, Some(&row(0, "").tag(&key))).is_none(), "the number is in the tag");
    }

    #[test]
    fn a_row_of_before_a_change_counts_no_more() {
        let key = RowKey::new(&[1; 32]);
        let state = changed(&changed(&Snapshot::empty()));
        let number = state.place(row(0, "").secret).unwrap().number;
        assert_eq!(number, 2);
        key.follow(&state);
        let fits = |number: u64| {
            let row = row(number, "");
            verified(&row, &key, Some(&row.tag(&key))).is_some()
        };
        // The last one is written, and not known yet.
        assert_eq!([0, 1, 2, 3].map(fits), [false, false, true, true]);
        key.follow(&changed(&state));
        assert_eq!([2, 3].map(fits), [false, true]);
        // A transaction that began before the change sees what held then.
        let (before, tag) = (row(2, ""), row(2, "").tag(&key));
        assert!(before.verified(&key, Some(&tag), || Ok::<_, Rejected>(2)).unwrap().is_some());
        assert!(before.verified(&key, Some(&tag), || Ok::<_, Rejected>(3)).unwrap().is_none());
    }
}
