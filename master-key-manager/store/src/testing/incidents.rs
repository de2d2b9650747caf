//! Frozen secrets, and the tokens that name one.

use manager_api::id::IncidentId;
use manager_api::name::SecretPath;
use manager_registry::SecretRules;
use shared_proto::encoding::Bytes;
use shared_proto::event::Event;
use shared_proto::id::SecretId;

use super::{Kit, NOW, rule, text};
use crate::{ChangeOutcome, NewPlace, TokenDecision, TokenRequest};

impl Kit<'_> {
    async fn order_of(&self, secret: SecretId) -> Result<TokenDecision, String> {
        let order = TokenRequest { signing_key: Bytes([6; 32]), ..self.new_order(vec![(secret, None)]) };
        self.store.decide_token(order).await.map_err(text)
    }

    pub(super) async fn frozen(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("frozen/one").map_err(text)?);
        self.written(self.new_version(secret, 1, &path)?).await?;
        let TokenDecision::Recorded { token, .. } = self.order_of(secret).await? else {
            return Err("a secret is read before it is frozen".to_owned());
        };
        let named = self.store.tokens_naming(&self.look()?, secret, None, NOW).await.map_err(text)?;
        rule(named.tokens.len() == 1 && named.next.is_none(), "a token names its secret")?;
        let found = named.tokens.first().ok_or("there is a token")?;
        rule((found.jti, found.subject, found.revoked) == (token.jti, token.subject, false), "and it is that token")?;
        let other = self.store.tokens_naming(&self.look()?, SecretId::generate(), None, NOW).await.map_err(text)?;
        rule(other.tokens.is_empty(), "and no other secret")?;
        let late = self.store.tokens_naming(&self.look()?, secret, None, token.expires_at).await.map_err(text)?;
        rule(late.tokens.is_empty(), "one that has ended is not alive")?;
        let rules = SecretRules { frozen: Some(IncidentId::generate()), ..SecretRules::default() };
        let place = NewPlace {
            secret,
            environment: self.environment,
            expected: 0,
            path,
            rules,
            details: None,
            if_revision: None,
        };
        let frozen = self.change_place(vec![place], vec![Event::Secret(secret)]).await?;
        rule(matches!(frozen, ChangeOutcome::Made { .. }), "a secret is frozen")?;
        rule(matches!(self.order_of(secret).await?, TokenDecision::Frozen), "nothing is minted for a frozen secret")?;
        let named = self.store.tokens_naming(&self.look()?, secret, None, NOW).await.map_err(text)?;
        rule(named.tokens.iter().all(|token| token.revoked), "a revocation hits the tokens of before")
    }
}
