//! The installation, credentials and subjects.

use async_trait::async_trait;
use manager_api::name::{EnvironmentName, UserLabel};
use rusqlite::{Connection, OptionalExtension, params};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{CredentialId, EnvironmentId, ManagerId, PersonId, ServiceId, Subject};
use shared_proto::identity::Mode;

use super::SqliteStore;
use super::credentials::enabled_administrators;
use super::events::defer;
use super::rows::{integer, text, unreadable};
use crate::store::{
    Acted, Actor, CredentialRow, Decision, Environment, IdentityStore, Installation, NewCredential, NewInstallation,
    Stored,
};

#[async_trait]
impl IdentityStore for SqliteStore {
    async fn installation(&self) -> Stored<Option<Installation>> {
        self.readers.read(installation).await
    }

    async fn install(&self, installation: NewInstallation) -> Stored<()> {
        self.writer.run(move |conn| install(conn, &installation)).await
    }

    async fn credential(&self, hmac: [u8; 32]) -> Stored<Option<CredentialRow>> {
        if let Some(known) = self.enabled.get(&hmac) {
            return Ok(Some(known));
        }
        let generation = self.enabled.generation();
        let found = self.readers.read(move |conn| credential(conn, hmac)).await?;
        if let Some(row) = &found {
            self.enabled.keep(row, generation);
        }
        Ok(found)
    }

    async fn reset_administrator(&self, credential: NewCredential, now: u64) -> Stored<()> {
        self.write_credentials(move |conn| reset_administrator(conn, &credential, now)).await
    }

    async fn look_again(&self, actor: Actor) -> Acted<()> {
        self.read_for(actor, |_| Ok(())).await
    }

    async fn subject_of(&self, actor: Actor, label: UserLabel) -> Acted<Option<Subject>> {
        self.read_for(actor, move |conn| Ok(known_subject(&mut Tx::on(conn), &label)?)).await
    }

    async fn close(&self) -> Stored<()> {
        self.sql.close().await;
        Ok(())
    }
}

fn credential(conn: &Connection, hmac: [u8; 32]) -> rusqlite::Result<Option<CredentialRow>> {
    conn.prepare_cached(
        "SELECT credential_id, subject, hmac, disabled_at IS NOT NULL FROM credentials WHERE hmac = ?1",
    )?
    .query_row([hmac], |row| {
        Ok(CredentialRow {
            id: CredentialId::from_bytes(row.get(0)?),
            subject: text(row, 1)?,
            hmac: row.get(2)?,
            disabled: row.get(3)?,
        })
    })
    .optional()
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

pub(super) fn installation(conn: &Connection) -> rusqlite::Result<Option<Installation>> {
    let found = conn
        .prepare_cached("SELECT mode, manager_id, anonymous_credential FROM installation WHERE only_row = 1")?
        .query_row([], |row| {
            let mode = match row.get::<_, String>(0)?.as_str() {
                "development" => Mode::Development,
                "production" => Mode::Production,
                _ => return Err(unreadable()),
            };
            Ok((mode, ManagerId::from_bytes(row.get(1)?), CredentialId::from_bytes(row.get(2)?)))
        })
        .optional()?;
    let Some((mode, manager, anonymous)) = found else { return Ok(None) };
    let environments = conn
        .prepare_cached("SELECT environment_id, name FROM environments ORDER BY name")?
        .query_map([], |row| {
            let name = EnvironmentName::parse(row.get::<_, String>(1)?).map_err(|_| unreadable())?;
            Ok(Environment { id: EnvironmentId::from_bytes(row.get(0)?), name })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Installation { mode, manager, anonymous, environments }))
}

fn install(conn: &Connection, new: &NewInstallation) -> rusqlite::Result<()> {
    let now = integer(new.now)?;
    let installation = &new.installation;
    conn.execute(
        "INSERT INTO installation (only_row, mode, manager_id, anonymous_credential) VALUES (1, ?1, ?2, ?3)",
        params![installation.mode.as_str(), installation.manager.as_bytes(), installation.anonymous.as_bytes()],
    )?;
    for environment in &installation.environments {
        conn.execute(
            "INSERT INTO environments (environment_id, name) VALUES (?1, ?2)",
            params![environment.id.as_bytes(), environment.name.as_str()],
        )?;
    }
    // The subject of anonymous submissions is that of their label; this one is never in a token.
    let nobody = Subject::Service(ServiceId::generate());
    insert_credential(conn, installation.anonymous, nobody, None, now)?;
    let administrator = Subject::Service(new.administrator);
    insert_credential(conn, new.credential.id, administrator, Some(new.credential.hmac), now)
}

fn reset_administrator(conn: &Connection, new: &NewCredential, now: u64) -> rusqlite::Result<()> {
    let old: Vec<(CredentialId, Subject)> = conn
        .prepare("SELECT credential_id, subject FROM credentials WHERE hmac IS NOT NULL ORDER BY created_at")?
        .query_map([], |row| Ok((CredentialId::from_bytes(row.get(0)?), text(row, 1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for credential in enabled_administrators(conn)? {
        defer(conn, &Decision::DisableCredential(credential), now)?;
    }
    let administrator = old.first().map_or_else(|| Subject::Service(ServiceId::generate()), |(_, subject)| *subject);
    insert_credential(conn, new.id, administrator, Some(new.hmac), integer(now)?)
}

fn insert_credential(
    conn: &Connection,
    id: CredentialId,
    subject: Subject,
    hmac: Option<[u8; 32]>,
    now: i64,
) -> rusqlite::Result<()> {
    conn.execute(
        "INSERT INTO credentials (credential_id, subject, hmac, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![id.as_bytes(), subject.to_string(), hmac, now],
    )
    .map(|_rows| ())
}
