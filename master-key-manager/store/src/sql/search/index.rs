//! The index of lists and searches, which is kept in the transactions that change a secret.
//!
//! It is made from the rows that decisions rest on, and can be made again at any time. Whatever it says is compared with these rows
//! before it is shown.

use manager_api::secrets::SecretStatus;
use manager_api::tags::Tags;
use manager_registry::{RowKey, SecretRules};
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{EnvironmentId, SecretId};

use super::found::{Environments, meaning, next, rotation, status};
use crate::Details;

/// The time at which something is due that never is: the greatest number of a column.
pub(super) const NEVER: u64 = i64::MAX as u64;

/// A secret that is entered.
#[derive(Clone, Copy)]
pub(in crate::sql) struct Entry<'e> {
    /// The secret.
    pub(in crate::sql) secret: SecretId,
    /// Its environment.
    pub(in crate::sql) environment: EnvironmentId,
    /// Its path.
    pub(in crate::sql) path: &'e str,
    /// Its rules.
    pub(in crate::sql) rules: &'e SecretRules,
    /// Its description.
    pub(in crate::sql) details: &'e Details,
    /// When it was made (Unix seconds).
    pub(in crate::sql) created_at: u64,
    /// When it changed last (Unix seconds).
    pub(in crate::sql) updated_at: u64,
}

/// Enters a secret, or enters it again. Its versions are entered by [`moved`].
pub(in crate::sql) fn enter(tx: &mut Tx<'_>, key: &RowKey, entry: Entry<'_>) -> Result<(), SqlError> {
    let is_development = Environments::default().is_development(tx, key, entry.environment)?;
    let (kind, class) = meaning(entry.details, is_development);
    let (before, name) = (name_of(tx, entry.secret)?, folded(entry.path));
    tx.execute(
        "INSERT INTO search_secrets
             (secret_id, environment_id, path, name, kind, owner, state, tags, rotation, created_at, updated_at, due_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (secret_id) DO UPDATE SET environment_id = excluded.environment_id, path = excluded.path,
             name = excluded.name, kind = excluded.kind, owner = excluded.owner, state = excluded.state, tags = excluded.tags,
             rotation = excluded.rotation, created_at = excluded.created_at, updated_at = excluded.updated_at",
        &[
            &entry.secret.as_bytes(),
            &entry.environment.as_bytes(),
            &entry.path,
            &name,
            &kind.as_str(),
            &owner(entry.details),
            &word(status(entry.rules.deletion.as_ref())),
            &tags_text(&entry.rules.tags),
            &rotation(entry.details, class),
            &entry.created_at,
            &entry.updated_at,
            &NEVER,
        ],
    )?;
    if before.as_ref() != Some(&name) {
        index_name(tx, entry.secret)?;
    }
    tag(tx, entry.secret, &entry.rules.tags)
}

/// Enters another place of a secret, or other rules.
pub(in crate::sql) fn placed(
    tx: &mut Tx<'_>,
    secret: SecretId,
    path: &str,
    rules: &SecretRules,
) -> Result<(), SqlError> {
    let (before, name) = (name_of(tx, secret)?, folded(path));
    tx.execute(
        "UPDATE search_secrets SET path = ?2, name = ?3, state = ?4, tags = ?5 WHERE secret_id = ?1",
        &[&secret.as_bytes(), &path, &name, &word(status(rules.deletion.as_ref())), &tags_text(&rules.tags)],
    )?;
    if before.is_some_and(|before| before != name) {
        index_name(tx, secret)?;
    }
    tag(tx, secret, &rules.tags)?;
    moved(tx, secret)
}

/// Enters another description of a secret.
pub(in crate::sql) fn described(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, environment): (SecretId, EnvironmentId),
    details: &Details,
) -> Result<(), SqlError> {
    let is_development = Environments::default().is_development(tx, key, environment)?;
    let (kind, class) = meaning(details, is_development);
    tx.execute(
        "UPDATE search_secrets SET kind = ?2, owner = ?3, rotation = ?4 WHERE secret_id = ?1",
        &[&secret.as_bytes(), &kind.as_str(), &owner(details), &rotation(details, class)],
    )?;
    moved(tx, secret)
}

/// Enters that a secret has changed now, and the time at which its current version is due.
pub(in crate::sql) fn moved(tx: &mut Tx<'_>, secret: SecretId) -> Result<(), SqlError> {
    let now = SystemClock.now();
    tx.execute("UPDATE secrets SET updated_at = ?2 WHERE secret_id = ?1", &[&secret.as_bytes(), &now])?;
    due(tx, secret, Some(now))
}

