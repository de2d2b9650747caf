//! The list and the search of secrets, and folders.

use async_trait::async_trait;
use manager_api::kind::{Class, SecretKind};
use manager_api::name::{SecretPath, TagKey, TagValue};
use manager_api::policy::PartyId;
use manager_api::secrets::SecretStatus;
use manager_policy::Visible;
use manager_registry::SecretRules;
use shared_proto::id::{EnvironmentId, SecretId};

use crate::{Acted, Details, Stages, Stored};

/// Secrets that one page verifies, at most: a few milliseconds.
pub const SCANNED_AT_ONCE: usize = 1_024;
/// Rows of the index that one page looks at, at most.
pub const WALKED_AT_ONCE: usize = 4_096;
/// The highest count of a folder; it means as many or more.
pub const MOST_COUNTED: u64 = 10;

/// The bounds of the work of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Secrets that one page verifies, at most.
    pub scanned: usize,
    /// Rows of the index that one page looks at, at most.
    pub walked: usize,
    /// Rows that are read as a whole and put in order, at most.
    pub pool: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { scanned: SCANNED_AT_ONCE, walked: WALKED_AT_ONCE, pool: 2_048 }
    }
}

/// The list and the search of secrets.
///
/// Rows are found by an index, which an attacker with write access to the database may alter. So each row is read again from the
/// rows that decisions rest on, and shown only if it is visible and fits the query by what these say.
#[async_trait]
pub trait SearchStore: Send + Sync {
    /// A page of up to `limit` secrets after a position. What is not visible is left out of it. A page with fewer looked at
    /// [`SCANNED_AT_ONCE`] secrets or [`WALKED_AT_ONCE`] rows of the index, or is the last one. Secrets that do not change
    /// meanwhile are on one of the pages each, whatever others write.
    async fn secrets(
        &self,
        visible: &Visible,
        query: SecretQuery,
        after: Option<Position>,
        limit: usize,
    ) -> Acted<SecretPage>;
    /// A page of up to `limit` secrets and folders in a folder, or at the top. Only active secrets count that are visible. A page
    /// with fewer looked at half of [`SCANNED_AT_ONCE`] secrets, or is the last one.
    async fn folders(&self, visible: &Visible, query: FolderQuery, limit: usize) -> Acted<FolderPage>;
    /// Enters up to `limit` secrets after one of them into the index, and returns the last of them; `None` once the index has
    /// all of them. A database that was copied has an empty one.
    async fn index(&self, after: Option<SecretId>, limit: usize) -> Stored<Option<SecretId>>;
    /// Tells whether the index was filled.
    async fn is_indexed(&self) -> Stored<bool>;
}

/// The secrets that are looked for: those that fit every condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretQuery {
    /// In this environment.
    pub environment: Option<EnvironmentId>,
    /// With this path.
    pub path: Option<SecretPath>,
    /// Below this folder.
    pub under: Option<SecretPath>,
    /// With this text in their path, in any case.
    pub name: Option<String>,
    /// With each of these tags.
    pub tags: Vec<TagFilter>,
    /// Of this kind.
    pub kind: Option<SecretKind>,
    /// With this owner.
    pub owner: Option<PartyId>,
    /// In this state; `None` means any.
    pub state: Option<SecretStatus>,
    /// To be rotated, or ending, up to this time (Unix seconds).
    pub due_by: Option<u64>,
    /// Their order.
    pub order: Order,
}

/// A tag of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    /// Its key.
    pub key: TagKey,
    /// Its value; `None` means any.
    pub value: Option<TagValue>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// What decides.
    pub by: OrderBy,
    /// Set if the greatest comes first.
    pub descending: bool,
}

/// The thing by which a list is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// The environment's id, then the path, by its bytes.
    #[default]
    Path,
    /// The time at which the secret was made, then its id.
    CreatedAt,
    /// The time of its last change, then its id.
    UpdatedAt,
    /// The time at which it is due, then its id. Those that are never due are last.
    DueAt,
}

/// A position in a list. Nothing of it is for a caller's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// In the order of paths.
    Path(EnvironmentId, String),
    /// In an order of times.
    Time(u64, SecretId),
}

/// A page of secrets.
#[derive(Clone, Debug, Default)]
pub struct SecretPage {
    /// The secrets.
    pub rows: Vec<ListedSecret>,
    /// The position after which the next page begins. The caller need not be allowed to see it. `None` after the last page.
    pub next: Option<Position>,
}

/// A secret in a list, as the rows say it that the manager wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSecret {
    /// The secret.
    pub secret: SecretId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its path.
    pub path: SecretPath,
    /// Its rules.
    pub rules: SecretRules,
    /// Its description; `None` if the database holds one that the manager did not write.
    pub details: Option<ListedDetails>,
    /// The versions that have a stage.
    pub stages: Stages,
    /// How often place, rules and description have changed.
    pub revision: u64,
    /// When its first version was begun, or adopted (Unix seconds).
    pub created_at: u64,
    /// When place, rules, description or stages changed last (Unix seconds).
    pub updated_at: u64,
    /// When its current version is to be rotated (Unix seconds).
    pub rotation_due_at: Option<u64>,
    /// When its current version ends (Unix seconds).
    pub expires_at: Option<u64>,
}

/// A description, with what it means for the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedDetails {
    /// The description.
    pub details: Details,
    /// The kind.
    pub kind: SecretKind,
    /// The class, by the description, the kind and the environment.
    pub class: Class,
}

/// The folder that is looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderQuery {
    /// Its environment.
    pub environment: EnvironmentId,
    /// The folder; `None` for the top.
    pub under: Option<SecretPath>,
    /// The path at which the page begins.
    pub begins: Option<String>,
}

/// A page of a folder.
#[derive(Clone, Debug, Default)]
pub struct FolderPage {
    /// What is in it, in the order of paths.
    pub entries: Vec<FolderEntry>,
    /// The path at which the next page begins. The caller need not be allowed to see it. `None` after the last page.
    pub next: Option<String>,
}

/// A secret or a folder in a folder. A path may be both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderEntry {
    /// A secret.
    Secret {
        /// Its path.
        path: SecretPath,
        /// Its id.
        secret: SecretId,
    },
    /// A folder.
    Folder {
        /// Its path.
        path: SecretPath,
        /// Secrets below it; [`MOST_COUNTED`] at most.
        count: u64,
        /// Set if there are perhaps more.
        is_least: bool,
    },
}
