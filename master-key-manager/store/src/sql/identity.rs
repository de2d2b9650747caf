//! Credentials and subjects.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use manager_api::name::UserLabel;
use manager_policy::{Operate, Permit, Scope, Share};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{CredentialId, PersonId, ServiceId, Subject};

use super::SqlStore;
use super::credentials::{enabled_administrators, generation};
use super::events::defer;
use super::policy::raise_epoch;
use crate::events::Effect;
use crate::{Acted, CredentialRow, FoundCredential, IdentityStore, NewCredential, Stored, basis_for};

#[async_trait]
impl IdentityStore for SqlStore {
    async fn credential(&self, hmac: [u8; 32]) -> Stored<FoundCredential> {
        self.sql
            .read("credential", move |tx| {
                Ok(FoundCredential { row: credential(tx, hmac)?, generation: generation(tx)? })
            })
            .await
    }

    async fn credential_generation(&self) -> Stored<u64> {
        self.sql.read("credential_generation", generation).await
    }

    fn credential_changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    async fn reset_administrator(&self, credential: NewCredential, now: u64) -> Stored<()> {
        self.write_credentials("reset_administrator", move |tx| reset_administrator(tx, &credential, now)).await
    }

    async fn look_again(&self, permit: &Permit<Operate>) -> Acted<()> {
        let basis = basis_for(permit, &Scope::Installation)?;
        self.read_as("look_again", basis, |_| Ok(())).await
    }

    async fn subject_of(&self, permit: &Permit<Share>, label: UserLabel) -> Acted<Option<Subject>> {
        let basis = basis_for(permit, &Scope::Installation)?;
        self.read_as("subject_of", basis, move |tx| known_subject(tx, &label)).await
    }
}

fn credential(tx: &mut Tx<'_>, hmac: [u8; 32]) -> Result<Option<CredentialRow>, SqlError> {
    tx.optional(
        "SELECT credential_id, subject, hmac, disabled_at IS NOT NULL FROM credentials WHERE hmac = ?1",
        &[&hmac],
        |row| {
            Ok(CredentialRow {
                id: CredentialId::from_bytes(row.get(0)?),
                subject: row.parse(1)?,
                hmac: row.get(2)?,
                disabled: row.get(3)?,
            })
        },
    )
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

fn reset_administrator(tx: &mut Tx<'_>, new: &NewCredential, now: u64) -> Result<(), SqlError> {
    let first: Option<Subject> = tx.optional(
        "SELECT subject FROM credentials WHERE hmac IS NOT NULL ORDER BY created_at, credential_id LIMIT 1",
        &[],
        |row| row.parse(0),
    )?;
    for credential in enabled_administrators(tx)? {
        defer(tx, &Effect::DisableCredential(credential), now)?;
    }
    if first.is_none() {
        raise_epoch(tx)?;
    }
    let administrator = first.unwrap_or_else(|| Subject::Service(ServiceId::generate()));
    insert_credential(tx, new.id, administrator, Some(new.hmac), now)
}

pub(super) fn insert_credential(
    tx: &mut Tx<'_>,
    id: CredentialId,
    subject: Subject,
    hmac: Option<[u8; 32]>,
    now: u64,
) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO credentials (credential_id, subject, hmac, created_at) VALUES (?1, ?2, ?3, ?4)",
        &[&id.as_bytes(), &subject.to_string(), &hmac, &now],
    )
    .map(|_rows| ())
}
