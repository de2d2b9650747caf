//! Reading many secrets: one token and one request for up to 64 of an environment.
//!
//! Each secret has a result of its own. The manager refuses a token as a whole; then it is asked for halves of it, until it is
//! known which secrets it refuses.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use manager_api::name::{EnvironmentName, SecretPath};
use manager_api::path_key::PathKey;
use manager_api::tokens::{GrantedSecret, MintToken, SecretRequest, WantedVersion};
use shared_proto::error::{ErrorCode, Problem, Retry};
use shared_proto::id::{SecretId, Version};
use shared_proto::secret::SecretValue;

use crate::{Client, ClientError, Opened, Token};

/// The most secrets of one token.
pub const MAX_BATCH: usize = 64;

/// A version of a secret that is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    target: Target,
    version: Option<WantedVersion>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Target {
    /// By id; with its environment, if that is known, it shares its token with others.
    Id(SecretId, Option<EnvironmentName>),
    Path(EnvironmentName, PathKey),
}

impl Wanted {
    /// The current version at a path. Dots and slashes mean the same.
    pub fn path(environment: EnvironmentName, path: &SecretPath) -> Self {
        Self { target: Target::Path(environment, PathKey::of(path)), version: None }
    }

    /// The current version of a secret, with its environment if that is known.
    pub fn id(secret: SecretId, environment: Option<EnvironmentName>) -> Self {
        Self { target: Target::Id(secret, environment), version: None }
    }

    /// The same secret in another version.
    #[must_use]
    pub fn version(self, version: Option<WantedVersion>) -> Self {
        Self { version, ..self }
    }

    fn environment(&self) -> Option<&EnvironmentName> {
        match &self.target {
            Target::Id(_, environment) => environment.as_ref(),
            Target::Path(environment, _) => Some(environment),
        }
    }

    fn request(&self) -> Result<SecretRequest, ClientError> {
        let mut request = match &self.target {
            Target::Id(secret, _) => SecretRequest::id(*secret),
            Target::Path(environment, path) => {
                let path =
                    SecretPath::parse(path.as_str()).map_err(|_| ClientError::Address("a path is not in form"))?;
                SecretRequest::path(environment.clone(), path)
            }
        };
        match self.version {
            None => {}
            Some(WantedVersion::Number(version)) => request.version = Some(version),
            Some(WantedVersion::Stage(stage)) => request.stage = Some(stage),
        }
        Ok(request)
    }
}

/// A secret that was read. It has no `Debug` form.
pub struct ReadSecret {
    /// The secret.
    pub key_id: SecretId,
    /// The version.
    pub version: Version,
    /// When the version ends (Unix seconds); never without it.
    pub expires_at: Option<u64>,
    /// True if the version has expired, and its environment warns of that.
    pub expired: bool,
    /// The value.
    pub value: SecretValue,
}

/// The result for one secret. What is wanted twice is read once.
pub type ReadResult = Result<Arc<ReadSecret>, ClientError>;

impl Client {
    /// Reads secrets, and answers with a result for each, in their order.
    pub async fn read_secrets(&self, wanted: &[Wanted]) -> Vec<ReadResult> {
        let batches = batches(wanted);
        let read = join_all(batches.iter().map(|batch| self.read_batch(batch))).await;
        let known: HashMap<&Wanted, ReadResult> = read.into_iter().flatten().collect();
        let missing = || Err(ClientError::Malformed { status: 200 });
        wanted.iter().map(|one| known.get(one).cloned().unwrap_or_else(missing)).collect()
    }

