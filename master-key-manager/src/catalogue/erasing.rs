//! Erasing of destroyed secrets, and of deleted ones whose time has passed.
//!
//! A secret with thousands of versions is erased in steps, each of them a transaction. A process that ends in between leaves
//! a secret that is destroyed, and of which nothing is minted; maintenance goes on where it ended.

use manager_registry::{Author, Deletion, Place};
use manager_store::DueErasure;
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::id::SecretId;

use super::changes::SecretKeeper;
use super::deletion::{destroyed_place, ended_destructions};
use crate::access::{Asked, View};
use crate::audit_event::{Act, SecretAct};
use crate::revocation::Sequences;

/// Steps that one request waits for: 1,024 versions.
const STEPS: usize = 16;
/// Secrets that are looked for at once.
const AT_ONCE: usize = 64;
/// Pages of one sweep.
const PAGES: usize = 64;

impl SecretKeeper {
    /// Erases a destroyed secret, as far as a caller waits for it. Returns whether something is left for maintenance. It is
    /// decided, so that a failure is no failure of the request.
    pub(crate) async fn erase_now(&self, secret: SecretId) -> (Sequences, bool) {
        match self.revocations.erase(secret, STEPS).await {
            Ok(Some(done)) => done,
            Ok(None) => (Sequences { numbers: Vec::new(), applied: false }, true),
            Err(refusal) => {
                tracing::warn!(%refusal, "a destroyed secret is not erased yet");
                (Sequences { numbers: Vec::new(), applied: false }, true)
            }
        }
    }

    /// Destroys the deleted secrets behind one of them whose time has passed, and goes on with those that are destroyed, until
    /// `go_on` says no or a bound is reached; it moves on with it: to `None` after the last of all. A closed environment keeps
    /// everything. Maintenance calls it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn erase_due(
        &self,
        after: &mut Option<DueErasure>,
        now: u64,
        go_on: impl Fn() -> bool,
    ) -> Result<(), Refusal> {
        let mut failed: Option<Refusal> = None;
        for _ in 0..PAGES {
            let due = self.store.due_erasures(*after, now, AT_ONCE).await?;
            for one in &due {
                if !go_on() {
                    return Ok(());
                }
                failed = self.erase_one(one.secret, now).await.err().or(failed);
                *after = Some(*one);
            }
            if due.len() < AT_ONCE {
                *after = None;
                break;
            }
        }
        // One line for all of them: they are looked at again and again.
        if let Some(refusal) = failed {
            tracing::warn!(%refusal, "a deleted secret whose time has passed is not destroyed yet");
        }
        Ok(())
    }

    /// The database found it; its verified row says what is done.
    async fn erase_one(&self, secret: SecretId, now: u64) -> Result<(), Refusal> {
        let Some(known) = self.known(secret).await? else { return Ok(()) };
        match known.placed.rules.deletion {
            None => return Ok(()),
            Some(Deletion { destroyed: true, .. }) => {}
            Some(deletion) if now < deletion.recoverable_until => return Ok(()),
            Some(_) => {
                let act = Act::Secret(SecretAct::Destroy, secret, &known.placed.facts.path);
                self.audit.record(act, &Origin::background()).await?;
                let by = (Author::Service, "nobody took it back in its time", now);
                let decide = |view: &View| {
                    let mut changes = ended_destructions(view, secret, None, now);
                    changes.push(Place::changed(secret).into());
                    Ok(Asked { changes, places: vec![destroyed_place(&known)?], events: Vec::new() })
                };
                self.revocations.change_places_as(by, decide).await?;
            }
        }
        self.revocations.erase(secret, STEPS).await.map(|_done| ())
    }
}
