//! Erasing of destroyed secrets, and of deleted ones whose time has passed.
//!
//! Guarantees that a secret counts as erased only when the vault's inventory shows nothing of it: what the rows of its versions
//! say, an attacker with write access to the database may have written. A secret with thousands of versions is erased in steps, each of them a transaction. A process that ends in between leaves
//! a secret that is destroyed, and of which nothing is minted; maintenance goes on where it ended.

use manager_registry::{Author, Deletion, Place};
use manager_store::DueErasure;
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::id::SecretId;
use shared_proto::wire::vault::MAX_PAGE;

use super::changes::SecretKeeper;
use super::deletion::{destroyed_place, ended_destructions};
use crate::access::{Asked, View};
use crate::audit_event::{Act, Outcome, SecretAct};
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
        match self.erase(secret).await {
            Ok(Some(done)) => done,
            Ok(None) => (Sequences { numbers: Vec::new(), applied: false }, true),
            Err(refusal) => {
                tracing::warn!(%refusal, "a destroyed secret is not erased yet");
                (Sequences { numbers: Vec::new(), applied: false }, true)
            }
        }
    }

    /// Erases what the rows of a destroyed secret name, and then what the vault has of it all the same. Returns whether
    /// something is left; `None` for a secret that is not destroyed.
    pub(super) async fn erase(&self, secret: SecretId) -> Result<Option<(Sequences, bool)>, Refusal> {
        let Some((mut done, more)) = self.revocations.erase(secret, STEPS).await? else { return Ok(None) };
        if more || !done.applied {
            return Ok(Some((done, more)));
        }
        for _ in 0..STEPS {
            let stored = self.settler.stored_of(secret, MAX_PAGE).await?;
            if stored.is_empty() {
                self.store.finish_erasure(secret).await?;
                return Ok(Some((done, false)));
            }
            tracing::warn!(%secret, count = stored.len(), "the vault has envelopes of a destroyed secret that no row names");
            let Some(step) = self.revocations.erase_stored(secret, stored).await? else { return Ok(None) };
            done.numbers.extend(step.numbers);
            done.applied = step.applied;
            if !done.applied {
                break;
            }
        }
        Ok(Some((done, true)))
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
                let done = self.erase_one(one.secret, now).await;
                *after = Some(*one);
                match done {
                    Ok(true) => {}
                    // The vault is behind: each of the others would wait for it, too.
                    Ok(false) => return Ok(()),
                    Err(refusal) => failed = Some(refusal),
                }
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

    /// The database found it; its verified row says what is done. Returns whether the vault has confirmed it.
    async fn erase_one(&self, secret: SecretId, now: u64) -> Result<bool, Refusal> {
        let Some(known) = self.known(secret).await? else { return Ok(true) };
        match known.placed.rules.deletion {
            None => return Ok(true),
            Some(Deletion { destroyed: true, .. }) => {}
            Some(deletion) if now < deletion.recoverable_until => return Ok(true),
            Some(_) => {
                let act = Act::Secret(SecretAct::Destroy, secret, &known.placed.facts.path);
                self.audit.record(act, &Origin::background()).await?;
                let by = (Author::Service, "nobody took it back in its time", now);
                let decide = |view: &View| {
                    let mut changes = ended_destructions(view, secret, None, now);
                    changes.push(Place::changed(secret).into());
                    Ok(Asked { changes, places: vec![destroyed_place(&known)?].into(), events: Vec::new() })
                };
                let done = self.revocations.change_places_as(by, decide).await;
                // The environment may have been frozen since, or somebody took it back: the line before must not stand alone.
                done.inspect_err(|refusal| {
                    self.audit.note(Outcome::SecretKept(secret, refusal.code()), &Origin::background());
                })?;
            }
        }
        Ok(self.erase(secret).await?.is_none_or(|(done, _more)| done.applied))
    }
}
