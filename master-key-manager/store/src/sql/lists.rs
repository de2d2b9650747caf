//! The list of secrets, in the order of environment, path and version.
//!
//! Guarantees that a page is full as long as there is more, or else that a bounded number of rows was looked at and the
//! next page continues behind them. Rows outside the parts that a caller may see are not looked at.

use manager_policy::{Part, SecretFacts, Visible};
use manager_registry::RowKey;
use service_runtime::sql::{Row, SqlError, Tx, row_limit};
use shared_proto::id::{EnvironmentId, SecretId, Version};

use super::places::UnverifiedPlace;
use super::rows::{state, version};
use crate::{ListedVersion, SCANNED_AT_ONCE, SecretPage, SecretRow};

/// The most parts of paths that one page asks the database for, except one for each environment.
const MOST_PARTS: usize = 128;
/// Rows that are read at once behind the first ones, of which too few were visible.
const CHUNK: usize = 512;

/// A version with its secret, before it is known whether it may be seen.
struct Line {
    secret: SecretId,
    listed: ListedVersion,
    place: UnverifiedPlace,
}

/// A range of paths: from the first on, up to and without the second.
type Paths = (String, String);

/// A page of versions after one of them; `None` if that one has no secret.
pub(super) fn secrets(
    tx: &mut Tx<'_>,
    key: &RowKey,
    visible: &Visible,
    environment: Option<EnvironmentId>,
    after: Option<(SecretId, Version)>,
    limit: usize,
) -> Result<Option<SecretPage>, SqlError> {
    let mut list = List { key, visible, limit, left: SCANNED_AT_ONCE, shown: 0, last: None, rows: Vec::new() };
    let environments = match environment {
        Some(environment) => vec![environment],
        None => environments(tx)?,
    };
    let parts = visible.parts((MOST_PARTS / environments.len().max(1)).max(1));
    let mut begins: Option<(EnvironmentId, String)> = None;
    if let Some((secret, number)) = after {
        // Its row only says where to go on: nothing of it is shown.
        let Some((at, path)) = row_of(tx, secret)? else { return Ok(None) };
        if environments.contains(&at) && list.rest_of(tx, secret, number)? {
            return Ok(Some(list.page()));
        }
        begins = Some((at, behind(&path)));
    }
    for environment in environments {
        let begins = begins.as_ref().filter(|(at, _)| *at >= environment);
        if begins.is_some_and(|(at, _)| *at > environment) {
            continue;
        }
        for (first, end) in paths_in(environment, &parts) {
            let first = begins.map_or(first.clone(), |(_, begins)| first.max(begins.clone()));
            if list.between(tx, environment, first, &end)? {
                return Ok(Some(list.page()));
            }
        }
    }
    Ok(Some(SecretPage { rows: list.rows, next: None }))
}

/// A page that is being filled.
struct List<'l> {
    key: &'l RowKey,
    visible: &'l Visible,
    limit: usize,
    /// Rows that may still be looked at.
    left: usize,
    shown: usize,
    /// The last version that was looked at.
    last: Option<(SecretId, Version)>,
    rows: Vec<SecretRow>,
}

