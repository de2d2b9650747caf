//! Searches: each query, order and size of pages gives what a plain look at everything gives.

use std::collections::BTreeMap;

use manager_api::kind::{Class, SecretKind};
use manager_api::name::{SecretPath, TagKey, TagValue};
use manager_api::policy::PartyId;
use manager_api::rotation::RotationPlan;
use manager_api::secrets::SecretStatus;
use manager_api::tags::Tags;
use manager_policy::{Effect, SecretFacts, Visible};
use manager_registry::{Deletion, SecretRules};
use shared_proto::id::{EnvironmentId, SecretId, ServiceId, Subject};

use super::{Kit, NOW, rule, text};
use crate::{
    AboutVersion, ChangeOutcome, CreateOutcome, Details, FolderEntry, FolderQuery, ListedSecret, NewPlace, NewVersion,
    Order, OrderBy, SecretQuery, TagFilter, VersionRow,
};

const DAY: u64 = 24 * 60 * 60;
const FOLDERS: [&str; 4] = ["find/a", "find/a.b", "Find/É", "find/a/b"];
const MADE: usize = 64;

/// A secret as the test made it.
struct Made {
    facts: SecretFacts,
    kind: SecretKind,
    owner: Option<PartyId>,
    state: SecretStatus,
    created_at: u64,
    due_at: Option<u64>,
}

