//! Patterns of paths, by which the policy says where a line holds.
//!
//! A pattern is made of segments that are joined by `/`. A segment is a name, or `*` for exactly one whole segment. A
//! last `**` stands for everything below. Nothing else is special. A `%`, `#`, `@`, `:` or `*` of a name is written
//! `%25`, `%23`, `%40`, `%3A` or `%2A`, so that each pattern has one spelling.

use std::fmt;
use std::str::FromStr;

use manager_api::name::{MAX_PATH_BYTES, SecretPath};
use manager_api::policy::{MAX_PATTERN_BYTES, PATTERN_LENGTH};
use shared_proto::Malformed;

/// The most segments of a pattern, those of the longest path.
pub const MAX_PATTERN_SEGMENTS: usize = MAX_PATH_BYTES.div_ceil(2);

/// A set of paths: an exact one, or all that fit.
///
/// ```
/// use manager_api::name::SecretPath;
/// use manager_policy::PathPattern;
/// # fn main() -> Result<(), shared_proto::Malformed> {
/// let pattern: PathPattern = "payments/*/db/**".parse()?;
/// assert!(pattern.matches(&SecretPath::parse("payments/eu/db/password")?));
/// assert!(!pattern.matches(&SecretPath::parse("payments/eu/db")?));
/// assert!(!pattern.matches(&SecretPath::parse("payments/eu/west/db/password")?));
/// assert!(PathPattern::everything().contains(&pattern));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    /// The segments without a last `**`. A name stands for itself, and [`ANY`] for `*`.
    segments: Box<str>,
    below: bool,
}

/// A pattern that is borrowed from a line, a path or a folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'a> {
    segments: &'a str,
    below: bool,
}

impl PathPattern {
    /// All paths: `**`.
    pub fn everything() -> Self {
        Self { segments: Box::default(), below: true }
    }

    /// The one path.
    pub fn exact(path: &SecretPath) -> Self {
        Self { segments: path.as_str().into(), below: false }
    }

    /// All paths below a folder, without the folder's own path: `folder/**`.
    pub fn below(folder: &SecretPath) -> Self {
        Self { segments: folder.as_str().into(), below: true }
    }

    /// Tells whether a path is in the set.
    pub fn matches(&self, path: &SecretPath) -> bool {
        self.shape().contains(Shape::exact(path))
    }

    /// Tells whether every path of the other pattern is in this one.
    ///
    /// Exact but for the longest paths: a pattern that only a longer path than allowed could match counts as matched.
    pub fn contains(&self, other: &Self) -> bool {
        self.shape().contains(other.shape())
    }

    /// Tells whether some path is in both.
    pub fn meets(&self, other: &Self) -> bool {
        self.shape().meets(other.shape())
    }

    /// The beginning that all paths of the pattern have, up to its first `*`, and whether it is the whole path.
    pub fn beginning(&self) -> (String, bool) {
        let names: Vec<&str> = self.shape().segments().take_while(|segment| *segment != ANY).collect();
        let whole = !self.below && names.len() == self.shape().segments().count();
        let mut text = names.join("/");
        if !whole && !text.is_empty() {
            text.push('/');
        }
        (text, whole)
    }

    pub(crate) fn shape(&self) -> Shape<'_> {
        Shape { segments: &self.segments, below: self.below }
    }
}

impl<'a> Shape<'a> {
    pub(crate) const EVERYTHING: Shape<'static> = Shape { segments: "", below: true };

    pub(crate) fn exact(path: &'a SecretPath) -> Self {
        Self { segments: path.as_str(), below: false }
    }

    pub(crate) fn below(folder: &'a SecretPath) -> Self {
        Self { segments: folder.as_str(), below: true }
    }

