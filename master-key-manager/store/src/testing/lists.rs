//! Pages of a list: together they are what the caller may see, each once, in order.

use std::sync::Arc;

use manager_api::id::PermissionId;
use manager_api::name::SecretPath;
use manager_api::tags::Tags;
use manager_policy::{
    Action, Effect, Facts, Holder, Line, Note, Party, PathPattern, Period, Permission, Reach, State, Visible,
};
use shared_proto::id::{EnvironmentId, SecretId};

use super::{Kit, NOW, rule, text};
use crate::{CreateOutcome, Environment, NewVersion, VersionRow};

/// Paths with twins: prefixes of each other, folders beside secrets, characters around `/`.
const PATHS: [&str; 9] =
    ["page/a", "page/a-b", "page/a/b", "page/a/b/c", "page/a.b", "page/a0", "page/b", "page/\u{10ffff}", "page0"];

/// A secret as the list shows it.
type Shown = (EnvironmentId, String, SecretId);

impl Kit<'_> {
    pub(super) async fn pages(&self) -> Result<(), String> {
        let new = super::environments::new_environment("pages")?;
        let made = self.store.create_environment(&self.may()?, new).await.map_err(text)?;
        let CreateOutcome::Made(Environment { id: other, .. }) = made else { return Err("one is made".to_owned()) };
        let mut versions = 0;
        for environment in [self.environment, other] {
            for path in PATHS {
                let path = SecretPath::parse(path).map_err(text)?;
                let (secret, count) = (SecretId::generate(), 1 + versions % 3);
                for number in 1..=count {
                    let new = self.new_version(secret, number, &path)?;
                    let row = VersionRow { environment, ..new.row };
                    self.store.begin(&self.may()?, NewVersion { row, ..new }).await.map_err(text)?;
                }
                versions += count;
            }
        }
        let here = Some(self.environment);
        for (lines, environments) in [
            (vec![(Effect::Allow, None, "**")], vec![None, here, Some(other)]),
            (vec![(Effect::Allow, here, "page/**")], vec![None, here, Some(other)]),
            (vec![(Effect::Allow, None, "page/a/**"), (Effect::Allow, here, "page/a")], vec![None]),
            (vec![(Effect::Allow, None, "page/a/b/**"), (Effect::Allow, here, "page/a/**")], vec![None, here]),
            (vec![(Effect::Allow, None, "**"), (Effect::Deny, here, "page/**")], vec![None, here]),
            (vec![(Effect::Allow, None, "*/a/*"), (Effect::Allow, Some(other), "page/b")], vec![None, here]),
            (vec![(Effect::Allow, None, "page/**"), (Effect::Deny, None, "page/a/b")], vec![None]),
        ] {
            let visible = self.listing(&lines)?;
            for environment in environments {
                self.is_paged(&visible, environment).await?;
            }
        }
        Ok(())
    }

    /// The pages of each size are all that is visible, by one look at everything.
    async fn is_paged(&self, visible: &Visible, environment: Option<EnvironmentId>) -> Result<(), String> {
        let all = self.shown(&self.sees(), None, 500).await?;
        let is_seen = |(at, path, ..): &Shown| {
            let path = SecretPath::parse(path.as_str());
            environment.is_none_or(|only| only == *at)
                && path.is_ok_and(|path| visible.shows_secret(*at, &path, &Tags::default()))
        };
        let expected: Vec<Shown> = all.into_iter().filter(is_seen).collect();
        rule(!expected.is_empty() || environment.is_some(), "something is visible")?;
        for limit in [1, 2, 3, 7, 100] {
            let shown = self.shown(visible, environment, limit).await?;
            rule(shown == expected, "the pages of a list together are what is visible, each once, in order")?;
        }
        Ok(())
    }

    async fn shown(
        &self,
        visible: &Visible,
        environment: Option<EnvironmentId>,
        limit: usize,
    ) -> Result<Vec<Shown>, String> {
        let (mut shown, mut after): (Vec<Shown>, _) = (Vec::new(), None);
        loop {
            let page = self.list(visible, environment, after, limit).await?;
            let before = shown.len();
            shown.extend(page.rows.iter().map(|row| (row.environment, row.path.as_str().to_owned(), row.secret)));
            let place = |(environment, path, _): &Shown| (*environment, path.clone());
            let places: Vec<_> = shown.iter().map(place).collect();
            rule(places.is_sorted_by(|one, next| one < next), "a list is in order, and names nothing twice")?;
            rule(shown.len() - before <= limit, "a page has no more than it may have")?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(shown),
            }
        }
    }

    /// What the administrator sees with these lines about listing alone.
    pub(super) fn listing(&self, lines: &[(Effect, Option<EnvironmentId>, &str)]) -> Result<Visible, String> {
        let Holder::Principal(subject) = self.actor.holder else { return Err("the administrator is known".to_owned()) };
        let line = |(effect, environment, pattern): &(Effect, Option<EnvironmentId>, &str)| {
            let pattern: PathPattern = pattern.parse().map_err(text)?;
            Ok(Arc::new(Line::Permission(Permission {
                id: PermissionId::generate(),
                party: Party::Principal(subject),
                effect: *effect,
                actions: [Action::List].into_iter().collect(),
                reach: Reach { environment: *environment, pattern },
                condition: Tags::default(),
                period: Period::ALWAYS,
                note: Note { author: None, reason: None },
            })))
        };
        let lines = lines.iter().map(line).collect::<Result<_, String>>()?;
        let state = State { lines, ..self.facts().state().clone() };
        Ok(Visible::decide(&Facts::new(self.facts().epoch(), state), &self.actor, NOW))
    }
}
