//! Secrets and their versions: storing, settling, destroying, finding again what was forgotten.
//!
//! Guarantees that a version that was acknowledged is in the vault under a receipt that was compared, that a version
//! number never stands for two values, and that an unclear outcome is settled before anything builds on it.

mod delivery;
mod destroy;
mod locks;
mod reconcile;
mod repeat;
mod secret_writer;
mod settle;
mod transfer;

pub use delivery::{Delivery, DeliveryQueue, start_delivery};
pub use destroy::destroy;
pub use locks::KeyedLocks;
pub use reconcile::{Reconciliation, reconcile};
pub use secret_writer::{SecretWriter, StoreRequest, StoredSecret};
pub use settle::{Settled, Settler};
pub(crate) use transfer::{Transfer, TransferKeys};
