//! Versions that have outlived the rule of their secret.
//!
//! Guarantees that nothing is destroyed by what an attacker with write access to the database wrote: a rule counts by its tag
//! and its number, and a version by its tag, whether it is counted as kept or destroyed. What no tag covers, its state, is
//! compared with the vault before anything is destroyed. Refuses secrets that are deleted, or lie in a closed environment or
//! in one in which a second principal approves what is destroyed.

use std::collections::BTreeSet;

use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx, row_limit};
use shared_proto::id::{SecretId, Version};

use super::environments::open_for_use;
use super::registry::newest_number;
use super::rows::version;
use super::version_tags::Tagged;
use super::{destruction, places, stages};
use crate::{Destroyed, OUTLIVED_AT_ONCE, Outlived, SCANNED_AT_ONCE, SignEvent, Stages};

/// Versions that are read at once.
const CHUNK: usize = 256;
const DAY: u64 = 24 * 60 * 60;

/// Secrets behind one of them that may have a rule.
pub(super) fn with_retention(
    tx: &mut Tx<'_>,
    after: Option<SecretId>,
    limit: usize,
) -> Result<Vec<SecretId>, SqlError> {
    // Every id is greater than no bytes.
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let sql = "SELECT secret_id FROM secrets WHERE has_retention = 1 AND secret_id > ?1 ORDER BY secret_id LIMIT ?2";
    tx.all(sql, &[&after, &row_limit(limit)], |row| row.get(0).map(SecretId::from_bytes))
}

/// The versions that the rule of a secret does not keep.
pub(super) fn outlived(
    tx: &mut Tx<'_>,
    key: &RowKey,
    secret: SecretId,
    now: u64,
    most: usize,
) -> Result<Option<Outlived>, SqlError> {
    let Some(placed) = places::placed(tx, key, secret)? else { return Ok(None) };
    let environment = placed.facts.environment;
    // Otherwise one alone would destroy a secret version by version.
    let is_off_limits = placed.rules.deletion.is_some() || key.destroy_needs_approval(environment);
    if is_off_limits || open_for_use(tx, key, environment)?.is_err() {
        return Ok(None);
    }
    let Some(rule) = placed.rules.retention else { return Ok(None) };
    let stages = stages::of(tx, secret)?;
    let (mut versions, mut kept) = (Vec::new(), BTreeSet::new());
    if let Some(newest) = rule.versions() {
        let search = Search::new(Kept::Newest(newest.into()), stages, most);
        (versions, kept) = search.run(tx, key, secret, None)?;
    }
    if let Some(end) = rule.days().and_then(|days| now.checked_sub(u64::from(days) * DAY))
        && versions.len() < most
        && let Some(first) = newest_until(tx, secret, end)?
    {
        let search = Search::new(Kept::ReplacedAfter(end), stages, most);
        let (found, others_kept) = search.run(tx, key, secret, Some(first))?;
        let others: Vec<Version> = found.into_iter().filter(|version| !versions.contains(version)).collect();
        versions.extend(others);
        versions.truncate(most);
        kept.extend(others_kept);
    }
    let kept = kept.into_iter().collect();
    Ok(Some(Outlived { environment, path: placed.facts.path, versions, kept, number: newest_number(tx)? }))
}

/// The newest version that was made until then, as its row says it. It only spares a look at the versions above it.
fn newest_until(tx: &mut Tx<'_>, secret: SecretId, end: u64) -> Result<Option<Version>, SqlError> {
    let sql = "SELECT version FROM versions WHERE secret_id = ?1 AND created_at <= ?2 AND state = 'committed'
         ORDER BY version DESC LIMIT 1";
    tx.optional(sql, &[&secret.as_bytes(), &end], |row| version(row, 0))
}

/// The versions that a rule keeps.
#[derive(Clone, Copy, Debug)]
enum Kept {
    /// So many, the newest ones.
    Newest(u64),
    /// Those that were replaced after a time.
    ReplacedAfter(u64),
}

/// A search through the stored versions of a secret, from newer to older ones.
struct Search {
    kept: Kept,
    stages: Stages,
    most: usize,
    /// How many were looked at.
    count: u64,
    /// When the next newer one was made.
    newer: Option<u64>,
    found: Vec<Version>,
    /// The envelopes of versions that are kept, and why others are not: the newer ones of them.
    envelopes: BTreeSet<Version>,
}

impl Search {
    fn new(kept: Kept, stages: Stages, most: usize) -> Self {
        Self { kept, stages, most, count: 0, newer: None, found: Vec::new(), envelopes: BTreeSet::new() }
    }

