//! Subjects of labels.

use async_trait::async_trait;
use manager_api::name::UserLabel;
use manager_policy::{Basis, Operate, Permit, Scope, Share};
use manager_registry::{RowKey, RowKind, RowTag};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{PersonId, Subject};

use super::SqlStore;
use crate::{Acted, IdentityStore, basis_for};

#[async_trait]
impl IdentityStore for SqlStore {
    async fn look_again(&self, permit: &Permit<Operate>) -> Acted<()> {
        let basis = basis_for(permit, &Scope::Installation)?;
        self.read_as("look_again", basis, |_| Ok(())).await
    }

    async fn look_again_at(&self, basis: Basis) -> Acted<()> {
        self.read_as("look_again_at", basis, |_| Ok(())).await
    }

    async fn subject_of(&self, permit: &Permit<Share>, label: UserLabel) -> Acted<Option<Subject>> {
        let basis = basis_for(permit, &Scope::Installation)?;
        let key = self.key();
        self.read_as("subject_of", basis, move |tx| known_subject(tx, &key, &label)).await
    }
}

/// The subject of a label, which it gets at the first use: always the same, so that a row that was removed is made again.
pub(super) fn subject_for(tx: &mut Tx<'_>, key: &RowKey, label: &UserLabel) -> Result<Subject, SqlError> {
    if let Some(known) = known_subject(tx, key, label)? {
        return Ok(known);
    }
    let (label, own) = (label.as_str(), person_of(key, label));
    let subject = own.to_string();
    let tag = label_tag(key, label, &subject);
    tx.execute("INSERT INTO subjects (label, subject, tag) VALUES (?1, ?2, ?3)", &[&label, &subject, &tag])?;
    Ok(Subject::Person(own))
}

fn person_of(key: &RowKey, label: &UserLabel) -> PersonId {
    let tag = key.tag(RowKind::Person, &[label.as_str().as_bytes()]);
    let mut id = [0; 16];
    id.copy_from_slice(tag.get(..16).unwrap_or(&[0; 16]));
    PersonId::from_bytes(id)
}

/// A row that the manager did not write is an error: tokens would be another's, or escape their revocation.
fn known_subject(tx: &mut Tx<'_>, key: &RowKey, label: &UserLabel) -> Result<Option<Subject>, SqlError> {
    tx.optional("SELECT subject, tag FROM subjects WHERE label = ?1", &[&label.as_str()], |row| {
        let (subject, tag): (String, Option<RowTag>) = (row.get(0)?, row.get(1)?);
        let parts = [label.as_str().as_bytes(), subject.as_bytes()];
        if !key.fits(RowKind::Label, &subject, &parts, tag.as_ref()) {
            return Err(SqlError::unreadable());
        }
        subject.parse().map_err(|_| SqlError::unreadable())
    })
}

pub(super) fn label_tag(key: &RowKey, label: &str, subject: &str) -> RowTag {
    key.tag(RowKind::Label, &[label.as_bytes(), subject.as_bytes()])
}
