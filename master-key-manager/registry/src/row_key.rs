//! Tags of rows outside of the registry that decisions rest on: where a secret lies, what an environment allows, whom a
//! label stands for.
//!
//! Each tag is over one row. It keeps an attacker with write access to the database from making such a row, altering it,
//! or moving it to another one. It does not keep him from removing a row, or from putting back what a row that may change
//! said before.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{OnceLock, PoisonError, RwLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use manager_api::environments::ExpiredVersions;
use shared_proto::encoding::{lp, random};
use shared_proto::id::EnvironmentId;

use crate::Snapshot;

/// HMAC-SHA-256 over a row.
pub type RowTag = [u8; 32];

/// The meaning of a row. A tag for one meaning fits no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// Environment and path of a secret without rules that never changed its place.
    Place,
    /// Environment, path, number and rules of another one.
    ChangedPlace,
    /// The description of a secret.
    Details,
    /// A version of a secret: what it points to, and when it ends.
    Version,
    /// An environment with its settings.
    Environment,
    /// The subject of a label.
    Label,
    /// The id of a new label's subject, which is not stored with a tag but is one.
    Person,
    /// A revocation that waits for its number.
    Revocation,
    /// The version that an idempotency key stands for.
    Repeat,
    /// The rotation of a secret that is under way.
    Rotation,
    /// The secrets that the value of a version refers to.
    Targets,
}

/// The key of the key folder that authenticates rows.
pub struct RowKey {
    key: hmac::Key,
    unfit: OnceLock<String>,
    /// The verified state with which numbers of places are compared.
    pub(crate) state: RwLock<Snapshot>,
    /// The number of the verified state before it.
    pub(crate) former: AtomicU64,
}

impl RowKey {
    /// A key of these bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { key, unfit: OnceLock::new(), state: RwLock::new(Snapshot::empty()), former: AtomicU64::new(0) }
    }

    /// A key that nobody else has: what it tags is unknown to everybody else.
    pub fn generate() -> Self {
        Self::new(&random())
    }

    /// The tag of a row: over its meaning and these parts.
    pub fn tag(&self, kind: RowKind, parts: &[&[u8]]) -> RowTag {
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&self.key, &text(kind, parts)).as_ref());
        tag
    }

    /// Tells whether a row is as this key tagged it. The first one that is not is kept for the log, with its name.
    pub fn fits(&self, kind: RowKind, name: impl fmt::Display, parts: &[&[u8]], tag: Option<&RowTag>) -> bool {
        self.fits_tag(kind, name, &self.tag(kind, parts), tag)
    }

    /// The same for a tag that was made from the row.
    pub(crate) fn fits_tag(&self, kind: RowKind, name: impl fmt::Display, made: &RowTag, tag: Option<&RowTag>) -> bool {
        let fits = tag.is_some_and(|tag| verify_slices_are_equal(made, tag).is_ok());
        if !fits {
            self.note_unfit(kind, name);
        }
        fits
    }

    /// Keeps the first row that is not as the manager wrote it last.
    pub(crate) fn note_unfit(&self, kind: RowKind, name: impl fmt::Display) {
        self.unfit.get_or_init(|| format!("{} {name}", kind.words()));
    }

    /// Tells whether an environment makes no tokens for expired versions, by the newest verified state.
    pub fn refuses_expired(&self, environment: EnvironmentId) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let rules = state.environment_rules(environment);
        rules.is_some_and(|rules| rules.expired_versions == ExpiredVersions::Refuse)
    }

    /// Tells whether a second principal approves what is destroyed in an environment, by the newest verified state.
    pub fn destroy_needs_approval(&self, environment: EnvironmentId) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.environment_rules(environment).is_some_and(|rules| rules.destroy_needs_approval)
    }

    /// The first row that did not fit; `None` while all did.
    pub fn unfit(&self) -> Option<&str> {
        self.unfit.get().map(String::as_str)
    }
}

impl RowKind {
    const fn words(self) -> &'static str {
        match self {
            Self::Place | Self::ChangedPlace => "place of",
            Self::Details => "description of",
            Self::Version => "version of",
            Self::Environment => "environment",
            Self::Label => "subject of the label of",
            Self::Person => "subject",
            Self::Revocation => "waiting revocation",
            Self::Repeat => "idempotency key of",
            Self::Rotation => "rotation of",
            Self::Targets => "references of",
        }
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RowKey")
    }
}

fn text(kind: RowKind, parts: &[&[u8]]) -> Vec<u8> {
    let domain: &[u8] = match kind {
        RowKind::Place => b"splitvault row place 1",
        RowKind::ChangedPlace => b"splitvault row changed place 1",
        RowKind::Details => b"splitvault row details 1",
        RowKind::Version => b"splitvault row version 1",
        RowKind::Environment => b"splitvault row environment 1",
        RowKind::Label => b"splitvault row label 1",
        RowKind::Person => b"splitvault row person 1",
        RowKind::Revocation => b"splitvault row revocation 1",
        RowKind::Repeat => b"splitvault row repeat 1",
        RowKind::Rotation => b"splitvault row rotation 1",
        RowKind::Targets => b"splitvault row targets 1",
    };
    let mut all = vec![domain];
    all.extend(parts);
    lp(&all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_fits_its_row_and_nothing_else() {
        let key = RowKey::new(&[1; 32]);
        let tag = key.tag(RowKind::Place, &[b"a", b"bc"]);
        assert!(key.fits(RowKind::Place, "a", &[b"a", b"bc"], Some(&tag)));
        assert_eq!(key.unfit(), None);
        for (kind, parts) in [
            (RowKind::Place, [b"ab".as_slice(), b"c"]),
            (RowKind::Place, [b"a", b"bd"]),
            (RowKind::Label, [b"a", b"bc"]),
        ] {
            assert!(!key.fits(kind, "it", &parts, Some(&tag)));
        }
        assert!(!key.fits(RowKind::Place, "it", &[b"a", b"bc"], None));
        assert!(!RowKey::generate().fits(RowKind::Place, "it", &[b"a", b"bc"], Some(&tag)));
        assert_eq!(key.unfit(), Some("place of it"));
    }
}
