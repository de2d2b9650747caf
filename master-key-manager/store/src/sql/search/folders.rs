//! Folders: the secrets and the folders in one, with the number of secrets that lie below each.

use std::ops::ControlFlow;

use manager_api::name::SecretPath;
use manager_api::secrets::SecretStatus;
use manager_policy::Visible;
use manager_registry::RowKey;
use service_runtime::sql::{Param, SqlError, Tx, row_limit};
use shared_proto::id::SecretId;

use super::conditions::Conditions;
use super::found::{Environments, PlacedListed, secrets, status};
use super::keys::{Key, key_of};
use super::ranges::{Paths, Ranges, behind, below, readings};
use super::statements::PATHS_UP;
use crate::{Bounds, FolderEntry, FolderPage, FolderQuery, MOST_COUNTED, SecretQuery};

/// Secrets that are read at once: a few more than are counted of a folder, because what follows of it is passed over.
const CHUNK: usize = 16;

/// A page of what is in a folder, in the order of paths.
pub(super) fn page(
    tx: &mut Tx<'_>,
    key: &RowKey,
    visible: &Visible,
    query: &FolderQuery,
    (limit, bounds): (usize, Bounds),
) -> Result<FolderPage, SqlError> {
    let within = query.under.as_ref().map(|folder| readings(folder, below));
    let ranges = Ranges::of(tx, visible, Some(query.environment), within.as_deref())?;
    let beginning = query.under.as_ref().map_or(0, |folder| folder.as_str().len() + 1);
    let (known, left) = (Environments::default(), bounds.scanned / 2);
    let mut reader = Reader { key, visible, known, beginning, limit, left, entries: Vec::new() };
    let conditions = Conditions::of(&SecretQuery { state: Some(SecretStatus::Active), ..SecretQuery::default() });
    let mut begins = query.begins.clone().unwrap_or_default();
    let ranges: Vec<Paths> = ranges.iter().map(|(_, paths)| paths.clone()).collect();
    for (first, end) in ranges {
        begins = begins.max(first);
        while begins < end {
            let limit = row_limit(CHUNK);
            let mut params: Vec<&dyn Param> = vec![query.environment.as_bytes(), &begins, &end, &limit];
            params.extend(conditions.params());
            let keys = tx.all(PATHS_UP.read, &params, key_of)?;
            let (is_last, last) = (keys.len() < CHUNK, keys.last().map(|key| behind(&key.path)));
            match reader.take(tx, keys)? {
                ControlFlow::Break(Stop::Page(next)) => {
                    return Ok(FolderPage { entries: reader.entries, next: Some(next) });
                }
                ControlFlow::Break(Stop::Folder(end)) => begins = end,
                ControlFlow::Continue(()) => match last.filter(|_| !is_last) {
                    Some(last) => begins = last,
                    None => break,
                },
            }
        }
    }
    Ok(FolderPage { entries: reader.entries, next: None })
}

/// The reading of a page.
struct Reader<'r> {
    key: &'r RowKey,
    visible: &'r Visible,
    known: Environments,
    /// Where the names begin in the paths.
    beginning: usize,
    limit: usize,
    /// Secrets that may still be verified.
    left: usize,
    entries: Vec<FolderEntry>,
}

/// A place where reading does not go on with the next row.
enum Stop {
    /// The page ends; the next one begins here.
    Page(String),
    /// Enough of a folder was counted. It ends here.
    Folder(String),
}

impl Reader<'_> {
    fn take(&mut self, tx: &mut Tx<'_>, keys: Vec<Key>) -> Result<ControlFlow<Stop>, SqlError> {
        if self.left == 0
            && let Some(first) = keys.first()
        {
            return Ok(ControlFlow::Break(Stop::Page(self.stopped_at(first.path.clone()))));
        }
        self.left = self.left.saturating_sub(keys.len());
        let keys: Vec<Key> = keys.into_iter().filter(|key| key.may_be_shown(self.visible)).collect();
        let ids: Vec<SecretId> = keys.iter().map(|key| key.secret).collect();
        let found = secrets(tx, self.key, &mut self.known, &ids)?;
        for (key, found) in keys.into_iter().zip(found) {
            let Some(PlacedListed { placed, listed }) = found else { continue };
            let leads = (key.environment, key.path.as_str()) == (listed.environment, listed.path.as_str());
            let is_active = status(listed.rules.deletion.as_ref()) == SecretStatus::Active;
            if !leads || !is_active || !self.visible.shows(&placed.facts) {
                continue;
            }
            if let ControlFlow::Break(stop) = self.enter(listed.path, listed.secret)? {
                return Ok(ControlFlow::Break(stop));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn enter(&mut self, path: SecretPath, secret: SecretId) -> Result<ControlFlow<Stop>, SqlError> {
        let folder = self.folder_of(path.as_str());
        if let (Some(folder), Some(FolderEntry::Folder { path: known, count, is_least })) =
            (&folder, self.entries.last_mut())
            && known.as_str() == folder
        {
            *count += 1;
            if *count >= MOST_COUNTED {
                *is_least = true;
                return Ok(ControlFlow::Break(Stop::Folder(below(known).1)));
            }
            return Ok(ControlFlow::Continue(()));
        }
        if self.entries.len() >= self.limit {
            return Ok(ControlFlow::Break(Stop::Page(path.as_str().to_owned())));
        }
        self.entries.push(match folder {
            Some(folder) => {
                let path = SecretPath::parse(folder).map_err(|_| SqlError::unreadable())?;
                FolderEntry::Folder { path, count: 1, is_least: false }
            }
            None => FolderEntry::Secret { path, secret },
        });
        Ok(ControlFlow::Continue(()))
    }

    /// The folder through which a path leads on; `None` for a secret that is in the folder itself.
    fn folder_of(&self, path: &str) -> Option<String> {
        let slash = path.get(self.beginning..)?.find('/')?;
        path.get(..self.beginning + slash).map(str::to_owned)
    }

    /// Where the next page begins when this one ends before a path: behind the folder that it was counting.
    fn stopped_at(&mut self, path: String) -> String {
        let folder = self.folder_of(&path);
        match (folder, self.entries.last_mut()) {
            (Some(folder), Some(FolderEntry::Folder { path: known, is_least, .. })) if known.as_str() == folder => {
                *is_least = true;
                below(known).1
            }
            _ => path,
        }
    }
}
