//! The versions whose values may be compared.

use manager_api::name::SecretPath;
use manager_policy::{Action, Actor, Holder, Permit, Read, Scope, Visible};
use shared_proto::id::{EnvironmentId, SecretId, ServiceId, Subject, Version};

use super::{Kit, NOW, refused, rule, text};
use crate::{ActError, Closed, EnvironmentChange, Withheld};

impl Kit<'_> {
    pub(super) async fn comparisons(&self) -> Result<(), String> {
        let path = SecretPath::parse("compared/one").map_err(text)?;
        let secret = SecretId::generate();
        let numbers = [1, 2, 3].map(Version::new).into_iter().collect::<Result<Vec<_>, _>>().map_err(text)?;
        for number in 1..=3 {
            let new = self.new_version(secret, number, &path)?;
            self.store.begin(&self.may()?, new.clone()).await.map_err(text)?;
            if number < 3 {
                self.store.commit(secret, new.row.version, None).await.map_err(text)?;
            }
        }
        let [first, second, pending] = numbers.as_slice() else { return Err("three versions".to_owned()) };
        let ask = async |versions: Vec<Version>| {
            self.store.comparable(&self.may()?, secret, versions, Vec::new()).await.map_err(text)
        };
        let found = ask(vec![*second, *first]).await?;
        let versions = found.and_then(Result::ok).unwrap_or_default();
        let order: Vec<_> = versions.iter().map(|row| row.version).collect();
        rule(order == [*second, *first], "committed versions can be compared, in the order of the request")?;
        for (version, why) in [(*pending, "a pending"), (Version::LAST, "a missing")] {
            let found = ask(vec![*first, version]).await?;
            rule(found.is_none(), &format!("{why} version cannot be compared"))?;
        }
        let other: Permit<Read> =
            Permit::decide(&self.facts(), &self.actor, &Scope::Secret(SecretId::generate()), NOW).map_err(text)?;
        let asked = self.store.comparable(&other, secret, vec![*first], Vec::new()).await;
        refused(asked, ActError::OutsidePermit, "comparable")?;
        self.readable(secret, (*first, *second)).await?;
        self.not_of_a_frozen_environment(secret, *first).await
    }

    async fn readable(&self, secret: SecretId, (first, second): (Version, Version)) -> Result<(), String> {
        let decide = |actor: &Actor| Visible::decide_about(&self.facts(), actor, Action::Read, NOW);
        let all = decide(&self.actor);
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page =
                self.store.readable_envelopes((&all, Vec::new()), self.environment, after, 1).await.map_err(text)?;
            rule(page.envelopes.len() <= 1, "a page of envelopes keeps its limit")?;
            seen.extend(page.envelopes);
            let Some(next) = page.next else { break };
            rule(after.is_none_or(|last| last < next), "pages of envelopes go forward")?;
            after = Some(next);
        }
        let mine: Vec<_> = seen.iter().filter(|(found, _)| *found == secret).map(|(_, number)| *number).collect();
        rule(mine == [first, second], "every committed envelope is found once, and no pending one")?;
        rule(seen.is_sorted(), "envelopes come in order")?;
        let whole =
            self.store.readable_envelopes((&all, Vec::new()), self.environment, None, 999).await.map_err(text)?;
        rule(whole.envelopes == seen && whole.next.is_none(), "one large page has the same")?;
        let elsewhere = self.store.readable_envelopes((&all, Vec::new()), EnvironmentId::generate(), None, 999).await;
        rule(elsewhere.is_ok_and(|page| page.envelopes.is_empty()), "envelopes of other environments are left out")?;
        let nobody = Actor { holder: Holder::Principal(Subject::Service(ServiceId::generate())), ..self.actor.clone() };
        let none = self.store.readable_envelopes((&decide(&nobody), Vec::new()), self.environment, None, 999).await;
        rule(none.is_ok_and(|page| page.envelopes.is_empty()), "nobody finds what he may not read")
    }

    async fn not_of_a_frozen_environment(&self, secret: SecretId, version: Version) -> Result<(), String> {
        for (change, expected) in
            [(EnvironmentChange::Freeze(NOW), Some(Closed::Frozen)), (EnvironmentChange::Unfreeze, None)]
        {
            self.store.change_environment(&self.may()?, self.environment, change).await.map_err(text)?;
            let found = self.store.comparable(&self.may()?, secret, vec![version], Vec::new()).await.map_err(text)?;
            let closed = found.and_then(Result::err);
            rule(closed == expected.map(Withheld::Closed), "nothing of a frozen environment is compared")?;
        }
        Ok(())
    }
}