    /// Looks at rows that the manager wrote, from a version on.
    fn run(
        mut self,
        tx: &mut Tx<'_>,
        key: &RowKey,
        secret: SecretId,
        first: Option<Version>,
    ) -> Result<(Vec<Version>, BTreeSet<Version>), SqlError> {
        let (mut below, mut read) = (first.unwrap_or(Version::LAST).get() + 1, 0);
        while self.found.len() < self.most && read < SCANNED_AT_ONCE {
            let rows = tx.all(
                "SELECT version, envelope, note, author, expires_at, created_at, tag FROM versions
                 WHERE secret_id = ?1 AND version < ?2 AND state = 'committed' ORDER BY version DESC LIMIT ?3",
                &[&secret.as_bytes(), &below, &row_limit(CHUNK)],
                |row| Ok((version(row, 0)?, version(row, 1)?, Tagged::read(row, 2)?)),
            )?;
            for (version, envelope, tagged) in &rows {
                below = version.get();
                if tagged.fits(key, (secret, *version, *envelope)) {
                    self.look_at(*version, *envelope, tagged.created_at);
                }
            }
            read += rows.len();
            if rows.len() < CHUNK {
                break;
            }
        }
        self.found.truncate(self.most);
        Ok((self.found, self.envelopes))
    }

    fn look_at(&mut self, version: Version, envelope: Version, created_at: u64) {
        let (index, newer) = (self.count, self.newer.replace(created_at));
        self.count += 1;
        // The first one is the newest, or was replaced after the time.
        let is_outlived = newer.is_some_and(|replaced_at| match self.kept {
            Kept::Newest(most) => index >= most,
            Kept::ReplacedAfter(end) => replaced_at <= end,
        });
        let Stages { current, previous, pending } = self.stages;
        if is_outlived && ![current, previous, pending].contains(&Some(version)) {
            self.found.push(version);
        } else if self.found.len() < self.most {
            self.envelopes.insert(envelope);
        }
    }
}

/// Destroys those of the versions that the rule does not keep now.
pub(super) fn destroy(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, seen): (SecretId, &Outlived),
    sign: Option<&SignEvent>,
    now: u64,
) -> Result<Destroyed, SqlError> {
    let Some(found) = outlived(tx, key, secret, now, OUTLIVED_AT_ONCE)? else { return Ok(Destroyed::default()) };
    // The rules of the registry that this transaction sees are those that were looked at. And whatever was counted as kept was
    // compared with the vault.
    if found.number != seen.number || found.kept.iter().any(|envelope| !seen.kept.contains(envelope)) {
        return Ok(Destroyed::default());
    }
    let both: Vec<Version> = seen.versions.iter().copied().filter(|version| found.versions.contains(version)).collect();
    destruction::destroy_outlived(tx, key, (secret, &both), sign, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kept: Kept, stages: Stages, made: &[(u64, u64)]) -> Vec<u64> {
        let mut search = Search::new(kept, stages, 64);
        for (number, at) in made {
            let version = Version::new(*number).unwrap();
            search.look_at(version, version, *at);
        }
        search.found.into_iter().map(Version::get).collect()
    }

    #[test]
    fn versions_are_kept_by_number_and_by_the_time_at_which_they_were_replaced() {
        let none = Stages::default();
        let made = [(9, 99), (7, 90), (5, 50), (2, 10)];
        assert_eq!(found(Kept::Newest(2), none, &made), [5, 2]);
        assert_eq!(found(Kept::Newest(9), none, &made), [0; 0]);
        assert_eq!(found(Kept::ReplacedAfter(90), none, &made), [5, 2], "5 was replaced then, 7 later");
        assert_eq!(found(Kept::ReplacedAfter(89), none, &made), [2]);
        assert_eq!(found(Kept::ReplacedAfter(999), none, &[(9, 1)]), [0; 0], "the newest one stays, however old");
        assert_eq!(found(Kept::Newest(1), none, &[(9, 1)]), [0; 0]);
    }

    #[test]
    fn staged_versions_are_kept_and_count() {
        let version = |number| Version::new(number).ok();
        let stages = Stages { current: version(5), previous: version(2), pending: version(9) };
        let made = [(9, 1), (7, 1), (5, 1), (2, 1), (1, 1)];
        assert_eq!(found(Kept::Newest(1), stages, &made), [7, 1]);
        assert_eq!(found(Kept::ReplacedAfter(1), stages, &made), [7, 1]);
    }
}
