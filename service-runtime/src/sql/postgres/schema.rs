//! The schema of a database on a server: whose it is, and how it is brought up to date.

use super::{
    super::{Schema, SqlError, location::Missing},
    Server,
    session::Session,
};
use crate::StartError;

/// One row: whose tables these are, their schema, and the copy of the service that uses them.
const MAKE: &str = "
CREATE TABLE service_copy (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    service TEXT NOT NULL,
    schema_version BIGINT NOT NULL,
    generation TEXT NOT NULL,
    renewal BIGINT NOT NULL,
    held BOOLEAN NOT NULL
);
INSERT INTO service_copy VALUES (1, '{service}', 0, '', 0, FALSE);";

/// The key of the advisory lock under which tables are made: "split" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(495874927476)";

/// Whether the database has the tables of a service.
///
/// # Errors
/// It cannot be read.
pub(super) fn is_made(session: &mut Session) -> Result<bool, SqlError> {
    let found = session.simple("SELECT to_regclass('service_copy') IS NOT NULL")?;
    Ok(found.first().and_then(|row| row.first()).is_some_and(|made| made == "t"))
}

/// Makes the table of the service's copies if it is missing, and checks whose it is.
///
/// # Errors
/// It is missing and must not be, or belongs to another service or a newer program, or the role lacks rights.
pub(super) fn prepare(
    session: &mut Session,
    server: &Server,
    schema: &Schema,
    missing: Missing,
) -> Result<(), StartError> {
    let failed = |error: SqlError| StartError::new(format!("The database {server} cannot be prepared ({error})."));
    if !is_made(session).map_err(failed)? {
        if missing == Missing::Refuse {
            return Err(schema.missing(server));
        }
        in_transaction(session, |session| {
            session.simple(LOCK)?;
            if !is_made(session)? {
                session.simple(&MAKE.replace("{service}", schema.service))?;
            }
            Ok(())
        })
        .map_err(failed)?;
    }
    let version = refuse_foreign(session, server, schema)?;
    if version.parse::<usize>().map_or(true, |version| version > schema.postgres.len()) {
        return Err(StartError::new(format!(
            "The database {server} has schema {version}, this program knows {}; start the newer program.",
            schema.postgres.len()
        )));
    }
    Ok(())
}

/// Refuses the database of another service, and returns the schema of this one's, as text.
///
/// # Errors
/// It is another service's, or cannot be read.
pub(super) fn refuse_foreign(session: &mut Session, server: &Server, schema: &Schema) -> Result<String, StartError> {
    let failed = |error: SqlError| StartError::new(format!("The database {server} cannot be read ({error})."));
    let found = session.simple("SELECT service, schema_version FROM service_copy").map_err(failed)?;
    let Some([service, version]) = found.first().map(Vec::as_slice) else {
        return Err(failed(SqlError::unreadable()));
    };
    if service != schema.service {
        return Err(StartError::new(format!(
            "The database {server} belongs to the {service}; name the database of the {}.",
            schema.service
        )));
    }
    Ok(version.clone())
}

/// Carries out the steps that are missing, each in one transaction, for the copy of this generation.
///
/// # Errors
/// A step failed, or another copy has taken over. Those before it stay.
pub(super) fn migrate(
    session: &mut Session,
    server: &Server,
    schema: &Schema,
    generation: &str,
) -> Result<(), StartError> {
    let failed = |error: SqlError| StartError::new(format!("The database {server} cannot be migrated ({error})."));
    let done = session.simple("SELECT schema_version FROM service_copy").map_err(failed)?;
    let done = done.first().and_then(|row| row.first()).and_then(|version| version.parse().ok()).unwrap_or(0);
    for (step, next) in schema.postgres.iter().zip(1..).skip(done) {
        in_transaction(session, |session| {
            // First, so that the next copy waits for this step, and nobody else carries it out.
            let claimed = session.simple(&format!(
                "UPDATE service_copy SET schema_version = {next}
                 WHERE generation = '{generation}' AND schema_version = {next} - 1 RETURNING 1"
            ))?;
            if claimed.is_empty() {
                return Err(SqlError::unreadable());
            }
            // It may take longer than a statement may.
            session.simple("SET LOCAL statement_timeout = 0")?;
            session.patiently(|session| session.simple(step)).map(drop)
        })
        .map_err(failed)?;
    }
    Ok(())
}

fn in_transaction(
    session: &mut Session,
    work: impl FnOnce(&mut Session) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    session.simple("BEGIN")?;
    let worked = work(session);
    session.simple(if worked.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    worked
}
