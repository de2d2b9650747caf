//! Secrets and their versions: storing, settling, destroying, finding again what was forgotten.
//!
//! Guarantees that a version that was acknowledged is in the vault under a receipt that was compared, that a version
//! number never stands for two values, and that an unclear outcome is settled before anything builds on it.

mod delivery;
mod destroy;
mod locks;
mod reconcile;
mod repeat;
mod settle;
mod store_flow;
mod transfer;

pub use delivery::{Delivery, DeliveryQueue, start_delivery};
pub use destroy::destroy;
pub use locks::KeyedLocks;
pub use reconcile::{Found, reconcile};
pub use settle::{Settled, Settler};
pub use store_flow::{StoreFlow, StoreRequest, StoredSecret};
pub(crate) use transfer::{Transfer, TransferKeys};
