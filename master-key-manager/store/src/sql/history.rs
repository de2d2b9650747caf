//! Versions as people see them.

use async_trait::async_trait;
use manager_api::edit::Edit;
use manager_api::name::Note;
use manager_api::tokens::Stage;
use manager_api::versions::VersionStatus;
use manager_api::wire::CatalogueState;
use manager_policy::{AnyAction, Permit, Scope, Write};
use manager_registry::RowKey;
use service_runtime::sql::{Row, SqlError, Tx, row_limit};
use shared_proto::id::{SecretId, Version};

use super::environments::open_for_use;
use super::rows::{state, version};
use super::version_tags::Tagged;
use super::{SqlStore, outlived, places, stages};
use crate::{
    Acted, ChangedVersion, Destroyed, Expiry, HistoryPage, HistoryPart, HistoryStore, OUTLIVED_AT_ONCE, Outlived,
    SignEvent, StageChange, Stages, Stored, VersionChange, VersionEntry, basis_for,
};

#[async_trait]
impl HistoryStore for SqlStore {
    async fn history(
        &self,
        permit: &Permit<AnyAction>,
        secret: SecretId,
        part: HistoryPart,
    ) -> Acted<Option<HistoryPage>> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        self.read_as("history", basis, move |tx| history(tx, &key, secret, part)).await
    }

    async fn entries(
        &self,
        permit: &Permit<AnyAction>,
        secret: SecretId,
        versions: Vec<Version>,
    ) -> Acted<Vec<Option<VersionEntry>>> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        let entries = move |tx: &mut Tx<'_>| versions.iter().map(|version| entry(tx, &key, secret, *version)).collect();
        self.read_as("entries", basis, entries).await
    }

    async fn change_version(&self, permit: &Permit<Write>, change: VersionChange) -> Acted<ChangedVersion> {
        let basis = basis_for(permit, &Scope::Secret(change.secret))?;
        let key = self.key();
        self.write_as("change_version", basis, move |tx| change_version(tx, &key, &change)).await
    }

    async fn with_retention(&self, after: Option<SecretId>, limit: usize) -> Stored<Vec<SecretId>> {
        self.sql.read("with_retention", move |tx| outlived::with_retention(tx, after, limit)).await
    }

    async fn outlived(&self, secret: SecretId, now: u64) -> Stored<Option<Outlived>> {
        let key = self.key();
        self.sql.read("outlived", move |tx| outlived::outlived(tx, &key, secret, now, OUTLIVED_AT_ONCE)).await
    }

    async fn destroy_outlived(
        &self,
        secret: SecretId,
        seen: Outlived,
        sign: Option<SignEvent>,
        now: u64,
    ) -> Stored<Destroyed> {
        let key = self.key();
        let destroy = move |tx: &mut Tx<'_>| outlived::destroy(tx, &key, (secret, &seen), sign.as_ref(), now);
        self.sql.write("destroy_outlived", destroy).await
    }
}

/// A row of a version, before it is known whose it is.
struct Line {
    version: Version,
    envelope: Version,
    state: CatalogueState,
    tagged: Tagged,
}

/// Columns `version, envelope, state, note, author, expires_at, created_at, tag`.
fn line(row: &Row<'_>) -> Result<Line, SqlError> {
    Ok(Line {
        version: version(row, 0)?,
        envelope: version(row, 1)?,
        state: state(row, 2)?,
        tagged: Tagged::read(row, 3)?,
    })
}

impl Line {
    /// The version; `None` if its row is not what the manager wrote.
    fn entry(self, key: &RowKey, secret: SecretId, stages: Stages) -> Result<Option<VersionEntry>, SqlError> {
        let Self { version, envelope, state, tagged } = self;
        let unreadable = |_| SqlError::unreadable();
        let pointer = (secret, version, envelope);
        if !tagged.fits(key, pointer) {
            return Ok(None);
        }
        let expiry = Expiry::Known(tagged.expires_at);
        let author = tagged.author.map(|author| author.parse().map_err(unreadable)).transpose()?;
        let note = if tagged.note.is_empty() { None } else { Some(Note::parse(tagged.note).map_err(unreadable)?) };
        let (status, stages) = as_seen(version, state, stages);
        let created_at = tagged.created_at;
        Ok(Some(VersionEntry { version, envelope, status, stages, created_at, author, note, expiry }))
    }
}

/// The state and the stages of a version, as its readers see them.
fn as_seen(version: Version, state: CatalogueState, stages: Stages) -> (VersionStatus, Vec<Stage>) {
    let all = [(stages.current, Stage::Current), (stages.previous, Stage::Previous), (stages.pending, Stage::Pending)];
    let status = match state {
        CatalogueState::Pending => VersionStatus::Pending,
        CatalogueState::Abandoned => VersionStatus::Abandoned,
        CatalogueState::Destroyed => VersionStatus::Destroyed,
        CatalogueState::Committed if [stages.current, stages.pending].contains(&Some(version)) => {
            VersionStatus::Committed
        }
        CatalogueState::Committed => VersionStatus::Superseded,
    };
    let is_stored = state == CatalogueState::Committed;
    let own = all.into_iter().filter(|(staged, _)| is_stored && *staged == Some(version));
    (status, own.map(|(_, stage)| stage).collect())
}

