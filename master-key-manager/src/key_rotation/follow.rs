//! The follower of the key folder, with the steps of the keys that change by themselves.

use std::sync::{Arc, Mutex, PoisonError};

use service_runtime::StartError;
use service_runtime::files::destroy_private;
use service_runtime::key_slots::{FolderWatch, KeyState, path_of};
use shared_proto::encoding::b64;
use shared_proto::jwk::Thumbprint;

use super::{Halt, KeyRotation, Worker, on_disk, record};
use crate::audit_event::KeyStep;
use crate::keys::{KeyRing, LoadedKeys, names};

/// Adopts changes of the key folder, and moves token signing and identity keys through their slots.
pub(super) struct Follower {
    parts: KeyRotation,
    retention_seconds: u64,
    watch: Arc<Mutex<Option<FolderWatch>>>,
    unread: bool,
}

impl Worker for Follower {
    async fn step(&mut self) -> Result<(), Halt> {
        let followed = self.follow().await;
        // With the keys as they are, also when the folder is not in order: what must end ends.
        self.turn_token_keys().await?;
        self.turn_identity().await?;
        self.destroy_retired().await?;
        followed
    }
}

impl Follower {
    pub(super) fn new(parts: KeyRotation, retention_days: u64) -> Self {
        Self {
            parts,
            retention_seconds: retention_days.saturating_mul(24 * 60 * 60),
            watch: Arc::default(),
            // What changed between the start's look at the folder and the first step is read by that.
            unread: true,
        }
    }

    /// Reads the folder again when it changed.
    async fn follow(&mut self) -> Result<(), Halt> {
        let (watch, path) = (Arc::clone(&self.watch), self.parts.keys.path().to_owned());
        let changed = on_disk(move || {
            let unlisted =
                |error: std::io::Error| StartError::new(format!("{} cannot be listed ({error}).", path.display()));
            let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(watch) = watch.as_mut() {
                return watch.changed().map_err(unlisted);
            }
            *watch = Some(FolderWatch::new(&path).map_err(unlisted)?);
            Ok(true)
        });
        if changed.await? {
            self.unread = true;
        }
        if self.unread {
            self.reload().await?;
            self.unread = false;
            tracing::info!("the key folder was read");
        }
        Ok(())
    }

    async fn reload(&self) -> Result<(), Halt> {
        let keys = Arc::clone(&self.parts.keys);
        on_disk(move || keys.reload()).await
    }

    /// Changes the folder, after the audit line, and reads it again.
    async fn change(
        &self,
        step: KeyStep,
        key: String,
        change: impl FnOnce(&KeyRing) -> Result<(), StartError> + Send + 'static,
    ) -> Result<(), Halt> {
        record(&self.parts.audit, step, key).await?;
        let keys = Arc::clone(&self.parts.keys);
        on_disk(move || change(&keys).and_then(|()| keys.reload())).await
    }

    /// Whether a time has passed, by a confirmed clock.
    fn has_passed(&self, time: u64) -> bool {
        self.parts.clock.now() >= time && self.parts.vault_view.clock_is_confirmed()
    }

    async fn turn_token_keys(&self) -> Result<(), Halt> {
        const NAME: &str = names::TOKEN_SIGNING;
        let (keys, revoked) = (self.parts.keys.now(), self.parts.keys.revoked());
        let (tokens, text) = (&keys.tokens, |kid: Thumbprint| b64(&kid.0));
        if let Some(previous) = &tokens.previous
            && (self.has_passed(tokens.previous_ends_at()) || revoked.contains(&previous.kid()))
        {
            let destroy = |keys: &KeyRing| keys.folder().destroy_previous_rsa(NAME);
            return self.change(KeyStep::TokenSigningKeyDestroy, text(previous.kid()), destroy).await;
        }
        let Some(next) = &tokens.next else { return Ok(()) };
        if !self.parts.keys.is_acknowledged(&next.kid()) {
            return Ok(());
        }
        if revoked.contains(&tokens.active.kid()) {
            let replace = |keys: &KeyRing| keys.folder().replace_with_next_rsa(NAME);
            return self.change(KeyStep::TokenSigningKeyReplace, text(next.kid()), replace).await;
        }
        if tokens.previous.is_none() {
            let activate = |keys: &KeyRing| keys.folder().activate_next_rsa(NAME);
            return self.change(KeyStep::TokenSigningKeyActivate, text(next.kid()), activate).await;
        }
        Ok(())
    }

    async fn turn_identity(&self) -> Result<(), Halt> {
        let keys = self.parts.keys.now();
        let Some(next) = &keys.next_identity else { return Ok(()) };
        if !self.parts.sync.next_identity_is_accepted().await {
            return Ok(());
        }
        let mode = self.parts.keys.installation().mode;
        let activate = move |keys: &KeyRing| keys.folder().activate_next_identity(mode);
        self.change(KeyStep::IdentityKeyActivate, b64(&next.key.kid().0), activate).await
    }

    /// Destroys root keys that no backup within the retention time needs.
    async fn destroy_retired(&self) -> Result<(), Halt> {
        let keys: Arc<LoadedKeys> = self.parts.keys.now();
        for environment in self.parts.keys.environments().now().iter() {
            for (epoch, slot) in keys.roots.all(environment.id) {
                let ends_at = slot.since.saturating_add(self.retention_seconds);
                if slot.state != KeyState::Retired || !self.has_passed(ends_at) {
                    continue;
                }
                // The catalogue of a restored manager may say again that something is under it.
                if self.parts.store.open_below(environment.id, epoch.saturating_add(1)).await? > 0 {
                    continue;
                }
                let name = format!("{}.{epoch}", environment.id);
                let path =
                    path_of(&self.parts.keys.root_folder(), &environment.id.to_string(), epoch, KeyState::Retired);
                let destroy = move |_: &KeyRing| {
                    destroy_private(&path)
                        .map_err(|error| StartError::new(format!("{} cannot be destroyed ({error}).", path.display())))
                };
                self.change(KeyStep::RootKeyDestroy, name, destroy).await?;
            }
        }
        Ok(())
    }
}
