//! Subjects of labels, and last uses of credentials.

use async_trait::async_trait;
use manager_api::name::UserLabel;
use manager_policy::{Basis, Operate, Permit, Scope, Share};
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
        self.read_as("subject_of", basis, move |tx| known_subject(tx, &label)).await
    }
}

fn note_use(tx: &mut Tx<'_>, id: CredentialId, at: u64) -> Result<(), SqlError> {
    let sql = "INSERT INTO credential_uses (credential_id, last_used_at) VALUES (?1, ?2)
         ON CONFLICT (credential_id) DO UPDATE SET last_used_at = excluded.last_used_at
         WHERE excluded.last_used_at > credential_uses.last_used_at";
    tx.execute(sql, &[&id.as_bytes(), &at]).map(|_rows| ())
}

/// The subject of a label; `candidate` becomes it at the first use.
pub(super) fn subject_for(tx: &mut Tx<'_>, label: &UserLabel, candidate: PersonId) -> Result<Subject, SqlError> {
    if let Some(known) = known_subject(tx, label)? {
        return Ok(known);
    }
    tx.execute("INSERT INTO subjects (label, subject) VALUES (?1, ?2)", &[&label.as_str(), &candidate.to_string()])?;
    Ok(Subject::Person(candidate))
}

fn known_subject(tx: &mut Tx<'_>, label: &UserLabel) -> Result<Option<Subject>, SqlError> {
    tx.optional("SELECT subject FROM subjects WHERE label = ?1", &[&label.as_str()], |row| row.parse(0))
}
