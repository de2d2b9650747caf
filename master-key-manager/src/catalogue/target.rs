//! The secret that a write is about, and the right to write to it.

use async_trait::async_trait;
use manager_api::name::SecretPath;
use manager_api::secrets::EnvironmentSelector;
use manager_policy::{ActionType, Permit, Rotate, Scope, SecretFacts, Write};
use manager_registry::SecretRules;
use manager_store::{Acted, BeginOutcome, Details, Environment, ManagerStore, NewVersion};
use service_runtime::Refusal;
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;

use super::SecretWriter;
use crate::access::Caller;
use crate::environments::Environments;

/// The secret that a value goes to.
#[derive(Clone, Debug)]
pub enum StoreTo {
    /// The one at a path, which need not exist; a new one at a path of its own without one.
    Path {
        /// Its environment.
        environment: EnvironmentSelector,
        /// Its path.
        path: Option<SecretPath>,
    },
    /// A new one at a path, with its rules and its description.
    New {
        /// Its environment.
        environment: EnvironmentSelector,
        /// Its path.
        path: SecretPath,
        /// Its rules.
        rules: SecretRules,
        /// Its description.
        details: Box<Details>,
    },
    /// The one with an id.
    Id(SecretId),
}

/// A place in an environment; without a path a place of its own.
pub(super) struct Destination {
    pub(super) environment: Environment,
    pub(super) path: Option<SecretPath>,
}

/// The environment and the facts of a secret that a version is written to.
pub(super) struct Target<'a> {
    pub(super) environment: &'a Environment,
    pub(super) facts: SecretFacts,
}

impl Environments {
    /// The environment that a caller names, if he may know of it.
    ///
    /// # Errors
    /// There is none.
    pub fn selected(&self, caller: &Caller, selector: &EnvironmentSelector) -> Result<Environment, Refusal> {
        let found = match selector {
            EnvironmentSelector::Name(name) => self.known(caller, name),
            EnvironmentSelector::Id(id) => self.with_id(*id).filter(|_| caller.knows(*id)),
            EnvironmentSelector::Ordinal(ordinal) => {
                let found = self.now().iter().find(|known| known.ordinal == *ordinal).cloned();
                found.filter(|found| caller.knows(found.id))
            }
        };
        found.ok_or_else(|| Refusal::new(ErrorCode::NameInvalid).detail("There is no such environment."))
    }
}

impl SecretWriter {
    /// The place that a caller names.
    pub(super) async fn destination<A: ActionType>(
        &self,
        to: &StoreTo,
        caller: &Caller,
    ) -> Result<Destination, Refusal> {
        match to {
            StoreTo::Path { environment, path } => {
                Ok(Destination { environment: self.environments.selected(caller, environment)?, path: path.clone() })
            }
            StoreTo::New { environment, path, .. } => {
                let environment = self.environments.selected(caller, environment)?;
                Ok(Destination { environment, path: Some(path.clone()) })
            }
            StoreTo::Id(secret) => {
                let facts = self.store.secret_facts(vec![*secret]).await?.into_iter().next().flatten();
                caller.permit_on::<A>(facts.as_ref())?;
                let facts = facts.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
                let environment = self.environments.with_id(facts.environment);
                let environment = environment.ok_or_else(|| Refusal::internal("an unknown environment"))?;
                Ok(Destination { environment, path: Some(facts.path) })
            }
        }
    }

    /// The facts of the secret at a place, or those of the one that would be made there, with the permit to write to it.
    pub(super) async fn permit_at<A: ActionType>(
        &self,
        (environment, path): (&Environment, &SecretPath),
        new: (SecretId, Option<&SecretRules>),
        caller: &Caller,
    ) -> Result<(SecretFacts, bool, Permit<A>), Refusal> {
        let found = self.store.facts_at(vec![(environment.id, path.clone())]).await?.into_iter().next().flatten();
        let is_there = found.is_some();
        let facts = found.unwrap_or_else(|| facts_of_new(environment, path, new));
        let permit = caller.permit_on(Some(&facts))?;
        if !is_there && !caller.may_give(environment.id, path) {
            return Err(Refusal::new(ErrorCode::SecretNotFound).detail(OTHER_READING));
        }
        Ok((facts, is_there, permit))
    }

    /// The permit that a request needs before its repeats are looked for.
    pub(super) async fn first_permit<A: ActionType>(
        &self,
        to: &Destination,
        caller: &Caller,
    ) -> Result<Permit<A>, Refusal> {
        match &to.path {
            Some(path) => {
                let new = (SecretId::generate(), None);
                self.permit_at((&to.environment, path), new, caller).await.map(|(_, _, permit)| permit)
            }
            None => caller.permit(&Scope::Folder(to.environment.id, SecretPath::unnamed_folder())),
        }
    }
}

/// An action that makes versions.
#[async_trait]
pub(super) trait MakesVersions: ActionType + Send + Sync + Sized {
    /// Records a version as pending.
    async fn begin(store: &dyn ManagerStore, permit: &Permit<Self>, new: NewVersion) -> Acted<BeginOutcome>;
}

#[async_trait]
impl MakesVersions for Write {
    async fn begin(store: &dyn ManagerStore, permit: &Permit<Self>, new: NewVersion) -> Acted<BeginOutcome> {
        store.begin(permit, new).await
    }
}

#[async_trait]
impl MakesVersions for Rotate {
    async fn begin(store: &dyn ManagerStore, permit: &Permit<Self>, new: NewVersion) -> Acted<BeginOutcome> {
        store.begin_rotation(permit, new).await
    }
}

/// The refusal of a path with dots to a caller who must not learn whether the one with slashes is taken.
pub(super) const OTHER_READING: &str =
    "A path with dots is also read with slashes, and you may neither list nor write there.";

/// The facts of a secret that does not exist yet.
fn facts_of_new(
    environment: &Environment,
    path: &SecretPath,
    (id, rules): (SecretId, Option<&SecretRules>),
) -> SecretFacts {
    let rules = rules.cloned().unwrap_or_default();
    let (environment, path) = (environment.id, path.clone());
    SecretFacts { id, environment, path, tags: rules.tags, service_only: rules.service_only, number: 0 }
}
