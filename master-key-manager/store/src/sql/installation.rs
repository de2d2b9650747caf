//! The installation.

use async_trait::async_trait;
use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{CredentialId, ManagerId};
use shared_proto::identity::Mode;

use super::SqlStore;
use super::{environments, registry};
use crate::{Installation, InstallationStore, NewInstallation, Stored};

#[async_trait]
impl InstallationStore for SqlStore {
    async fn installation(&self) -> Stored<Option<Installation>> {
        self.sql.read("installation", installation).await
    }

    async fn install(&self, installation: NewInstallation) -> Stored<()> {
        let key = self.key();
        self.sql.write("install", move |tx| install(tx, &key, &installation)).await
    }
}

/// The manager and the mode that the database is of, in every schema.
pub(super) fn owner(tx: &mut Tx<'_>) -> Result<Option<(ManagerId, String)>, SqlError> {
    tx.optional("SELECT manager_id, mode FROM installation WHERE only_row = 1", &[], |row| {
        Ok((ManagerId::from_bytes(row.get(0)?), row.get(1)?))
    })
}

pub(super) fn installation(tx: &mut Tx<'_>) -> Result<Option<Installation>, SqlError> {
    let found = tx.optional(
        "SELECT mode, manager_id, anonymous_credential FROM installation WHERE only_row = 1",
        &[],
        |row| {
            let mode = match row.get::<String>(0)?.as_str() {
                "development" => Mode::Development,
                "production" => Mode::Production,
                _ => return Err(SqlError::unreadable()),
            };
            Ok((mode, ManagerId::from_bytes(row.get(1)?), CredentialId::from_bytes(row.get(2)?)))
        },
    )?;
    let Some((mode, manager, anonymous)) = found else { return Ok(None) };
    Ok(Some(Installation { mode, manager, anonymous }))
}

fn install(tx: &mut Tx<'_>, key: &RowKey, new: &NewInstallation) -> Result<(), SqlError> {
    let installation = &new.installation;
    tx.execute(
        "INSERT INTO installation (only_row, mode, manager_id, anonymous_credential) VALUES (1, ?1, ?2, ?3)",
        &[&installation.mode.as_str(), &installation.manager.as_bytes(), &installation.anonymous.as_bytes()],
    )?;
    for environment in &new.environments {
        environments::insert(tx, key, environment)?;
    }
    if registry::write(tx, &new.registry)? { Ok(()) } else { Err(SqlError::unreadable()) }
}
