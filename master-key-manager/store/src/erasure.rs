//! Erasing whole secrets, in steps that a crash may come between.

use async_trait::async_trait;
use shared_proto::id::{SecretId, Version};

use crate::{SignEvent, Stored};

/// Versions whose envelopes one step erases. Each is an event that is signed in its transaction.
pub const ERASED_AT_ONCE: usize = 64;

/// Erasing whole secrets. The right to it is the secret's own rules, which the registry vouches for: they say that it is
/// destroyed, and there is no way back.
#[async_trait]
pub trait ErasureStore: Send + Sync {
    /// The first secrets after one of them of which something is to be erased by a time, or of which the database says so.
    async fn due_erasures(&self, after: Option<DueErasure>, now: u64, limit: usize) -> Stored<Vec<DueErasure>>;
    /// Destroys up to [`ERASED_AT_ONCE`] versions of a destroyed secret with their envelopes, pending ones among them. `None`
    /// for a secret that is not destroyed. Events are numbered with `sign`, and deferred without. Of two that run at once,
    /// the later one goes on where the first one ended.
    async fn erase(&self, secret: SecretId, sign: Option<SignEvent>, now: u64) -> Stored<Option<Erased>>;
    /// Makes the events that erase envelopes of a destroyed secret which the vault has, whatever the rows of its versions say.
    /// `None` for a secret that is not destroyed. Of two that run at once, the later one finds the events of the first one.
    async fn erase_stored(
        &self,
        secret: SecretId,
        envelopes: Vec<Version>,
        sign: Option<SignEvent>,
        now: u64,
    ) -> Stored<Option<Erased>>;
    /// Records that the vault has nothing more of a destroyed secret: it is due no more. One of which a version came back
    /// meanwhile stays due.
    async fn finish_erasure(&self, secret: SecretId) -> Stored<()>;
}

/// A secret of which something may be to be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueErasure {
    /// The time from which on (Unix seconds).
    pub at: u64,
    /// The secret.
    pub secret: SecretId,
}

/// The outcome of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// The numbers of the envelopes' events.
    pub numbers: Vec<u64>,
    /// Tells whether events wait for a number.
    pub deferred: bool,
    /// Tells whether there are more versions to destroy.
    pub more: bool,
}
