//! Answers in the client's own types.

use manager_api::name::{EnvironmentName, SecretPath};
use manager_api::tokens::{GrantedSecret, MintAnswer};
use manager_api::wire::{IssuedToken, StoredKeyAnswer};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, TokenId, Version};
use shared_proto::secret::SecretValue;
use shared_proto::wire::vault::{OpenedKey, ReadAnswer, ReadResult};

use crate::{AccessToken, ClientError};

/// A stored version. It has no `Debug` form.
pub struct Stored {
    /// The secret.
    pub key_id: SecretId,
    /// The version just written.
    pub version: Version,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its name.
    pub path: SecretPath,
    /// The token for it, unless none was wanted.
    pub token: Option<Token>,
}

/// A token and what is known of it. It has no `Debug` form.
pub struct Token {
    /// What the vault wants to see.
    pub access: AccessToken,
    /// Its id, for revocation.
    pub jti: TokenId,
    /// When it ends (Unix seconds).
    pub expires_at: u64,
    /// The secrets that it opens, in the order in which they were asked for.
    pub secrets: Vec<GrantedSecret>,
}

/// An opened version. It has no `Debug` form.
pub struct Opened {
    /// The secret.
    pub key_id: SecretId,
    /// The number that the token names: that of the envelope. After a rollback it is not that of the version.
    pub version: Version,
    /// The value.
    pub value: SecretValue,
}

impl From<StoredKeyAnswer> for Stored {
    fn from(answer: StoredKeyAnswer) -> Self {
        // A write makes an envelope of its own.
        let (key_id, version) = (answer.key_id, answer.version);
        let secret = GrantedSecret { key_id, version, envelope: version, path: None, expires_at: None, expired: false };
        Self {
            key_id: answer.key_id,
            version: answer.version,
            environment: answer.environment,
            path: answer.path,
            token: answer.token.map(|token| Token::new(token, vec![secret])),
        }
    }
}

impl From<MintAnswer> for Token {
    fn from(answer: MintAnswer) -> Self {
        Self::new(answer.token, answer.secrets)
    }
}

impl Token {
    fn new(token: IssuedToken, secrets: Vec<GrantedSecret>) -> Self {
        Self { access: AccessToken::new(token.access_token), jti: token.jti, expires_at: token.expires_at, secrets }
    }
}

impl TryFrom<OpenedKey> for Opened {
    type Error = ClientError;

    fn try_from(answer: OpenedKey) -> Result<Self, ClientError> {
        let value = SecretValue::from_json(answer.encoding, answer.decrypted_key)
            .map_err(|_| ClientError::Malformed { status: 200 })?;
        Ok(Self { key_id: answer.key_id, version: answer.version, value })
    }
}

/// The lines of a batch, if they are those that were asked, in that order.
pub(crate) fn opened_in_order(
    answer: ReadAnswer,
    asked: &[SecretId],
) -> Result<Vec<Result<Opened, ErrorCode>>, ClientError> {
    if answer.keys.len() != asked.len() {
        return Err(ClientError::Malformed { status: 200 });
    }
    answer.keys.into_iter().zip(asked).map(|(line, asked)| one_line(line, *asked)).collect()
}

fn one_line(line: ReadResult, asked: SecretId) -> Result<Result<Opened, ErrorCode>, ClientError> {
    match line {
        ReadResult::Opened(key) if key.key_id == asked => Opened::try_from(key).map(Ok),
        ReadResult::Refused { key_id, code } if key_id == asked => Ok(Err(code)),
        ReadResult::Opened(_) | ReadResult::Refused { .. } => Err(ClientError::Malformed { status: 200 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_answered_with_other_secrets_is_refused() {
        let [first, second] = [SecretId::generate(), SecretId::generate()];
        let refused = |key_id| ReadResult::Refused { key_id, code: ErrorCode::TokenInvalid };
        let batch = |keys| ReadAnswer { keys };
        assert!(opened_in_order(batch(vec![refused(first), refused(second)]), &[first, second]).is_ok());
        assert!(opened_in_order(batch(vec![refused(second), refused(first)]), &[first, second]).is_err());
        assert!(opened_in_order(batch(vec![refused(first)]), &[first, second]).is_err());
    }
}
