//! The paths among which a page looks: those that its caller may see, as far as the query wants them.

use manager_api::name::SecretPath;
use manager_policy::{Part, Visible};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::EnvironmentId;

/// The most parts of paths that one page asks the database for, except one for each environment.
const MOST_PARTS: usize = 32;

/// A range of paths: from the first on, up to and without the second.
pub(super) type Paths = (String, String);

/// Ranges of paths by environment, in order. None meets another.
#[derive(Debug)]
pub(super) struct Ranges(Vec<(EnvironmentId, Vec<Paths>)>);

impl Ranges {
    /// The ranges in which a caller may see anything, within one of the wanted ranges if there are any.
    pub(super) fn of(
        tx: &mut Tx<'_>,
        visible: &Visible,
        environment: Option<EnvironmentId>,
        wanted: Option<&[Paths]>,
    ) -> Result<Self, SqlError> {
        let environments = match environment {
            Some(environment) => vec![environment],
            None => tx.all("SELECT environment_id FROM environments ORDER BY environment_id", &[], |row| {
                row.get(0).map(EnvironmentId::from_bytes)
            })?,
        };
        let parts = visible.parts((MOST_PARTS / environments.len().max(1)).max(1));
        let within = |environment| {
            let seen = paths_in(environment, &parts);
            (environment, wanted.map_or_else(|| seen.clone(), |wanted| common(&seen, wanted)))
        };
        Ok(Self(environments.into_iter().map(within).filter(|(_, paths)| !paths.is_empty()).collect()))
    }

    /// Every range with its environment, in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (EnvironmentId, &Paths)> {
        self.0.iter().flat_map(|(environment, paths)| paths.iter().map(|range| (*environment, range)))
    }

    /// Tells whether a path lies in one of them.
    pub(super) fn contain(&self, environment: EnvironmentId, path: &str) -> bool {
        let place = self.0.binary_search_by(|(own, _)| own.cmp(&environment));
        let Some((_, paths)) = place.ok().and_then(|place| self.0.get(place)) else { return false };
        let behind = paths.partition_point(|(first, _)| first.as_str() <= path);
        behind.checked_sub(1).and_then(|last| paths.get(last)).is_some_and(|(_, end)| path < end.as_str())
    }
}

/// The range of one path.
pub(super) fn only(path: &SecretPath) -> Paths {
    (path.as_str().to_owned(), behind(path.as_str()))
}

/// The range of what lies below a folder.
pub(super) fn below(folder: &SecretPath) -> Paths {
    // What is below `a` is from `a/` to before `a0`, because the byte after `/` is `0`.
    (format!("{folder}/"), format!("{folder}0"))
}

/// The ranges of a path, or of a folder, by each way to read it.
pub(super) fn readings(path: &SecretPath, range: impl Fn(&SecretPath) -> Paths) -> Vec<Paths> {
    let mut ranges: Vec<Paths> =
        [Some(path.clone()), path.from_dots(), path.to_dots()].iter().flatten().map(range).collect();
    ranges.sort_unstable();
    ranges
}

/// The first text behind a path: no path has a control character.
pub(super) fn behind(path: &str) -> String {
    format!("{path}\u{1}")
}

/// A text behind all paths, which are shorter.
fn end_of_all() -> String {
    "\u{10ffff}".repeat(129)
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

/// What two lists of ranges have in common. Both are in order.
pub(super) fn common(ones: &[Paths], others: &[Paths]) -> Vec<Paths> {
    let mut both = Vec::new();
    for (first, end) in ones {
        for (other_first, other_end) in others {
            let (first, end) = (first.max(other_first), end.min(other_end));
            if first < end {
                both.push((first.clone(), end.clone()));
            }
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SecretPath {
        SecretPath::parse(text).unwrap()
    }

    #[test]
    fn range_holds_what_lies_below_and_nothing_beside() {
        let environment = EnvironmentId::generate();
        let ranges = Ranges(vec![(environment, vec![only(&path("a")), below(&path("a")), only(&path("c"))])]);
        for (text, within) in [
            ("a", true),
            ("a/b", true),
            ("a/\u{10ffff}", true),
            ("a-b", false),
            ("a0", false),
            ("b", false),
            ("c", true),
        ] {
            assert_eq!(ranges.contain(environment, text), within, "{text}");
        }
        assert!(!ranges.contain(EnvironmentId::generate(), "a"));
    }

    #[test]
    fn folder_in_dots_is_the_folder_in_slashes_and_the_one_that_is_named_so() {
        let ranges = readings(&path("a.b"), below);
        assert_eq!(ranges, [("a.b/".to_owned(), "a.b0".to_owned()), ("a/b/".to_owned(), "a/b0".to_owned())]);
        assert_eq!(readings(&path("a"), only).len(), 1);
        assert_eq!(common(&[below(&path("a"))], &readings(&path("a.b"), below)), [below(&path("a/b"))]);
    }
}
