//! Lists by other tables than the index, which look where their caller may see anything.
//!
//! Where few secrets lie there, a page reads only what belongs to these. Else it walks along the order of the list. Either way it leaves
//! out rows whose places its caller may not see before it counts what it looked at, so that these shorten a page only if it walked
//! past very many of them.

use manager_api::name::SecretPath;
use manager_policy::Visible;
use service_runtime::sql::{Param, Row, SqlError, Tx, row_limit};
use shared_proto::id::EnvironmentId;

use super::ranges::Ranges;
use super::statements::RANGE;
use crate::Bounds;

/// The places where a caller may see anything, and whether few secrets lie there.
pub(in crate::sql) struct Within<'v> {
    visible: &'v Visible,
    ranges: Ranges,
    few: bool,
    bounds: Bounds,
}

/// Rows in the order of a list, of which nothing is shown before each is verified.
pub(in crate::sql) struct Candidates<P, C> {
    rows: Vec<(P, C)>,
    /// The place up to which the rows are all there are; `None` for the end.
    complete_to: Option<P>,
}

/// The statements of a list.
#[derive(Clone, Copy)]
pub(in crate::sql) struct Walk {
    /// Reads the rows of secrets in a range of paths, in order. Its first parameters are the environment, the first path and
    /// the one behind the last, then come those of the list, then a limit. Its last two columns are those of `along`.
    pub(in crate::sql) within: &'static str,
    /// Reads rows of all secrets, in order. Its parameters are those of the list and a limit. Its last two columns are the
    /// environment and the path.
    pub(in crate::sql) along: &'static str,
    /// The number of columns before these two.
    pub(in crate::sql) columns: usize,
}

impl<'v> Within<'v> {
    /// The places of a caller, in one environment or in all.
    pub(in crate::sql) fn of(
        tx: &mut Tx<'_>,
        visible: &'v Visible,
        environment: Option<EnvironmentId>,
        bounds: Bounds,
    ) -> Result<Self, SqlError> {
        let ranges = Ranges::of(tx, visible, environment, None)?;
        let few = are_few(tx, &ranges, bounds.pool)?;
        Ok(Self { visible, ranges, few, bounds })
    }

    /// Rows of a list in its order.
    pub(in crate::sql) fn read<P: Ord + Copy, C>(
        &self,
        tx: &mut Tx<'_>,
        walk: Walk,
        params: &[&dyn Param],
        read: impl Fn(&Row<'_>) -> Result<(P, C), SqlError> + Copy,
    ) -> Result<Candidates<P, C>, SqlError> {
        let most = self.bounds.walked;
        let limit = row_limit(most + 1);
        let all = [params, &[&limit]].concat();
        let place = |row: &Row<'_>| self.at_its_place(row, walk, read);
        let mut rows = Vec::new();
        if self.few {
            for (environment, (first, end)) in self.ranges.iter() {
                let range: [&dyn Param; 3] = [environment.as_bytes(), first, end];
                rows.extend(tx.all(walk.within, &[&range, all.as_slice()].concat(), place)?);
            }
            rows.sort_unstable_by_key(|(place, _)| *place);
        } else {
            rows = tx.all(walk.along, &all, place)?;
        }
        let is_more = rows.len() > most;
        rows.truncate(most);
        Ok(self.counted(rows, is_more))
    }

    /// A row with what it holds, if its caller may see the place where it lies.
    fn at_its_place<P, C>(
        &self,
        row: &Row<'_>,
        walk: Walk,
        read: impl Fn(&Row<'_>) -> Result<(P, C), SqlError>,
    ) -> Result<(P, Option<C>), SqlError> {
        let (place, one) = read(row)?;
        let environment = EnvironmentId::from_bytes(row.get(walk.columns)?);
        let path: String = row.get(walk.columns + 1)?;
        let is_seen = self.ranges.contain(environment, &path)
            && SecretPath::parse(path).is_ok_and(|path| self.visible.may_show(environment, &path));
        Ok((place, is_seen.then_some(one)))
    }

    /// The rows in places that may be seen, up to as many as a page looks at. `is_more`: there are others behind them all.
    fn counted<P: Copy, C>(&self, rows: Vec<(P, Option<C>)>, is_more: bool) -> Candidates<P, C> {
        let mut complete_to = rows.last().map(|(place, _)| *place).filter(|_| is_more);
        let mut rows: Vec<(P, C)> = rows.into_iter().filter_map(|(place, one)| Some((place, one?))).collect();
        if rows.len() > self.bounds.scanned {
            rows.truncate(self.bounds.scanned);
            complete_to = rows.last().map(|(place, _)| *place);
        }
        Candidates { rows, complete_to }
    }
}

impl<P: Copy, C> Candidates<P, C> {
    /// A page of those that are shown, and the place after which the next page begins; `None` after the last page.
    pub(in crate::sql) fn page<T>(
        self,
        limit: usize,
        mut show: impl FnMut(P, C) -> Result<Option<T>, SqlError>,
    ) -> Result<(Vec<T>, Option<P>), SqlError> {
        let (mut shown, mut last) = (Vec::new(), None);
        for (place, one) in self.rows {
            let Some(one) = show(place, one)? else { continue };
            // A full page has a next one only if that shows something, or may do so.
            if shown.len() >= limit {
                return Ok((shown, last));
            }
            shown.push(one);
            last = Some(place);
        }
        Ok((shown, self.complete_to))
    }
}

/// Tells whether no more than this many secrets lie in ranges.
pub(super) fn are_few(tx: &mut Tx<'_>, ranges: &Ranges, most: usize) -> Result<bool, SqlError> {
    let mut left = most;
    for (environment, (first, end)) in ranges.iter() {
        let limit = row_limit(left + 1);
        let count: u64 = tx.one(RANGE.count, &[environment.as_bytes(), first, end, &limit], |row| row.get(0))?;
        let count = usize::try_from(count).map_err(|_| SqlError::unreadable())?;
        if count > left {
            return Ok(false);
        }
        left -= count;
    }
    Ok(true)
}
