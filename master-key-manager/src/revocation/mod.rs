//! Revocations and destructions: numbered, chained, signed, pushed until the vault has signed for them.
//!
//! Guarantees that nothing is called revoked before the vault's signature says so, that a number is never used twice
//! also after a restore of the manager, and that while it is unclear whether the two chains agree nothing is numbered
//! or minted. Refuses to go on when they disagree: that needs an operator.

mod recover_events;
mod run_sync;
mod service;
mod sync;
mod vault_view;

pub use run_sync::{run_sync, stopped};
pub use service::{Revocations, Sequences, event_signer};
pub use sync::RevocationSync;
pub use vault_view::{FeedStatus, FeedView, Round, VaultView};
