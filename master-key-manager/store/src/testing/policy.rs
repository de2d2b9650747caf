//! Permits: they count while all that they were decided from is as it was, and for their target only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use manager_api::id::PermissionId;
use manager_api::name::SecretPath;
use manager_api::tags::Tags;
use manager_policy::{
    Action, ActionType, Actor, Effect, Facts, Holder, KnownEnvironments, Line, List, ManageEnvironments, Note, Party,
    PathPattern, Period, Permission, Permit, PolicyEpoch, Reach, Read, Ruling, Scope, Share, State, Visible, decide,
};
use shared_proto::event::Event;
use shared_proto::id::{EnvironmentId, SecretId, ServiceId, Subject, TokenId, Version};

use super::environments::new_environment;
use super::{Kit, NOW, refused, rule, signer, text};
use crate::{
    AboutVersion, ActError, CommitOutcome, Decision, EnvironmentChange, FolderQuery, NewRollback, NewVersion,
    Promotion, ReadPermits, SecretQuery, TokenDecision, TokenRequest, Verified,
};

impl Kit<'_> {
    pub(super) async fn permits(&self) -> Result<(), String> {
        let all = |actor: &Actor| Action::ALL.iter().filter(|one| self.allows(actor, **one)).collect::<Vec<_>>();
        rule(all(&self.actor).len() == Action::ALL.len(), "the administrator may all")?;
        let strangers = all(&self.anonymous);
        rule(strangers == [&Action::Read, &Action::Write], "in development mode strangers write, and read it")?;
        let nobody = Actor { holder: Holder::Principal(Subject::Service(ServiceId::generate())), ..self.actor.clone() };
        rule(all(&nobody).is_empty(), "nobody else may anything")?;
        self.changed_policy().await?;
        self.other_targets().await?;
        self.lists().await
    }

    fn allows(&self, actor: &Actor, action: Action) -> bool {
        matches!(decide(&self.facts(), actor, action, &Scope::Installation, NOW), Ruling::Allowed(_))
    }

    fn only<A: ActionType>(&self, scope: &Scope) -> Result<Permit<A>, String> {
        Permit::decide(&self.facts(), &self.actor, scope, NOW).map_err(text)
    }

    async fn changed_policy(&self) -> Result<(), String> {
        let new = self.new_version(SecretId::generate(), 1, &SecretPath::parse("changed").map_err(text)?)?;
        self.store.begin(&self.may()?, new.clone()).await.map_err(text)?;
        let PolicyEpoch(now) = self.facts().epoch();
        for epoch in [0, now + 1] {
            let other = Facts::new(PolicyEpoch(epoch), self.facts().state().clone());
            self.refuses_all(&other, &new, ActError::PolicyChanged).await?;
            let stale = Permit::decide(&other, &self.actor, &Scope::Installation, NOW).map_err(text)?;
            let stale = Decision::revoke_tokens(&stale, Event::All).map_err(text)?;
            let both = self.store.number(vec![self.revocation(Event::All)?, stale], signer(), NOW).await;
            refused(both, ActError::PolicyChanged, "number of two decisions, one with another permit,")?;
            let permit = Permit::decide(&other, &self.actor, &Scope::Secret(new.row.secret), NOW).map_err(text)?;
            let token = Some((permit, self.new_token(&new.row)));
            let committed = self.store.commit(new.row.secret, new.row.version, token).await;
            rule(committed == Ok(CommitOutcome::WithoutToken), "a permit of another epoch gives no token")?;
        }
        Ok(())
    }

    /// No method acts for permits that were decided from these facts.
    pub(super) async fn refuses_all(&self, facts: &Facts, known: &NewVersion, why: ActError) -> Result<(), String> {
        fn may<A: ActionType>((facts, actor): (&Facts, &Actor)) -> Result<Permit<A>, String> {
            Permit::decide(facts, actor, &Scope::Installation, NOW).map_err(text)
        }
        let (store, by) = (self.store, (facts, &self.actor));
        let (secret, version, path) = (known.row.secret, known.row.version, known.path.clone());
        let look = may::<List>(by)?.to_look();
        let next = self.new_version(secret, 2, &path)?;
        let permit = may::<Read>(by)?;
        let (stale, actor) = (facts.clone(), self.actor.clone());
        let permits = ReadPermits::new(move |_| Permit::decide(&stale, &actor, permit.scope(), NOW).ok());
        let order = TokenRequest { permits, ..self.new_order(vec![(secret, None)]) };
        let decision = Decision::revoke_tokens(&may::<Share>(by)?, Event::All).map_err(text)?;
        let subject = Subject::Service(ServiceId::generate());
        // A version that can be minted for, so that nothing but the permit refuses.
        store.commit(secret, version, None).await.map_err(text)?;
        let before = (store.newest_event().await, store.deferred().await);
        refused(store.look_again(&may(by)?).await, why, "look_again")?;
        let basis = Visible::decide(facts, by.1, NOW).basis();
        refused(store.look_again_at(basis).await, why, "look_again_at")?;
        refused(store.own_tokens(basis, vec![self.credential], None, 9, NOW).await, why, "own_tokens")?;
        refused(store.own_token(basis, vec![self.credential], TokenId::generate()).await, why, "own_token")?;
        refused(store.secret_at(&may(by)?, self.environment, path).await, why, "secret_at")?;
        refused(store.secret(&look, secret).await, why, "secret")?;
        refused(store.version(&look, secret, version).await, why, "version")?;
        refused(store.comparable(&may(by)?, secret, vec![version], Vec::new()).await, why, "comparable")?;
        let readable = Visible::decide_about(facts, by.1, Action::Read, NOW);
        let envelopes = store.readable_envelopes((&readable, Vec::new()), self.environment, None, 9);
        refused(envelopes.await, why, "readable_envelopes")?;
        refused(store.begin(&may(by)?, next).await, why, "begin")?;
        let (visible, query) = (Visible::decide(facts, by.1, NOW), SecretQuery::default());
        refused(store.secrets(&visible, query, None, 9).await, why, "secrets")?;
        let query = FolderQuery { environment: self.environment, under: None, begins: None };
        refused(store.folders(&visible, query, 9).await, why, "folders")?;
        refused(store.missing(&may(by)?, Vec::new()).await, why, "missing")?;
        refused(store.adopt(&may(by)?, Vec::new(), NOW).await, why, "adopt")?;
        refused(store.move_back(&may(by)?, Vec::new()).await, why, "move_back")?;
        refused(store.idempotent(&look, subject, "key".to_owned(), NOW).await, why, "idempotent")?;
        refused(
            store.begin_rotation(&may(by)?, self.new_version(secret, 2, &known.path)?).await,
            why,
            "begin_rotation",
        )?;
        let promotion = Promotion { secret, version: None, unverified: true, grace_seconds: None, now: NOW };
        refused(store.promote(&may(by)?, promotion).await, why, "promote")?;
        let verified = Verified { at: NOW, by: None };
        refused(store.verify_rotation(&may(by)?, (secret, None), verified).await, why, "verify_rotation")?;
        refused(store.finish_rotation(&may(by)?, (secret, None), None, NOW).await, why, "finish_rotation")?;
        refused(store.give_up_rotation(&may(by)?, secret).await, why, "give_up_rotation")?;
        let visible = Visible::decide(facts, by.1, NOW);
        refused(store.due_rotations(&visible, (0, NOW), None, 9).await, why, "due_rotations")?;
        refused(store.notices(&visible, 0, 9).await, why, "notices")?;
        refused(store.decide_token(order).await, why, "decide_token")?;
        refused(store.tokens(&may(by)?, None, 9, NOW).await, why, "tokens")?;
        refused(store.revocations(&may(by)?, 0, 9).await, why, "revocations")?;
        let (environment, change) = (self.environment, EnvironmentChange::Unfreeze);
        let known = KnownEnvironments::decide(facts, by.1, NOW);
        refused(store.look_again_at(known.basis()).await, why, "look_again_at")?;
        refused(store.environment_page(&known, None, 9).await, why, "environment_page")?;
        refused(store.environment(&known, environment).await, why, "environment")?;
        refused(store.create_environment(&may(by)?, new_environment("late")?).await, why, "create_environment")?;
        refused(store.change_environment(&may(by)?, environment, change).await, why, "change_environment")?;
        refused(store.number(vec![decision], signer(), NOW).await, why, "number")?;
        refused(store.defer(vec![decision], NOW).await, why, "defer")?;
        refused(store.subject_of(&may(by)?, self.label.clone()).await, why, "subject_of")?;
        let secret = SecretId::generate();
        let back = NewRollback {
            secret,
            version: Version::FIRST,
            target: Version::FIRST,
            if_version: None,
            about: AboutVersion::default(),
            ends_with_target: true,
            idempotency: None,
            now: NOW,
        };
        refused(store.begin_rollback(&may(by)?, back).await, why, "begin_rollback")?;
        refused(store.destroy(&may(by)?, secret, Vec::new(), None, NOW).await, why, "destroy")?;
        let after = (store.newest_event().await, store.deferred().await);
        rule(before == after, "a refused decision leaves nothing behind")
    }

    async fn other_targets(&self) -> Result<(), String> {
        let new = self.new_version(SecretId::generate(), 1, &SecretPath::parse("target/one").map_err(text)?)?;
        let (secret, environment) = (new.row.secret, self.environment);
        self.store.begin(&self.may()?, new.clone()).await.map_err(text)?;
        let why = ActError::OutsidePermit;
        let (twin, next) = (SecretPath::parse("target/on").map_err(text)?, self.new_version(secret, 2, &new.path)?);
        let foreign = Scope::Path(EnvironmentId::generate(), new.path.clone());
        for scope in [Scope::Path(environment, twin), foreign, Scope::Secret(secret)] {
            let write = self.only(&scope)?;
            refused(self.store.begin(&write, next.clone()).await, why, "begin of another path")?;
            refused(self.store.secret_at(&write, environment, new.path.clone()).await, why, "secret_at another path")?;
        }
        let other = Scope::Secret(SecretId::generate());
        let look = self.only::<List>(&other)?.to_look();
        refused(self.store.secret(&look, secret).await, why, "secret of another id")?;
        refused(self.store.version(&look, secret, Version::FIRST).await, why, "version of another secret")?;
        self.store.commit(secret, Version::FIRST, None).await.map_err(text)?;
        let (facts, actor, elsewhere) = (self.facts(), self.actor.clone(), other.clone());
        let permits = ReadPermits::new(move |_| Permit::decide(&facts, &actor, &elsewhere, NOW).ok());
        let order = TokenRequest { permits, ..self.new_order(vec![(secret, None)]) };
        refused(self.store.decide_token(order).await, why, "decide_token for another secret")?;
        let token = Some((self.only(&other)?, self.new_token(&new.row)));
        refused(self.store.commit(secret, Version::FIRST, token).await, why, "commit with a token for another secret")?;
        let (facts, two, asked) = (self.facts(), [self.actor.clone(), self.anonymous.clone()], AtomicUsize::new(0));
        let permits = ReadPermits::new(move |secret| {
            let [one, other] = &two;
            let actor = if asked.fetch_add(1, Ordering::SeqCst) % 2 == 0 { one } else { other };
            Permit::decide(&facts, actor, secret, NOW).ok()
        });
        let order = TokenRequest { permits, ..self.new_order(vec![(secret, None), (secret, None)]) };
        refused(self.store.decide_token(order).await, why, "decide_token for two callers")?;
        let denied = TokenRequest { permits: ReadPermits::new(|_| None), ..self.new_order(vec![(secret, None)]) };
        let denied = self.store.decide_token(denied).await;
        rule(matches!(denied, Ok(TokenDecision::NotFound)), "who may not read a secret is told that it is missing")?;
        let (version, target) = (new.row.version, Version::FIRST);
        let back = NewRollback {
            secret,
            version,
            target,
            if_version: None,
            about: AboutVersion::default(),
            ends_with_target: true,
            idempotency: None,
            now: NOW,
        };
        refused(self.store.begin_rollback(&self.only(&other)?, back).await, why, "rollback of another secret")?;
        let destroyed = self.store.destroy(&self.only(&other)?, secret, vec![Version::FIRST], None, NOW).await;
        refused(destroyed, why, "destruction of another secret")?;
        let share = self.only(&other)?;
        refused(Decision::revoke_tokens(&share, Event::Secret(secret)), why, "revocation of another secret")?;
        refused(Decision::revoke_tokens(&share, Event::All), why, "revocation of all for one secret")?;
        let destroy = Event::Destroy(environment, secret, Version::FIRST);
        refused(Decision::revoke_tokens(&self.may()?, destroy), why, "destruction as a revocation")?;
        let strange = Scope::Environment(EnvironmentId::generate());
        let manage = self.only::<ManageEnvironments>(&strange)?;
        let change = self.store.change_environment(&manage, environment, EnvironmentChange::Unfreeze).await;
        refused(change, why, "change of another environment")?;
        refused(Decision::disable_environment(&manage, environment), why, "disabling of another environment")?;
        let new = self.store.create_environment(&manage, new_environment("late")?).await;
        refused(new, why, "create_environment for one environment")?;
        let narrow = self.store.tokens(&self.only(&other)?, None, 9, NOW).await;
        refused(narrow, why, "tokens of all for one secret")
    }

    /// One who may list in another environment knows that one alone.
    async fn environments_of_others(&self, state: State, line: Line) -> Result<(), String> {
        let known = |lines: Vec<Arc<Line>>| {
            let facts = Facts::new(self.facts().epoch(), State { lines, ..state.clone() });
            KnownEnvironments::decide(&facts, &self.actor, NOW)
        };
        for hidden in [known(Vec::new()), known(vec![Arc::new(line)])] {
            let page = self.store.environment_page(&hidden, None, 99).await;
            rule(page == Ok(Vec::new()), "an environment in which nothing is allowed is in no list")?;
            let found = self.store.environment(&hidden, self.environment).await;
            rule(found == Ok(None), "and looks like an unknown one")?;
        }
        Ok(())
    }

    async fn lists(&self) -> Result<(), String> {
        let Holder::Principal(subject) = self.actor.holder else { return Err("the administrator is known".to_owned()) };
        let listing = |reaches: &[Reach], action: Action| {
            let line = |reach: &Reach| Arc::new(allows(subject, reach, action));
            let state = State { lines: reaches.iter().map(line).collect(), ..self.facts().state().clone() };
            Visible::decide(&Facts::new(self.facts().epoch(), state), &self.actor, NOW)
        };
        let elsewhere = Reach { environment: Some(EnvironmentId::generate()), pattern: PathPattern::everything() };
        let line = allows(subject, &elsewhere, Action::List);
        self.environments_of_others(self.facts().state().clone(), line).await?;
        let all = self.list(&self.sees(), None, None, 99).await?.rows;
        for hidden in [listing(&[], Action::List), listing(&[Reach::everything()], Action::Read)] {
            let seen = self.list(&hidden, None, None, 99).await?;
            rule(seen.rows.is_empty() && seen.next.is_none(), "who may list nothing sees nothing")?;
        }
        let pattern = PathPattern::below(&SecretPath::parse("target").map_err(text)?);
        let folder = Reach { environment: Some(self.environment), pattern };
        let part = self.list(&listing(&[folder], Action::List), None, None, 99).await?.rows;
        rule(part.len() == 1 && part.len() < all.len(), "a list has what may be listed")?;
        rule(part.iter().all(|row| row.path.as_str() == "target/one"), "and nothing else")
    }
}

fn allows(subject: Subject, reach: &Reach, action: Action) -> Line {
    Line::Permission(Permission {
        id: PermissionId::generate(),
        party: Party::Principal(subject),
        effect: Effect::Allow,
        actions: [action].into_iter().collect(),
        reach: reach.clone(),
        condition: Tags::default(),
        period: Period::ALWAYS,
        note: Note { author: None, reason: None },
    })
}
