//! Tokens: decided on, listed, pruned.

use manager_api::name::SecretPath;
use shared_proto::id::SecretId;

use super::{Kit, NOW, rule, text};
use crate::{ActError, CommitOutcome, NewToken, TokenDecision};

impl Kit<'_> {
    pub(super) async fn tokens(&self) -> Result<(), String> {
        let path = SecretPath::parse("token").map_err(text)?;
        let new = self.new_version(SecretId::generate(), 1, &path)?;
        let asked = vec![(new.row.secret, None)];
        self.store.begin(&self.may()?, new.clone()).await.map_err(text)?;
        let before = self.order(asked.clone()).await?;
        rule(matches!(before, TokenDecision::NotFound), "a pending version is not minted for")?;
        let none = self.store.tokens(&self.may()?, None, 9, NOW).await.map_err(text)?;
        rule(none.is_empty(), "a token that is refused leaves no row")?;
        let token = self.new_token(&new.row);
        let other = NewToken { grants: Vec::new(), ..token.clone() };
        let wider = self.store.commit(new.row.secret, new.row.version, Some((self.may()?, other))).await;
        rule(wider == Err(ActError::OutsidePermit), "a write's token is for that version")?;
        let outcome = CommitOutcome::Yes { rseq: 0, expires_at: Some(token.expires_at) };
        let committed = self.store.commit(new.row.secret, new.row.version, Some((self.may()?, token.clone()))).await;
        rule(committed == Ok(outcome), "version and token are committed together")?;
        let (first, second) = (self.order(asked.clone()).await?, self.order(asked).await?);
        let (TokenDecision::Recorded { token: one, versions, .. }, TokenDecision::Recorded { token: other, .. }) =
            (first, second)
        else {
            return Err("a committed version is minted for".to_owned());
        };
        rule(versions.iter().any(|row| row.digest == new.row.digest), "a token is for the version that was stored")?;
        rule(one.subject == other.subject, "a label stands for one subject")?;
        let listed = self.store.tokens(&self.may()?, None, 9, NOW).await.map_err(text)?;
        rule(
            listed.iter().any(|row| row.token.grants == one.grants && row.token.jti == one.jti),
            "an ordered token is kept",
        )?;
        rule(listed.iter().any(|row| row.token.grants == token.grants), "a token reads back")?;
        let expired = self.store.tokens(&self.may()?, None, 9, token.expires_at).await.map_err(text)?;
        rule(expired.is_empty(), "an expired token is gone")?;
        for (limit, forgotten) in [(2, 2), (9, 1), (9, 0)] {
            let pruned = self.store.prune(token.expires_at, limit).await.map_err(text)?;
            rule(pruned == forgotten, "pruning removes no more than it is told, and says how many")?;
        }
        let pruned = self.store.tokens(&self.may()?, None, 9, NOW).await.map_err(text)?;
        rule(pruned.is_empty(), "pruning removes what has expired")
    }
}
