//! The query of the list of secrets.

use std::str::FromStr;

use manager_api::cursor::SecretCursor;
use manager_api::kind::SecretKind;
use manager_api::name::{EnvironmentName, SecretPath};
use manager_api::policy::PartyId;
use manager_api::search::{MAX_DUE_DAYS, MAX_TAG_FILTERS, NamePart, SecretSort, SortBy, StateFilter, TagSelector};
use manager_api::secrets::SecretStatus;
use manager_store::{Order, OrderBy, SecretQuery, TagFilter};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use shared_proto::Malformed;
use shared_proto::id::EnvironmentId;

use crate::http::Page;

const DAY: u64 = 24 * 60 * 60;

/// The parameters of a list. One of them may be repeated, so that they are read one by one.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) environment: Option<EnvironmentName>,
    path: Option<SecretPath>,
    under: Option<SecretPath>,
    name: Option<NamePart>,
    tags: Vec<TagSelector>,
    kind: Option<SecretKind>,
    owner: Option<PartyId>,
    state: Option<StateFilter>,
    due_within: Option<u64>,
    pub(super) sort: SecretSort,
    pub(super) after: Option<SecretCursor>,
    pub(super) limit: Page,
}

impl Asked {
    /// The query that they stand for.
    pub(super) fn into_query(self, environment: Option<EnvironmentId>, now: u64) -> SecretQuery {
        let state = match self.state {
            None => Some(SecretStatus::Active),
            Some(StateFilter::Only(state)) => Some(state),
            Some(StateFilter::All) => None,
        };
        let by = match self.sort.by {
            SortBy::Path => OrderBy::Path,
            SortBy::CreatedAt => OrderBy::CreatedAt,
            SortBy::UpdatedAt => OrderBy::UpdatedAt,
            SortBy::DueAt => OrderBy::DueAt,
        };
        SecretQuery {
            environment,
            path: self.path,
            under: self.under,
            name: self.name.map(|name| name.as_str().to_owned()),
            tags: self.tags.into_iter().map(|TagSelector { key, value }| TagFilter { key, value }).collect(),
            kind: self.kind,
            owner: self.owner,
            state,
            due_by: self.due_within.map(|days| now.saturating_add(days * DAY)),
            order: Order { by, descending: self.sort.descending },
        }
    }
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<(String, String)>::deserialize(deserializer)?;
        Self::read(pairs).map_err(|wrong| match wrong {
            Wrong::Name(rule) => rule.into_name_error(),
            Wrong::Outside => D::Error::custom("a parameter is unknown, repeated or out of its range"),
        })
    }
}

/// The reason why a query is refused.
enum Wrong {
    /// A name breaks a rule.
    Name(Malformed),
    /// A parameter is unknown, repeated, or outside its range.
    Outside,
}

impl Asked {
    fn read(pairs: Vec<(String, String)>) -> Result<Self, Wrong> {
        let mut asked = Self::default();
        let (mut sort, mut limit) = (None, None);
        for (name, text) in pairs {
            match name.as_str() {
                "environment" => once(&mut asked.environment, EnvironmentName::parse(text).map_err(Wrong::Name)?)?,
                "path" => once(&mut asked.path, SecretPath::parse(text).map_err(Wrong::Name)?)?,
                "under" => once(&mut asked.under, SecretPath::parse(text).map_err(Wrong::Name)?)?,
                "q" => once(&mut asked.name, NamePart::parse(text).map_err(outside)?)?,
                "tag" if asked.tags.len() < MAX_TAG_FILTERS => asked.tags.push(parsed(&text)?),
                "kind" => once(&mut asked.kind, parsed(&text)?)?,
                "owner" => once(&mut asked.owner, parsed(&text)?)?,
                "state" => once(&mut asked.state, parsed(&text)?)?,
                "due_within" => once(&mut asked.due_within, number(&text, MAX_DUE_DAYS)?)?,
                "sort" => once(&mut sort, parsed(&text)?)?,
                "after" => once(&mut asked.after, SecretCursor::parse(text).map_err(outside)?)?,
                "limit" => once(&mut limit, Page::try_from(parsed::<usize>(&text)?).map_err(outside)?)?,
                _ => return Err(Wrong::Outside),
            }
        }
        (asked.sort, asked.limit) = (sort.unwrap_or_default(), limit.unwrap_or_default());
        Ok(asked)
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Wrong> {
    if place.replace(value).is_some() { Err(Wrong::Outside) } else { Ok(()) }
}

fn parsed<T: FromStr>(text: &str) -> Result<T, Wrong> {
    text.parse().map_err(outside)
}

/// A number in plain digits.
fn number(text: &str, most: u64) -> Result<u64, Wrong> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| plain && *number <= most).ok_or(Wrong::Outside)
}

fn outside<T>(_: T) -> Wrong {
    Wrong::Outside
}
