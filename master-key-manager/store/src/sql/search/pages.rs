//! Pages of secrets.
//!
//! A page is read in one of two ways. Where few rows can fit, by their paths or by one condition, these are read as a *pool* and
//! ordered. Else the page *walks* along an index in the order of the list. Both give the same order, so that the next page may be
//! read in the other way. What they find are keys only: each secret is read from its own rows then, verified, and compared again.

use std::cmp::Ordering;

use manager_policy::Visible;
use manager_registry::RowKey;
use service_runtime::sql::{Param, SqlError, Tx, row_limit};
use shared_proto::id::{EnvironmentId, SecretId};

use super::conditions::{Conditions, Parameter, borrowed, pools, wanted};
use super::found::{Environments, PlacedListed, secrets};
use super::index::NEVER;
use super::keys::{Key, key_of};
use super::ranges::{Paths, Ranges, behind};
use super::statements::{
    CREATED_DOWN, CREATED_UP, DUE_DOWN, DUE_UP, PATHS_DOWN, PATHS_UP, Pool, RANGE, TimeWalk, UPDATED_DOWN, UPDATED_UP,
};
use super::within::are_few;
use crate::{Bounds, ListedSecret, OrderBy, Position, SecretPage, SecretQuery};

/// Rows that are read at once behind the first ones, of which too few were visible.
const CHUNK: usize = 256;

/// A page that is asked for.
pub(super) struct Asked<'p> {
    pub(super) visible: &'p Visible,
    pub(super) query: &'p SecretQuery,
    pub(super) after: Option<&'p Position>,
    pub(super) limit: usize,
    pub(super) bounds: Bounds,
}

/// A page of secrets after a position.
pub(super) fn page(tx: &mut Tx<'_>, key: &RowKey, asked: &Asked<'_>) -> Result<SecretPage, SqlError> {
    let Asked { visible, query, after, limit, bounds } = *asked;
    let wanted = wanted(query);
    let ranges = Ranges::of(tx, visible, query.environment, wanted.as_deref())?;
    let looked = Looked { visible, query, limit, left: bounds.scanned, is_first: true, last: None, rows: Vec::new() };
    let (known, conditions) = (Environments::default(), Conditions::of(query));
    let mut page = Page { key, known, ranges, conditions, bounds, looked };
    let by_path = query.order.by == OrderBy::Path;
    let is_small = page.is_small(tx)?;
    let pool = if is_small { None } else { page.pool(tx)? };
    match pool {
        Some((pool, params)) => {
            let keys = page.read_pool(tx, pool, &borrowed(&params))?;
            page.take_sorted(tx, keys, after)?;
        }
        None if by_path => page.walk_paths(tx, after)?,
        None if is_small => {
            let mut keys = Vec::new();
            let ranges: Vec<(EnvironmentId, Paths)> =
                page.ranges.iter().map(|(environment, paths)| (environment, paths.clone())).collect();
            for (environment, (first, end)) in &ranges {
                keys.extend(page.read_pool(tx, RANGE, &[&environment.as_bytes(), first, end])?);
            }
            page.take_sorted(tx, keys, after)?;
        }
        None => page.walk_times(tx, after)?,
    }
    Ok(page.looked.page())
}

/// A page that is being read.
struct Page<'p> {
    key: &'p RowKey,
    known: Environments,
    ranges: Ranges,
    conditions: Conditions,
    bounds: Bounds,
    looked: Looked<'p>,
}

/// The outcome of the page so far.
struct Looked<'p> {
    visible: &'p Visible,
    query: &'p SecretQuery,
    limit: usize,
    /// Secrets that may still be verified.
    left: usize,
    /// Set until secrets were looked at.
    is_first: bool,
    /// The position up to which everything was looked at, while there is more.
    last: Option<Position>,
    rows: Vec<ListedSecret>,
}

/// Whether a page goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    /// It is full, or enough was looked at.
    No,
}