impl Kit<'_> {
    pub(super) async fn searches(&self) -> Result<(), String> {
        let new = super::environments::new_environment("searches")?;
        let made = self.store.create_environment(&self.may()?, new).await.map_err(text)?;
        let CreateOutcome::Made(other) = made else { return Err("one is made".to_owned()) };
        let owners = [ServiceId::generate(), ServiceId::generate()].map(|id| PartyId::Principal(Subject::Service(id)));
        let mut all = Vec::new();
        for number in 0..MADE {
            let environment = if number.is_multiple_of(3) { other.id } else { self.environment };
            all.push(self.make_one(number, environment, owners).await?);
        }
        let here = Some(self.environment);
        let lines = [
            vec![(Effect::Allow, None, "**")],
            vec![(Effect::Allow, here, "find/a/**"), (Effect::Allow, Some(other.id), "Find/**")],
            vec![(Effect::Allow, None, "*/*/*")],
            vec![
                (Effect::Allow, None, "**"),
                (Effect::Deny, here, "find/a/**"),
                (Effect::Deny, None, "find/a.b/key-7"),
            ],
        ];
        for lines in lines {
            let visible = self.listing(&lines)?;
            for query in queries(self.environment, owners, &all)? {
                for by in [OrderBy::Path, OrderBy::CreatedAt, OrderBy::DueAt, OrderBy::UpdatedAt] {
                    for descending in [false, true] {
                        let query = SecretQuery { order: Order { by, descending }, ..query.clone() };
                        self.finds(&visible, &query, &all).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes a secret that differs from its neighbours in everything.
    async fn make_one(&self, number: usize, environment: EnvironmentId, owners: [PartyId; 2]) -> Result<Made, String> {
        let pick = |choices: usize| number / 3 % choices;
        let folder = FOLDERS.get(number % FOLDERS.len()).copied().unwrap_or_default();
        let path = SecretPath::parse(format!("{folder}/key-{number}")).map_err(text)?;
        let tag = |key: &str, value: &str| {
            Ok::<_, String>((TagKey::parse(key).map_err(text)?, TagValue::parse(value).map_err(text)?))
        };
        let pairs = [tag("team", if pick(2) == 0 { "pay" } else { "web" })?, tag("zone", "é%_")?];
        let tags = Tags::new(pairs.into_iter().take(pick(3))).map_err(text)?;
        let kind = [None, Some(SecretKind::ApiKey), Some(SecretKind::Database)].get(pick(3)).copied().flatten();
        let owner = owners.get(pick(4)).copied();
        let rotation_days = (pick(5) == 0).then_some(7);
        // It counts before the period.
        let every_days = (pick(4) == 1).then_some(3);
        let rotation = every_days.map(|_| RotationPlan { every_days, ..RotationPlan::none() });
        let expires_at = (pick(7) == 0).then_some(NOW + 3 * DAY);
        let secret = SecretId::generate();
        let created_at = NOW + u64::try_from(number / 5).map_err(text)?;
        let new = self.new_version(secret, 1, &path)?;
        let (rules, row) = (SecretRules { tags, ..SecretRules::default() }, VersionRow { environment, ..new.row });
        let details = Details { kind, owner, rotation_days, rotation, ..Details::default() };
        let about = AboutVersion { expires_at, ..AboutVersion::default() };
        let new = NewVersion { row, rules: rules.clone(), details, about, now: created_at, ..new };
        if number.is_multiple_of(11) {
            // Nothing is due of what has no version yet.
            self.store.begin(&self.may()?, new).await.map_err(text)?;
        } else {
            self.written(new).await?;
        }
        let state = match number % 9 {
            4 => SecretStatus::Deleted,
            5 => SecretStatus::Destroyed,
            _ => SecretStatus::Active,
        };
        if state != SecretStatus::Active {
            let destroyed = state == SecretStatus::Destroyed;
            let deletion = Deletion { deleted_at: NOW, recoverable_until: NOW + 9, deleted_by: None, destroyed };
            let rules = SecretRules { deletion: Some(deletion), ..rules.clone() };
            let (details, if_revision, path) = (None, None, path.clone());
            let place = NewPlace { secret, environment, expected: 0, path, rules, details, if_revision };
            let changed = self.change_place(vec![place], Vec::new()).await?;
            rule(matches!(changed, ChangeOutcome::Made { .. }), "a secret is deleted")?;
        }
        let found = self.store.secret_facts(vec![secret]).await.map_err(text)?;
        let facts = found.into_iter().next().flatten().ok_or("the secret is there")?;
        let kind = kind.unwrap_or(SecretKind::Text);
        let class = Class::default_of(kind, environment == self.environment);
        let days = every_days.or(rotation_days).unwrap_or(class.rotation_days());
        let rotation = created_at + u64::from(days) * DAY;
        let is_due = state == SecretStatus::Active && !number.is_multiple_of(11);
        let due_at = is_due.then(|| expires_at.map_or(rotation, |ends| ends.min(rotation)));
        Ok(Made { facts, kind, owner, state, created_at, due_at })
    }

    /// The pages of a query are what is visible and fits, each once and in order.
    async fn finds(&self, visible: &Visible, query: &SecretQuery, all: &[Made]) -> Result<(), String> {
        let wanted = all.iter().filter(|made| visible.shows(&made.facts) && made.fits(query));
        let mut expected: Vec<&Made> = wanted.collect();
        let place = |made: &Made| (made.facts.environment, made.facts.path.clone());
        let due = |made: &Made| made.due_at.unwrap_or(u64::MAX);
        match query.order.by {
            OrderBy::Path | OrderBy::UpdatedAt => expected.sort_by_key(|made| place(made)),
            OrderBy::CreatedAt => expected.sort_by_key(|made| (made.created_at, made.facts.id)),
            OrderBy::DueAt => expected.sort_by_key(|made| (due(made), made.facts.id)),
        }
        if query.order.descending {
            expected.reverse();
        }
        let mut expected: Vec<SecretId> = expected.iter().map(|made| made.facts.id).collect();
        for limit in [1, 5, 500] {
            let rows = self.found(visible, query, limit).await?;
            let is_below = |row: &&ListedSecret| all.iter().any(|made| made.facts.id == row.secret);
            let mut found: Vec<SecretId> = rows.iter().filter(is_below).map(|row| row.secret).collect();
            if query.order.by == OrderBy::UpdatedAt {
                let times: Vec<u64> = rows.iter().map(|row| row.updated_at).collect();
                let sorted = if query.order.descending { times.is_sorted_by(|a, b| a >= b) } else { times.is_sorted() };
                rule(sorted, "a list is in the order of the last changes")?;
                found.sort_unstable();
                expected.sort_unstable();
            }
            if found != expected {
                return Err(format!("{query:?} finds what fits, in pages of {limit}: {found:?}, not {expected:?}"));
            }
            for row in rows.iter().filter(is_below) {
                let made = all.iter().find(|made| made.facts.id == row.secret).ok_or("it was made")?;
                let kind = row.details.as_ref().map(|details| (details.kind, details.details.owner));
                let is_true = (row.environment, &row.path, kind, row.created_at, row.due_at())
                    == (
                        made.facts.environment,
                        &made.facts.path,
                        Some((made.kind, made.owner)),
                        made.created_at,
                        made.due_at,
                    );
                rule(is_true && row.rules.tags == made.facts.tags, "a list says what the secret is")?;
            }
        }
        Ok(())
    }

    /// All rows of all pages.
    async fn found(&self, visible: &Visible, query: &SecretQuery, limit: usize) -> Result<Vec<ListedSecret>, String> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.secrets(visible, query.clone(), after, limit).await.map_err(text)?;
            rule(page.rows.len() <= limit, "a page has no more than it may have")?;
            rows.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(rows),
            }
        }
    }

    pub(super) async fn folders(&self) -> Result<(), String> {
        let hidden = [(Effect::Allow, None, "find/**"), (Effect::Deny, None, "find/a/b/**")];
        for lines in [vec![(Effect::Allow, None, "**")], hidden.to_vec()] {
            let visible = self.listing(&lines)?;
            for under in [None, Some("find"), Some("find/a"), Some("find.a"), Some("Find/É"), Some("nothing")] {
                let under = under.map(SecretPath::parse).transpose().map_err(text)?;
                self.is_folder(&visible, under).await?;
            }
        }
        Ok(())
    }

    /// The pages of a folder are what a plain look at everything finds in it.
    async fn is_folder(&self, visible: &Visible, under: Option<SecretPath>) -> Result<(), String> {
        let state = Some(SecretStatus::Active);
        let query = SecretQuery { environment: Some(self.environment), state, ..SecretQuery::default() };
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        let prefix = under.as_ref().map(|folder| format!("{}/", folder.as_str().replace("find.a", "find/a")));
        for row in self.found(visible, &query, 500).await? {
            let prefix = prefix.as_deref().unwrap_or_default();
            let Some(rest) = row.path.as_str().strip_prefix(prefix) else { continue };
            let name = rest.split_once('/').map_or(rest.to_owned(), |(name, _)| format!("{name}/"));
            *expected.entry(format!("{prefix}{name}")).or_default() += 1;
        }
        for limit in [1, 2, 500] {
            let (mut found, mut begins) = (BTreeMap::new(), None);
            loop {
                let query = FolderQuery { environment: self.environment, under: under.clone(), begins };
                let page = self.store.folders(visible, query, limit).await.map_err(text)?;
                rule(page.entries.len() <= limit, "a page of a folder has no more than it may have")?;
                for entry in page.entries {
                    let (path, count) = match entry {
                        FolderEntry::Secret { path, .. } => (path.as_str().to_owned(), 1),
                        FolderEntry::Folder { path, count, is_least: false } => (format!("{path}/"), count),
                        // Only as many as one page looks at.
                        FolderEntry::Folder { path, is_least: true, .. } => {
                            let path = format!("{path}/");
                            let count = expected.get(&path).copied().unwrap_or_default();
                            (path, count)
                        }
                    };
                    rule(found.insert(path, count).is_none(), "a name is in a folder once")?;
                }
                match page.next {
                    Some(next) => begins = Some(next),
                    None => break,
                }
            }
            rule(found == expected, "a folder has the names of what may be listed, and their numbers")?;
        }
        Ok(())
    }

    /// The index can be made again at any time.
    pub(super) async fn index(&self) -> Result<(), String> {
        let query = SecretQuery { order: Order { by: OrderBy::DueAt, descending: false }, ..SecretQuery::default() };
        let before = self.found(&self.sees(), &query, 7).await?;
        rule(self.store.is_indexed().await == Ok(false), "a new index is not known to be whole")?;
        let mut after = None;
        while let Some(last) = self.store.index(after, 3).await.map_err(text)? {
            after = Some(last);
        }
        rule(self.store.is_indexed().await == Ok(true), "it is once every secret was entered")?;
        rule(self.found(&self.sees(), &query, 7).await? == before, "and says the same as before")
    }
}

impl Made {
    fn fits(&self, query: &SecretQuery) -> bool {
        let path = self.facts.path.as_str();
        let dotted = |wanted: &SecretPath| [wanted.as_str().to_owned(), wanted.as_str().replace('.', "/")];
        let tag = |wanted: &TagFilter| {
            let own = self.facts.tags.get(&wanted.key);
            own.is_some() && (wanted.value.is_none() || own == wanted.value.as_ref())
        };
        query.environment.is_none_or(|wanted| wanted == self.facts.environment)
            && query.path.as_ref().is_none_or(|wanted| dotted(wanted).iter().any(|wanted| wanted == path))
            && query
                .under
                .as_ref()
                .is_none_or(|wanted| dotted(wanted).iter().any(|wanted| path.starts_with(&format!("{wanted}/"))))
            && query.name.as_ref().is_none_or(|wanted| path.to_lowercase().contains(&wanted.to_lowercase()))
            && query.tags.iter().all(tag)
            && query.kind.is_none_or(|wanted| wanted == self.kind)
            && query.owner.is_none_or(|wanted| self.owner == Some(wanted))
            && query.state.is_none_or(|wanted| wanted == self.state)
            && query.due_by.is_none_or(|wanted| self.due_at.is_some_and(|due| due <= wanted))
    }
}

/// Each condition alone, and some together. All of them are about what the test made.
fn queries(here: EnvironmentId, owners: [PartyId; 2], all: &[Made]) -> Result<Vec<SecretQuery>, String> {
    let path = |text: &str| SecretPath::parse(text).map(Some).map_err(|_| "a path".to_owned());
    let tag = |key: &str, value: Option<&str>| {
        let value = value.map(TagValue::parse).transpose().map_err(text)?;
        Ok::<_, String>(TagFilter { key: TagKey::parse(key).map_err(text)?, value })
    };
    let named = |name: &str| SecretQuery { name: Some(name.to_owned()), ..SecretQuery::default() };
    let one = all.get(7).map(|made| made.facts.path.clone());
    let under = SecretQuery { under: path("find/a")?, ..SecretQuery::default() };
    let tagged = |tags: Vec<TagFilter>| SecretQuery { tags, ..SecretQuery::default() };
    Ok(vec![
        SecretQuery::default(),
        SecretQuery { environment: Some(here), state: Some(SecretStatus::Active), ..SecretQuery::default() },
        SecretQuery { path: one, ..SecretQuery::default() },
        SecretQuery { under: path("find.a")?, ..SecretQuery::default() },
        under.clone(),
        named("KEY-1"),
        named("/é/"),
        named("-6"),
        named("%_"),
        named("\"key"),
        tagged(vec![tag("team", Some("pay"))?]),
        tagged(vec![tag("team", None)?, tag("zone", Some("é%_"))?]),
        tagged(vec![tag("zone", None)?]),
        tagged(vec![tag("none", None)?]),
        SecretQuery { kind: Some(SecretKind::ApiKey), ..SecretQuery::default() },
        SecretQuery { kind: Some(SecretKind::Text), state: Some(SecretStatus::Active), ..under.clone() },
        SecretQuery { owner: Some(owners[0]), ..SecretQuery::default() },
        SecretQuery { owner: Some(owners[1]), ..named("find") },
        SecretQuery { state: Some(SecretStatus::Deleted), ..SecretQuery::default() },
        SecretQuery { state: Some(SecretStatus::Destroyed), environment: Some(here), ..SecretQuery::default() },
        SecretQuery { due_by: Some(NOW + 4 * DAY), ..SecretQuery::default() },
        SecretQuery { due_by: Some(NOW + 100 * DAY), tags: vec![tag("team", None)?], ..under },
    ])
}
