//! The manager's memory: names, versions, credentials, tokens by their claims, events. One file for each area, with its
//! trait and its rows.
//!
//! A thief of the disk may read everything behind these traits. So nothing is stored against which a value, a
//! credential or a guess at one could be checked. Each method is one transaction that may run twice, and what it wrote
//! is durable when it returns. A method that acts for a caller takes a permit, and refuses in that transaction if what
//! the permit was decided from has changed. A part of the manager asks for the narrowest trait that does its work.

mod act;
mod catalogue;
mod comparison;
mod environments;
mod erasure;
mod event_name;
mod events;
mod expiry;
mod facts;
mod history;
mod identity;
mod installation;
mod integrity;
mod notices;
mod period;
mod places;
mod pruning;
mod reconcile;
mod references;
mod registry;
mod rotation;
mod search;
mod secret_rotation;
pub mod sql;
pub mod testing;
mod tokens;
mod with_entry;

use async_trait::async_trait;
use service_runtime::sql::StoreFault;

pub(crate) use self::act::basis_for;
pub use self::act::{ActError, Acted, CHANGED};
pub use self::catalogue::{
    AboutVersion, BeginOutcome, CatalogueStore, CommitOutcome, EnvelopeRow, IfVersion, KEPT_SECONDS, NewRollback,
    NewVersion, RollbackOutcome, SecretState, VersionRow,
};
pub use self::comparison::{ComparisonStore, EnvelopePage, Withheld};
pub use self::environments::{
    Closed, CreateOutcome, Environment, EnvironmentChange, EnvironmentStore, MAX_ENVIRONMENTS, NewEnvironment,
};
pub use self::erasure::{DueErasure, ERASED_AT_ONCE, Erased, ErasureStore};
pub use self::events::{
    DROPPED_AT_ONCE, Decision, Destroyed, EventStore, NUMBERED_AT_ONCE, RevocationPage, SignEvent, StoredEvent,
};
pub use self::expiry::{Ending, Expired, Expiry};
pub use self::facts::FactStore;
pub use self::history::{
    ChangedVersion, HistoryPage, HistoryPart, HistoryStore, OUTLIVED_AT_ONCE, Outlived, StageChange, VersionChange,
    VersionEntry,
};
pub use self::identity::{IdentityStore, USES_AT_ONCE};
pub use self::installation::{Installation, InstallationStore, NewInstallation};
pub use self::integrity::{
    CHECKED_AT_ONCE, CatalogueRows, CheckedEnvelope, CheckedVersion, Erasure, IntegrityStore, RowOrigin, SecretRow,
    VersionKey,
};
pub use self::notices::{
    DuePlace, INCIDENTS_AT_ONCE, NOTICE_SECONDS, NOTICED_AT_ONCE, Notice, NoticePage, NoticeStore, THRESHOLD_DAYS,
};
pub use self::places::{
    DescribedSecret, Details, NewDetails, NewPlace, PlaceConflict, PlaceStore, PlacedSecret, Stages,
};
pub use self::pruning::PruneStore;
pub use self::reconcile::ReconcileStore;
pub use self::references::{ReadableTarget, ReferenceStore};
pub use self::registry::{
    ChangeOutcome, DroppedEntries, OldEntries, POLICY_BYTES_AT_ONCE, RegistryRows, RegistryStore, Vouched,
};
pub use self::rotation::{KeyFacts, RotationState, RotationStore};
pub use self::search::{
    Bounds, FolderEntry, FolderPage, FolderQuery, ListedDetails, ListedSecret, MOST_COUNTED, Order, OrderBy, Position,
    SCANNED_AT_ONCE, SearchStore, SecretPage, SecretQuery, TagFilter, WALKED_AT_ONCE,
};
pub use self::secret_rotation::{
    DuePage, DueSecret, ENDED_AT_ONCE, Finished, NewRotation, Promotion, SecretRotation, SecretRotationStore,
    ShownRotation, Step, StepOutcome, Verified,
};
pub use self::tokens::{
    NamingToken, NamingTokens, NewToken, OwnToken, PRUNED_AT_ONCE, ReadPermits, ReadTurns, TOKENS_SCANNED_AT_ONCE,
    TokenDecision, TokenRequest, TokenRow, TokenStore, TokenSubject, Wanted, grants_of,
};
pub use self::with_entry::{CatalogueChanges, DestroyedVersion, EnteredSecret, PrunedSecret};

/// The result of a store call.
pub type Stored<T> = Result<T, StoreFault>;

/// The whole store.
#[async_trait]
pub trait ManagerStore:
    RegistryStore
    + CatalogueStore
    + ComparisonStore
    + EnvironmentStore
    + ErasureStore
    + EventStore
    + FactStore
    + HistoryStore
    + IdentityStore
    + InstallationStore
    + IntegrityStore
    + NoticeStore
    + PlaceStore
    + PruneStore
    + ReconcileStore
    + ReferenceStore
    + RotationStore
    + SearchStore
    + SecretRotationStore
    + TokenStore
{
    /// Whether the last use of the disk succeeded.
    fn is_healthy(&self) -> bool;
    /// The first row that was read and is not what this manager wrote; `None` while there was none.
    fn unfit_row(&self) -> Option<String>;
    /// Returns when this process has lost the database for good.
    async fn lost(&self);
    /// Finishes the queued writes.
    async fn close(&self);
}
