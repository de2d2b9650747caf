//! Revocations and destructions: numbered, chained, signed, and pushed until the vault has signed that they are
//! applied.
//!
//! Guarantees that nothing is reported as revoked before the vault has signed it, and that no number is used twice,
//! even after a restore of the manager. Nothing is numbered or minted while it is unclear whether the two chains agree.
//! When they disagree, an operator must act.

mod recover_events;
mod run_sync;
mod service;
mod sync;
mod vault_view;

pub use run_sync::{run_sync, stopped};
pub use service::{Revocations, Sequences, event_signer};
pub use sync::RevocationSync;
pub use vault_view::{FeedStatus, FeedView, LastSync, VaultView};
