//! Environments: made once, listed in order, changed, frozen, disabled.

use manager_api::name::{DisplayName, EnvironmentName, SecretPath};
use shared_proto::encoding::Bytes;
use shared_proto::id::{EnvironmentId, SecretId, Version};

use super::{Kit, NOW, rule, signer, text};
use crate::{
    BeginOutcome, Closed, CommitOutcome, CreateOutcome, Decision, Environment, EnvironmentChange, MAX_ENVIRONMENTS,
    NewEnvironment, RollbackOutcome, TokenDecision, TokenRequest, VersionRow,
};

const LATER: u64 = NOW + 1;

pub(super) fn new_environment(name: &str) -> Result<NewEnvironment, String> {
    let name = EnvironmentName::parse(name).map_err(text)?;
    let (id, display_name) = (EnvironmentId::generate(), DisplayName::parse("Für später").map_err(text)?);
    Ok(NewEnvironment { id, name, display_name, max_token_life_seconds: 60, now: NOW })
}

impl Kit<'_> {
    async fn change(&self, change: EnvironmentChange) -> Result<Environment, String> {
        let changed = self.store.change_environment(&self.may()?, self.environment, change).await.map_err(text)?;
        changed.ok_or_else(|| "an environment can be changed".to_owned())
    }

    /// A token by a signing key that was not revoked.
    async fn ask(&self, secret: SecretId) -> Result<TokenDecision, String> {
        let order = TokenRequest { signing_key: Bytes([6; 32]), ..self.new_order(vec![(secret, None)]) };
        self.store.decide_token(order).await.map_err(text)
    }

    /// Takes the next number of an event, and leaves the environment open.
    pub(super) async fn environments(&self) -> Result<(), String> {
        self.made().await?;
        let path = SecretPath::parse("closed").map_err(text)?;
        let first = self.new_version(SecretId::generate(), 1, &path)?;
        self.store.begin(&self.may()?, first.clone()).await.map_err(text)?;
        self.store.commit(first.row.secret, first.row.version, None).await.map_err(text)?;
        let frozen = self.change(EnvironmentChange::Freeze(LATER)).await?;
        rule(frozen.frozen_at == Some(LATER) && frozen.closed() == Some(Closed::Frozen), "an environment is frozen")?;
        let again = self.change(EnvironmentChange::Freeze(LATER + 1)).await?;
        rule(again.frozen_at == Some(LATER), "one that is frozen keeps its time")?;
        self.closed(&first.path, first.row.secret, Closed::Frozen).await?;
        rule(self.change(EnvironmentChange::Unfreeze).await?.closed().is_none(), "a freeze is undone")?;
        let disable = vec![Decision::disable_environment(&self.may()?, self.environment).map_err(text)?];
        let before = self.store.chain_head().await.map_err(text)?.number;
        let numbers = self.store.number(disable.clone(), signer(), LATER).await;
        rule(numbers == Ok(vec![before + 1]), "an environment that is disabled has an event")?;
        self.store.number(disable, signer(), LATER + 1).await.map_err(text)?;
        let disabled = self.store.environments().await.map_err(text)?;
        let at = disabled.iter().find(|known| known.id == self.environment).and_then(|known| known.disabled_at);
        rule(at == Some(LATER), "one that is disabled keeps its time")?;
        self.closed(&first.path, first.row.secret, Closed::Disabled).await?;
        rule(self.change(EnvironmentChange::Enable).await?.closed().is_none(), "an environment is enabled again")?;
        let settings = EnvironmentChange::Settings { display_name: None, max_token_life_seconds: Some(7) };
        self.change(settings).await?;
        let token = self.ask(first.row.secret).await?;
        let lives = |decision| matches!(decision, TokenDecision::Recorded { token, .. } if token.expires_at == NOW + 7);
        rule(lives(token), "no token outlives the longest life of its environment")?;
        let settings = EnvironmentChange::Settings { display_name: None, max_token_life_seconds: Some(2_700) };
        self.change(settings).await.map(|_changed| ())
    }

    async fn made(&self) -> Result<(), String> {
        let new_one = new_environment("lab")?;
        let made = self.store.create_environment(&self.may()?, new_one.clone()).await;
        let Ok(CreateOutcome::Made(lab)) = made else { return Err("an environment is made".to_owned()) };
        rule((lab.ordinal, lab.id, lab.created_at) == (2, new_one.id, NOW), "it gets the next ordinal")?;
        let again = NewEnvironment { id: EnvironmentId::generate(), ..new_one.clone() };
        rule(
            self.store.create_environment(&self.may()?, again).await == Ok(CreateOutcome::Taken),
            "a name is given once",
        )?;
        let twice = NewEnvironment { id: new_one.id, ..new_environment("other")? };
        rule(self.store.create_environment(&self.may()?, twice).await == Ok(CreateOutcome::Taken), "so is an id")?;
        let found = self.store.environment(&self.knows(), new_one.id).await;
        rule(found == Ok(Some(lab.clone())), "an environment reads back")?;
        let all = self.store.environments().await.map_err(text)?;
        rule(all.len() == 2 && all.get(1) == Some(&lab), "environments are listed by name")?;
        let page = self.store.environment_page(&self.knows(), None, 1).await;
        rule(page == Ok(all.iter().take(1).cloned().collect()), "a page has the first ones")?;
        let after = all.first().map(|known| known.name.clone());
        let page = self.store.environment_page(&self.knows(), after, 9).await;
        rule(page == Ok(vec![lab]), "the next page has those that follow")?;
        let nobody = EnvironmentId::generate();
        let changed = self.store.change_environment(&self.may()?, nobody, EnvironmentChange::Unfreeze).await;
        rule(changed == Ok(None), "an unknown environment is not changed")
    }

    async fn closed(&self, path: &SecretPath, secret: SecretId, closed: Closed) -> Result<(), String> {
        let next = self.new_version(secret, 2, path)?;
        let begun = self.store.begin(&self.may()?, next.clone()).await;
        rule(begun == Ok(BeginOutcome::Closed(closed)), "nothing is written to a closed environment")?;
        let back = self.begin_rollback(secret, 2, 1, None).await?;
        rule(back == RollbackOutcome::Closed(closed), "and nothing is rolled back in it")?;
        let unknown = self.new_version(SecretId::generate(), 1, &SecretPath::parse("unborn").map_err(text)?)?;
        self.store.begin(&self.may()?, unknown.clone()).await.map_err(text)?;
        let left = self.store.secret(&self.look()?, unknown.row.secret).await;
        rule(left == Ok(None), "a write that is refused leaves nothing behind")?;
        let order = self.ask(secret).await?;
        let refused = matches!(order, TokenDecision::Closed(why) if why == closed);
        rule(refused, "nothing is minted for a closed environment")?;
        let (version, envelope) = (Version::FIRST, Version::FIRST);
        let token = self.new_token(&VersionRow { version, envelope, ..next.row });
        let committed = self.store.commit(secret, version, Some((self.may()?, token))).await;
        rule(committed == Ok(CommitOutcome::Closed(closed)), "a write that ends in one gets no token")
    }

    /// The bound, after all that count environments.
    pub(super) async fn many_environments(&self) -> Result<(), String> {
        let mut last = Ok(CreateOutcome::Full);
        for number in 2..=MAX_ENVIRONMENTS {
            last = self.store.create_environment(&self.may()?, new_environment(&format!("e{number}"))?).await;
        }
        rule(last == Ok(CreateOutcome::Full), "environments have a bound")?;
        let all = self.store.environments().await.map_err(text)?;
        rule(all.len() as u64 == MAX_ENVIRONMENTS, "which is reached")
    }
}
