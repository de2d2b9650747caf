//! Subjects of labels, and last uses of credentials.

use async_trait::async_trait;
use manager_api::name::UserLabel;
use manager_policy::{Basis, Operate, Permit, Scope, Share};
use manager_registry::{RowKey, RowKind, RowTag};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{CredentialId, PersonId, Subject};

use super::SqlStore;
use crate::{Acted, IdentityStore, Stored, basis_for};

#[async_trait]
impl IdentityStore for SqlStore {
    async fn look_again(&self, permit: &Permit<Operate>) -> Acted<()> {
        let basis = basis_for(permit, &Scope::Installation)?;
        self.read_as("look_again", basis, |_| Ok(())).await
    }

    async fn look_again_at(&self, basis: Basis) -> Acted<()> {
        self.read_as("look_again_at", basis, |_| Ok(())).await
    }

    async fn note_uses(&self, uses: Vec<(CredentialId, u64)>) -> Stored<()> {
        self.sql.write("note_uses", move |tx| uses.iter().try_for_each(|(id, at)| note_use(tx, *id, *at))).await
    }

    async fn last_uses(&self, credentials: Vec<CredentialId>) -> Stored<Vec<(CredentialId, u64)>> {
        self.sql
            .read("last_uses", move |tx| {
                let mut found = Vec::with_capacity(credentials.len());
                for id in &credentials {
                    let sql = "SELECT last_used_at FROM credential_uses WHERE credential_id = ?1";
                    found.extend(tx.optional(sql, &[&id.as_bytes()], |row| row.get(0))?.map(|at| (*id, at)));
                }
                Ok(found)
            })
            .await
    }

    async fn subject_of(&self, permit: &Permit<Share>, label: UserLabel) -> Acted<Option<Subject>> {
        let basis = basis_for(permit, &Scope::Installation)?;
        let key = self.key();
        self.read_as("subject_of", basis, move |tx| known_subject(tx, &key, &label)).await
    }
}

fn note_use(tx: &mut Tx<'_>, id: CredentialId, at: u64) -> Result<(), SqlError> {
    let sql = "INSERT INTO credential_uses (credential_id, last_used_at) VALUES (?1, ?2)
         ON CONFLICT (credential_id) DO UPDATE SET last_used_at = excluded.last_used_at
         WHERE excluded.last_used_at > credential_uses.last_used_at";
    tx.execute(sql, &[&id.as_bytes(), &at]).map(|_rows| ())
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
