//! Entries of the log: a change with its author, chained and authenticated.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use manager_policy::Holder;
use serde::{Deserialize, Serialize};
use shared_proto::Rejected;
use shared_proto::encoding::{Bytes, from_json, lp};
use shared_proto::id::{CredentialId, SecretId, Subject};

use crate::{Anchor, Kind, Record, RecordName};

/// HMAC-SHA-256 of an entry.
pub type Tag = Bytes<32>;

/// The tag that the first entry names as the one before it.
pub(crate) const NO_ENTRY: Tag = Bytes([0; 32]);

/// The key of the key folder that authenticates entries.
pub struct RegistryKey(hmac::Key);

impl RegistryKey {
    /// A key of these bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The tag of an entry's text.
    fn tag(&self, text: &str) -> Tag {
        let signed = hmac::sign(&self.0, &lp(&[b"splitvault registry entry 1", text.as_bytes()]));
        let mut tag = [0; 32];
        tag.copy_from_slice(signed.as_ref());
        Bytes(tag)
    }
}

impl fmt::Debug for RegistryKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RegistryKey")
    }
}

/// The one who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Author {
    /// A caller, by his credential.
    Caller {
        /// The principal.
        principal: Subject,
        /// The credential.
        credential: CredentialId,
    },
    /// An operator on the manager's host, with a command.
    Operator,
    /// The service itself: it follows an event that it signed and has forgotten, or takes over a former database.
    Service,
}

/// A record that was made, altered or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The record.
    pub name: RecordName,
    /// The record from then on; absent if it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Record>,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number, from 1. Numbers grow, and a number is never used twice.
    pub number: u64,
    /// The tag of the entry before it; zeros for the first.
    pub before: Tag,
    /// The digest over all records after the change.
    pub root: Bytes<32>,
    /// When it was made (Unix seconds).
    pub made_at: u64,
    /// Its author.
    pub author: Author,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Its changes.
    pub changes: Vec<Change>,
    /// The newest entry before it that changed lines or groups. Absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Anchor>,
    /// The lines and groups that it changed, as they were before it. One that is not among them was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Record>,
}

/// An entry as the database holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenEntry {
    /// Its number.
    pub number: u64,
    /// Its JSON text.
    pub text: String,
    /// The tag over the text.
    pub tag: Tag,
}

impl Entry {
    /// Tells whether it changed lines or groups.
    pub fn is_policy_version(&self) -> bool {
        self.changes.iter().any(|change| change.name.kind.is_versioned())
    }

    /// The newest entry up to this one, which has this tag, that changed lines or groups.
    pub(crate) fn policy_version(&self, tag: Tag) -> Option<Anchor> {
        if self.is_policy_version() { Some(Anchor { number: self.number, tag }) } else { self.policy }
    }

    /// The entry as text with its tag.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub(crate) fn write(&self, key: &RegistryKey) -> Result<WrittenEntry, Rejected> {
        let text = serde_json::to_string(self).map_err(|_| Rejected)?;
        Ok(WrittenEntry { number: self.number, tag: key.tag(&text), text })
    }
}

impl WrittenEntry {
    /// The entry, if its tag is right.
    ///
    /// # Errors
    /// The text was not written with this key, or the number beside it is another one.
    pub fn read(&self, key: &RegistryKey) -> Result<Entry, Rejected> {
        verify_slices_are_equal(&key.tag(&self.text).0, &self.tag.0).map_err(|_| Rejected)?;
        let entry: Entry = from_json(self.text.as_bytes()).map_err(|_| Rejected)?;
        if entry.number == self.number { Ok(entry) } else { Err(Rejected) }
    }
}

impl WrittenEntry {
    /// The number of the entry before this one that changed lines or groups, as an unverified text says it.
    pub fn policy_before(text: &str) -> Option<u64> {
        from_json::<Entry>(text.as_bytes()).ok()?.policy.map(|anchor| anchor.number)
    }

    /// When an entry was made, as an unverified text says it; `None` for one that is a version of the policy, or cannot be read.
    /// Such ones are kept.
    pub fn made_at_unless_kept(text: &str) -> Option<u64> {
        let entry: Entry = from_json(text.as_bytes()).ok()?;
        Some(entry.made_at).filter(|_| !entry.is_policy_version())
    }

    /// Tells whether an entry changes something that a permit of this caller with this credential may have been decided from.
    /// Of services and people that is whether he himself is enabled; of a secret, whether it has still the place of this number.
    /// An entry that cannot be read does.
    pub fn may_concern(
        text: &str,
        (holder, credential): (Holder, CredentialId),
        secret: Option<(SecretId, u64)>,
    ) -> bool {
        let Ok(entry) = from_json::<Entry>(text.as_bytes()) else { return true };
        let himself = match holder {
            Holder::Principal(Subject::Service(id)) => Some(RecordName::from(id)),
            Holder::Principal(Subject::Person(id)) => Some(RecordName::from(id)),
            Holder::Stranger => None,
        };
        let own = RecordName::from(credential);
        entry.changes.iter().any(|change| match change.name.kind {
            Kind::Service | Kind::Person => Some(&change.name) == himself.as_ref(),
            Kind::Group | Kind::RoleAssignment | Kind::Permission | Kind::EnvironmentRules => true,
            Kind::Credential | Kind::Uses | Kind::Settings | Kind::SignOn | Kind::Enrolment => change.name == own,
            Kind::Incident | Kind::TaggedRows | Kind::Renewal => false,
            // One of his own that lets him read may be it. Only those are removed of which nothing comes any more.
            Kind::Approval => match &change.after {
                Some(Record::Approval(known)) => Holder::Principal(known.asked_by) == holder && known.is_read(),
                Some(_) | None => false,
            },
            Kind::Place => secret.is_some_and(|(secret, number)| {
                let is_known = matches!(&change.after, Some(Record::Place(place)) if place.number <= number);
                change.name == RecordName::from(secret) && !is_known
            }),
        })
    }
}