/// Takes a secret out of the index.
pub(in crate::sql) fn remove(tx: &mut Tx<'_>, secret: SecretId) -> Result<(), SqlError> {
    let (in_file, on_server) =
        ("DELETE FROM search_names WHERE rowid = (SELECT entry FROM search_secrets WHERE secret_id = ?1)", "");
    let names = tx.choose(in_file, on_server);
    if !names.is_empty() {
        tx.execute(names, &[&secret.as_bytes()])?;
    }
    tx.execute("DELETE FROM search_tags WHERE secret_id = ?1", &[&secret.as_bytes()])?;
    tx.execute("DELETE FROM search_secrets WHERE secret_id = ?1", &[&secret.as_bytes()]).map(|_rows| ())
}

/// Enters secrets after one, and returns the last of them; `None` if there are no more.
pub(super) fn fill(
    tx: &mut Tx<'_>,
    key: &RowKey,
    after: Option<SecretId>,
    limit: usize,
) -> Result<Option<SecretId>, SqlError> {
    let (found, last) = next(tx, key, after, limit)?;
    for one in found {
        let listed = &one.listed;
        let details = listed.details.as_ref().map(|own| own.details.clone()).unwrap_or_default();
        let entry = Entry {
            secret: listed.secret,
            environment: listed.environment,
            path: listed.path.as_str(),
            rules: &listed.rules,
            details: &details,
            created_at: listed.created_at,
            updated_at: listed.updated_at,
        };
        enter(tx, key, entry)?;
        due(tx, listed.secret, None)?;
    }
    if last.is_none() {
        tx.execute("INSERT INTO search_filled (only_row) VALUES (1) ON CONFLICT DO NOTHING", &[])?;
    }
    Ok(last)
}

/// The text of a path in which names are looked for.
pub(super) fn folded(text: &str) -> String {
    text.to_lowercase()
}

fn owner(details: &Details) -> String {
    details.owner.map(|owner| owner.to_string()).unwrap_or_default()
}

/// A tag as it stands among the tags of a secret, or the beginning of one with any value.
pub(super) fn tag_text(key: &str, value: Option<&str>) -> String {
    let end = value.map(|value| format!("{value}\u{1}")).unwrap_or_default();
    format!("\u{1}{key}\u{2}{end}")
}

/// All tags of a secret in one text. No tag has a control character.
fn tags_text(tags: &Tags) -> String {
    tags.iter().map(|(key, value)| tag_text(key.as_str(), Some(value.as_str()))).collect()
}

/// The word for a state.
pub(super) fn word(state: SecretStatus) -> &'static str {
    match state {
        SecretStatus::Active => "active",
        SecretStatus::Deleted => "deleted",
        SecretStatus::Destroyed => "destroyed",
    }
}

fn name_of(tx: &mut Tx<'_>, secret: SecretId) -> Result<Option<String>, SqlError> {
    tx.optional("SELECT name FROM search_secrets WHERE secret_id = ?1", &[&secret.as_bytes()], |row| row.get(0))
}

/// Enters the name of a secret into the index of names. The other engine keeps its own up to date by itself.
fn index_name(tx: &mut Tx<'_>, secret: SecretId) -> Result<(), SqlError> {
    let (in_file, on_server) = (
        "INSERT OR REPLACE INTO search_names (rowid, name) SELECT entry, name FROM search_secrets WHERE secret_id = ?1",
        "",
    );
    let statement = tx.choose(in_file, on_server);
    if statement.is_empty() { Ok(()) } else { tx.execute(statement, &[&secret.as_bytes()]).map(|_rows| ()) }
}

fn tag(tx: &mut Tx<'_>, secret: SecretId, tags: &Tags) -> Result<(), SqlError> {
    tx.execute("DELETE FROM search_tags WHERE secret_id = ?1", &[&secret.as_bytes()])?;
    for (key, value) in tags.iter() {
        tx.execute(
            "INSERT INTO search_tags (key, value, secret_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            &[&key.as_str(), &value.as_str(), &secret.as_bytes()],
        )?;
    }
    Ok(())
}

/// The earlier of rotation and end of the current version.
fn due(tx: &mut Tx<'_>, secret: SecretId, updated_at: Option<u64>) -> Result<(), SqlError> {
    tx.execute(
        "UPDATE search_secrets SET updated_at = CASE WHEN CAST(?2 AS BIGINT) = 0 THEN updated_at ELSE CAST(?2 AS BIGINT) END,
             due_at = CASE WHEN state <> 'active' THEN CAST(?3 AS BIGINT) ELSE COALESCE((
                 SELECT CASE WHEN v.expires_at < v.created_at + search_secrets.rotation THEN v.expires_at
                     ELSE v.created_at + search_secrets.rotation END
                 FROM secrets s JOIN versions v ON v.secret_id = s.secret_id AND v.version = s.current_version
                 WHERE s.secret_id = search_secrets.secret_id AND v.state = 'committed'), CAST(?3 AS BIGINT)) END
         WHERE secret_id = ?1",
        &[&secret.as_bytes(), &updated_at.unwrap_or_default(), &NEVER],
    )
    .map(|_rows| ())
}