    fn segments(self) -> impl Iterator<Item = &'a str> {
        // The empty text has no segment, and no segment is empty.
        self.segments.split('/').filter(|segment| !segment.is_empty())
    }

    /// The name that all its paths begin with, if there is one.
    pub(crate) fn first(self) -> Option<&'a str> {
        self.segments().next().filter(|segment| *segment != ANY)
    }

    /// Tells whether every path of the other shape is in this one.
    pub(crate) fn contains(self, other: Shape<'_>) -> bool {
        let Some(rest) = self.rest_of(other) else { return false };
        // Where the other one has more segments, all its paths are below this one. Where it has as many, below means
        // one more for both.
        if rest.is_empty() { self.below == other.below } else { self.below }
    }

    /// The segments of the other shape after those of this one; `None` if these do not match.
    fn rest_of(self, other: Shape<'_>) -> Option<&str> {
        if !self.segments.contains(ANY) {
            let rest = other.segments.strip_prefix(self.segments)?;
            return Some(rest).filter(|rest| self.segments.is_empty() || rest.is_empty() || rest.starts_with('/'));
        }
        let mut rest = other.segments;
        for own in self.segments() {
            let (segment, after) = rest.split_once('/').unwrap_or((rest, ""));
            if segment.is_empty() || (own != ANY && own != segment) {
                return None;
            }
            rest = after;
        }
        Some(rest)
    }

    /// Tells whether some path is in both shapes.
    pub(crate) fn meets(self, other: Self) -> bool {
        let (mut own, mut others) = (self.segments(), other.segments());
        loop {
            match (own.next(), others.next()) {
                (Some(one), Some(two)) if one == two || one == ANY || two == ANY => {}
                (Some(_), Some(_)) => return false,
                (None, None) => return self.below == other.below,
                (None, Some(_)) => return self.below,
                (Some(_), None) => return other.below,
            }
        }
    }
}

impl FromStr for PathPattern {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.is_empty() || text.len() > MAX_PATTERN_BYTES {
            return Err(PATTERN_LENGTH);
        }
        let (text, below) = match text.strip_suffix("**") {
            Some("") => return Ok(Self::everything()),
            Some(folder) => {
                let folder = folder.strip_suffix('/');
                (folder.ok_or(Malformed("** of a pattern is a whole segment, the last one"))?, true)
            }
            None => (text, false),
        };
        let mut segments = String::with_capacity(text.len());
        for (place, segment) in text.split('/').enumerate() {
            if place >= MAX_PATTERN_SEGMENTS {
                return Err(Malformed("a pattern has 256 segments at most"));
            }
            if place > 0 {
                segments.push('/');
            }
            if segment == "*" {
                segments.push_str(ANY);
            } else {
                segments.push_str(SecretPath::parse(name(segment)?)?.as_str());
            }
        }
        if segments.len() > MAX_PATH_BYTES {
            return Err(Malformed("a pattern matches paths of 512 bytes at most"));
        }
        Ok(Self { segments: segments.into(), below })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.shape().segments().enumerate() {
            if place > 0 {
                formatter.write_str("/")?;
            }
            if segment == ANY {
                formatter.write_str("*")?;
                continue;
            }
            for character in segment.chars() {
                match ESCAPES.iter().find(|(own, _)| *own == character) {
                    Some((_, escape)) => formatter.write_str(escape)?,
                    None => write!(formatter, "{character}")?,
                }
            }
        }
        match (self.below, self.segments.is_empty()) {
            (true, true) => formatter.write_str("**"),
            (true, false) => formatter.write_str("/**"),
            (false, _) => Ok(()),
        }
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{self}\"")
    }
}

/// The name that a segment of a pattern spells.
fn name(segment: &str) -> Result<String, Malformed> {
    let mut name = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(character) = rest.chars().next() {
        let escape = ESCAPES.iter().find(|(_, escape)| rest.starts_with(escape));
        let length = match (escape, character) {
            (Some((own, escape)), _) => {
                name.push(*own);
                escape.len()
            }
            (None, '*') => return Err(Malformed("* of a pattern is a whole segment; a * of a name is written %2A")),
            (None, '%') => return Err(Malformed("a pattern has no % but in %23, %25, %2A, %3A and %40")),
            (None, '#' | '@' | ':') => return Err(Malformed("a pattern has #, @ and : only as %23, %40 and %3A")),
            (None, plain) => {
                name.push(plain);
                plain.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(name)
}

/// Stands for `*`. A name has no control character.
const ANY: &str = "\0";

const ESCAPES: [(char, &str); 5] = [('%', "%25"), ('#', "%23"), ('@', "%40"), (':', "%3A"), ('*', "%2A")];
