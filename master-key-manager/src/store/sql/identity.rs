//! The installation, credentials and subjects.

use async_trait::async_trait;
use manager_api::name::{EnvironmentName, UserLabel};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{CredentialId, EnvironmentId, ManagerId, PersonId, ServiceId, Subject};
use shared_proto::identity::Mode;

use super::SqlStore;
use super::credentials::enabled_administrators;
use super::events::defer;
use crate::store::{
    Acted, Actor, CredentialRow, Decision, Environment, IdentityStore, Installation, NewCredential, NewInstallation,
    Stored,
};

#[async_trait]
impl IdentityStore for SqlStore {
    async fn installation(&self) -> Stored<Option<Installation>> {
        self.sql.read("installation", installation).await
    }

    async fn install(&self, installation: NewInstallation) -> Stored<()> {
        self.sql.write("install", move |tx| install(tx, &installation)).await
    }

    async fn credential(&self, hmac: [u8; 32]) -> Stored<Option<CredentialRow>> {
        if let Some(known) = self.enabled.get(&hmac) {
            return Ok(Some(known));
        }
        let generation = self.enabled.generation();
        let found = self.sql.read("credential", move |tx| credential(tx, hmac)).await?;
        if let Some(row) = &found {
            self.enabled.keep(row, generation);
        }
        Ok(found)
    }

    async fn reset_administrator(&self, credential: NewCredential, now: u64) -> Stored<()> {
        self.write_credentials("reset_administrator", move |tx| reset_administrator(tx, &credential, now)).await
    }

    async fn look_again(&self, actor: Actor) -> Acted<()> {
        self.read_as("look_again", actor, |_| Ok(())).await
    }

    async fn subject_of(&self, actor: Actor, label: UserLabel) -> Acted<Option<Subject>> {
        self.read_as("subject_of", actor, move |tx| known_subject(tx, &label)).await
    }

    async fn close(&self) -> Stored<()> {
        self.sql.close().await;
        Ok(())
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
    let environments = tx.all("SELECT environment_id, name FROM environments ORDER BY name", &[], |row| {
        let name = EnvironmentName::parse(row.get::<String>(1)?).map_err(|_| SqlError::unreadable())?;
        Ok(Environment { id: EnvironmentId::from_bytes(row.get(0)?), name })
    })?;
    Ok(Some(Installation { mode, manager, anonymous, environments }))
}

fn install(tx: &mut Tx<'_>, new: &NewInstallation) -> Result<(), SqlError> {
    let installation = &new.installation;
    tx.execute(
        "INSERT INTO installation (only_row, mode, manager_id, anonymous_credential) VALUES (1, ?1, ?2, ?3)",
        &[&installation.mode.as_str(), &installation.manager.as_bytes(), &installation.anonymous.as_bytes()],
    )?;
    for environment in &installation.environments {
        tx.execute(
            "INSERT INTO environments (environment_id, name) VALUES (?1, ?2)",
            &[&environment.id.as_bytes(), &environment.name.as_str()],
        )?;
    }
    // The subject of anonymous submissions is that of their label; this one is never in a token.
    let nobody = Subject::Service(ServiceId::generate());
    insert_credential(tx, installation.anonymous, nobody, None, new.now)?;
    let administrator = Subject::Service(new.administrator);
    insert_credential(tx, new.credential.id, administrator, Some(new.credential.hmac), new.now)
}

fn reset_administrator(tx: &mut Tx<'_>, new: &NewCredential, now: u64) -> Result<(), SqlError> {
    let first: Option<Subject> = tx.optional(
        "SELECT subject FROM credentials WHERE hmac IS NOT NULL ORDER BY created_at, credential_id LIMIT 1",
        &[],
        |row| row.parse(0),
    )?;
    for credential in enabled_administrators(tx)? {
        defer(tx, &Decision::DisableCredential(credential), now)?;
    }
    let administrator = first.unwrap_or_else(|| Subject::Service(ServiceId::generate()));
    insert_credential(tx, new.id, administrator, Some(new.hmac), now)
}

fn insert_credential(
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
