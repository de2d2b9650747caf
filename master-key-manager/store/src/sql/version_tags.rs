//! Tags of versions. Each is over all of a row but its state and its stage: what it points to, when it was made and when it
//! ends, by whom, and the note.
//!
//! Guarantees that an attacker with write access to the database cannot make a version point to another envelope, or end at
//! another time: such a row looks like a missing one. So does a row without a tag: an operator vouches for the versions of a
//! database from before they had tags, once, before the service uses it.

use manager_registry::{RowKey, RowKind, RowTag};
use service_runtime::sql::{Row, SqlError, Tx, row_limit};
use shared_proto::id::{SecretId, Version};

use super::rows::version;
use crate::Expiry;

/// A version of a secret, and the envelope that it points to.
pub(super) type Pointer = (SecretId, Version, Version);

/// The columns of a version that only its tag vouches for.
#[derive(Clone, Debug, Default)]
pub(super) struct Tagged {
    pub(super) note: String,
    pub(super) author: Option<String>,
    pub(super) expires_at: Option<u64>,
    pub(super) created_at: u64,
    pub(super) tag: Option<RowTag>,
}

impl Tagged {
    /// The columns `note, author, expires_at, created_at, tag`, from `first` on.
    pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Self, SqlError> {
        Ok(Self {
            note: row.get(first)?,
            author: row.get(first + 1)?,
            expires_at: row.get(first + 2)?,
            created_at: row.get(first + 3)?,
            tag: row.get(first + 4)?,
        })
    }

    /// The tag that fits it.
    pub(super) fn new_tag(&self, key: &RowKey, pointer: Pointer) -> RowTag {
        self.with_parts(pointer, |parts| key.tag(RowKind::Version, parts))
    }

    /// Tells whether the manager wrote the row.
    pub(super) fn fits(&self, key: &RowKey, pointer: Pointer) -> bool {
        let (secret, version, _) = pointer;
        let name = format_args!("{secret}, {version}");
        self.with_parts(pointer, |parts| key.fits(RowKind::Version, name, parts, self.tag.as_ref()))
    }

    /// When the version ends.
    pub(super) fn expires_at(&self, key: &RowKey, pointer: Pointer) -> Expiry {
        if self.fits(key, pointer) { Expiry::Known(self.expires_at) } else { Expiry::Unverified }
    }

    fn with_parts<T>(&self, (secret, version, envelope): Pointer, of: impl FnOnce(&[&[u8]]) -> T) -> T {
        let (version, envelope) = (version.get().to_be_bytes(), envelope.get().to_be_bytes());
        let created_at = self.created_at.to_be_bytes();
        // Never is no number: it has no bytes.
        let expires_at = self.expires_at.map(u64::to_be_bytes);
        let expires_at: &[u8] = expires_at.as_ref().map_or(&[], <[u8; 8]>::as_slice);
        let author = self.author.as_deref().unwrap_or_default();
        of(&[secret.as_bytes(), &version, &envelope, &created_at, expires_at, author.as_bytes(), self.note.as_bytes()])
    }
}

/// Tags versions from before they had tags, up to a limit, and returns how many.
pub(super) fn tag_versions(tx: &mut Tx<'_>, key: &RowKey, limit: usize) -> Result<usize, SqlError> {
    let rows: Vec<(Pointer, Tagged)> = tx.all(
        "SELECT secret_id, version, envelope, note, author, expires_at, created_at, tag FROM versions
         WHERE tag IS NULL LIMIT ?1",
        &[&row_limit(limit)],
        |row| Ok(((SecretId::from_bytes(row.get(0)?), version(row, 1)?, version(row, 2)?), Tagged::read(row, 3)?)),
    )?;
    for (pointer, tagged) in &rows {
        let (secret, version, _) = pointer;
        let tag = tagged.new_tag(key, *pointer);
        let sql = "UPDATE versions SET tag = ?3 WHERE secret_id = ?1 AND version = ?2";
        tx.execute(sql, &[&secret.as_bytes(), &version.get(), &tag])?;
    }
    Ok(rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_a_version_is_known_by_the_tag_of_its_own_row_only() {
        let key = RowKey::new(&[1; 32]);
        let (secret, one, two) = (SecretId::generate(), Version::FIRST, Version::new(2).unwrap());
        let pointer = (secret, two, one);
        let mut row = Tagged { expires_at: Some(9), created_at: 5, ..Tagged::default() };
        assert_eq!(row.expires_at(&key, pointer), Expiry::Unverified);
        assert!(!row.fits(&key, pointer), "without a tag it is nobody's");
        assert!(key.unfit().is_some(), "and it is told");
        row.tag = Some(row.new_tag(&key, pointer));
        assert_eq!(row.expires_at(&key, pointer), Expiry::Known(Some(9)));
        let altered = [
            Tagged { expires_at: Some(10), ..row.clone() },
            Tagged { expires_at: None, ..row.clone() },
            Tagged { created_at: 6, ..row.clone() },
            Tagged { author: Some("svc_".to_owned()), ..row.clone() },
            Tagged { note: "n".to_owned(), ..row.clone() },
        ];
        for altered in altered {
            assert!(!altered.fits(&key, pointer));
            assert_eq!(altered.expires_at(&key, pointer), Expiry::Unverified);
        }
        for pointer in [(secret, two, two), (secret, one, one), (SecretId::generate(), two, one)] {
            assert!(!row.fits(&key, pointer));
        }
        let never = Tagged { expires_at: None, ..Tagged::default() };
        let never = Tagged { tag: Some(never.new_tag(&key, pointer)), ..never };
        assert_eq!(never.expires_at(&key, pointer), Expiry::Known(None));
        let planted = Tagged { expires_at: Some(0), ..never };
        assert_eq!(planted.expires_at(&key, pointer), Expiry::Unverified, "never is not the year 1970");
    }
}
