//! Tokens: decided on, listed, pruned.

use manager_api::name::SecretPath;
use manager_policy::{Permit, Scope};
use shared_proto::id::{CredentialId, EnvironmentId, SecretId, TokenId};

use super::{Kit, NOW, rule, text, wanted};
use crate::{ActError, CommitOutcome, NewToken, ReadPermits, TokenDecision, TokenRequest, VersionRow, Wanted};

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
        self.wanted_by_place(&new.row).await?;
        rule(versions.iter().any(|row| row.digest == new.row.digest), "a token is for the version that was stored")?;
        rule(one.subject == other.subject, "a label stands for one subject")?;
        let listed = self.store.tokens(&self.may()?, None, 9, NOW).await.map_err(text)?;
        rule(
            listed.iter().any(|row| row.token.grants == one.grants && row.token.jti == one.jti),
            "an ordered token is kept",
        )?;
        rule(listed.iter().any(|row| row.token.grants == token.grants), "a token reads back")?;
        self.own_tokens(&listed.iter().map(|row| row.token.jti).collect::<Vec<_>>()).await?;
        let expired = self.store.tokens(&self.may()?, None, 9, token.expires_at).await.map_err(text)?;
        rule(expired.is_empty(), "an expired token is gone")?;
        for (limit, forgotten) in [(2, 2), (9, 5), (9, 0)] {
            let pruned = self.store.prune(token.expires_at, limit).await.map_err(text)?;
            rule(pruned == forgotten, "pruning removes no more than it is told, and says how many")?;
        }
        let pruned = self.store.tokens(&self.may()?, None, 9, NOW).await.map_err(text)?;
        rule(pruned.is_empty(), "pruning removes what has expired")
    }

    /// Secrets that are named by places, of which one may be read.
    async fn wanted_by_place(&self, row: &VersionRow) -> Result<(), String> {
        let [path, other, nothing] = ["token", "token/other", "token/nothing"].map(SecretPath::parse);
        let (path, other, nothing) = (path.map_err(text)?, other.map_err(text)?, nothing.map_err(text)?);
        let second = self.new_version(SecretId::generate(), 1, &other)?.row;
        self.store.begin(&self.may()?, self.new_version(second.secret, 1, &other)?).await.map_err(text)?;
        self.store.commit(second.secret, second.version, None).await.map_err(text)?;
        let decide = async |asked: Vec<Wanted>, hidden: Option<SecretId>| {
            let (facts, actor) = (self.facts(), self.actor.clone());
            let permits = ReadPermits::new(move |secret| {
                let seen = Some(secret.id) != hidden;
                seen.then(|| Permit::decide(&facts, &actor, &Scope::Installation, NOW).ok()).flatten()
            });
            let grants = asked.into_iter().map(|one| (one, wanted(None))).collect();
            let order = TokenRequest { grants, permits, ..self.new_order(Vec::new()) };
            let decided = self.store.decide_token(order).await.map_err(text)?;
            let TokenDecision::Recorded { versions, .. } = &decided else { return Ok::<_, String>(Err(decided)) };
            Ok(Ok(versions.iter().map(|row| row.secret).collect::<Vec<_>>()))
        };
        let at =
            |paths: &[&SecretPath]| Wanted::At(paths.iter().map(|path| (self.environment, (*path).clone())).collect());
        let found = decide(vec![at(&[&nothing, &path]), at(&[&other])], None).await?;
        rule(found.is_ok_and(|found| found == [row.secret, second.secret]), "places stand for their secrets")?;
        let found = decide(vec![at(&[&path, &other])], None).await?;
        rule(matches!(found, Err(TokenDecision::NotFound)), "two secrets that may be read are none")?;
        let found = decide(vec![at(&[&path, &path])], None).await?;
        rule(found.is_ok_and(|found| found == [row.secret]), "one secret at two places is one")?;
        for (hidden, seen) in [(row.secret, second.secret), (second.secret, row.secret)] {
            let found = decide(vec![at(&[&path, &other])], Some(hidden)).await?;
            rule(found.is_ok_and(|found| found == [seen]), "the one counts that may be read")?;
        }
        let unknown = decide(vec![at(&[&nothing])], None).await?;
        rule(matches!(unknown, Err(TokenDecision::NotFound)), "an empty place is told like a hidden one")?;
        let hidden = decide(vec![at(&[&path])], Some(row.secret)).await?;
        rule(matches!(hidden, Err(TokenDecision::NotFound)), "a hidden secret is told like an empty place")?;
        let elsewhere = Wanted::At(vec![(EnvironmentId::generate(), path.clone())]);
        let elsewhere = decide(vec![elsewhere], None).await?;
        rule(matches!(elsewhere, Err(TokenDecision::NotFound)), "a path is one in its environment")?;
        let twice = decide(vec![Wanted::Id(row.secret), at(&[&path])], None).await?;
        rule(matches!(twice, Err(TokenDecision::Twice)), "a secret is named once, whatever the way")
    }

    /// Tokens of one credential and of none, where all are of one.
    async fn own_tokens(&self, all: &[TokenId]) -> Result<(), String> {
        let stranger = CredentialId::generate();
        let (own, other, both) = ([self.credential], [stranger], [stranger, self.credential]);
        let page = async |credentials: &[CredentialId], after, limit, now| {
            let found = self.store.own_tokens(self.sees().basis(), credentials.to_vec(), after, limit, now).await;
            found.map(|rows| rows.iter().map(|row| row.token.jti).collect::<Vec<_>>()).map_err(text)
        };
        rule(page(&own, None, 9, NOW).await? == all, "tokens of a credential are listed in the order of all")?;
        rule(page(&both, None, 9, NOW).await? == all, "tokens of several credentials are listed together")?;
        let [first, second, rest @ ..] = all else { return Err("there are several tokens".to_owned()) };
        rule(page(&own, None, 2, NOW).await? == [*first, *second], "a page has no more than its limit")?;
        rule(page(&own, Some(*second), 9, NOW).await? == rest, "and begins after its cursor")?;
        rule(page(&own, None, 9, NOW + 900).await?.is_empty(), "an expired token is not listed")?;
        rule(page(&other, None, 9, NOW).await?.is_empty(), "tokens of another credential are not listed")?;
        let token = async |credentials: &[CredentialId], jti| {
            let found = self.store.own_token(self.sees().basis(), credentials.to_vec(), jti).await;
            found.map(|token| token.is_some()).map_err(text)
        };
        rule(token(&own, *first).await?, "a token of one's own is found")?;
        rule(!token(&other, *first).await? && !token(&own, TokenId::generate()).await?, "another one is not")?;
        let uses = |hour| vec![(self.credential, hour), (stranger, 7)];
        for (hour, known) in [(3_600, 3_600), (7_200, 7_200), (3_600, 7_200)] {
            self.store.note_uses(uses(hour)).await.map_err(text)?;
            let found = self.store.last_uses(vec![CredentialId::generate(), self.credential]).await.map_err(text)?;
            rule(found == [(self.credential, known)], "the latest use of a credential is kept")?;
        }
        Ok(())
    }
}