    /// Reads the secrets of one batch; halves of it when the manager refuses the whole.
    async fn read_batch<'a>(&self, batch: &[&'a Wanted]) -> Vec<(&'a Wanted, ReadResult)> {
        let mut results = Vec::with_capacity(batch.len());
        let mut left: Vec<&[&'a Wanted]> = vec![batch];
        while let Some(part) = left.pop() {
            match self.read_together(part).await {
                Ok(read) => results.extend(part.iter().copied().zip(read)),
                Err(error) if part.len() > 1 && concerns_one_secret(&error) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    left.extend([second, first]);
                }
                Err(error) => results.extend(part.iter().map(|one| (*one, Err(error.clone())))),
            }
        }
        results
    }

    /// Reads up to 64 secrets with one token; with another one if the vault does not take that.
    async fn read_together(&self, wanted: &[&Wanted]) -> Result<Vec<ReadResult>, ClientError> {
        let secrets = wanted.iter().map(|one| one.request()).collect::<Result<Vec<_>, _>>()?;
        let request = MintToken { secrets, user_id: None, life_seconds: None };
        let token = self.mint(&request).await?;
        match self.open(&token, wanted.len()).await {
            Err(ClientError::Refused(problem)) if problem.code.retry() == Retry::NewToken => {
                let token = self.mint(&request).await?;
                self.open(&token, wanted.len()).await
            }
            opened => opened,
        }
    }

    /// Reads all that a token names.
    async fn open(&self, token: &Token, count: usize) -> Result<Vec<ReadResult>, ClientError> {
        if token.secrets.len() != count {
            return Err(ClientError::Malformed { status: 200 });
        }
        let ids: Vec<SecretId> = token.secrets.iter().map(|granted| granted.key_id).collect();
        if let ([id], [granted]) = (&ids[..], &token.secrets[..]) {
            let opened = self.read(&token.access, *id).await?;
            return Ok(vec![checked(opened, granted)]);
        }
        let mut results = Vec::with_capacity(ids.len());
        for (opened, granted) in self.read_many(&token.access, &ids).await?.into_iter().zip(&token.secrets) {
            results.push(match opened {
                Ok(opened) => checked(opened, granted),
                // The answer to many has its limit; it comes alone.
                Err(ErrorCode::BodyTooLarge) => match self.read(&token.access, granted.key_id).await {
                    Ok(opened) => checked(opened, granted),
                    Err(error) => Err(error),
                },
                Err(code) => Err(ClientError::Refused(Box::new(Problem::new(code, "")))),
            });
        }
        Ok(results)
    }
}

/// The value, if it is that of the version that the token was made for.
fn checked(opened: Opened, granted: &GrantedSecret) -> ReadResult {
    if opened.key_id != granted.key_id || opened.version != granted.envelope {
        return Err(ClientError::Malformed { status: 200 });
    }
    Ok(Arc::new(ReadSecret {
        key_id: granted.key_id,
        version: granted.version,
        expires_at: granted.expires_at,
        expired: granted.expired,
        value: opened.value,
    }))
}

/// Different secrets of one environment, up to 64 a batch, each secret once in a batch.
fn batches(wanted: &[Wanted]) -> Vec<Vec<&Wanted>> {
    let mut batches: Vec<Vec<&Wanted>> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for one in wanted.iter().filter(|one| known.insert(*one)) {
        let takes = |batch: &&mut Vec<&Wanted>| {
            let together =
                one.environment().is_some() && batch.iter().all(|other| other.environment() == one.environment());
            batch.len() < MAX_BATCH && together && batch.iter().all(|other| other.target != one.target)
        };
        match batches.iter_mut().find(takes) {
            Some(batch) => batch.push(one),
            None => batches.push(vec![one]),
        }
    }
    batches
}

/// Tells whether another token, without some of the secrets, may be given.
fn concerns_one_secret(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::SecretNotFound
                | ErrorCode::SecretDeleted
                | ErrorCode::SecretFrozen
                | ErrorCode::ApprovalRequired
                | ErrorCode::VersionExpired
                | ErrorCode::ParameterInvalid
        )
    )
}

#[cfg(test)]
mod tests {
    use manager_api::tokens::Stage;
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(ReadSecret: std::fmt::Debug, Clone, PartialEq);

    fn at(environment: &str, path: &str) -> Wanted {
        Wanted::path(environment.parse().unwrap(), &SecretPath::parse(path).unwrap())
    }

    #[test]
    fn batch_has_up_to_64_different_secrets_of_one_environment() {
        let many: Vec<Wanted> = (0..130).map(|number| at("dev", &format!("s{number}"))).collect();
        assert_eq!(batches(&many).iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 2]);
        let mixed = [at("dev", "a"), at("lab", "a"), at("dev", "b.c"), at("dev", "b/c"), at("dev", "a")];
        assert_eq!(batches(&mixed).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn two_versions_of_a_secret_are_in_two_batches_and_an_id_without_environment_is_alone() {
        let former = at("dev", "a").version(Some(WantedVersion::Stage(Stage::Previous)));
        assert_eq!(batches(&[at("dev", "a"), former]).len(), 2);
        let [one, other] = [SecretId::generate(), SecretId::generate()];
        assert_eq!(batches(&[Wanted::id(one, None), Wanted::id(other, None)]).len(), 2);
        let dev = || Some("dev".parse().unwrap());
        assert_eq!(batches(&[Wanted::id(one, dev()), Wanted::id(other, dev()), at("dev", "a")]).len(), 1);
    }
}
