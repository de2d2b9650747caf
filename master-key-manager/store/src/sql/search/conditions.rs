//! The conditions of a query: as parameters of statements, as pools, and as what a secret must say itself.

use manager_api::kind::SecretKind;
use manager_api::name::SecretPath;
use manager_api::secrets::SecretStatus;
use service_runtime::sql::{Param, SqlError, Tx};

use super::found::status;
use super::index::{NEVER, folded, tag_text, word};
use super::ranges::{Paths, below, common, only, readings};
use super::statements::{DUE, NAMED_IN_FILE, NAMED_ON_SERVER, OF_KIND, OF_OWNER, OF_STATE, Pool, WITH_KEY, WITH_TAG};
use crate::{ListedSecret, SecretQuery, TagFilter};

/// The shortest text that an index of names finds.
const INDEXED_CHARACTERS: usize = 3;

/// The conditions of a query as the last parameters of a statement.
pub(super) struct Conditions {
    kind: &'static str,
    owner: String,
    state: &'static str,
    name: String,
    due_by: u64,
    tags: String,
}

impl Conditions {
    pub(super) fn of(query: &SecretQuery) -> Self {
        // One tag is compared by the index, the others with what the secret says.
        let tags = query.tags.first().map(|tag| match &tag.value {
            Some(value) => tag_text(tag.key.as_str(), Some(value.as_str())),
            None => tag_text(tag.key.as_str(), None),
        });
        Self {
            kind: query.kind.map_or("", SecretKind::as_str),
            owner: query.owner.map(|owner| owner.to_string()).unwrap_or_default(),
            state: query.state.map_or("", word),
            name: query.name.as_ref().map_or_else(|| "%".to_owned(), |name| pattern(&folded(name))),
            due_by: query.due_by.unwrap_or(NEVER),
            tags: tags.map_or_else(|| "%".to_owned(), |tag| pattern(&tag)),
        }
    }

    pub(super) fn params(&self) -> [&dyn Param; 6] {
        let Self { kind, owner, state, name, due_by, tags } = self;
        [kind, owner, state, name, due_by, tags]
    }
}

/// The paths that a query wants; `None` for all.
pub(super) fn wanted(query: &SecretQuery) -> Option<Vec<Paths>> {
    let paths = query.path.as_ref().map(|path| readings(path, only));
    let folders = query.under.as_ref().map(|folder| readings(folder, below));
    match (paths, folders) {
        (Some(paths), Some(folders)) => Some(common(&paths, &folders)),
        (paths, folders) => paths.or(folders),
    }
}

impl SecretQuery {
    /// Tells whether a secret meets every condition.
    pub(super) fn fits(&self, listed: &ListedSecret) -> bool {
        let path = |wanted: &SecretPath| readings(wanted, only);
        let folder = |wanted: &SecretPath| readings(wanted, below);
        let lies = |ranges: Vec<Paths>| {
            ranges.iter().any(|(first, end)| (first.as_str()..end.as_str()).contains(&listed.path.as_str()))
        };
        let details = listed.details.as_ref();
        self.environment.is_none_or(|wanted| wanted == listed.environment)
            && self.path.as_ref().is_none_or(|wanted| lies(path(wanted)))
            && self.under.as_ref().is_none_or(|wanted| lies(folder(wanted)))
            && self.name.as_ref().is_none_or(|wanted| folded(listed.path.as_str()).contains(&folded(wanted)))
            && self.tags.iter().all(|wanted| wanted.fits(listed))
            && self.kind.is_none_or(|wanted| details.is_some_and(|details| details.kind == wanted))
            && self.owner.is_none_or(|wanted| details.is_some_and(|details| details.details.owner == Some(wanted)))
            && self.state.is_none_or(|wanted| status(listed.rules.deletion.as_ref()) == wanted)
            && self.due_by.is_none_or(|wanted| listed.due_at().is_some_and(|due| due <= wanted))
    }
}

/// Statements and parameters for conditions that few rows may meet.
pub(super) fn pools(query: &SecretQuery, tx: &mut Tx<'_>) -> Result<Vec<(Pool, Vec<Parameter>)>, SqlError> {
    let mut pools = Vec::new();
    if let Some(name) = query.name.as_ref().map(|name| folded(name))
        && name.chars().count() >= INDEXED_CHARACTERS
    {
        if tx.choose("file", "server") == "file" {
            pools.push((NAMED_IN_FILE, vec![Parameter::Text(format!("\"{}\"", name.replace('"', "\"\"")))]));
        } else if tx.exists("SELECT 1 WHERE to_regclass('search_names') IS NOT NULL", &[])? {
            pools.push((NAMED_ON_SERVER, vec![Parameter::Text(pattern(&name))]));
        }
    }
    for TagFilter { key, value } in &query.tags {
        let key = Parameter::Text(key.as_str().to_owned());
        pools.push(match value {
            Some(value) => (WITH_TAG, vec![key, Parameter::Text(value.as_str().to_owned())]),
            None => (WITH_KEY, vec![key]),
        });
    }
    pools.extend(query.owner.map(|owner| (OF_OWNER, vec![Parameter::Text(owner.to_string())])));
    let state = query.state.filter(|state| *state != SecretStatus::Active);
    pools.extend(state.map(|state| (OF_STATE, vec![Parameter::Text(word(state).to_owned())])));
    pools.extend(query.due_by.map(|due| (DUE, vec![Parameter::Number(due)])));
    pools.extend(query.kind.map(|kind| (OF_KIND, vec![Parameter::Text(kind.as_str().to_owned())])));
    Ok(pools)
}

impl TagFilter {
    fn fits(&self, listed: &ListedSecret) -> bool {
        let own = listed.rules.tags.get(&self.key);
        own.is_some_and(|own| self.value.as_ref().is_none_or(|value| own == value))
    }
}

/// A parameter that lives as long as its page.
pub(super) enum Parameter {
    Text(String),
    Number(u64),
}

impl Parameter {
    fn as_param(&self) -> &dyn Param {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number,
        }
    }
}

pub(super) fn borrowed(params: &[Parameter]) -> Vec<&dyn Param> {
    params.iter().map(Parameter::as_param).collect()
}

/// The pattern of what has a text in it. Its signs stand for themselves.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