fn history(
    tx: &mut Tx<'_>,
    key: &RowKey,
    secret: SecretId,
    part: HistoryPart,
) -> Result<Option<HistoryPage>, SqlError> {
    if places::placed(tx, key, secret)?.is_none() {
        return Ok(None);
    }
    let limit = row_limit(part.limit);
    let lines = if part.newest_first {
        let below = part.after.map_or(Version::LAST.get() + 1, Version::get);
        let sql = "SELECT version, envelope, state, note, author, expires_at, created_at, tag FROM versions
             WHERE secret_id = ?1 AND version < ?2 ORDER BY version DESC LIMIT ?3";
        tx.all(sql, &[&secret.as_bytes(), &below, &limit], line)?
    } else {
        let above = part.after.map_or(0, Version::get);
        let sql = "SELECT version, envelope, state, note, author, expires_at, created_at, tag FROM versions
             WHERE secret_id = ?1 AND version > ?2 ORDER BY version LIMIT ?3";
        tx.all(sql, &[&secret.as_bytes(), &above, &limit], line)?
    };
    let next = lines.last().filter(|_| lines.len() == part.limit).map(|line| line.version);
    let stages = stages::of(tx, secret)?;
    let entries = lines.into_iter().filter_map(|line| line.entry(key, secret, stages).transpose());
    Ok(Some(HistoryPage { entries: entries.collect::<Result<_, _>>()?, next }))
}

fn entry(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId, version: Version) -> Result<Option<VersionEntry>, SqlError> {
    if places::placed(tx, key, secret)?.is_none() {
        return Ok(None);
    }
    let found = line_of(tx, secret, version)?;
    let stages = stages::of(tx, secret)?;
    found.map_or(Ok(None), |line| line.entry(key, secret, stages))
}

fn line_of(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<Option<Line>, SqlError> {
    let sql = "SELECT version, envelope, state, note, author, expires_at, created_at, tag FROM versions
         WHERE secret_id = ?1 AND version = ?2";
    tx.optional(sql, &[&secret.as_bytes(), &version.get()], line)
}

fn change_version(tx: &mut Tx<'_>, key: &RowKey, change: &VersionChange) -> Result<ChangedVersion, SqlError> {
    let VersionChange { secret, version, .. } = *change;
    let Some(placed) = places::placed(tx, key, secret)? else { return Ok(ChangedVersion::NotFound) };
    if placed.rules.deletion.is_some() {
        return Ok(ChangedVersion::Deleted);
    }
    if let Err(closed) = open_for_use(tx, key, placed.facts.environment)? {
        return Ok(ChangedVersion::Closed(closed));
    }
    let stages = stages::of(tx, secret)?;
    if change.if_version.is_some() && change.if_version != stages.current {
        return Ok(ChangedVersion::OtherVersion);
    }
    // Last: whoever may not list the secret gets the other refusals for any number.
    let Some(known) = entry(tx, key, secret, version)? else { return Ok(ChangedVersion::NotFound) };
    match change.stage {
        StageChange::Keep => {}
        StageChange::GivePrevious if known.status == VersionStatus::Superseded => {
            stages::give_previous(tx, secret, version)?;
        }
        StageChange::Take if stages.current != Some(version) => stages::take(tx, secret, version)?,
        StageChange::GivePrevious | StageChange::Take => return Ok(ChangedVersion::StageStays),
    }
    match &change.note {
        Edit::Keep => {}
        Edit::Remove => write_note(tx, key, (secret, version), None)?,
        Edit::Set(note) => write_note(tx, key, (secret, version), Some(note))?,
    }
    Ok(entry(tx, key, secret, version)?.map_or(ChangedVersion::NotFound, ChangedVersion::Made))
}

/// Writes the note of a version whose row is the manager's.
fn write_note(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, version): (SecretId, Version),
    note: Option<&Note>,
) -> Result<(), SqlError> {
    let Some(Line { envelope, tagged, .. }) = line_of(tx, secret, version)? else { return Ok(()) };
    let new = Tagged { note: note.map_or_else(String::new, |note| note.as_str().to_owned()), ..tagged };
    let tag = new.new_tag(key, (secret, version, envelope));
    let sql = "UPDATE versions SET note = ?3, tag = ?4 WHERE secret_id = ?1 AND version = ?2";
    tx.execute(sql, &[&secret.as_bytes(), &version.get(), &new.note, &tag]).map(|_rows| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_version_is_superseded_unless_it_is_current_or_pending() {
        let [one, two, three] = [1, 2, 3].map(|number| Version::new(number).unwrap());
        let stages = Stages { current: Some(two), previous: Some(one), pending: Some(three) };
        let seen = |version, state| as_seen(version, state, stages);
        assert_eq!(seen(one, CatalogueState::Committed), (VersionStatus::Superseded, vec![Stage::Previous]));
        assert_eq!(seen(two, CatalogueState::Committed), (VersionStatus::Committed, vec![Stage::Current]));
        assert_eq!(seen(three, CatalogueState::Committed), (VersionStatus::Committed, vec![Stage::Pending]));
        // A planted pointer gives a stage to nothing that is not stored.
        assert_eq!(seen(two, CatalogueState::Destroyed), (VersionStatus::Destroyed, vec![]));
        assert_eq!(seen(two, CatalogueState::Abandoned), (VersionStatus::Abandoned, vec![]));
        assert_eq!(seen(two, CatalogueState::Pending), (VersionStatus::Pending, vec![]));
    }
}