impl List<'_> {
    /// Continues with the later versions of a secret; says whether the page ends with them.
    fn rest_of(&mut self, tx: &mut Tx<'_>, secret: SecretId, after: Version) -> Result<bool, SqlError> {
        let mut after = after;
        loop {
            let asked = self.next_read();
            let lines = tx.all(
                "SELECT s.secret_id, s.environment_id, s.path, s.number, s.rules, s.tag, v.version, v.envelope, v.state, v.created_at
                 FROM secrets s CROSS JOIN versions v
                 WHERE s.secret_id = ?1 AND v.secret_id = ?1 AND v.version > ?2 ORDER BY v.version LIMIT ?3",
                &[&secret.as_bytes(), &after.get(), &row_limit(asked)],
                line,
            )?;
            let (read, last) = (lines.len(), lines.last().map(|line| line.listed.version));
            if self.take(tx, lines)? {
                return Ok(true);
            }
            match last.filter(|_| read == asked) {
                Some(last) => after = last,
                None => return Ok(false),
            }
        }
    }

    /// Continues with a range of paths; says whether the page ends in it.
    fn between(
        &mut self,
        tx: &mut Tx<'_>,
        environment: EnvironmentId,
        mut first: String,
        end: &str,
    ) -> Result<bool, SqlError> {
        while first.as_str() < end {
            let asked = self.next_read();
            // SQLite keeps the order of a cross join, which is the order of the page: nothing is sorted, so that no more
            // rows are read than are looked at.
            let lines = tx.all(
                "SELECT s.secret_id, s.environment_id, s.path, s.number, s.rules, s.tag, v.version, v.envelope, v.state, v.created_at
                 FROM secrets s CROSS JOIN versions v
                 WHERE s.environment_id = ?1 AND s.path >= ?2 AND s.path < ?3 AND v.secret_id = s.secret_id
                 ORDER BY s.path, v.version LIMIT ?4",
                &[&environment.as_bytes(), &first, &end, &row_limit(asked)],
                line,
            )?;
            let read = lines.len();
            let last = lines.last().map(|line| (line.secret, line.listed.version, line.place.path().to_owned()));
            if self.take(tx, lines)? {
                return Ok(true);
            }
            let Some((secret, number, path)) = last.filter(|_| read == asked) else { return Ok(false) };
            if self.rest_of(tx, secret, number)? {
                return Ok(true);
            }
            first = behind(&path);
        }
        Ok(false)
    }

    /// How many rows to read: as many as the page lacks, and more once some of them were not visible.
    fn next_read(&self) -> usize {
        let lacking = self.limit.saturating_sub(self.shown);
        let wanted = if self.left == SCANNED_AT_ONCE { lacking } else { lacking.max(CHUNK) };
        wanted.min(self.left).max(1)
    }

    /// Shows those that may be seen; says whether the page is full, or enough was looked at.
    fn take(&mut self, tx: &mut Tx<'_>, lines: Vec<Line>) -> Result<bool, SqlError> {
        for line in lines {
            if self.shown == self.limit {
                return Ok(true);
            }
            self.left = self.left.saturating_sub(1);
            self.last = Some((line.secret, line.listed.version));
            let place = line.place.verify(tx, self.key)?;
            if let Some(place) = place.filter(|place| self.visible.shows(&place.facts)) {
                self.show(place.facts, line.listed);
            }
        }
        Ok(self.shown == self.limit || self.left == 0)
    }

    fn show(&mut self, facts: SecretFacts, listed: ListedVersion) {
        self.shown += 1;
        let SecretFacts { id: secret, environment, path, .. } = facts;
        match self.rows.last_mut().filter(|row| row.secret == secret) {
            Some(row) => row.versions.push(listed),
            None => self.rows.push(SecretRow { secret, environment, path, versions: vec![listed] }),
        }
    }

    fn page(self) -> SecretPage {
        SecretPage { rows: self.rows, next: self.last }
    }
}

fn line(row: &Row<'_>) -> Result<Line, SqlError> {
    let secret = SecretId::from_bytes(row.get(0)?);
    let listed = ListedVersion {
        version: version(row, 6)?,
        envelope: version(row, 7)?,
        state: state(row, 8)?,
        created_at: row.get(9)?,
    };
    Ok(Line { secret, listed, place: UnverifiedPlace::read(row, secret, 1)? })
}

fn environments(tx: &mut Tx<'_>) -> Result<Vec<EnvironmentId>, SqlError> {
    tx.all("SELECT environment_id FROM environments ORDER BY environment_id", &[], |row| {
        row.get(0).map(EnvironmentId::from_bytes)
    })
}

fn row_of(tx: &mut Tx<'_>, secret: SecretId) -> Result<Option<(EnvironmentId, String)>, SqlError> {
    let sql = "SELECT environment_id, path FROM secrets WHERE secret_id = ?1";
    tx.optional(sql, &[&secret.as_bytes()], |row| Ok((EnvironmentId::from_bytes(row.get(0)?), row.get(1)?)))
}

/// The ranges of paths of an environment in which anything may be seen, in order. None meets another.
fn paths_in(environment: EnvironmentId, parts: &[Part]) -> Vec<Paths> {
    let here = parts.iter().filter(|part| part.environment.is_none_or(|own| own == environment));
    let mut ranges: Vec<Paths> = here.map(range).collect();
    ranges.sort_unstable();
    // A part of all environments may lie in one of this environment. The larger one begins first.
    let mut apart: Vec<Paths> = Vec::with_capacity(ranges.len());
    for range in ranges {
        if apart.last().is_none_or(|(_, end)| range.0 >= *end) {
            apart.push(range);
        }
    }
    apart
}

fn range(part: &Part) -> Paths {
    let first = part.beginning.clone();
    let end = if part.whole { behind(&first) } else { part.after().unwrap_or_else(end_of_all) };
    (first, end)
}

/// The first text behind a path: no path has a control character.
fn behind(path: &str) -> String {
    format!("{path}\u{1}")
}

/// A text behind all paths, which are shorter.
fn end_of_all() -> String {
    "\u{10ffff}".repeat(129)
}
