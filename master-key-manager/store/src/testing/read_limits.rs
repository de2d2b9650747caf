//! Limits of how often tokens are made for a secret.

use std::sync::{Arc, Mutex, PoisonError};

use manager_api::name::SecretPath;
use manager_api::read_limit::ReadLimit;
use manager_registry::SecretRules;
use shared_proto::encoding::Bytes;
use shared_proto::id::{SecretId, TokenId};

use super::{Kit, rule, text};
use crate::{ReadPermits, ReadTurns, TokenDecision, TokenRequest};

type Asked = Arc<Mutex<Vec<(SecretId, ReadLimit)>>>;

impl Kit<'_> {
    pub(super) async fn read_limits(&self) -> Result<(), String> {
        let limit = ReadLimit::new(60, Some(5)).map_err(text)?;
        let (limited, free) = (SecretId::generate(), SecretId::generate());
        for (secret, path) in [(limited, "limits/limited"), (free, "limits/free")] {
            self.written(self.new_version(secret, 1, &SecretPath::parse(path).map_err(text)?)?).await?;
        }
        let rules = SecretRules { rate_limit: Some(limit), ..SecretRules::default() };
        self.ruled(limited, "limits/limited", rules).await?;
        let asked: Asked = Arc::default();
        // Of a job that runs twice the last answer counts.
        let turns = |wait: Option<u64>| {
            let asked = Arc::clone(&asked);
            ReadTurns::new(move |limited| {
                *asked.lock().unwrap_or_else(PoisonError::into_inner) = limited.to_vec();
                wait.map_or(Ok(()), Err)
            })
        };
        let order = |secrets: &[SecretId], wait: Option<u64>| {
            let grants = secrets.iter().map(|secret| (*secret, None)).collect();
            TokenRequest { turns: turns(wait), signing_key: Bytes([6; 32]), ..self.new_order(grants) }
        };
        let taken = || std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
        let decide = async |order| self.store.decide_token(order).await.map_err(text);

        let decided = decide(order(&[free, limited], None)).await?;
        rule(matches!(decided, TokenDecision::Recorded { .. }), "a secret whose limit is not reached is read")?;
        rule(taken() == [(limited, limit)], "a turn is taken at what has a limit")?;
        let decided = decide(order(&[free], Some(1))).await?;
        rule(matches!(decided, TokenDecision::Recorded { .. }), "what has no limit is read")?;
        rule(taken().is_empty(), "and takes no turn")?;

        let jti = TokenId::generate();
        let decided = decide(TokenRequest { jti, ..order(&[free, limited], Some(7)) }).await?;
        rule(matches!(decided, TokenDecision::Limited(7)), "a limit that is reached refuses the token")?;
        let sees = self.sees().basis();
        let own = self.store.own_token(sees, vec![self.credential], jti).await.map_err(text)?;
        rule(own.is_none(), "and nothing is recorded")?;
        rule(taken() == [(limited, limit)], "the turns are asked for together")?;

        let denied = TokenRequest { permits: ReadPermits::new(|_| None), ..order(&[limited], Some(7)) };
        rule(
            matches!(decide(denied).await?, TokenDecision::NotFound),
            "who may not read it does not learn of its limit",
        )?;
        let revoked = TokenRequest { signing_key: Bytes([5; 32]), ..order(&[limited], Some(7)) };
        rule(matches!(decide(revoked).await?, TokenDecision::SigningKeyRevoked), "another reason comes first")?;
        let twice = order(&[limited, limited], Some(7));
        rule(matches!(decide(twice).await?, TokenDecision::Twice), "also a request that names a secret twice")?;
        rule(taken().is_empty(), "what is refused for another reason takes no turn")
    }
}
