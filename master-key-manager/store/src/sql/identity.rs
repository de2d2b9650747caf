//! Subjects of labels.

use async_trait::async_trait;
use manager_api::name::UserLabel;
use manager_policy::{Basis, Operate, Permit, Scope, Share};
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
        self.read_as("subject_of", basis, move |tx| known_subject(tx, &label)).await
    }
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