impl Page<'_> {
    /// Tells whether few secrets lie where the caller may see any.
    fn is_small(&self, tx: &mut Tx<'_>) -> Result<bool, SqlError> {
        are_few(tx, &self.ranges, self.bounds.pool)
    }

    /// A condition that few rows meet, with its parameters.
    fn pool(&self, tx: &mut Tx<'_>) -> Result<Option<(Pool, Vec<Parameter>)>, SqlError> {
        for (pool, params) in pools(self.looked.query, tx)? {
            let limit = row_limit(self.bounds.pool + 1);
            let mut counted = borrowed(&params);
            counted.push(&limit);
            if count(tx, pool, &counted)? <= self.bounds.pool {
                return Ok(Some((pool, params)));
            }
        }
        Ok(None)
    }

    /// The rows of a pool that fit.
    fn read_pool(&self, tx: &mut Tx<'_>, pool: Pool, params: &[&dyn Param]) -> Result<Vec<Key>, SqlError> {
        let limit = row_limit(self.bounds.pool + 1);
        let mut all = params.to_vec();
        all.push(&limit);
        all.extend(self.conditions.params());
        tx.all(pool.read, &all, key_of)
    }

    /// Shows keys that are read as a whole, in order.
    fn take_sorted(&mut self, tx: &mut Tx<'_>, keys: Vec<Key>, after: Option<&Position>) -> Result<(), SqlError> {
        let order = self.looked.query.order;
        let mut placed: Vec<(Position, Key)> = keys
            .into_iter()
            .filter(|key| self.ranges.contain(key.environment, &key.path))
            .map(|key| (key.position(order.by), key))
            .filter(|(position, _)| after.is_none_or(|after| position.is_behind(after, order.descending)))
            .collect();
        placed.sort_unstable_by(|(one, _), (other, _)| one.compare(other, order.descending));
        let keys: Vec<Key> = placed.into_iter().map(|(_, key)| key).collect();
        if self.take(tx, keys)? == Goes::On {
            self.looked.last = None;
        }
        Ok(())
    }

    /// Reads along the paths of the ranges.
    fn walk_paths(&mut self, tx: &mut Tx<'_>, after: Option<&Position>) -> Result<(), SqlError> {
        let descending = self.looked.query.order.descending;
        let walk = if descending { PATHS_DOWN } else { PATHS_UP };
        let mut ranges: Vec<(EnvironmentId, Paths)> =
            self.ranges.iter().map(|(environment, paths)| (environment, paths.clone())).collect();
        if descending {
            ranges.reverse();
        }
        let mut unwalked = self.bounds.walked;
        for (environment, paths) in ranges {
            let Some((mut first, mut end)) = rest(environment, paths, after, descending) else { continue };
            // The last row that the page may look at, if there are so many.
            let offset = row_limit(unwalked - 1);
            let bound: Option<String> =
                tx.optional(walk.bound, &[environment.as_bytes(), &first, &end, &offset], |row| row.get(0))?;
            match &bound {
                Some(bound) if descending => first.clone_from(bound),
                Some(bound) => end = behind(bound),
                None => {
                    let limit = row_limit(unwalked);
                    unwalked -= count(tx, RANGE, &[environment.as_bytes(), &first, &end, &limit])?.min(unwalked - 1);
                }
            }
            while first < end {
                let asked = self.looked.next_keys();
                let limit = row_limit(asked);
                let mut params: Vec<&dyn Param> = vec![environment.as_bytes(), &first, &end, &limit];
                params.extend(self.conditions.params());
                let keys = tx.all(walk.read, &params, key_of)?;
                let (read, last) = (keys.len(), keys.last().map(|key| key.path.clone()));
                if self.take(tx, keys)? == Goes::No {
                    return Ok(());
                }
                let Some(last) = last.filter(|_| read == asked) else { break };
                if descending {
                    end = last;
                } else {
                    first = behind(&last);
                }
            }
            if let Some(bound) = bound {
                self.looked.last = Some(Position::Path(environment, bound));
                return Ok(());
            }
        }
        self.looked.last = None;
        Ok(())
    }

    /// Reads along times.
    fn walk_times(&mut self, tx: &mut Tx<'_>, after: Option<&Position>) -> Result<(), SqlError> {
        let descending = self.looked.query.order.descending;
        let walk = time_walk(self.looked.query.order.by, descending);
        let [least, most] = [(0, SecretId::from_bytes([0; 16])), (NEVER, SecretId::from_bytes([u8::MAX; 16]))];
        let (start, end) = if descending { (most, least) } else { (least, most) };
        let mut from = match after {
            Some(Position::Time(time, secret)) => (*time, *secret),
            Some(Position::Path(..)) | None => start,
        };
        let offset = row_limit(self.bounds.walked - 1);
        let bound = tx.optional(walk.bound, &[&from.0, &from.1.as_bytes(), &offset], |row| {
            Ok((row.get(0)?, SecretId::from_bytes(row.get(1)?)))
        })?;
        let until: (u64, SecretId) = bound.unwrap_or(end);
        let environment = self.looked.query.environment;
        let (is_one, one) = (environment.is_some(), environment.unwrap_or(EnvironmentId::from_bytes([0; 16])));
        loop {
            let asked = self.looked.next_keys().max(CHUNK);
            let limit = row_limit(asked);
            let is_one = u32::from(is_one);
            let mut params: Vec<&dyn Param> =
                vec![&from.0, from.1.as_bytes(), &until.0, until.1.as_bytes(), &limit, &is_one, one.as_bytes()];
            params.extend(self.conditions.params());
            let keys = tx.all(walk.read, &params, key_of)?;
            let read = keys.len();
            let last = keys.last().map(|key| key.position(self.looked.query.order.by));
            let keys = keys.into_iter().filter(|key| self.ranges.contain(key.environment, &key.path)).collect();
            if self.take(tx, keys)? == Goes::No {
                return Ok(());
            }
            let Some(Position::Time(time, secret)) = last.filter(|_| read == asked) else { break };
            from = (time, secret);
        }
        self.looked.last = bound.map(|(time, secret)| Position::Time(time, secret));
        Ok(())
    }

    /// Reads, verifies and shows secrets, of those that lie where the caller may see anything.
    fn take(&mut self, tx: &mut Tx<'_>, keys: Vec<Key>) -> Result<Goes, SqlError> {
        let visible = self.looked.visible;
        let mut keys = keys.into_iter().filter(|key| key.may_be_shown(visible)).peekable();
        while keys.peek().is_some() {
            if self.looked.is_over() {
                return Ok(Goes::No);
            }
            let most = self.looked.next_keys().min(self.looked.left);
            let group: Vec<Key> = keys.by_ref().take(most).collect();
            let ids: Vec<SecretId> = group.iter().map(|key| key.secret).collect();
            let found = secrets(tx, self.key, &mut self.known, &ids)?;
            for (key, found) in group.into_iter().zip(found) {
                if self.looked.is_over() {
                    return Ok(Goes::No);
                }
                self.looked.look(&key, found);
            }
        }
        self.looked.is_first = false;
        Ok(if self.looked.is_over() { Goes::No } else { Goes::On })
    }
}

