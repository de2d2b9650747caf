//! Environments: made, described, frozen and disabled while the service runs. None is ever deleted.

use async_trait::async_trait;
use manager_api::name::{DisplayName, EnvironmentName};
use manager_policy::{KnownEnvironments, ManageEnvironments, Permit};
use service_runtime::Refusal;
use shared_proto::error::ErrorCode;
use shared_proto::id::EnvironmentId;
use shared_proto::token::MAX_LIFE_SECONDS;

use crate::{Acted, Stored};

/// The most environments of an installation.
pub const MAX_ENVIRONMENTS: u64 = 256;

/// Environments and their settings. An environment is disabled by a decision of the [`EventStore`](crate::EventStore),
/// because that revokes tokens.
#[async_trait]
pub trait EnvironmentStore: Send + Sync {
    /// All environments, ordered by name, for the service itself.
    async fn environments(&self) -> Stored<Vec<Environment>>;
    /// A page of up to `limit` known environments after a name, ordered by name.
    async fn environment_page(
        &self,
        known: &KnownEnvironments,
        after: Option<EnvironmentName>,
        limit: usize,
    ) -> Acted<Vec<Environment>>;
    /// The environment with an id, if it is known.
    async fn environment(&self, known: &KnownEnvironments, environment: EnvironmentId) -> Acted<Option<Environment>>;
    /// Enters a new environment under the next ordinal. Of two with the same name, the second is refused.
    async fn create_environment(
        &self,
        permit: &Permit<ManageEnvironments>,
        new: NewEnvironment,
    ) -> Acted<CreateOutcome>;
    /// Changes an environment and returns it; `None` if it does not exist. Of two changes at once, the second one is
    /// made to the result of the first.
    async fn change_environment(
        &self,
        permit: &Permit<ManageEnvironments>,
        environment: EnvironmentId,
        change: EnvironmentChange,
    ) -> Acted<Option<Environment>>;
}

/// An environment with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its id, all that the vault sees of it.
    pub id: EnvironmentId,
    /// Its name, which never changes.
    pub name: EnvironmentName,
    /// Its name for people.
    pub display_name: DisplayName,
    /// Its number among the environments, from 1, which never changes.
    pub ordinal: u32,
    /// The longest life of a token, in seconds.
    pub max_token_life_seconds: u64,
    /// When it was frozen (Unix seconds).
    pub frozen_at: Option<u64>,
    /// When it was disabled (Unix seconds).
    pub disabled_at: Option<u64>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
}

impl Environment {
    /// An environment as `init` makes it.
    pub fn new(id: EnvironmentId, name: EnvironmentName, ordinal: u32, now: u64) -> Self {
        Self {
            id,
            display_name: DisplayName::of(&name),
            name,
            ordinal,
            max_token_life_seconds: MAX_LIFE_SECONDS,
            frozen_at: None,
            disabled_at: None,
            created_at: now,
        }
    }

    /// The reason why nothing may be written to it, and no token be minted for it.
    pub fn closed(&self) -> Option<Closed> {
        match (self.disabled_at, self.frozen_at) {
            (Some(_), _) => Some(Closed::Disabled),
            (None, Some(_)) => Some(Closed::Frozen),
            (None, None) => None,
        }
    }
}

/// The reason why nothing is written to an environment and nothing minted for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It is frozen. Tokens that were minted before are valid until they end.
    Frozen,
    /// It is disabled. Tokens that were minted before are revoked.
    Disabled,
}

impl From<Closed> for Refusal {
    fn from(closed: Closed) -> Self {
        Self::new(match closed {
            Closed::Frozen => ErrorCode::EnvironmentFrozen,
            Closed::Disabled => ErrorCode::EnvironmentDisabled,
        })
    }
}

/// An environment that is about to be made.
#[derive(Clone, Debug)]
pub struct NewEnvironment {
    /// Its id.
    pub id: EnvironmentId,
    /// Its name.
    pub name: EnvironmentName,
    /// Its name for people.
    pub display_name: DisplayName,
    /// The longest life of a token, in seconds.
    pub max_token_life_seconds: u64,
    /// Unix seconds.
    pub now: u64,
}

/// The outcome of entering a [`NewEnvironment`]. Only `Made` wrote something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It is made.
    Made(Environment),
    /// Its name or id is taken.
    Taken,
    /// There are [`MAX_ENVIRONMENTS`].
    Full,
}

/// A change of an environment.
#[derive(Clone, Debug)]
pub enum EnvironmentChange {
    /// Other settings. `None` leaves one as it is.
    Settings {
        /// Its name for people.
        display_name: Option<DisplayName>,
        /// The longest life of a token, in seconds.
        max_token_life_seconds: Option<u64>,
    },
    /// It is frozen from this time on (Unix seconds). One that is frozen keeps its time.
    Freeze(u64),
    /// It is no longer frozen.
    Unfreeze,
    /// It is no longer disabled.
    Enable,
}

impl EnvironmentChange {
    /// Makes the change.
    pub fn apply(self, environment: &mut Environment) {
        match self {
            Self::Settings { display_name, max_token_life_seconds } => {
                if let Some(name) = display_name {
                    environment.display_name = name;
                }
                if let Some(seconds) = max_token_life_seconds {
                    environment.max_token_life_seconds = seconds;
                }
            }
            Self::Freeze(now) => environment.frozen_at = environment.frozen_at.or(Some(now)),
            Self::Unfreeze => environment.frozen_at = None,
            Self::Enable => environment.disabled_at = None,
        }
    }
}
