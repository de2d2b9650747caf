//! Secrets and their versions: storing, rolling back, settling, destroying, and reconciling after a restore.
//!
//! Guarantees that an acknowledged version is in the vault, under a receipt that was compared, and that a version
//! number never stands for two values. An unclear outcome is settled before anything builds on it.

mod changes;
mod deletion;
mod delivery;
mod destroy;
mod erasing;
mod fill;
mod fingerprints;
mod gains;
mod guesses;
mod history;
mod integrity;
mod least_strength;
mod locks;
mod preview;
mod pruning;
mod reconcile;
mod references;
mod repeat;
mod retention;
mod rollback;
mod rotation;
mod secret_writer;
mod settle;
mod store_request;
mod taking_over;
mod target;
mod transfer;
mod turns;
mod unchanged;
mod value;

pub(crate) use changes::Known;
pub use changes::{SecretKeeper, check_plan, check_rotation};
pub(crate) use deletion::{check_still_at, destroyed_place, ended_destructions, rules_of};
pub use delivery::{Delivery, DeliveryQueue, start_delivery};
pub use destroy::destroy;
pub use fill::fill_index;
pub use fingerprints::{Elsewhere, Fingerprints};
pub use history::{AfterChange, Difference, ShownVersion, VersionKeeper};
pub use integrity::{CheckedPage, Integrity};
pub use locks::KeyedLocks;
pub use pruning::Pruning;
pub use reconcile::{Reconciliation, reconcile};
pub use retention::Retention;
pub use rollback::{RollbackRequest, RolledBack};
pub use rotation::{RotateRequest, Rotated, SecretRotator};
pub use secret_writer::{SecretWriter, StoredSecret};
pub use settle::{Reserved, Settled, Settler};
pub use store_request::StoreRequest;
pub use target::StoreTo;
pub(crate) use transfer::{Transfer, TransferKeys};
pub use value::{Filling, NewValue, Values};