impl Looked<'_> {
    /// How many keys to read: as many as the page lacks, and more once some of them were not shown.
    fn next_keys(&self) -> usize {
        let lacking = self.limit.saturating_sub(self.rows.len());
        if self.is_first { lacking.max(1) } else { lacking.max(CHUNK) }
    }

    fn is_over(&self) -> bool {
        self.rows.len() >= self.limit || self.left == 0
    }

    fn look(&mut self, key: &Key, found: Option<PlacedListed>) {
        self.left = self.left.saturating_sub(1);
        self.is_first = false;
        self.last = Some(key.position(self.query.order.by));
        let Some(PlacedListed { placed, listed }) = found else { return };
        // A row of the index that says something else than the secret itself is not the one that leads to it.
        let leads = (key.environment, key.path.as_str()) == (listed.environment, listed.path.as_str());
        if leads && self.visible.shows(&placed.facts) && self.query.fits(&listed) {
            self.rows.push(listed);
        }
    }

    fn page(self) -> SecretPage {
        SecretPage { rows: self.rows, next: self.last }
    }
}

/// What remains of a range behind a position.
fn rest(environment: EnvironmentId, (first, end): Paths, after: Option<&Position>, descending: bool) -> Option<Paths> {
    let Some(Position::Path(at, path)) = after else { return Some((first, end)) };
    let rest = match environment.cmp(at) {
        Ordering::Equal if descending => (first, end.min(path.clone())),
        Ordering::Equal => (first.max(behind(path)), end),
        Ordering::Less if descending => (first, end),
        Ordering::Greater if !descending => (first, end),
        Ordering::Less | Ordering::Greater => return None,
    };
    (rest.0 < rest.1).then_some(rest)
}

fn time_walk(by: OrderBy, descending: bool) -> TimeWalk {
    match (by, descending) {
        // Paths are walked along by themselves.
        (OrderBy::CreatedAt | OrderBy::Path, false) => CREATED_UP,
        (OrderBy::CreatedAt | OrderBy::Path, true) => CREATED_DOWN,
        (OrderBy::UpdatedAt, false) => UPDATED_UP,
        (OrderBy::UpdatedAt, true) => UPDATED_DOWN,
        (OrderBy::DueAt, false) => DUE_UP,
        (OrderBy::DueAt, true) => DUE_DOWN,
    }
}

fn count(tx: &mut Tx<'_>, pool: Pool, params: &[&dyn Param]) -> Result<usize, SqlError> {
    let count: u64 = tx.one(pool.count, params, |row| row.get(0))?;
    usize::try_from(count).map_err(|_| SqlError::unreadable())
}
